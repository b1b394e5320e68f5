// Plans in use: pinned by their text, checked at the start, changed for a subscription by a migration; and the periods
// of free quotas.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "billing/core.h"
#include "billing/store.h"

namespace tollgate::billing {
namespace {
constexpr std::size_t kDifferencesShown = 10;

std::set<std::string_view> lines_of(std::string_view text) {
  std::set<std::string_view> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    lines.insert(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

// The lines of two canonical texts that only one of them has: "was '...'", "is '...'".
std::string differences(std::string_view before, std::string_view after) {
  const auto old_lines = lines_of(before);
  const auto new_lines = lines_of(after);
  std::vector<std::string> found;
  for (const auto line : old_lines) {
    if (!new_lines.contains(line)) found.push_back(fmt::format("was '{}'", line));
  }
  for (const auto line : new_lines) {
    if (!old_lines.contains(line)) found.push_back(fmt::format("is '{}'", line));
  }
  const std::size_t more = found.size() - std::min(found.size(), kDifferencesShown);
  found.resize(found.size() - more);
  return fmt::format("{}{}", fmt::join(found, "; "), more > 0 ? fmt::format("; and {} more", more) : "");
}

Fault conflict(std::string code, std::string message) {
  return {FaultKind::conflict, std::move(code), std::move(message), {}};
}
}  // namespace

void Core::pin(const Plan& plan) { store_.pin_plan(plan.id, canonical(plan), now()); }

bool Core::prices(const Plan& plan, const ServiceRow& service) const noexcept {
  return !plan.by_call() || plan.call_price(service.model) != nullptr;
}

Result<void> Core::check_priced(const ServiceRow& service) {
  for (const auto& row : store_.subscriptions_of_service(service.id)) {
    const auto migration = store_.open_migration(row.number);
    for (const auto& id : {row.plan, migration ? migration->after : row.plan}) {
      const Plan* plan = find_plan(id);
      if (plan == nullptr || prices(*plan, service)) continue;
      return Fault{FaultKind::conflict, "model_not_priced",
                   fmt::format("'{}' is subscribed with plan '{}', which has no price for '{}'", service.id, plan->id,
                               service.model),
                   "model"};
    }
  }
  return {};
}

Result<void> Core::check_pinned_plans() {
  for (const auto& [id, text] : store_.pinned_plans()) {
    const Plan* plan = find_plan(id);
    if (plan == nullptr) continue;  // judged below, if it is in use
    const std::string configured = canonical(*plan);
    if (configured == text) continue;
    return Fault{FaultKind::unavailable,
                 "plan_changed",
                 fmt::format("plan '{}' is in use and immutable, and what is configured differs: {}. "
                             "Give a changed price list an id of its own",
                             id, differences(text, configured)),
                 {}};
  }
  for (const auto& id : store_.plans_in_use()) {
    const Plan* plan = find_plan(id);
    if (plan == nullptr) {
      return Fault{FaultKind::unavailable,
                   "plan_missing",
                   fmt::format("plan '{}' is in use by subscriptions and is not configured", id),
                   {}};
    }
    pin(*plan);  // of a store that is older than the keeping of texts; otherwise it changes nothing
  }
  return {};
}

Result<Migration> Core::migrate(std::string_view account, std::string_view service, std::string_view plan) {
  return in_transaction([&]() -> Result<Migration> {
    auto row = need_subscription(account, service);
    if (row.has_error()) return row.error();
    const auto model = need_service(service);
    if (model.has_error()) return model.error();
    const Plan* wanted = find_plan(plan);
    if (wanted == nullptr) return invalid("plan", fmt::format("there is no plan '{}'", plan));
    if (const auto open = store_.open_migration(row->number)) {
      if (open->after == plan) return Migration{open->after, open->from};
      return conflict("migration_pending", fmt::format("the subscription moves to plan '{}' at {}", open->after,
                                                       format_time(begin_of(open->from))));
    }
    if (row->plan == plan) return conflict("plan_unchanged", fmt::format("the plan is '{}' already", plan));
    if (!wanted->sold_at(now())) {
      return Fault{FaultKind::gone, "plan_not_sold", fmt::format("plan '{}' is no longer sold", plan), "plan"};
    }
    if (!prices(*wanted, *model)) {
      return conflict("not_sold", fmt::format("plan '{}' has no price for '{}'", plan, model->model));
    }
    const MigrationRow migration{row->number, hour_of(now()).next(), row->plan, wanted->id, now()};
    store_.insert_migration(migration);
    pin(*wanted);
    return Migration{migration.after, migration.from};
  });
}

void Core::grant_free_points(std::uint32_t subscription, Points points, std::string_view plan) {
  if (points == Points()) return;
  store_.post_points({now(), subscription, "issued:free_quota", fmt::format("free:{}", subscription), points, "granted",
                      std::string(plan)});
}

// Moving between two quotas that are granted once grants nothing again: it is one quota of one subscription.
void Core::apply(const MigrationRow& migration) {
  const auto row = store_.find_subscription(migration.subscription);
  const Plan* before = find_plan(migration.before);
  const Plan* after = find_plan(migration.after);
  if (!row || before == nullptr || after == nullptr) return;  // check_pinned_plans
  const bool was_once = before->free_quota_period == FreeQuotaPeriod::once;
  const bool is_once = after->free_quota_period == FreeQuotaPeriod::once;
  Points granted = row->free_points_granted;
  if (!is_once) granted = after->free_quota;
  if (is_once && !was_once) granted = row->free_points_used + free_points_left(*row);
  store_.apply_migration(migration, granted);
  const auto changed = store_.find_subscription(migration.subscription);
  if (!is_once) begin_free_quota_period(*changed);
  if (is_once && !was_once) {
    publish([number = changed->number, left = free_points_left(*changed)](EntitlementSink& sink) {
      sink.free_quota_began(number, left);
    });
  }
}

void Core::begin_free_quota_period(const SubscriptionRow& row) {
  const std::string free = fmt::format("free:{}", row.number);
  const Points rest = store_.free_points_balance(row.number);
  if (rest != row.free_points_granted) {
    if (rest > Points()) {
      store_.post_points({now(), row.number, free, "expired:free_quota", rest, "expired", row.plan});
    }
    grant_free_points(row.number, row.free_points_granted, row.plan);
  }
  publish([number = row.number, left = free_points_left(row)](EntitlementSink& sink) {
    sink.free_quota_began(number, left);
  });
}

std::optional<WallTime> Core::next_quota_period(WallTime after) {
  std::optional<WallTime> next;
  for (const auto& plan : plans_) {
    if (plan.free_quota_period == FreeQuotaPeriod::once) continue;
    const WallTime begin = plan.free_quota_period == FreeQuotaPeriod::day ? begin_of_day(after) + std::chrono::days(1)
                                                                          : begin_of(tollgate::next(month_of(after)));
    if (next && *next <= begin) continue;
    if (!store_.subscriptions_of_plan(plan.id).empty()) next = begin;
  }
  return next;
}

}  // namespace tollgate::billing
