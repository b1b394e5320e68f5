// The settlement of one account: who pays for each hour's points, the rows that record it, and the money. All checks
// of an account come before its first write is kept: a fault takes back the account's whole part.
#include <fmt/format.h>

#include <algorithm>

#include "billing/core.h"
#include "billing/rating.h"
#include "billing/store.h"

namespace tollgate::billing {
namespace {
Fault unsettled(const OpenUsage& usage, std::string_view why) {
  return {FaultKind::unavailable,
          "unsettled",
          fmt::format("subscription {} of '{}', {}: {}", usage.subscription, usage.account,
                      format_time(begin_of(usage.hour)), why),
          {}};
}

std::string reference_of(std::uint32_t subscription, Hour hour, std::int32_t revision) {
  return fmt::format("{}/{}/{}", subscription, hour.since_epoch, revision);
}

std::string_view reason_of(PaidFrom paid_from) {
  switch (paid_from) {
    case PaidFrom::package: return "used_package";
    case PaidFrom::count_pack: return "used_count_pack";
    default: return "charged";
  }
}

std::string source_of(const SettlementPart& part) {
  switch (part.paid_from) {
    case PaidFrom::package: return "package:" + part.item;
    case PaidFrom::count_pack: return "issued:count_packs";  // bought by the call, so not kept in points
    default: return "issued:pay_as_you_go";
  }
}
}  // namespace

Result<void> Core::settle_account(const OpenUsage* begin, const OpenUsage* end, DueRun& run) {
  const std::string& account = begin->account;
  const auto settled = in_transaction([&]() -> Result<std::int64_t> {
    const bool was_in_arrears = in_debt(account);
    SettledHour sum;
    for (const OpenUsage* usage = begin; usage != end; ++usage) {
      const auto hour = settle_hour(*usage);
      if (hour.has_error()) return hour.error();
      sum.billable += hour->billable;
      sum.amount += hour->amount;
    }
    if (sum.amount > MicroYuan()) store_.add_charge(account, now(), sum.amount);
    after_settlement(account, was_in_arrears, sum.billable > Points());
    check_guard(account);
    return end - begin;
  });
  if (settled.has_value()) {
    run.settlements += *settled;
    return {};
  }
  if (settled.error().code == "store_failed") return settled.error();
  ++run.failures;
  run.failure = settled.error().message;
  return {};
}

Result<Core::SettledHour> Core::settle_hour(const OpenUsage& usage) {
  const auto row = store_.find_subscription(usage.subscription);
  const auto unpaid = store_.unsettled(usage.subscription, usage.hour);
  TOLLGATE_CHECK(row && unpaid);
  const auto service = store_.find_service(row->service);
  const Plan* plan = find_plan(store_.plan_at(usage.subscription, usage.hour).value_or(row->plan));
  const Model* model = service ? catalog_.find(service->model) : nullptr;
  if (plan == nullptr || model == nullptr) return unsettled(usage, "its plan or model is not configured");

  Settlement settlement;
  settlement.account = usage.account;
  settlement.hour = usage.hour;
  settlement.revision = unpaid->revision + 1;
  settlement.reference = reference_of(usage.subscription, usage.hour, settlement.revision);
  settlement.at = now();
  settlement.plan = plan->id;
  settlement.free_points = unpaid->totals.free_points - unpaid->settled_free;
  settlement.billable_points = unpaid->totals.billable_points - unpaid->settled_billable;
  settlement.calls_unmetered = unpaid->totals.calls_unmetered - unpaid->settled_unmetered;
  if (std::max(settlement.billable_points, settlement.free_points).count() > kHourPointsMax ||
      settlement.calls_unmetered > kHourPointsMax / model->cost.count()) {
    return unsettled(usage, "more points than can be settled at once");
  }
  settlement.unmetered_points = model->cost * settlement.calls_unmetered;
  const auto payment = pay_from(*row, *service, *plan, settlement);
  if (payment.has_error()) return unsettled(usage, payment.error().message);

  store_.close_usage(usage.subscription, usage.hour);
  if (payment->call_remainder != row->call_remainder) {
    store_.set_call_remainder(row->number, payment->call_remainder);
  }
  // Calls that failed without points left, say, change a total and settle nothing.
  const bool nothing =
      settlement.free_points == Points() && settlement.billable_points == Points() && settlement.calls_unmetered == 0;
  post_settlement(*row, settlement);
  if (!nothing) post_money(settlement);
  return SettledHour{settlement.billable_points, settlement.amount};
}

Result<Core::Payment> Core::pay_from(const SubscriptionRow& row, const ServiceRow& service, const Plan& plan,
                                     Settlement& settlement) {
  const Month month = month_of(settlement.hour);
  settlement.month_points_before = store_.month_points(row.number, month);
  settlement.month_points_after = settlement.month_points_before;
  Payment payment{row.call_remainder};
  if (settlement.billable_points == Points()) return payment;
  const Points cost = catalog_.find(service.model)->cost;
  if (plan.by_call()) {
    const CallPrice* price = plan.call_price(service.model);
    if (price == nullptr) return Fault{FaultKind::unavailable, "", "the plan has no price for the model", {}};
    const auto remainder = pay_by_call(row, *price, cost, settlement);
    if (remainder.has_error()) return remainder.error();
    payment.call_remainder = *remainder;
  } else if (auto paid = pay_by_point(row, plan, cost, settlement); paid.has_error()) {
    return paid.error();
  }
  for (const auto& part : settlement.parts) settlement.amount += part.amount;
  return payment;
}

// Usage is metered in points: calls that cost money are as many as their points make. Points that are no whole call
// yet (the rest of a call that took the last free points) wait for the next ones.
Result<std::int64_t> Core::pay_by_call(const SubscriptionRow& row, const CallPrice& price, Points cost,
                                       Settlement& settlement) {
  const std::int64_t points = row.call_remainder + settlement.billable_points.count();
  std::int64_t calls = points / cost.count();
  Points rest = settlement.billable_points;
  for (const auto& pack : store_.count_packs(row.number, begin_of(settlement.hour.next()))) {
    const std::int64_t covered = std::min(calls, pack.calls_left);
    if (covered == 0) break;
    const Points paid = std::min(rest, cost * covered);
    settlement.parts.push_back({PaidFrom::count_pack, pack.id, paid, covered, MicroYuan(), MicroYuan()});
    calls -= covered;
    rest -= paid;
  }
  const auto amount = price_of_calls(calls, price.per_call);
  if (!amount) return Fault{FaultKind::unavailable, "", "the amount is beyond all bounds", {}};
  if (rest > Points() || calls > 0) {
    settlement.parts.push_back({PaidFrom::call, "", rest, calls, price.per_call, *amount});
  }
  return points % cost.count();
}

Result<void> Core::pay_by_point(const SubscriptionRow& row, const Plan& plan, Points cost, Settlement& settlement) {
  const WallTime begin = begin_of(settlement.hour);
  const WallTime end = begin_of(settlement.hour.next());
  Points rest = settlement.billable_points;
  for (const auto& pack : store_.count_packs(row.number, end)) {  // whole calls only
    const std::int64_t covered = std::min(rest.count() / cost.count(), pack.calls_left);
    if (covered == 0) break;
    settlement.parts.push_back({PaidFrom::count_pack, pack.id, cost * covered, covered, MicroYuan(), MicroYuan()});
    rest -= cost * covered;
  }
  for (const auto& package : store_.packages_covering(row.number, begin, end)) {
    const Points covered = std::min(rest, package.points_left);
    if (covered == Points()) break;
    settlement.parts.push_back({PaidFrom::package, package.id, covered, 0, MicroYuan(), MicroYuan()});
    rest -= covered;
  }
  if (rest == Points()) return {};
  const auto rated = rate(plan.tiers, settlement.month_points_before, rest);
  if (rated.empty()) return Fault{FaultKind::unavailable, "", "the amount is beyond all bounds", {}};
  for (const auto& part : rated) {
    settlement.parts.push_back({PaidFrom::tier, "", part.points, 0, part.unit_price, part.amount});
  }
  settlement.month_points_after += rest;
  return {};
}

void Core::post_settlement(const SubscriptionRow& row, const Settlement& settlement) {
  const std::int64_t id = store_.insert_settlement(settlement, row.number);
  const std::string used = fmt::format("used:{}", row.number);
  const auto post = [&](std::string debit, Points points, std::string_view reason) {
    if (points == Points()) return;
    store_.post_points(
        {settlement.at, row.number, std::move(debit), used, points, std::string(reason), settlement.reference});
  };
  post(fmt::format("free:{}", row.number), settlement.free_points, "used_free");
  post("issued:unmetered", settlement.unmetered_points, "unmetered");
  int number = 0;
  for (const auto& part : settlement.parts) {
    store_.insert_part(id, number++, part);
    post(source_of(part), part.points, reason_of(part.paid_from));
    if (part.paid_from == PaidFrom::package) store_.use_package(part.item, part.points);
    if (part.paid_from == PaidFrom::count_pack) store_.use_count_pack(part.item, part.calls);
  }
  const Points tiered = settlement.month_points_after - settlement.month_points_before;
  if (tiered > Points()) store_.add_month_points(row.number, month_of(settlement.hour), tiered);
}

// Vouchers first, then cash, which may go below 0.
void Core::post_money(const Settlement& settlement) {
  MicroYuan due = settlement.amount;
  if (due == MicroYuan()) return;
  const auto post = [&](const std::string& debit, MicroYuan amount) {
    store_.post(settlement.account, {0, settlement.at, debit, "income:usage", amount, "usage", settlement.reference});
    due -= amount;
  };
  for (const auto& voucher : store_.vouchers_left(settlement.account, settlement.at)) {
    if (due == MicroYuan()) return;
    post("voucher:" + voucher.id, std::min(due, voucher.left));
  }
  if (due > MicroYuan()) post("cash:" + settlement.account, due);
}

}  // namespace tollgate::billing
