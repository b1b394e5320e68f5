// Plans: versioned, immutable price lists that subscriptions are pinned to. Data from conf/plans/*.yaml.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/amount.h"
#include "base/calendar.h"
#include "base/fault.h"

namespace tollgate::billing {

struct QpsPackPrice {  // per QPS and day (a started day counts whole)
  std::string model;
  MicroYuan metered;
  MicroYuan unlimited;
};

enum class FreeQuotaPeriod { once, day, month };

struct Plan {
  std::string id;     // "points-2021-08-20"
  std::string title;
  Points free_quota;  // points of a subscription that cost nothing
  FreeQuotaPeriod free_quota_period = FreeQuotaPeriod::once;
  std::optional<WallTime> sold_until;  // nothing new of the plan is sold from this instant on
  std::vector<QpsPackPrice> qps_packs;

  static Result<Plan> parse(std::string_view yaml, std::string_view source);
  [[nodiscard]] const QpsPackPrice* qps_pack_price(std::string_view model) const noexcept;
};

// The plans that are compiled in from conf/plans/. The first one is the default of new subscriptions.
const std::vector<Plan>& built_in_plans();

}  // namespace tollgate::billing
