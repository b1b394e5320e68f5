// The reading of an apply file: YAML to JSON with the environment filled in, and its form.
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <boost/json.hpp>
#include <charconv>
#include <cstdlib>
#include <set>

#include "base/ids.h"
#include "base/yaml_text.h"
#include "gateway/ctl_apply.h"
#include "gateway/json_reader.h"

namespace tollgate::gateway {
namespace json = boost::json;

namespace {
constexpr std::size_t kDepthMax = 32;
constexpr std::size_t kItemsMax = 10'000;

class YamlToJson {
 public:
  YamlToJson(std::string_view source, const Environment& environment) : source_(source), environment_(environment) {}

  json::value convert(const YAML::Node& node, std::size_t depth = 0) {
    if (fault) return nullptr;
    if (depth > kDepthMax) return refuse(node, "is nested too deep");
    if (node.IsMap()) return convert_map(node, depth);
    if (node.IsSequence()) {
      json::array items;
      for (const auto& item : node) items.push_back(convert(item, depth + 1));
      return items;
    }
    if (node.IsScalar()) return convert_scalar(node);
    return nullptr;
  }

  std::optional<Fault> fault;

 private:
  json::value refuse(const YAML::Node& node, std::string_view message) {
    if (!fault) fault = invalid({}, fmt::format("{}:{}: {}", source_, node.Mark().line + 1, message));
    return nullptr;
  }

  json::value convert_map(const YAML::Node& node, std::size_t depth) {
    json::object object;
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) return refuse(entry.first, "a key must be a plain name");
      const std::string& key = entry.first.Scalar();
      if (object.contains(key)) return refuse(entry.first, fmt::format("'{}' appears twice", key));
      object[key] = convert(entry.second, depth + 1);
    }
    return object;
  }

  // Plain true, false and integers are what they look like; all else, and all that is quoted, is text.
  json::value convert_scalar(const YAML::Node& node) {
    const std::string& text = node.Scalar();
    const bool is_plain = node.Tag() == "?";
    if (is_plain && (text == "true" || text == "false")) return text == "true";
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (is_plain && error == std::errc() && end == text.data() + text.size()) return number;
    return filled_in(node, text);
  }

  json::value filled_in(const YAML::Node& node, std::string_view text) {
    std::string out;
    for (;;) {
      const auto begin = text.find("${");
      out += text.substr(0, begin);
      if (begin == std::string_view::npos) return json::value(out);
      const auto end = text.find('}', begin);
      if (end == std::string_view::npos) return refuse(node, "'${' is not closed by '}'");
      const auto inside = text.substr(begin + 2, end - begin - 2);
      text.remove_prefix(end + 1);
      const auto sign = inside.find(":-");
      const std::string name(inside.substr(0, sign));
      const auto value = environment_(name);
      if (!value && sign == std::string_view::npos) {
        return refuse(node, fmt::format("the environment has no {}, and ${{{}}} names no default", name, name));
      }
      out += value ? *value : std::string(inside.substr(sign + 2));
    }
  }

  std::string source_;
  const Environment& environment_;
};

// Calls `read` for the entries of the map `key`, whose names are ids.
using ReadEntry = std::function<void(const std::string& id, const json::value& value, const std::string& path)>;
void read_map(ObjectReader& reader, const json::object& parent, std::string_view key, const ReadEntry& read) {
  reader.ask(key);
  if (!reader.has(key)) return;
  reader.object(key, [&](ObjectReader& map) {
    for (const auto& entry : parent.at(key).get_object()) {
      const std::string id(entry.key().data(), entry.key().size());
      map.ask(id);
      const std::string path = map.path_of(id);
      if (!is_valid_id(id)) map.refuse(path, "an id is 1 to 63 of a-z, 0-9 and '-', and begins with no '-'");
      read(id, entry.value(), path);
    }
  });
}

ApplyEntry read_deposit(const json::value& item, const std::string& path, ObjectReader& outer) {
  ObjectReader deposit(item, path);
  json::object body;
  const auto id = deposit.text("id", 60);
  if (deposit.has("id") && !is_valid_id(id))
    deposit.refuse(deposit.path_of("id"), "must be an id: it makes the deposit once");
  // An unquoted 100 is what people write; the API wants text, so that nobody's parser makes a fraction of it.
  const json::value* amount = item.is_object() ? item.get_object().if_contains("amount") : nullptr;
  if (amount != nullptr && amount->is_int64()) {
    deposit.ask("amount");
    body["amount"] = std::to_string(amount->get_int64());
  } else {
    body["amount"] = deposit.text("amount");
  }
  body["kind"] = deposit.optional_text("kind").value_or("cash");
  if (auto expires_at = deposit.optional_text("expires_at")) body["expires_at"] = *expires_at;
  if (auto fault = deposit.finish()) outer.refuse(*std::move(fault));
  return {id, body};
}

ApplyAccount read_account(const std::string& id, const json::value& value, const std::string& path,
                          ObjectReader& outer) {
  ApplyAccount account{id, json::object(), {}, {}, {}};
  ObjectReader reader(value, path);
  account.body.get_object()["name"] = reader.text("name");
  reader.optional_array("keys", 0, kItemsMax, [&](const json::value& item, const std::string& at) {
    if (!item.is_string()) return reader.refuse(at, "must be the name of a key");
    account.keys.push_back(json::value_to<std::string>(item));
  });
  std::set<std::string> deposit_ids;
  reader.optional_array("deposits", 0, kItemsMax, [&](const json::value& item, const std::string& at) {
    account.deposits.push_back(read_deposit(item, at, reader));
    if (!deposit_ids.insert(account.deposits.back().id).second) reader.refuse(at + ".id", "is the id of two deposits");
  });
  if (const json::object* object = value.if_object()) {
    read_map(reader, *object, "subscriptions", [&](const std::string& service, const json::value& body, const auto&) {
      account.subscriptions.push_back({service, body});
    });
  }
  if (auto fault = reader.finish()) outer.refuse(*std::move(fault));
  return account;
}
}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
  };
}

Result<json::value> read_yaml(std::string_view yaml, std::string_view source, const Environment& environment) {
  if (const auto line = line_of_control(yaml))
    return invalid({}, fmt::format("{}:{}: {}", source, *line, kControlInYaml));
  try {
    YamlToJson converter(source, environment);
    auto value = converter.convert(YAML::Load(std::string(yaml)));
    if (converter.fault) return *converter.fault;
    return value;
  } catch (const YAML::Exception& error) {
    return invalid({}, fmt::format("{}:{}: {}", source, error.mark.line + 1, error.msg));
  }
}

Result<ApplyFile> parse_apply_file(std::string_view yaml, std::string_view source, const Environment& environment) {
  const auto value = read_yaml(yaml, source, environment);
  if (value.has_error()) return value.error();
  ApplyFile file;
  ObjectReader reader(*value);
  if (const json::object* object = value->if_object()) {
    read_map(reader, *object, "services", [&](const std::string& id, const json::value& body, const std::string&) {
      file.services.push_back({id, body});
    });
    read_map(reader, *object, "accounts", [&](const std::string& id, const json::value& body, const std::string& path) {
      file.accounts.push_back(read_account(id, body, path, reader));
    });
  }
  if (auto fault = reader.finish()) {
    fault->message = fmt::format("{}: {}", source, fault->message);
    return *std::move(fault);
  }
  return file;
}

}  // namespace tollgate::gateway
