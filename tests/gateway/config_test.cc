#include "gateway/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/ids.h"
#include "gateway/config_keys.h"

namespace tollgate::gateway {
namespace {
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class ConfigTest : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }

  LoadedConfig load(std::string_view text, const std::vector<std::pair<std::string, std::string>>& sets = {}) {
    std::ofstream(path_, std::ios::binary) << text;
    return load_config(path_, sets);
  }
  // "line: message" of every fault.
  std::vector<std::string> faults(std::string_view text,
                                  const std::vector<std::pair<std::string, std::string>>& sets = {}) {
    std::vector<std::string> lines;
    for (const auto& fault : load(text, sets).faults) {
      auto where = fault.where;
      if (where.starts_with(path_)) where.erase(0, path_.size() + 1);
      lines.push_back(where + ": " + fault.message);
    }
    return lines;
  }

  std::string path_ = (std::filesystem::temp_directory_path() / random_id("config")).string();
};

std::vector<std::string> values_of(const Config& config) {
  std::vector<std::string> values;
  for (const auto& key : config_keys()) values.push_back(std::string(key.name) + "=" + config_value(config, key));
  return values;
}

TEST_F(ConfigTest, WithoutAFileThereAreTheDefaults) {
  const auto loaded = load_config("", {});
  EXPECT_THAT(loaded.faults, IsEmpty());
  EXPECT_EQ(values_of(loaded.config), values_of(Config{}));
}

TEST_F(ConfigTest, EachKeyOfTheFileHasItsPlace) {
  const auto loaded = load("listen: 0.0.0.0:80\nbilling:\n  catalog: a.yaml\n", {{"workers", "2"}});
  EXPECT_EQ(loaded.places.at("listen"), path_ + ":1");
  EXPECT_EQ(loaded.places.at("billing.catalog"), path_ + ":3");
  EXPECT_EQ(loaded.places.count("workers"), 0U);
}

TEST_F(ConfigTest, TheShippedFileSaysTheDefaults) {
  const auto shipped = (std::filesystem::path(TOLLGATE_ROOT) / "conf/tollgate.yaml").string();
  const auto loaded = load_config(shipped, {});
  EXPECT_THAT(loaded.faults, IsEmpty());
  EXPECT_EQ(values_of(loaded.config), values_of(Config{}));
  std::ostringstream text;
  text << std::ifstream(shipped).rdbuf();
  EXPECT_EQ(text.str(), default_config_file()) << "conf/tollgate.yaml is what default_config_file() gives";
}

TEST_F(ConfigTest, EveryKeyIsReadIntoItsOwnMember) {
  std::string text;
  for (const auto& key : config_keys()) {
    Config changed;
    const auto* number = std::get_if<WholeNumber>(&key.kind);
    const auto* flag = std::get_if<YesOrNo>(&key.kind);
    const auto* list = std::get_if<TextList>(&key.kind);
    const auto* texts = std::get_if<Text>(&key.kind);
    std::string value = "x";
    if (number != nullptr) value = std::to_string(number->member(changed) + 1);
    if (flag != nullptr) value = flag->member(changed) ? "false" : "true";
    if (list != nullptr) value = "a.yaml,b.yaml";
    if (texts != nullptr && texts->form == TextForm::choice) value = texts->choices.back();
    if (texts != nullptr && texts->form == TextForm::listen_address) value = "[::1]:0";
    if (texts != nullptr && texts->form == TextForm::listen_address_or_none) value = "[::1]:0";
    if (texts != nullptr && texts->form == TextForm::webhook_url) value = "https://example.net/hook";
    const auto loaded = load_config("", {{std::string(key.name), value}});
    EXPECT_THAT(loaded.faults, IsEmpty()) << key.name;
    const auto before = values_of(Config{});
    const auto after = values_of(loaded.config);
    for (std::size_t i = 0; i < before.size(); ++i) {
      EXPECT_EQ(before[i] != after[i], config_keys()[i].name == key.name) << key.name << " " << after[i];
    }
  }
}

TEST_F(ConfigTest, AFileNeedsOnlyWhatDiffersAndFlagsWin) {
  const auto loaded =
      load("listen: 0.0.0.0:80\ntimeouts:\n  idle_ms: 5\nbilling:\n  plans: [a.yaml, \"b,c.yaml\"]\nlog:\n",
           {{"timeouts.idle_ms", "7"}, {"timeouts.idle_ms", "8"}});
  EXPECT_THAT(loaded.faults, IsEmpty());
  EXPECT_EQ(loaded.config.listen, "0.0.0.0:80");
  EXPECT_EQ(loaded.config.timeouts.idle_ms, 8);
  EXPECT_THAT(loaded.config.billing.plans, ElementsAre("a.yaml", "b,c.yaml"));
  EXPECT_THAT(load("").faults, IsEmpty());
}

