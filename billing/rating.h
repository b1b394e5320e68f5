// What points and calls cost by a plan: pure functions on integers, over running totals. It knows no subscription, no
// packages and no clock; billing/core_settle.cc decides what is left to be rated.
#pragma once

#include <optional>
#include <vector>

#include "base/amount.h"
#include "billing/plan.h"

namespace tollgate::billing {

struct RatedPart {
  Points points;
  MicroYuan unit_price;
  MicroYuan amount;
};

// Above this a total has no price (nullopt below): sums of a ledger must stay within 64 bits.
inline constexpr std::int64_t kPriceMaxMicroYuan = 9'000'000'000'000'000'000;

// The price of the first `total` pay-as-you-go points of a month. `tiers` are those of a plan: by rising up_to, the
// last without one. `total` is at least 0.
[[nodiscard]] std::optional<MicroYuan> price_of_total(const std::vector<Tier>& tiers, Points total);

// What raises a month's total from `before` to `after` costs: the difference of the two prices, so that no charge
// depends on how usage was cut into hours and reports.
[[nodiscard]] std::optional<MicroYuan> charge(const std::vector<Tier>& tiers, Points before, Points after);

// The same tier by tier; the amounts add up to charge(before, before + points). Empty: it has no price, or no points.
[[nodiscard]] std::vector<RatedPart> rate(const std::vector<Tier>& tiers, Points before, Points points);

// calls x price, nullopt beyond kPriceMaxMicroYuan.
[[nodiscard]] std::optional<MicroYuan> price_of_calls(std::int64_t calls, MicroYuan per_call);

}  // namespace tollgate::billing
