#include "billing/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/check.h"
#include "base/ids.h"
#include "billing/embedded.h"
#include "billing/yaml_reader.h"

namespace tollgate::billing {
namespace {
constexpr std::size_t kNameBytesMax = 128;
constexpr std::size_t kTitleBytesMax = 200;
constexpr std::int64_t kCostMax = 1'000'000;
constexpr std::array<std::string_view, 5> kDirections = {"image", "text", "sound", "video", "tabular"};

// Segments that are ids, joined by '/'.
bool is_model_name(std::string_view name) {
  while (true) {
    const auto slash = name.find('/');
    if (!is_valid_id(name.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    name.remove_prefix(slash + 1);
  }
}

Model read_model(YamlReader& reader, const YAML::Node& node) {
  Model model;
  if (!reader.check_map(node, "a model", {{"name"}, {"direction"}, {"points"}, {"title"}, {"class", false}})) {
    return model;
  }
  if (auto name = reader.text(node, "name", kNameBytesMax)) {
    if (!is_model_name(*name)) {
      reader.fault(node["name"], fmt::format("name '{}' must be segments of a-z, 0-9 and '-', joined by '/'", *name));
    }
    model.name = *std::move(name);
  }
  const auto direction = reader.one_of(
      node, "direction", {kDirections[0], kDirections[1], kDirections[2], kDirections[3], kDirections[4]});
  if (direction) model.direction = kDirections[*direction];
  model.cost = Points(reader.integer(node, "points", 1, kCostMax).value_or(1));
  model.title = reader.text(node, "title", kTitleBytesMax).value_or("");
  model.fast = reader.one_of(node, "class", {"standard", "fast"}).value_or(0) == 1;
  return model;
}
}  // namespace

Result<Catalog> Catalog::parse(std::string_view yaml, std::string_view source) {
  YamlReader reader(source);
  const YAML::Node root = reader.load(yaml);
  Catalog catalog;
  if (reader.clean() && reader.check_map(root, "the catalogue", {{"models"}})) {
    const auto nodes = reader.items(root, "models");
    if (nodes.empty()) reader.fault(root, "models must have at least one model");
    std::set<std::string> names;
    for (const auto& node : nodes) {
      Model model = read_model(reader, node);
      if (!model.name.empty() && !names.insert(model.name).second) {
        reader.fault(node, fmt::format("model '{}' stands here twice", model.name));
      }
      catalog.models_.push_back(std::move(model));
    }
  }
  if (!reader.clean()) return reader.as_fault("invalid_catalog");
  return catalog;
}

const Catalog& Catalog::built_in() {
  static const Catalog catalog = [] {
    const auto files = embedded_catalog();
    TOLLGATE_CHECK(files.size() == 1);
    auto parsed = parse(files.front().text, files.front().name);
    TOLLGATE_CHECK(parsed.has_value());  // the tests parse conf/catalog.yaml
    return *std::move(parsed);
  }();
  return catalog;
}

const Model* Catalog::find(std::string_view name) const noexcept {
  const auto found = std::ranges::find(models_, name, &Model::name);
  return found == models_.end() ? nullptr : &*found;
}

std::int32_t base_guarantee(const Model& model) noexcept { return model.fast ? 10 : 4; }

}  // namespace tollgate::billing
