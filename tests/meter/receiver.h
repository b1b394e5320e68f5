// A receiver of usage reports that merges as the billing core does, by maximum, and can be told to fail. It rates
// nothing.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <tuple>
#include <vector>

#include "meter/collector.h"

namespace tollgate::meter {

struct UsageKey {
  std::uint32_t epoch = 0;
  std::uint32_t subscription = 0;
  Hour hour;
  friend auto operator<=>(const UsageKey&, const UsageKey&) = default;
};
using UsageBook = std::map<UsageKey, UsageTotals>;

class Receiver {
 public:
  enum class Mood { takes, loses, takes_but_says_it_failed };

  Collector::Deliver deliver() {
    return [this](const UsageReport& report) -> Result<void> { return take(report); };
  }

  Mood mood = Mood::takes;
  std::size_t moody_after = 0;       // reports taken whatever the mood, each round
  std::vector<UsageReport> reports;  // all that were offered
  UsageBook merged;

 private:
  Result<void> take(const UsageReport& report) {
    reports.push_back(report);
    const bool fails = mood != Mood::takes && moody_after-- == 0;
    if (fails) moody_after = 0;
    if (!fails || mood == Mood::takes_but_says_it_failed) merge(report);
    if (fails) return Fault{FaultKind::unavailable, "store_failed", "the receiver is away", ""};
    return {};
  }

  void merge(const UsageReport& report) {
    for (const auto& entry : report.entries) {
      UsageTotals& kept = merged[{report.epoch, entry.subscription, entry.hour}];
      kept.calls_succeeded = std::max(kept.calls_succeeded, entry.totals.calls_succeeded);
      kept.calls_failed = std::max(kept.calls_failed, entry.totals.calls_failed);
      kept.calls_unmetered = std::max(kept.calls_unmetered, entry.totals.calls_unmetered);
      kept.free_points = std::max(kept.free_points, entry.totals.free_points);
      kept.billable_points = std::max(kept.billable_points, entry.totals.billable_points);
    }
  }
};

}  // namespace tollgate::meter
