#include "billing/rating.h"

#include <algorithm>

#include "base/check.h"

namespace tollgate::billing {
namespace {
__extension__ using Wide = __int128;  // products of 64-bit counts and prices

// Points of a total that lie in the tier from `begin` to `end` (none: without an end).
std::int64_t within(std::int64_t total, std::int64_t begin, const std::optional<Points>& end) {
  const std::int64_t last = end ? std::min(total, end->count()) : total;
  return std::max<std::int64_t>(0, last - begin);
}

std::optional<MicroYuan> bounded(Wide amount) {
  if (amount > kPriceMaxMicroYuan) return std::nullopt;
  return MicroYuan(static_cast<std::int64_t>(amount));
}
}  // namespace

std::optional<MicroYuan> price_of_total(const std::vector<Tier>& tiers, Points total) {
  TOLLGATE_CHECK(!tiers.empty() && !tiers.back().up_to && total >= Points());
  Wide price = 0;  // at most 2^63 points x 10^12 micro-yuan
  std::int64_t begin = 0;
  for (const auto& tier : tiers) {
    price += static_cast<Wide>(within(total.count(), begin, tier.up_to)) * tier.per_point.count();
    if (tier.up_to) begin = tier.up_to->count();
  }
  return bounded(price);
}

std::optional<MicroYuan> charge(const std::vector<Tier>& tiers, Points before, Points after) {
  TOLLGATE_CHECK(before <= after);
  const auto low = price_of_total(tiers, before);
  const auto high = price_of_total(tiers, after);
  if (!low || !high) return std::nullopt;
  return *high - *low;
}

std::vector<RatedPart> rate(const std::vector<Tier>& tiers, Points before, Points points) {
  std::vector<RatedPart> parts;
  const Points after = before + points;
  if (!charge(tiers, before, after)) return parts;
  std::int64_t begin = 0;
  for (const auto& tier : tiers) {
    const std::int64_t count = within(after.count(), begin, tier.up_to) - within(before.count(), begin, tier.up_to);
    if (count > 0) parts.push_back({Points(count), tier.per_point, tier.per_point * count});
    if (tier.up_to) begin = tier.up_to->count();
  }
  return parts;
}

std::optional<MicroYuan> price_of_calls(std::int64_t calls, MicroYuan per_call) {
  TOLLGATE_CHECK(calls >= 0);
  return bounded(static_cast<Wide>(calls) * per_call.count());
}

}  // namespace tollgate::billing
