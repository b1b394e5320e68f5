#include "gateway/app_price_lists.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string_view>

namespace tollgate::gateway {
namespace {
template <class List>
Result<List> load(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  if (!(text << file.rdbuf())) return Fault{FaultKind::invalid, "unreadable_file", path + ": cannot be read", {}};
  return List::parse(std::move(text).str(), path);
}

// Each line of a fault's message is a fault of the file.
void add_lines(const std::string& key, std::string_view message, std::vector<PriceListFault>& faults) {
  while (!message.empty()) {
    const auto end = std::min(message.find('\n'), message.size());
    if (end > 0) faults.push_back({key, std::string(message.substr(0, end))});
    message.remove_prefix(std::min(end + 1, message.size()));
  }
}
}  // namespace

LoadedPriceLists read_price_lists(const BillingConfig& config) {
  LoadedPriceLists loaded;
  if (!config.catalog.empty()) {
    auto catalog = load<billing::Catalog>(config.catalog);
    if (catalog) {
      loaded.lists.own_catalog = std::move(*catalog);
    } else {
      add_lines("billing.catalog", catalog.error().message, loaded.faults);
    }
  }
  for (std::size_t i = 0; i < config.plans.size(); ++i) {
    auto plan = load<billing::Plan>(config.plans[i]);
    if (plan) {
      loaded.lists.own_plans.push_back(std::move(*plan));
    } else {
      add_lines(fmt::format("billing.plans[{}]", i), plan.error().message, loaded.faults);
    }
  }
  if (!loaded.faults.empty()) return loaded;  // what lacks a file would be said of the others
  if (auto checked = billing::check_plans(loaded.lists.plans(), loaded.lists.catalog()); !checked) {
    const auto* key = config.plans.empty() ? "billing.catalog" : "billing.plans";
    add_lines(key, checked.error().message, loaded.faults);
  }
  return loaded;
}

Result<PriceLists> load_price_lists(const BillingConfig& config) {
  auto loaded = read_price_lists(config);
  if (loaded.faults.empty()) return std::move(loaded.lists);
  std::string message;
  for (const auto& fault : loaded.faults) {
    message += fmt::format("{}{}: {}", message.empty() ? "" : "\n", fault.key, fault.message);
  }
  return Fault{FaultKind::invalid, "invalid_price_lists", std::move(message), {}};
}

std::string place_of(const PriceListFault& fault, const LoadedConfig& loaded, const std::string& path) {
  const auto found = loaded.places.find(fault.key.substr(0, fault.key.find('[')));
  return found == loaded.places.end() ? path : found->second;
}

}  // namespace tollgate::gateway