TEST_F(ConfigTest, EveryFaultIsNamedWithItsLine) {
  EXPECT_THAT(
      faults("listen: nowhere\nworkers: 257\nlimits:\n  body_bytes_max: -1\n  bodies: 3\ncolour: red\nworkers: 3\n"),
      ElementsAre(HasSubstr("1: listen: must be an IP address and a port"),
                  "2: workers: must be an integer from 0 to 256, not '257'",
                  HasSubstr("4: limits.body_bytes_max: must be an integer from 0"),
                  "5: limits.bodies: there is no such key", "6: colour: there is no such key",
                  "7: workers: appears twice, first in line 2"));
}

TEST_F(ConfigTest, TypesAreStrict) {
  for (const auto* text : {"workers: 1.0",
                           "workers: '1'",
                           "workers: 1e1",
                           "workers: 0x10",
                           "workers: one",
                           "workers: +1",
                           "workers:",
                           "workers: [1]",
                           "workers: {a: 1}",
                           "workers: 99999999999999999999",
                           "trust_forwarded: yes",
                           "trust_forwarded: 1",
                           "billing: {plans: a.yaml}",
                           "billing: {clock: moon}",
                           "gateway: Gw",
                           "data_dir: ''",
                           "listen: localhost:80",
                           "listen: [a]",
                           "limits: 5",
                           "limits: [1]",
                           "admin_listen: '127.0.0.1'",
                           "limits.body_bytes_max: 5",
                           "log: {level: INFO}"}) {
    EXPECT_EQ(faults(text).size(), 1U) << text;
  }
}

TEST_F(ConfigTest, WhatIsNoYamlIsOneFaultWithItsLine) {
  EXPECT_THAT(faults("workers: 1\nlisten: [\n"), ElementsAre(HasSubstr("3: ")));
  EXPECT_EQ(faults("- a\n- b\n").size(), 1U);
  EXPECT_EQ(faults("workers: 1\n---\nworkers: 2\n").size(), 1U);
  const auto missing = load_config("/nowhere/at/all.yaml", {});
  ASSERT_EQ(missing.faults.size(), 1U);
  EXPECT_THAT(missing.faults[0].message, HasSubstr("cannot be read"));
}

TEST_F(ConfigTest, AFolderIsTheSameWithASlashAtItsEnd) {
  EXPECT_EQ(load_config("", {{"data_dir", "/var/lib/tollgate//"}}).config.data_dir, "/var/lib/tollgate");
  EXPECT_EQ(load_config("", {{"data_dir", "/"}}).config.data_dir, "/");
}

TEST_F(ConfigTest, ATextThatBeginsWithACommaIsRefusedAndReadingItEnds) {
  EXPECT_THAT(faults(",workers: 1\n"), Not(IsEmpty()));
  EXPECT_THAT(faults(","), Not(IsEmpty()));
}

TEST_F(ConfigTest, FlagsAreCheckedLikeTheFile) {
  EXPECT_THAT(faults("", {{"idle", "1"}, {"workers", "x"}, {"idle_ms", "1"}}),
              ElementsAre("--set: idle: there is no such key", HasSubstr("--set: workers: must be an integer"),
                          "--set: idle_ms: there is no such key; is timeouts.idle_ms meant?"));
}

TEST_F(ConfigTest, RulesBetweenKeysAreFaultsOfTheKeysLine) {
  EXPECT_THAT(faults("limits:\n  head_bytes_max: 1024\n  target_bytes_max: 1025\n"),
              ElementsAre("3: limits.target_bytes_max: must be at most limits.head_bytes_max"));
  EXPECT_THAT(faults("", {{"upstreams.eject_ms", "60000"}}),
              ElementsAre(HasSubstr("upstreams.eject_ms_max: must be at least")));
  EXPECT_THAT(faults("tls:\n  listen: 0.0.0.0:8443\n  certificates: [a, b]\n  private_keys: [a]\n"),
              ElementsAre("4: tls.private_keys: must name one key for each of tls.certificates"));
  EXPECT_THAT(faults("", {{"tls.listen", "[::]:443"}, {"tls.client_certificates", "optional"}}),
              ElementsAre(HasSubstr("tls.client_ca_file: must be set")));
}

TEST_F(ConfigTest, ControlCharactersAreRefusedBeforeTheParserSeesThem) {
  using namespace std::string_literals;
  EXPECT_THAT(faults("workers: 1\n,\0\0\0\0\0\0\0"s), ElementsAre(HasSubstr("2: there is a control character")));
}

TEST_F(ConfigTest, AValueIsWrittenSoThatItReadsTheSame) {
  for (const std::string text :
       {"a", "-", "--- x", "null", "a: b", "a #b", "a\"b\\c", "x, y]", "*a", "\xc3\xa4", "a:"}) {
    Config config;
    config.data_dir = text;
    config.billing.plans = {text, "\x01\t"};
    const auto written = [&](std::string_view key) { return config_value(config, *find_config_key(key)); };
    const auto loaded =
        load("data_dir: " + written("data_dir") + "\nbilling:\n  plans: " + written("billing.plans") + "\n", {});
    EXPECT_THAT(loaded.faults, IsEmpty()) << text;
    EXPECT_EQ(loaded.config.data_dir, text);
    EXPECT_EQ(loaded.config.billing.plans, config.billing.plans);
  }
}

}  // namespace
}  // namespace tollgate::gateway
