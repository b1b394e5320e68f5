// The catalogue and the plans that a configuration names, or the built-in ones. It reads and checks files; `serve`
// and `check` share it, so that what is checked is what will be loaded.
#pragma once

#include <optional>
#include <vector>

#include "base/fault.h"
#include "billing/catalog.h"
#include "billing/plan.h"
#include "gateway/config.h"

namespace tollgate::gateway {

struct PriceLists {
  std::optional<billing::Catalog> own_catalog;  // empty: the built-in one
  std::vector<billing::Plan> own_plans;         // empty: the built-in ones

  [[nodiscard]] const billing::Catalog& catalog() const noexcept {
    return own_catalog ? *own_catalog : billing::Catalog::built_in();
  }
  [[nodiscard]] const std::vector<billing::Plan>& plans() const noexcept {
    return own_plans.empty() ? billing::built_in_plans() : own_plans;
  }
};

// A fault's message has a line `file:line: what is wrong` for each fault of the first file that has any.
Result<PriceLists> load_price_lists(const BillingConfig& config);

}  // namespace tollgate::gateway
