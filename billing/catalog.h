// The catalogue: what models are sold, in which direction, for how many points a call, in which concurrency class.
// It is data (conf/catalog.yaml, also built in); nothing here knows a particular model.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/amount.h"
#include "base/fault.h"

namespace tollgate::billing {

struct Model {
  std::string name;       // "image-classification/high-performance"
  std::string title;      // the name on the price page
  std::string direction;  // image, text, sound, video, tabular
  Points cost;            // points per call, 1 to 1,000,000
  bool fast = false;      // concurrency class: base guarantee 10 instead of 4
};

class Catalog {
 public:
  // `source` names the text in faults ("conf/catalog.yaml"). All faults of the file are returned, not the first:
  // the fault's message has one line `source:line: what is wrong` for each; its code is invalid_catalog.
  static Result<Catalog> parse(std::string_view yaml, std::string_view source);
  // The catalogue that is compiled in from conf/catalog.yaml.
  static const Catalog& built_in();

  [[nodiscard]] const std::vector<Model>& models() const noexcept { return models_; }
  [[nodiscard]] const Model* find(std::string_view name) const noexcept;

 private:
  std::vector<Model> models_;
};

// Calls in flight that a paid subscription may have without packs: 10 for class fast, 4 for every other model.
[[nodiscard]] std::int32_t base_guarantee(const Model& model) noexcept;

}  // namespace tollgate::billing
