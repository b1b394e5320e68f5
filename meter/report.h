// The usage report: cumulative totals per subscription and hour, as a gateway's journal knows them.
// It is the only type that meter and billing share; totals only grow, so merging is by maximum.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/amount.h"
#include "base/calendar.h"

namespace tollgate::meter {

// A call is counted in exactly one of the three call totals (an unmetered call is neither succeeded nor failed here).
struct UsageTotals {
  std::int64_t calls_succeeded = 0;
  std::int64_t calls_failed = 0;
  std::int64_t calls_unmetered = 0;  // calls under an active unlimited QPS pack
  Points free_points;
  Points billable_points;

  friend bool operator==(const UsageTotals&, const UsageTotals&) = default;
};

struct UsageEntry {
  std::uint32_t subscription = 0;  // the number the billing core gave the subscription
  Hour hour;                       // the hour in which the calls were admitted
  UsageTotals totals;              // cumulative for (gateway, epoch, subscription, hour)
};

struct UsageReport {
  std::string gateway;
  std::uint32_t epoch = 0;
  std::vector<UsageEntry> entries;
};

}  // namespace tollgate::meter
