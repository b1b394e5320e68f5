#include <gmock/gmock.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <sstream>

#include "gateway/ctl.h"
#include "gateway/ctl_apply.h"
#include "gateway/ctl_client.h"
#include "gateway/ctl_table.h"
#include "tests/gateway/admin_fixture.h"

namespace tollgate::gateway {
namespace {
using testing::HasSubstr;

std::optional<std::string> no_environment(const std::string&) { return std::nullopt; }

std::string read_text(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::filesystem::path demo_file() { return std::filesystem::path(TOLLGATE_ROOT) / "conf/demo.yaml"; }

std::string fault_of(std::string_view yaml) {
  const auto file = parse_apply_file(yaml, "f.yaml", no_environment);
  return file.has_error() ? file.error().message : "accepted";
}

TEST(CtlTable, ColumnsStandUnderEachOther) {
  const auto items =
      boost::json::parse(R"([{"id":"a","name":"文心","n":5,"r":{"h":null}},{"id":"bcd","name":"","n":1200}])")
          .as_array();
  EXPECT_EQ(table(items, {"id", "name", "n", "r.h"}),
            "id   name     n  h\n"
            "a    文心     5  -\n"
            "bcd  -     1200  -\n");
  EXPECT_EQ(table({}, {"id", "name"}), "id  name\n");
  EXPECT_EQ(
      fields(boost::json::parse(R"({"id":"a","state":"active","packs":[],"up":["x","y"],"o":{"k":1}})").as_object()),
      "id     a\nstate  active\npacks  -\nup     x, y\no      {\"k\":1}\n");
}

TEST(ApplyFile, TheEnvironmentIsFilledIn) {
  const Environment environment = [](const std::string& name) -> std::optional<std::string> {
    if (name == "UPSTREAM") return "model:9";
    return std::nullopt;
  };
  EXPECT_EQ(read_yaml("a: x${UPSTREAM}y${NONE:-z}", "f", environment)->at("a"), "xmodel:9yz");
  EXPECT_THAT(read_yaml("b: 1\na: ${NONE}", "f", environment).error().message,
              HasSubstr("f:2: the environment has no NONE"));
  EXPECT_THAT(read_yaml("a: ${NONE", "f", environment).error().message, HasSubstr("is not closed"));
}

TEST(ApplyFile, PlainNumbersAndFlagsAreThatAndQuotedOnesAreText) {
  const auto value =
      read_yaml("{a: 1, b: '1', c: true, d: 'true', e: 1.5, f: null, g: [x]}", "f", no_environment).value();
  EXPECT_EQ(boost::json::serialize(value), R"({"a":1,"b":"1","c":true,"d":"true","e":"1.5","f":null,"g":["x"]})");
}

TEST(ApplyFile, FaultsAreFoundBeforeTheFirstCall) {
  EXPECT_THAT(fault_of("services: {a: {}}\nacounts: {}\n"), HasSubstr("acounts: is not a field here"));
  EXPECT_THAT(fault_of("accounts: {a: {name: x, kyes: []}}"), HasSubstr("accounts.a.kyes"));
  EXPECT_THAT(fault_of("accounts: {a: {}}"), HasSubstr("accounts.a.name: is required"));
  EXPECT_THAT(fault_of("accounts: {A: {name: x}}"), HasSubstr("accounts.A: an id is"));
  EXPECT_THAT(fault_of("accounts: {a: {name: x, deposits: [{amount: 1}]}}"), HasSubstr("deposits[0].id: is required"));
  EXPECT_THAT(fault_of("accounts: {a: {name: x, deposits: [{id: d, amount: 1}, {id: d, amount: 1}]}}"),
              HasSubstr("two deposits"));
  EXPECT_THAT(fault_of("accounts: {a: {name: x}, a: {name: y}}"), HasSubstr("f.yaml:1: 'a' appears twice"));
  EXPECT_THAT(fault_of("a: [\n"), HasSubstr("f.yaml:2"));
  EXPECT_THAT(fault_of("- a"), HasSubstr("must be a JSON object"));
  EXPECT_EQ(fault_of("accounts: {a: {name: x, deposits: [{id: d, amount: 100}]}}"), "accepted");
}

class CtlTest : public AdminTest {
 protected:
  CtlClient client() {
    return CtlClient({"127.0.0.1:" + std::to_string(server_->port()), kToken, std::chrono::seconds(30)});
  }

  // "kind id result" of every step; the notes apart.
  std::vector<std::string> apply_demo(const std::string& keys_file = {}) {
    const auto file = parse_apply_file(read_text(demo_file()), "demo.yaml", no_environment).value();
    auto connected = client();
    std::vector<std::string> steps;
    notes_.clear();
    const auto done = apply(file, connected, keys_file, [&](const ApplyStep& step) {
      steps.push_back(step.kind + " " + step.id + " " + step.result);
      if (!step.note.empty()) notes_.push_back(step.note);
    });
    EXPECT_TRUE(done.has_value()) << (done.has_error() ? done.error().message : "");
    return steps;
  }
  std::vector<std::string> notes_;
};

TEST_F(CtlTest, ApplyingTheDemoTwiceChangesNothing) {
  const auto first = apply_demo();
  EXPECT_EQ(first.size(), 3U + 2U + 1U + 2U + 6U);
  for (const auto& step : first) EXPECT_TRUE(step.ends_with(" created")) << step;
  ASSERT_EQ(notes_.size(), 2U);
  for (const auto& note : notes_) EXPECT_TRUE(looks_like_api_key(note));
  for (const auto& step : apply_demo()) EXPECT_TRUE(step.ends_with(" unchanged")) << step;
  EXPECT_TRUE(notes_.empty());
  EXPECT_EQ(call("GET", "/v1/accounts/demo-paid").text("cash"), "100.00");
  EXPECT_EQ(call("GET", "/v1/accounts/demo-paid/keys").json().at("items").as_array().size(), 1U);
  EXPECT_EQ(call("GET", "/v1/accounts/demo-paid/subscriptions/image-stream").text("state"), "paid");
}

TEST_F(CtlTest, WhatDiffersIsPutRight) {
  apply_demo();
  call("PUT", "/v1/accounts/demo-paid", R"({"name":"Other"})");
  call("PUT", "/v1/accounts/demo-free/subscriptions/image-stream", R"({"paid":true})");
  std::vector<std::string> updated;
  for (const auto& step : apply_demo()) {
    if (!step.ends_with(" unchanged")) updated.push_back(step);
  }
  EXPECT_THAT(updated,
              testing::ElementsAre("subscription demo-free/image-stream updated", "account demo-paid updated"));
}

TEST_F(CtlTest, KeysAreKeptInAFileOfTheOwnersAlone) {
  const auto keys_file = (folder_ / "keys").string();
  apply_demo(keys_file);
  ASSERT_EQ(notes_.size(), 2U);
  EXPECT_EQ(read_text(keys_file), "demo-free " + notes_[0] + "\ndemo-paid " + notes_[1] + "\n");
  struct stat status {};
  ASSERT_EQ(::stat(keys_file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  apply_demo(keys_file);
  EXPECT_TRUE(notes_.empty());
  EXPECT_EQ(call("GET", "/v1/accounts/demo-free/keys").json().at("items").as_array().size(), 1U);
}

TEST_F(CtlTest, NoKeyIsMadeThatCouldNotBeKept) {
  const auto file = parse_apply_file(read_text(demo_file()), "demo.yaml", no_environment).value();
  auto connected = client();
  const auto done = apply(file, connected, "/nowhere/keys", [](const ApplyStep&) {});
  ASSERT_TRUE(done.has_error());
  EXPECT_THAT(done.error().message, HasSubstr("/nowhere/keys"));
  EXPECT_TRUE(call("GET", "/v1/accounts/demo-free/keys").json().at("items").as_array().empty());
}

TEST_F(CtlTest, AListHasTheItemsOfAllPages) {
  billing_->post([&] {
    const auto in_one_transaction = [&] {
      for (int i = 0; i < 1203; ++i) core_->put_account("a" + std::to_string(i), "x").value();
      return billing::StoredAnswer{200, ""};
    };
    core_->once("many", "many", in_one_transaction).value();
  });
  EXPECT_EQ(client().all("/v1/accounts")->size(), 1203U);
}

// What `tollgate ctl ...` prints, and its exit code in front.
class CtlCommandTest : public CtlTest {
 protected:
  std::string run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"ctl", "--address", "127.0.0.1:" + std::to_string(server_->port())});
    ::setenv("TOLLGATE_ADMIN_TOKEN", kToken, 1);
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
    CLI::App root;
    Ctl ctl(root);
    root.parse(arguments);
    testing::internal::CaptureStdout();
    const int code = ctl.run();
    return std::to_string(code) + "\n" + testing::internal::GetCapturedStdout();
  }
};

TEST_F(CtlCommandTest, AQuoteIsATableWithItsTotal) {
  const auto shown = run({"quote", "object-detection/high-performance", "--points", "2000000"});
  EXPECT_THAT(shown, HasSubstr("0.0008   800.00"));
  EXPECT_THAT(shown, testing::EndsWith("\ntotal 1800.00\n"));
  EXPECT_THAT(run({"--json", "quote", "object-detection/high-performance", "--calls", "1000"}),
              HasSubstr(R"("total":"5.00"})"));
}

TEST_F(CtlCommandTest, APackageIsBoughtBilledAndExplained) {
  make_subscribed_account(true);
  EXPECT_THAT(run({"deposits", "create", "acme", "--amount", "200"}), testing::StartsWith("0"));
  EXPECT_THAT(run({"packages", "buy", "acme", "classify", "--points", "200000"}), HasSubstr("180.00"));
  EXPECT_THAT(run({"packages", "buy", "acme", "classify", "--points", "200000"}), testing::StartsWith("1"));
  const auto bill = run({"bills", "show", "acme"});
  EXPECT_THAT(bill, HasSubstr("purchase"));
  EXPECT_THAT(bill, HasSubstr("total 180.00"));
  EXPECT_THAT(run({"bills", "show", "acme", "--month", "2021-08", "--csv"}), HasSubstr(",total,"));
  EXPECT_THAT(run({"explain", "acme", "--transfer", "2"}), HasSubstr("180.00"));
  EXPECT_THAT(run({"explain", "acme"}), testing::StartsWith("2"));
  EXPECT_THAT(run({"count-packs", "buy", "acme", "classify", "--calls", "10000"}), testing::StartsWith("1"));
  EXPECT_THAT(run({"subscriptions", "migrate", "acme", "classify", "--plan", "points-2021-08-20"}),
              testing::StartsWith("1"));
  EXPECT_THAT(run({"notifications", "list"}), HasSubstr("delivered_at"));
}

TEST_F(CtlTest, FaultsSayWhatTheServerSaid) {
  const auto missing = client().get("/v1/accounts/nobody");
  ASSERT_TRUE(missing.has_error());
  EXPECT_EQ(missing.error().kind, FaultKind::not_found);
  EXPECT_THAT(missing.error().message, HasSubstr("404"));
  auto stranger = CtlClient({"127.0.0.1:" + std::to_string(server_->port()), "wrong", std::chrono::seconds(30)});
  EXPECT_EQ(stranger.get("/v1/catalog").error().code, "invalid_admin_token");
  const auto address = "127.0.0.1:" + std::to_string(server_->port());
  server_->stop();
  EXPECT_EQ(CtlClient({address, "t", std::chrono::seconds(30)}).get("/v1/catalog").error().code, "unreachable");
  EXPECT_EQ(CtlClient({"nonsense", "t", std::chrono::seconds(30)}).get("/v1/catalog").error().field, "address");
}

}  // namespace
}  // namespace tollgate::gateway
