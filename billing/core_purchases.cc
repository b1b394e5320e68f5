// Purchases of points and of calls. (QPS packs, which have a window of time, are in core_money.cc.)
#include <fmt/format.h>

#include <algorithm>

#include "billing/core.h"
#include "billing/store.h"

namespace tollgate::billing {
namespace {
Fault gone(std::string code, std::string message) { return {FaultKind::gone, std::move(code), std::move(message), {}}; }
}  // namespace

Result<void> Core::check_buyer(const SubscriptionRow& row, MicroYuan price) {
  if (!row.paid) return Fault{FaultKind::conflict, "not_paid", "only a paid subscription can buy this", {}};
  const MicroYuan balance = store_.balance("cash:" + row.account);
  if (balance < MicroYuan()) {
    return Fault{FaultKind::payment_required,
                 "arrears",
                 fmt::format("the account is in arrears by {} yuan", format_yuan(-balance)),
                 {}};
  }
  if (guarded_.contains(row.account)) {
    return Fault{FaultKind::payment_required,
                 "arrears",
                 "the account is treated as in arrears: what is metered and not settled yet is more than it holds",
                 {}};
  }
  if (balance >= price) return {};
  return Fault{
      FaultKind::payment_required,
      "balance_short",
      fmt::format("it costs {} yuan and the cash balance is {} yuan", format_yuan(price), format_yuan(balance)),
      {}};
}

Result<Package> Core::buy_package(std::string_view account, std::string_view service, Points points) {
  return in_transaction([&]() -> Result<Package> {
    auto row = need_subscription(account, service);
    if (row.has_error()) return row.error();
    const Plan* plan = find_plan(row->plan);
    if (plan == nullptr || plan->packages.empty()) {
      return Fault{FaultKind::conflict, "not_sold", fmt::format("plan '{}' sells no packages", row->plan), {}};
    }
    const WallTime now = this->now();
    if (!plan->sold_at(now)) {
      return gone("plan_not_sold", fmt::format("nothing of plan '{}' is sold any more", plan->id));
    }
    const auto offer = std::ranges::find(plan->packages, points, &PackageOffer::points);
    if (offer == plan->packages.end()) {
      return invalid("points", fmt::format("plan '{}' sells no package of {} points", plan->id, points.count()));
    }
    if (auto checked = check_buyer(*row, offer->price); checked.has_error()) return checked.error();
    if (store_.packages(row->number, now).size() >= static_cast<std::size_t>(kPacksMax)) {
      return Fault{FaultKind::conflict,
                   "too_many_packs",
                   fmt::format("a subscription has at most {} packages not yet expired", kPacksMax),
                   {}};
    }

    const Package package{random_id("package"), points, points,
                          offer->price,         now,    end_of_day_after_months(now, plan->package_months)};
    store_.insert_package(row->number, package);
    store_.post(account, {0, now, "cash:" + row->account, "income:packages", package.price, "package", package.id});
    store_.post_points({now, row->number, "issued:packages", "package:" + package.id, points, "bought", package.id});
    publish([changed = record(*row)](EntitlementSink& sink) { sink.subscription_changed(changed); });
    check_guard(account);
    return package;
  });
}

Result<CountPack> Core::buy_count_pack(std::string_view account, std::string_view service, std::int64_t calls) {
  return in_transaction([&]() -> Result<CountPack> {
    auto row = need_subscription(account, service);
    if (row.has_error()) return row.error();
    const auto model = need_service(service);
    if (model.has_error()) return model.error();
    const Plan* plan = find_plan(row->plan);
    const CallPrice* price = plan == nullptr ? nullptr : plan->call_price(model->model);
    if (price == nullptr || price->count_packs.empty()) {
      return gone("not_sold", fmt::format("plan '{}' sells no count packs for '{}'", row->plan, model->model));
    }
    const WallTime now = this->now();
    if (!plan->sold_at(now)) {
      return gone("plan_not_sold", fmt::format("nothing of plan '{}' is sold any more", plan->id));
    }
    const auto offer = std::ranges::find(price->count_packs, calls, &CountPackOffer::calls);
    if (offer == price->count_packs.end()) {
      return invalid("calls", fmt::format("plan '{}' sells no count pack of {} calls", plan->id, calls));
    }
    if (auto checked = check_buyer(*row, offer->price); checked.has_error()) return checked.error();
    if (store_.count_packs(row->number, WallTime::max()).size() >= static_cast<std::size_t>(kPacksMax)) {
      return Fault{FaultKind::conflict,
                   "too_many_packs",
                   fmt::format("a subscription has at most {} count packs with calls left", kPacksMax),
                   {}};
    }

    const CountPack pack{random_id("count-pack"), calls, calls, offer->price, now};
    store_.insert_count_pack(row->number, pack);
    store_.post(account, {0, now, "cash:" + row->account, "income:count_packs", pack.price, "count_pack", pack.id});
    publish([changed = record(*row)](EntitlementSink& sink) { sink.subscription_changed(changed); });
    check_guard(account);
    return pack;
  });
}

}  // namespace tollgate::billing
