// Plans: versioned, immutable price lists that subscriptions are pinned to. Data from conf/plans/*.yaml;
// what a price list says is here, what usage costs by it is not.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/amount.h"
#include "base/calendar.h"
#include "base/fault.h"
#include "billing/catalog.h"

namespace tollgate::billing {

struct Tier {                   // marginal, over the pay-as-you-go points of a subscription and calendar month
  std::optional<Points> up_to;  // inclusive; only the last tier has none
  MicroYuan per_point;          // more than 0
};

struct PackageOffer {  // prepaid points that can be bought
  Points points;
  MicroYuan price;
};

struct QpsPackPrice {  // per QPS and day (a started day counts whole)
  std::string model;
  MicroYuan metered;
  MicroYuan unlimited;
};

struct CountPackOffer {  // prepaid calls of one model that can be bought
  std::int64_t calls = 0;
  MicroYuan price;
};

struct CallPrice {  // of one model, in a plan that charges by the call
  std::string model;
  MicroYuan per_call;
  std::vector<CountPackOffer> count_packs;  // by rising calls
};

// When an account whose money does not cover its usage is treated as in arrears: at the settlement of the hour, or as
// soon as what is metered and not settled yet would take it below 0.
enum class ArrearsCheck { hourly, realtime };

enum class FreeQuotaPeriod { once, day, month };

struct Plan {
  std::string id;  // "points-2021-08-20"
  std::string title;
  Points free_quota;  // points of a subscription that cost nothing
  FreeQuotaPeriod free_quota_period = FreeQuotaPeriod::once;
  ArrearsCheck arrears_check = ArrearsCheck::hourly;
  std::optional<WallTime> sold_until;  // nothing new of the plan is sold from this instant on
  std::vector<Tier> tiers;             // by rising up_to; empty in a plan that charges by the call
  std::vector<CallPrice> calls;        // empty in a plan that charges by the point
  int package_months = 12;             // how long a package is valid
  std::vector<PackageOffer> packages;  // by rising points
  std::vector<QpsPackPrice> qps_packs;

  // All faults of the file at once, as Catalog::parse gives them; the code is invalid_plan.
  static Result<Plan> parse(std::string_view yaml, std::string_view source);
  [[nodiscard]] const QpsPackPrice* qps_pack_price(std::string_view model) const noexcept;
  [[nodiscard]] const CallPrice* call_price(std::string_view model) const noexcept;
  [[nodiscard]] bool by_call() const noexcept { return tiers.empty(); }
  [[nodiscard]] bool sold_at(WallTime instant) const noexcept { return !sold_until || instant < *sold_until; }
};

// Everything that a plan says, one line for each fact, without the file's comments and order of keys. A plan in use is
// kept by this text, and a file that no longer says the same is refused.
[[nodiscard]] std::string canonical(const Plan& plan);

// What no single file can show: there is a plan, ids differ, every model that a plan prices is in the catalogue.
Result<void> check_plans(const std::vector<Plan>& plans, const Catalog& catalog);

// The plans that are compiled in from conf/plans/. The first one is the default of new subscriptions.
const std::vector<Plan>& built_in_plans();

}  // namespace tollgate::billing
