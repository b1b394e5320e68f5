#include "billing/yaml_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/yaml_text.h"

namespace tollgate::billing {
namespace {
constexpr std::int64_t kPriceMaxMicroYuan = 1'000'000'000'000;  // so that price x 10,000 QPS x 366 days fits int64
}  // namespace

YAML::Node YamlReader::load(std::string_view text) {
  if (const auto line = line_of_control(text)) {
    faults_.push_back({*line, "not valid YAML: " + std::string(kControlInYaml)});
    return YAML::Node(YAML::NodeType::Undefined);
  }
  try {
    return YAML::Load(std::string(text));
  } catch (const YAML::Exception& error) {
    faults_.push_back({error.mark.line + 1, "not valid YAML: " + error.msg});
    return YAML::Node(YAML::NodeType::Undefined);
  }
}

bool YamlReader::check_map(const YAML::Node& node, std::string_view what, std::initializer_list<YamlKey> keys) {
  if (!node.IsMap()) {
    fault(node, fmt::format("{} must be a map", what));
    return false;
  }
  std::vector<std::string> seen;
  for (const auto& entry : node) {
    const std::string name = entry.first.IsScalar() ? entry.first.Scalar() : std::string();
    const bool known = std::ranges::any_of(keys, [&](const YamlKey& key) { return key.name == name; });
    if (!known) fault(entry.first, fmt::format("unknown key '{}' in {}", name, what));
    // yaml-cpp keeps both of two equal keys and would silently read the first.
    if (std::ranges::find(seen, name) != seen.end()) fault(entry.first, fmt::format("'{}' stands here twice", name));
    seen.push_back(name);
  }
  for (const auto& key : keys) {
    if (key.required && std::ranges::find(seen, key.name) == seen.end()) {
      fault(node, fmt::format("{} lacks '{}'", what, key.name));
    }
  }
  return true;
}

std::vector<YAML::Node> YamlReader::items(const YAML::Node& map, const char* key) {
  const YAML::Node list = map[key];
  if (!list.IsDefined()) return {};
  if (!list.IsSequence()) {
    fault(list, fmt::format("{} must be a list", key));
    return {};
  }
  return {list.begin(), list.end()};
}

std::optional<std::string> YamlReader::scalar(const YAML::Node& map, const char* key, std::string_view wanted) {
  const YAML::Node value = map[key];
  if (!value.IsDefined()) return std::nullopt;
  if (!value.IsScalar()) {
    fault(value, fmt::format("{} must be {}", key, wanted));
    return std::nullopt;
  }
  return value.Scalar();
}

std::optional<std::string> YamlReader::text(const YAML::Node& map, const char* key, std::size_t bytes_max) {
  auto value = scalar(map, key, "a text");
  if (value && (value->empty() || value->size() > bytes_max)) {
    fault(map[key], fmt::format("{} must have 1 to {} bytes", key, bytes_max));
    return std::nullopt;
  }
  return value;
}

std::optional<std::int64_t> YamlReader::integer(const YAML::Node& map, const char* key, std::int64_t min,
                                                std::int64_t max) {
  const auto wanted = fmt::format("an integer from {} to {}", min, max);
  const auto digits = scalar(map, key, wanted);
  if (!digits) return std::nullopt;
  std::int64_t value = 0;
  const char* end = digits->data() + digits->size();
  const auto [stop, error] = std::from_chars(digits->data(), end, value);
  if (error != std::errc() || stop != end || value < min || value > max) {
    fault(map[key], fmt::format("{} must be {}, not '{}'", key, wanted, *digits));
    return std::nullopt;
  }
  return value;
}

std::optional<MicroYuan> YamlReader::price(const YAML::Node& map, const char* key) {
  constexpr std::string_view wanted = "yuan above 0 and at most 1000000, with at most six digits after the point";
  const auto text = scalar(map, key, wanted);
  if (!text) return std::nullopt;
  const auto amount = parse_yuan(*text);
  if (!amount || amount->count() <= 0 || amount->count() > kPriceMaxMicroYuan) {
    fault(map[key], fmt::format("{} must be {}, not '{}'", key, wanted, *text));
    return std::nullopt;
  }
  return amount;
}

std::optional<std::size_t> YamlReader::one_of(const YAML::Node& map, const char* key,
                                              std::initializer_list<std::string_view> allowed) {
  const auto wanted = fmt::format("one of {}", fmt::join(allowed, ", "));
  const auto value = scalar(map, key, wanted);
  if (!value) return std::nullopt;
  const auto* found = std::ranges::find(allowed, *value);
  if (found == allowed.end()) {
    fault(map[key], fmt::format("{} must be {}, not '{}'", key, wanted, *value));
    return std::nullopt;
  }
  return static_cast<std::size_t>(found - allowed.begin());
}

void YamlReader::fault(const YAML::Node& at, std::string_view message) {
  faults_.push_back({at.Mark().line + 1, std::string(message)});
}

Fault YamlReader::as_fault(std::string code) {
  std::ranges::stable_sort(faults_, {}, &Located::line);
  std::string message;
  for (const auto& located : faults_) {
    message +=
        fmt::format("{}{}:{}: {}", message.empty() ? "" : "\n", source_, std::max(located.line, 1), located.message);
  }
  return {FaultKind::invalid, std::move(code), std::move(message), {}};
}

}  // namespace tollgate::billing
