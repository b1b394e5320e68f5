#include "gateway/app_price_lists.h"

#include <fstream>
#include <sstream>

namespace tollgate::gateway {
namespace {
template <class List>
Result<List> load(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  if (!(text << file.rdbuf())) return Fault{FaultKind::invalid, "unreadable_file", path + ": cannot be read", {}};
  return List::parse(std::move(text).str(), path);
}
}  // namespace

Result<PriceLists> load_price_lists(const BillingConfig& config) {
  PriceLists lists;
  if (!config.catalog.empty()) {
    auto catalog = load<billing::Catalog>(config.catalog);
    if (!catalog) return catalog.error();
    lists.own_catalog = std::move(*catalog);
  }
  for (const auto& path : config.plans) {
    auto plan = load<billing::Plan>(path);
    if (!plan) return plan.error();
    lists.own_plans.push_back(std::move(*plan));
  }
  if (auto checked = billing::check_plans(lists.plans(), lists.catalog()); !checked) return checked.error();
  return lists;
}

}  // namespace tollgate::gateway
