// Services: what is published, and the model whose cost and class its subscriptions have.
#include <fmt/format.h>

#include "billing/core.h"
#include "billing/page.h"
#include "billing/store.h"

namespace tollgate::billing {

Result<ServiceRecord> Core::record(const ServiceRow& row) {
  const Model* model = catalog_.find(row.model);
  if (model == nullptr) {
    return Fault{FaultKind::unavailable,
                 "model_missing",
                 fmt::format("service '{}' has model '{}', which is not in the catalogue", row.id, row.model),
                 {}};
  }
  return ServiceRecord{row.id, row.model, model->cost, base_guarantee(*model), row.definition};
}

Result<ServiceRecord> Core::put_service(std::string_view id, std::string_view model, std::string_view definition) {
  return in_transaction([&]() -> Result<ServiceRecord> {
    if (!is_valid_id(id)) return invalid("service", "a service's id is 1 to 63 of a-z, 0-9 and '-'");
    if (catalog_.find(model) == nullptr) {
      return invalid("model", fmt::format("there is no model '{}' in the catalogue", model));
    }
    const auto before = store_.find_service(id);
    const ServiceRow row{std::string(id), std::string(model), std::string(definition), std::nullopt};
    if (before && before->model != model) {
      if (auto checked = check_priced(row); checked.has_error()) return checked.error();
    }
    store_.put_service(row);
    auto changed = record(row);
    if (changed.has_error()) return changed.error();
    publish([service = *changed](EntitlementSink& sink) { sink.service_changed(service); });
    if (before && before->removed_at) {
      // The traffic forgot them with the service.
      for (const auto& subscription : store_.subscriptions_of_service(id)) {
        check_guard(subscription.account);
        publish([known = record(subscription)](EntitlementSink& sink) { sink.subscription_changed(known); });
      }
    }
    return changed;
  });
}

Result<ServiceRecord> Core::service(std::string_view id) {
  return in_transaction([&]() -> Result<ServiceRecord> {
    auto row = need_service(id);
    if (row.has_error()) return row.error();
    return record(*row);
  });
}

Result<Page<ServiceRecord>> Core::services(std::optional<std::string> after, int limit) {
  return in_transaction([&]() -> Result<Page<ServiceRecord>> {
    const auto rows = store_.services(after.value_or(""), page_limit(limit) + 1);
    std::vector<ServiceRecord> records;
    for (const auto& row : rows) {
      auto known = record(row);
      if (known.has_error()) return known.error();
      records.push_back(*std::move(known));
    }
    return make_page<ServiceRecord>(
        records, limit, [](const ServiceRecord& known) { return known; },
        [](const ServiceRecord& known) { return known.id; });
  });
}

Result<void> Core::delete_service(std::string_view id) {
  return run([&]() -> Result<void> {
    auto row = need_service(id);
    if (row.has_error()) return row.error();
    row->removed_at = now();
    store_.put_service(*row);
    publish([removed = row->id](EntitlementSink& sink) { sink.service_removed(removed); });
    return {};
  });
}

}  // namespace tollgate::billing
