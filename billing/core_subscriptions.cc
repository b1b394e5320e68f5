// Subscriptions: their plan, their state, their free points, and the record that the traffic gets.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "billing/core.h"
#include "billing/page.h"
#include "billing/store.h"

namespace tollgate::billing {

SubscriptionState Core::state(const SubscriptionRow& row) {
  if (!row.paid) return SubscriptionState::free;
  return in_arrears(row.account) ? SubscriptionState::arrears : SubscriptionState::paid;
}

std::optional<std::pair<Hour, Hour>> Core::free_quota_hours(const SubscriptionRow& row) {
  const Plan* plan = find_plan(row.plan);
  if (plan == nullptr || plan->free_quota_period == FreeQuotaPeriod::once) return std::nullopt;
  const WallTime now = this->now();
  if (plan->free_quota_period == FreeQuotaPeriod::day) {
    const WallTime midnight = begin_of_day(now);
    return std::pair(hour_of(midnight), hour_of(midnight + std::chrono::days(1)));
  }
  const Month month = month_of(now);
  return std::pair(hour_of(begin_of(month)), hour_of(begin_of(next(month))));
}

Points Core::free_points_left(const SubscriptionRow& row) {
  const auto hours = free_quota_hours(row);
  const Points used = hours ? store_.free_points_used(row.number, hours->first, hours->second) : row.free_points_used;
  // An import may have used more than was granted.
  return std::max(Points(), row.free_points_granted - used);
}

SubscriptionRecord Core::record(const SubscriptionRow& row) { return record(row, state(row), true); }

SubscriptionRecord Core::record(const SubscriptionRow& row, SubscriptionState state, bool has_purchases) {
  SubscriptionRecord record;
  record.number = row.number;
  record.account = row.account;
  record.service = row.service;
  record.state = state;
  record.free_points_left = free_points_left(row);
  if (!row.paid || !has_purchases) return record;
  for (const auto& pack : store_.qps_packs(row.number, now())) {
    record.packs.push_back({pack.starts_at, pack.ends_at, pack.qps, pack.unlimited});
  }
  for (const auto& package : store_.packages(row.number, now())) {
    if (package.points_left > Points()) record.prepaid_until = std::max(record.prepaid_until, package.expires_at);
  }
  if (!store_.count_packs(row.number, WallTime::max()).empty()) record.prepaid_until = WallTime::max();
  return record;
}

Subscription Core::shown(const SubscriptionRow& row) {
  const WallTime now = this->now();
  Subscription subscription;
  subscription.number = row.number;
  subscription.account = row.account;
  subscription.service = row.service;
  subscription.state = state(row);
  subscription.paid = row.paid;
  subscription.plan = row.plan;
  subscription.free_points_left = free_points_left(row);
  subscription.month_points = store_.month_points(row.number, month_of(now));
  subscription.packages = store_.packages(row.number, now);
  subscription.count_packs = store_.count_packs(row.number, WallTime::max());
  if (const auto migration = store_.open_migration(row.number)) {
    subscription.migration = Migration{migration->after, migration->from};
  }
  subscription.qps_packs = store_.qps_packs(row.number, now);
  subscription.created_at = row.created_at;
  const auto service = store_.find_service(row.service);
  const Model* model = service ? catalog_.find(service->model) : nullptr;
  if (subscription.state == SubscriptionState::paid && model != nullptr) {
    subscription.guarantee = base_guarantee(*model);
    for (const auto& pack : subscription.qps_packs) {
      if (pack.starts_at <= now) subscription.guarantee += pack.qps;  // kPacksMax x kPackQpsMax fits
    }
  }
  return subscription;
}

Result<Core::PutSubscription> Core::put_subscription(std::string_view account, std::string_view service, bool paid,
                                                     std::optional<std::string> plan) {
  return in_transaction([&]() -> Result<PutSubscription> {
    if (auto found = need_account(account); found.has_error()) return found.error();
    if (auto found = need_service(service); found.has_error()) return found.error();
    auto row = store_.find_subscription(account, service);
    const bool created = !row;
    const Plan* wanted = plan ? find_plan(*plan) : nullptr;
    if (plan && wanted == nullptr) return invalid("plan", fmt::format("there is no plan '{}'", *plan));
    if (created) {
      if (wanted == nullptr) wanted = &plans_.front();
      if (!wanted->sold_at(now())) {
        return Fault{FaultKind::gone, "plan_not_sold",
                     fmt::format("plan '{}' is no longer sold to new subscriptions", wanted->id), "plan"};
      }
      if (!prices(*wanted, *store_.find_service(service))) {
        return invalid("plan", fmt::format("plan '{}' has no price for the service's model", wanted->id));
      }
      row.emplace();
      row->account = account;
      row->service = service;
      row->paid = paid;
      row->plan = wanted->id;
      row->free_points_granted = wanted->free_quota;
      row->created_at = now();
      row->number = store_.insert_subscription(*row);
      pin(*wanted);
      grant_free_points(row->number, wanted->free_quota, wanted->id);
    } else {
      if (wanted != nullptr && wanted->id != row->plan) {
        return Fault{FaultKind::conflict, "plan_pinned",
                     fmt::format("the subscription is pinned to plan '{}'", row->plan), "plan"};
      }
      if (row->paid != paid) store_.set_paid(row->number, paid);
      row->paid = paid;
    }
    check_guard(account);  // it watches accounts with a paid subscription
    publish([changed = record(*row)](EntitlementSink& sink) { sink.subscription_changed(changed); });
    return PutSubscription{shown(*row), created};
  });
}

Result<Subscription> Core::subscription(std::string_view account, std::string_view service) {
  return in_transaction([&]() -> Result<Subscription> {
    auto row = need_subscription(account, service);
    if (row.has_error()) return row.error();
    return shown(*row);
  });
}

Result<Page<Subscription>> Core::subscriptions(std::string_view account, std::optional<std::string> after, int limit) {
  return in_transaction([&]() -> Result<Page<Subscription>> {
    if (auto found = need_account(account); found.has_error()) return found.error();
    const auto rows = store_.subscriptions(account, after.value_or(""), page_limit(limit) + 1);
    return make_page<Subscription>(
        rows, limit, [&](const SubscriptionRow& row) { return shown(row); },
        [](const SubscriptionRow& row) { return row.service; });
  });
}

// Who owes and who bought something are read once, in two passes, instead of four look-ups for each of very many.
void Core::tell_all_subscriptions() {
  const auto in_debt = store_.accounts_in_debt();
  std::unordered_set<std::string> in_arrears(in_debt.begin(), in_debt.end());
  in_arrears.insert(guarded_.begin(), guarded_.end());
  const auto buyers = store_.subscriptions_with_purchases();
  store_.each_subscription([&](const SubscriptionRow& row) {
    SubscriptionState state = SubscriptionState::free;
    if (row.paid) state = in_arrears.contains(row.account) ? SubscriptionState::arrears : SubscriptionState::paid;
    sink_.subscription_changed(record(row, state, buyers.contains(row.number)));
  });
}

void Core::publish_subscriptions_of(std::string_view account) {
  std::string after;
  while (true) {
    const auto rows = store_.subscriptions(account, after, kPageItemsMax);
    if (rows.empty()) return;
    for (const auto& row : rows) {
      publish([changed = record(row)](EntitlementSink& sink) { sink.subscription_changed(changed); });
    }
    after = rows.back().service;
  }
}

}  // namespace tollgate::billing
