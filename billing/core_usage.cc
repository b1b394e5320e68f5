// Usage: epochs, the merging of reports by maximum, and what was used hour by hour.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <unordered_set>

#include "base/fail_point.h"
#include "billing/core.h"
#include "billing/page.h"
#include "billing/store.h"

namespace tollgate::billing {
namespace {
using meter::UsageTotals;

// The name of a total outside of 0..kUsageTotalMax; nullptr when all are good.
const char* bad_total(const UsageTotals& totals) {
  const auto bad = [](std::int64_t total) { return total < 0 || total > kUsageTotalMax; };
  if (bad(totals.calls_succeeded)) return "calls_succeeded";
  if (bad(totals.calls_failed)) return "calls_failed";
  if (bad(totals.calls_unmetered)) return "calls_unmetered";
  if (bad(totals.free_points.count())) return "free_points";
  if (bad(totals.billable_points.count())) return "billable_points";
  return nullptr;
}

Result<void> check_totals(const UsageTotals& totals, std::size_t index) {
  const char* name = bad_total(totals);
  if (name == nullptr) return {};
  return invalid(fmt::format("totals[{}].{}", index, name), fmt::format("a total is 0 to {}", kUsageTotalMax));
}

UsageTotals larger(const UsageTotals& a, const UsageTotals& b) {
  return {std::max(a.calls_succeeded, b.calls_succeeded), std::max(a.calls_failed, b.calls_failed),
          std::max(a.calls_unmetered, b.calls_unmetered), std::max(a.free_points, b.free_points),
          std::max(a.billable_points, b.billable_points)};
}

std::int64_t calls_of(const UsageTotals& totals) {
  return totals.calls_succeeded + totals.calls_failed + totals.calls_unmetered;
}

UsageTotals difference(const UsageTotals& a, const UsageTotals& b) {
  return {a.calls_succeeded - b.calls_succeeded, a.calls_failed - b.calls_failed, a.calls_unmetered - b.calls_unmetered,
          a.free_points - b.free_points, a.billable_points - b.billable_points};
}

// The first hour that begins at or after `instant`.
Hour hour_from(WallTime instant) {
  const Hour hour = hour_of(instant);
  return begin_of(hour) < instant ? hour.next() : hour;
}

std::string to_cursor(const UsageRow& row) { return fmt::format("{}/{}", row.hour.since_epoch, row.service); }

std::optional<UsageCursor> parse_cursor(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  UsageCursor cursor;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + slash, cursor.hour.since_epoch);
  if (error != std::errc() || stop != text.data() + slash) return std::nullopt;
  cursor.service = text.substr(slash + 1);
  return cursor;
}
}  // namespace

std::uint32_t Core::open_epoch(std::string_view gateway) {
  const auto epoch = open_epoch(gateway, 0, 0);
  return epoch ? *epoch : 0;
}

Result<std::uint32_t> Core::open_epoch(std::string_view gateway, std::int64_t nonce, std::uint32_t above) {
  std::uint32_t epoch = 0;
  const Result<void> outcome = run([&]() -> Result<void> {
    if (!is_valid_id(gateway)) return invalid("gateway", "a gateway's name is 1 to 63 of a-z, 0-9 and '-'");
    epoch = store_.insert_epoch(gateway, now(), nonce, above);
    TOLLGATE_FAIL_POINT("epoch.open");
    return {};
  });
  TOLLGATE_FAIL_POINT("epoch.opened");
  if (outcome.has_error()) return outcome.error();
  return epoch;
}

Result<Core::TakenEpoch> Core::take_over_epoch(std::string_view gateway, std::int64_t nonce, std::uint32_t unmarked) {
  return in_transaction([&]() -> Result<TakenEpoch> {
    if (const auto known = store_.find_epoch(gateway, nonce)) return TakenEpoch{*known, true};
    if (unmarked != 0 && store_.epoch_exists(gateway, unmarked)) return TakenEpoch{unmarked, true};
    return TakenEpoch{store_.insert_epoch(gateway, now(), nonce, 0), false};
  });
}

Result<bool> Core::may_have_used(std::uint32_t subscription, Hour hour) {
  return in_transaction([&]() -> Result<bool> {
    const auto row = store_.find_subscription(subscription);
    return row && row->created_at < begin_of(hour.next());
  });
}

Result<void> Core::check_epoch(std::string_view gateway, std::int64_t epoch) {
  constexpr std::int64_t most = std::numeric_limits<std::uint32_t>::max();
  if (epoch >= 1 && epoch <= most && store_.epoch_exists(gateway, static_cast<std::uint32_t>(epoch))) return {};
  return Fault{FaultKind::conflict, "unknown_epoch",
               fmt::format("epoch {} was never given out to gateway '{}'", epoch, gateway), "epoch"};
}

Points Core::merge_entry(std::string_view gateway, std::uint32_t epoch, const MergeEntry& entry, CountedBy counted_by) {
  const UsageSource source{gateway, epoch, entry.subscription, entry.hour};
  const auto stored = store_.find_report(source);
  const UsageTotals before = stored.value_or(UsageTotals{});
  UsageTotals after = larger(before, entry.totals);
  if (counted_by == CountedBy::this_gateway) {
    // A call that was open in the journal and whose end is known here, as after a power cut, has not failed besides.
    const std::int64_t calls = std::max(calls_of(before), calls_of(entry.totals));
    after.calls_failed = std::max(before.calls_failed, calls - after.calls_succeeded - after.calls_unmetered);
  }
#ifdef TOLLGATE_CANARY_DROPS_A_MERGE
  // A planted bug, in the test program sim_canary alone: the simulation has to find it (docs/simulation.md).
  if (after != before && (entry.hour.since_epoch + after.free_points.count()) % 13 == 0) return {};
#endif
#ifdef TOLLGATE_CANARY_COUNTS_A_REPEAT
  // The same in sim_canary_repeat: now and then, what was merged already is added once more.
  if (after == before && (entry.hour.since_epoch + after.free_points.count()) % 13 == 0) {
    store_.add_usage(entry.subscription, entry.hour, after, counted_by);
  }
#endif
  if (after == before) return {};  // most entries of a repeated report; nothing at all is no row either
  store_.put_report(source, after);
  const UsageTotals increase = difference(after, before);
  store_.add_usage(entry.subscription, entry.hour, increase, counted_by);
  return increase.free_points;
}

