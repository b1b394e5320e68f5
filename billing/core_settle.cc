// The settlement of one account: who pays for each hour's points, the rows that record it, and the money. All checks
// of a settlement come before its first write; after them only the store itself can fail, and takes all back.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "billing/account_books.h"
#include "billing/core.h"
#include "billing/rating.h"
#include "billing/store.h"

namespace tollgate::billing {
namespace {
constexpr const char* kIncome = "income:usage";

Fault cannot(std::string_view why) { return {FaultKind::unavailable, "unsettled", std::string(why), {}}; }

std::string reference_of(const HourKey& key, std::int32_t revision) {
  return fmt::format("{}/{}/{}", key.subscription, key.hour.since_epoch, revision);
}

// In whole calls, so that a cut leaves no rest that count packs would not pay for.
Points most_at_once(Points cost) { return Points(kHourPointsMax - kHourPointsMax % cost.count()); }
}  // namespace

Core::Books Core::open_books(const std::string& account) {
  Books books;
  books.account = account;
  books.cash = store_.balance("cash:" + account);
  books.vouchers = store_.vouchers_left(account, now());
  books.income = store_.balance(kIncome);
  books.was_in_arrears = books.cash < MicroYuan();
  return books;
}

std::vector<OpenUsage> Core::open_usage_of(Books& books, Hour until) {
  books.month = month_of(std::min(until, hour_of(now())));
  auto rows = store_.open_usage_of(books.account, until, books.month);
  books.several_hours = !rows.empty() && rows.front().key.hour != rows.back().key.hour;
  return rows;
}

void Core::settle_account(const std::string& account, DueRun& run, std::set<HourKey>& tried) {
  Books books = open_books(account);
  for (auto& usage : open_usage_of(books, Hour{hour_of(due_->at).since_epoch - 1})) {
    const HourKey key = usage.key;
    tried.insert(key);
    if (due_->put_off.contains(key)) continue;
    const auto settled = settle_hour(std::move(usage), books, run.settlements);
    if (settled.has_value()) continue;
    due_->put_off.insert(key);
    ++run.failures;
    run.failure = fmt::format("subscription {} of '{}', {}: {}", key.subscription, account,
                              format_time(begin_of(key.hour)), settled.error().message);
  }
  if (books.amount > MicroYuan()) store_.add_charge(account, now(), books.amount);
  after_settlement(books);
  check_guard(account);
}

Result<void> Core::settle_hour(OpenUsage usage, Books& books, std::int64_t& settlements) {
  const Plan* plan = nullptr;
  if (usage.migrated) plan = find_plan(store_.plan_at(usage.key.subscription, usage.key.hour).value_or(usage.plan));
  if (!usage.migrated) plan = find_plan(usage.plan);
  const Model* model = catalog_.find(usage.model);
  if (plan == nullptr || model == nullptr) return cannot("its plan or model is not configured");
  if (books.several_hours || month_of(usage.key.hour) != books.month) {
    usage.month_points = store_.month_points(usage.key.subscription, month_of(usage.key.hour));
  }
  if (books.several_hours && plan->by_call()) {
    usage.call_remainder = store_.find_subscription(usage.key.subscription)->call_remainder;
  }
  do {
    auto settlement = settlement_of(usage, books, *plan, *model);
    if (settlement.has_error()) return settlement.error();
    post_settlement(usage, *std::move(settlement), books);
    ++settlements;
  } while (usage.free_points > Points() || usage.billable_points > Points() || usage.calls_unmetered > 0);
  return {};
}

// Calls that failed without points left, say, change a total and settle nothing: a revision all the same.
Result<Settlement> Core::settlement_of(OpenUsage& usage, const Books& books, const Plan& plan, const Model& model) {
  const Points most = most_at_once(model.cost);
  Settlement settlement;
  settlement.account = books.account;
  settlement.hour = usage.key.hour;
  settlement.revision = usage.revision + 1;
  settlement.reference = reference_of(usage.key, settlement.revision);
  settlement.at = now();
  settlement.plan = plan.id;
  settlement.free_points = std::min(usage.free_points, most);
  settlement.billable_points = std::min(usage.billable_points, most);
  settlement.calls_unmetered = std::min(usage.calls_unmetered, most.count() / model.cost.count());
  settlement.unmetered_points = model.cost * settlement.calls_unmetered;
  settlement.month_points_before = usage.month_points;
  settlement.month_points_after = usage.month_points;
  const auto paid = pay_from(usage, plan, model, settlement);
  if (paid.has_error()) return paid.error();
  if (settlement.amount > kIncomeMax - books.income) return cannot("the books cannot hold the amount");

  usage.free_points -= settlement.free_points;
  usage.billable_points -= settlement.billable_points;
  usage.calls_unmetered -= settlement.calls_unmetered;
  usage.month_points = settlement.month_points_after;
  usage.revision = settlement.revision;
  return settlement;
}

Result<void> Core::pay_from(OpenUsage& usage, const Plan& plan, const Model& model, Settlement& settlement) {
  if (settlement.billable_points == Points()) return {};
  if (plan.by_call()) {
    const CallPrice* price = plan.call_price(model.name);
    if (price == nullptr) return cannot("the plan has no price for the model");
    if (auto paid = pay_by_call(usage, *price, model.cost, settlement); paid.has_error()) return paid.error();
  } else if (auto paid = pay_by_point(usage, plan, model.cost, settlement); paid.has_error()) {
    return paid.error();
  }
  for (const auto& part : settlement.parts) settlement.amount += part.amount;
  return {};
}

// Usage is metered in points: calls that cost money are as many as their points make. Points that are no whole call
// yet (the rest of a call that took the last free points) wait for the next ones.
Result<void> Core::pay_by_call(OpenUsage& usage, const CallPrice& price, Points cost, Settlement& settlement) {
  const std::int64_t points = usage.call_remainder + settlement.billable_points.count();
  std::int64_t calls = points / cost.count();
  Points rest = settlement.billable_points;
  std::vector<CountPack> packs;
  if (usage.has_count_packs) packs = store_.count_packs(usage.key.subscription, begin_of(settlement.hour.next()));
  for (const auto& pack : packs) {
    const std::int64_t covered = std::min(calls, pack.calls_left);
    if (covered == 0) break;
    const Points paid = std::min(rest, cost * covered);
    settlement.parts.push_back({PaidFrom::count_pack, pack.id, paid, covered, MicroYuan(), MicroYuan()});
    calls -= covered;
    rest -= paid;
  }
  const auto amount = price_of_calls(calls, price.per_call);
  if (!amount) return cannot("the amount is beyond all bounds");
  if (rest > Points() || calls > 0) {
    settlement.parts.push_back({PaidFrom::call, "", rest, calls, price.per_call, *amount});
  }
  usage.call_remainder = points % cost.count();
  return {};
}

Result<void> Core::pay_by_point(const OpenUsage& usage, const Plan& plan, Points cost, Settlement& settlement) {
  const WallTime begin = begin_of(settlement.hour);
  const WallTime end = begin_of(settlement.hour.next());
  Points rest = settlement.billable_points;
  std::vector<CountPack> packs;
  if (usage.has_count_packs) packs = store_.count_packs(usage.key.subscription, end);
  for (const auto& pack : packs) {  // whole calls only
    const std::int64_t covered = std::min(rest.count() / cost.count(), pack.calls_left);
    if (covered == 0) break;
    settlement.parts.push_back({PaidFrom::count_pack, pack.id, cost * covered, covered, MicroYuan(), MicroYuan()});
    rest -= cost * covered;
  }
  std::vector<Package> packages;
  if (usage.has_packages) packages = store_.packages_covering(usage.key.subscription, begin, end);
  for (const auto& package : packages) {
    const Points covered = std::min(rest, package.points_left);
    if (covered == Points()) break;
    settlement.parts.push_back({PaidFrom::package, package.id, covered, 0, MicroYuan(), MicroYuan()});
    rest -= covered;
  }
  if (rest == Points()) return {};
  const auto rated = rate(plan.tiers, settlement.month_points_before, rest);
  if (rated.empty()) return cannot("the amount is beyond all bounds");
  for (const auto& part : rated) {
    settlement.parts.push_back({PaidFrom::tier, "", part.points, 0, part.unit_price, part.amount});
  }
  settlement.month_points_after += rest;
  return {};
}

void Core::post_settlement(const OpenUsage& usage, Settlement settlement, Books& books) {
  const std::uint32_t number = usage.key.subscription;
  const Posted posted = post_money(settlement, books);
  bool prepaid = false;
  for (const auto& part : settlement.parts) {
    if (part.paid_from == PaidFrom::package) store_.use_package(part.item, part.points);
    if (part.paid_from == PaidFrom::count_pack) store_.use_count_pack(part.item, part.calls);
    if (part.paid_from == PaidFrom::call || part.paid_from == PaidFrom::count_pack) {
      store_.set_call_remainder(number, usage.call_remainder);
    }
    prepaid = prepaid || part.paid_from == PaidFrom::package || part.paid_from == PaidFrom::count_pack;
  }
  books.settled = true;
  books.amount += settlement.amount;
  store_.insert_settlement(std::move(settlement), number, posted.first, posted.count);
  if (prepaid) publish_if_used_up(number);
}

// What was bought beforehand and is gone no longer counts as prepaid on the data path.
void Core::publish_if_used_up(std::uint32_t subscription) {
  const auto row = store_.find_subscription(subscription);
  if (!row) return;
  const SubscriptionRecord changed = record(*row);
  if (changed.prepaid_until > now()) return;
  publish([changed](EntitlementSink& sink) { sink.subscription_changed(changed); });
}

// Vouchers first, then cash, which may go below 0.
Core::Posted Core::post_money(const Settlement& settlement, Books& books) {
  Posted posted;
  MicroYuan due = settlement.amount;
  const auto post = [&](const std::string& debit, MicroYuan amount) {
    const std::int64_t id =
        store_.post(settlement.account, {0, settlement.at, debit, kIncome, amount, "usage", settlement.reference});
    if (posted.count++ == 0) posted.first = id;
    due -= amount;
    books.income += amount;
  };
  for (auto& voucher : books.vouchers) {
    const MicroYuan paid = std::min(due, voucher.left);
    if (paid == MicroYuan()) continue;
    post("voucher:" + voucher.id, paid);
    voucher.left -= paid;
  }
  if (due > MicroYuan()) {
    books.cash -= due;
    post("cash:" + settlement.account, due);
  }
  return posted;
}

}  // namespace tollgate::billing
