// Reads the YAML files of this room strictly: unknown and repeated keys, wrong types and values out of range are
// collected, each with its line, so that one run shows every fault. It knows no particular file.
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/amount.h"
#include "base/fault.h"

namespace tollgate::billing {

// A key that a map may have.
struct YamlKey {
  std::string_view name;
  bool required = true;
};

class YamlReader {
 public:
  explicit YamlReader(std::string_view source) : source_(source) {}

  // The document, or a fault and an undefined node.
  YAML::Node load(std::string_view text);

  // True if `node` is a map; its keys are checked against `keys`.
  bool check_map(const YAML::Node& node, std::string_view what, std::initializer_list<YamlKey> keys);
  // The items of the list map[key]; empty, with a fault, if it is no list. Absent: empty.
  std::vector<YAML::Node> items(const YAML::Node& map, const char* key);

  // The values of `map`: nullopt when absent (which check_map judges), or with a fault when wrong.
  std::optional<std::string> text(const YAML::Node& map, const char* key, std::size_t bytes_max);
  std::optional<std::int64_t> integer(const YAML::Node& map, const char* key, std::int64_t min, std::int64_t max);
  std::optional<MicroYuan> price(const YAML::Node& map, const char* key);  // more than 0, at most 1,000,000 yuan
  // The position of the value in `allowed`.
  std::optional<std::size_t> one_of(const YAML::Node& map, const char* key,
                                    std::initializer_list<std::string_view> allowed);

  void fault(const YAML::Node& at, std::string_view message);
  [[nodiscard]] bool clean() const noexcept { return faults_.empty(); }
  // All faults in the order of their lines.
  [[nodiscard]] Fault as_fault(std::string code);

 private:
  struct Located {
    int line = 0;
    std::string message;
  };
  std::optional<std::string> scalar(const YAML::Node& map, const char* key, std::string_view wanted);

  std::string source_;
  std::vector<Located> faults_;
};

}  // namespace tollgate::billing