Result<void> Core::merge(const meter::UsageReport& report) {
  auto merged = run([&]() -> Result<void> {
    if (auto checked = check_epoch(report.gateway, report.epoch); checked.has_error()) return checked.error();
    std::unordered_set<std::uint32_t> known;
    for (std::size_t i = 0; i < report.entries.size(); ++i) {
      const auto& entry = report.entries[i];
      if (auto checked = check_totals(entry.totals, i); checked.has_error()) return checked.error();
      if (known.contains(entry.subscription)) continue;
      if (!store_.find_subscription(entry.subscription)) {
        return Fault{FaultKind::not_found,
                     "subscription_not_found",
                     fmt::format("there is no subscription number {}", entry.subscription),
                     {}};
      }
      known.insert(entry.subscription);
    }
    for (const auto& entry : report.entries) {
      const MergeEntry own{entry.subscription, entry.hour, entry.totals};
      merge_entry(report.gateway, report.epoch, own, CountedBy::this_gateway);
    }
    check_guards(known);
    TOLLGATE_FAIL_POINT("report.merge");
    return {};
  });
  TOLLGATE_FAIL_POINT("report.merged");
  return merged;
}

Result<std::vector<Core::MergeEntry>> Core::resolve(const std::vector<NamedUsage>& totals) {
  std::map<std::pair<std::string_view, std::string_view>, std::uint32_t> numbers;
  std::vector<MergeEntry> entries;
  entries.reserve(totals.size());
  for (std::size_t i = 0; i < totals.size(); ++i) {
    const auto& named = totals[i];
    if (auto checked = check_totals(named.totals, i); checked.has_error()) return checked.error();
    auto& number = numbers[{named.account, named.service}];
    if (number == 0) {
      if (auto found = need_account(named.account); found.has_error()) return found.error();
      // A removed service counts: what was used before its removal may be reported after it.
      const auto row = store_.find_subscription(named.account, named.service);
      if (!row) {
        auto subscription = need_subscription(named.account, named.service);
        return subscription.error();
      }
      number = row->number;
    }
    entries.push_back({number, named.hour, named.totals});
  }
  return entries;
}

Result<void> Core::merge(std::string_view gateway, std::int64_t epoch, const std::vector<NamedUsage>& totals) {
  return run([&]() -> Result<void> {
    if (!is_valid_id(gateway)) return invalid("gateway", "a gateway's name is 1 to 63 of a-z, 0-9 and '-'");
    if (auto checked = check_epoch(gateway, epoch); checked.has_error()) return checked.error();
    if (own_epoch_ != 0 && epoch == own_epoch_) {
      return Fault{FaultKind::conflict, "epoch_in_use", "this gateway counts under that epoch itself; open another",
                   "epoch"};
    }
    const auto entries = resolve(totals);
    if (entries.has_error()) return entries.error();
    for (std::size_t i = 0; i < entries->size(); ++i) {
      const MergeEntry& entry = (*entries)[i];
      const auto stored =
          store_.find_report({gateway, static_cast<std::uint32_t>(epoch), entry.subscription, entry.hour});
      const UsageTotals before = stored.value_or(UsageTotals{});
      const UsageTotals increase = difference(larger(before, entry.totals), before);
      if (auto held = check_books_hold(entry, increase, i); held.has_error()) return held.error();
      const Points points = merge_entry(gateway, static_cast<std::uint32_t>(epoch), entry, CountedBy::others);
      if (points == Points()) continue;
      const auto hours = free_quota_hours(*store_.find_subscription(entry.subscription));
      if (hours && (entry.hour < hours->first || entry.hour >= hours->second)) continue;
      publish([number = entry.subscription, points](EntitlementSink& sink) {
        sink.free_points_used_elsewhere(number, points);
      });
    }
    std::unordered_set<std::uint32_t> subscriptions;
    for (const auto& entry : *entries) subscriptions.insert(entry.subscription);
    check_guards(subscriptions);
    return {};
  });
}

Result<Page<UsageRow>> Core::usage(std::string_view account, std::optional<std::string> service, WallTime from,
                                   WallTime to, std::optional<std::string> after, int limit) {
  return in_transaction([&]() -> Result<Page<UsageRow>> {
    if (auto found = need_account(account); found.has_error()) return found.error();
    if (service && !store_.find_service(*service)) return need_service(*service).error();  // a removed one is found
    if (from > to) return invalid("to", "to must not be before from");
    UsageQuery query{account, service, hour_from(from), hour_from(to), std::nullopt, page_limit(limit) + 1};
    if (after) {
      query.after = parse_cursor(*after);
      if (!query.after) return invalid("after", "not a cursor of this list");
    }
    const auto rows = store_.usage(query);
    return make_page<UsageRow>(
        rows, limit, [](const UsageRow& row) { return row; }, to_cursor);
  });
}

}  // namespace tollgate::billing
