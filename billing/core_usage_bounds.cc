// What no ledger could hold is refused where it is reported, since it could never be settled.
#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "billing/core.h"
#include "billing/rating.h"
#include "billing/store.h"

namespace tollgate::billing {
namespace {
__extension__ using Wide = __int128;
constexpr std::int64_t kCostMax = 1'000'000;        // points per call, as the catalogue takes them
constexpr std::int64_t kOrdinary = 10'000'000'000;  // points of an hour that no service was ever called for

// What a point can cost at most, of all plans; a call costs at least a point.
MicroYuan dearest(const std::vector<Plan>& plans) {
  MicroYuan most;
  for (const auto& plan : plans) {
    for (const auto& tier : plan.tiers) most = std::max(most, tier.per_point);
    for (const auto& price : plan.calls) most = std::max(most, price.per_call);
  }
  return most;
}

Fault too_large(std::size_t index, const char* total, std::string_view why) {
  return {FaultKind::unprocessable, "usage_too_large", fmt::format("{}; nothing of the report was taken", why),
          fmt::format("totals[{}].{}", index, total)};
}
}  // namespace

// Of all billable points of the hour that are not settled, pay-as-you-go.
Result<MicroYuan> Core::worth(const SubscriptionRow& row, const Model& model, Hour hour, Points billable) {
  const Plan* plan = find_plan(store_.plan_at(row.number, hour).value_or(row.plan));
  std::optional<MicroYuan> amount;
  if (plan != nullptr && plan->by_call()) {
    const CallPrice* price = plan->call_price(model.name);
    if (price != nullptr) amount = price_of_calls(billable.count() / model.cost.count() + 1, price->per_call);
  } else if (plan != nullptr) {
    const Points before = store_.month_points(row.number, month_of(hour));
    if (billable <= kMeteredMax - before) amount = charge(plan->tiers, before, before + billable);
  }
  if (!amount) return Fault{FaultKind::unprocessable, "", "it has no price", {}};
  return *amount;
}

Result<void> Core::check_books_hold(const MergeEntry& entry, const meter::UsageTotals& increase, std::size_t index) {
  if (std::max(increase.free_points, increase.billable_points).count() <= kOrdinary &&
      increase.calls_unmetered <= kOrdinary / kCostMax) {
    return {};
  }
  const auto row = store_.find_subscription(entry.subscription);
  const auto service = row ? store_.find_service(row->service) : std::nullopt;
  const Model* model = service ? catalog_.find(service->model) : nullptr;
  if (model == nullptr) return {};

  const HourUsage hour = store_.hour_usage(entry.subscription, entry.hour);
  const auto beyond = [](std::int64_t stored, std::int64_t more) { return more > kUsageTotalMax - stored; };
  const char* const one_hour = "an hour has at most 2^53 points and calls over all gateways";
  if (beyond(hour.totals.billable_points.count(), increase.billable_points.count())) {
    return too_large(index, "billable_points", one_hour);
  }
  if (beyond(hour.totals.free_points.count(), increase.free_points.count())) {
    return too_large(index, "free_points", one_hour);
  }
  if (beyond(hour.totals.calls_unmetered, increase.calls_unmetered)) {
    return too_large(index, "calls_unmetered", one_hour);
  }
  const UsageSums sums = store_.usage_sums();
  if (increase.free_points + increase.billable_points > kMeteredMax - sums.metered) {
    return too_large(index, "billable_points", "the books cannot hold so many points");
  }
  const Wide unmetered = static_cast<Wide>(sums.calls_unmetered) * kCostMax;  // whatever models they are of
  if (increase.calls_unmetered > 0 &&
      unmetered + static_cast<Wide>(increase.calls_unmetered) * model->cost.count() > kMeteredMax.count()) {
    return too_large(index, "calls_unmetered", "the books cannot hold so many points");
  }
  if (increase.billable_points == Points()) return {};
  const Points open = hour.totals.billable_points - hour.settled_billable;
  const auto amount = worth(*row, *model, entry.hour, open + increase.billable_points);
  const Wide others = static_cast<Wide>((sums.unsettled - open).count()) * dearest(plans_).count();
  const Wide income = store_.balance("income:usage").count();
  if (amount.has_error() || income + others + amount->count() > kIncomeMax.count()) {
    return too_large(index, "billable_points", "the books cannot hold what it would cost");
  }
  return {};
}

}  // namespace tollgate::billing
