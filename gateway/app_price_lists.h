// The catalogue and the plans that a configuration names, or the built-in ones. It reads and checks files; `serve`
// and `check` share it, so that what is checked is what will be loaded.
#pragma once

#include <optional>
#include <string>
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

struct PriceListFault {
  std::string key;      // of the configuration: "billing.catalog", "billing.plans[1]"
  std::string message;  // "file:line: what is wrong", or what no single file shows
};

struct LoadedPriceLists {
  PriceLists lists;
  std::vector<PriceListFault> faults;  // of all files; empty: the lists are good
};

LoadedPriceLists read_price_lists(const BillingConfig& config);

// The same for who only wants good ones. The fault's message has a line `key: message` for each fault.
Result<PriceLists> load_price_lists(const BillingConfig& config);

// Where the configuration has the key of such a fault, "file:line"; the file's name if it does not say it.
[[nodiscard]] std::string place_of(const PriceListFault& fault, const LoadedConfig& loaded, const std::string& path);

}  // namespace tollgate::gateway
