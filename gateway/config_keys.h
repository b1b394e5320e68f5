// Every key of the configuration in one table: its name, where it is kept, what it may be, and what it is for.
// Reading (YAML, --set) and writing (the shipped file, `tollgate check`) go by it; it reads nothing itself.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/config.h"

namespace tollgate::gateway {

// What a value may be. An accessor gives the member of a Config that the key stands for.
struct WholeNumber {
  std::int64_t& (*member)(Config&);
  std::int64_t min;
  std::int64_t max;
};
struct YesOrNo {
  bool& (*member)(Config&);
};
enum class TextForm { any, choice, listen_address, id, not_empty, webhook_url, listen_address_or_none };
struct Text {
  std::string& (*member)(Config&);
  TextForm form = TextForm::any;
  std::vector<std::string_view> choices = {};
};
struct TextList {
  std::vector<std::string>& (*member)(Config&);
};

struct ConfigKey {
  std::string_view name;  // "timeouts.idle_ms", as --set takes it
  std::variant<WholeNumber, YesOrNo, Text, TextList> kind;
  std::string_view help;
};

std::span<const ConfigKey> config_keys();
const ConfigKey* find_config_key(std::string_view name);

// Sets the key's member from text, as YAML and --set spell values. nullopt: done; else what the value must be.
std::optional<std::string> set_config_value(Config& config, const ConfigKey& key, const std::string& text);
// The same for a key that is a list.
std::optional<std::string> set_config_list(Config& config, const ConfigKey& key, std::vector<std::string> items);

// The value as YAML spells it.
std::string config_value(const Config& config, const ConfigKey& key);

// Rules between keys: {key, what is wrong}.
std::vector<std::pair<std::string_view, std::string>> config_conflicts(const Config& config);

// The file with every key at its default and a comment each; conf/tollgate.yaml is this text.
std::string default_config_file();

}  // namespace tollgate::gateway
