#include "billing/rating.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>

namespace tollgate::billing {
namespace {

const std::vector<Tier>& tiers() { return built_in_plans().front().tiers; }

std::vector<Tier> any_tiers() {
  std::vector<Tier> made;
  std::int64_t below = 0;
  const int count = *rc::gen::inRange(0, 5);
  for (int i = 0; i < count; ++i) {
    below += *rc::gen::inRange<std::int64_t>(1, 1'000'000);
    made.push_back({Points(below), MicroYuan(*rc::gen::inRange<std::int64_t>(1, 10'000))});
  }
  made.push_back({std::nullopt, MicroYuan(*rc::gen::inRange<std::int64_t>(1, 10'000))});
  return made;
}

TEST(Rating, TheBordersOfTheTiersBelongToTheTierBefore) {
  EXPECT_EQ(price_of_total(tiers(), Points()), MicroYuan());
  EXPECT_EQ(price_of_total(tiers(), Points(1'000'000)), MicroYuan(1'000'000'000));
  EXPECT_EQ(price_of_total(tiers(), Points(1'000'001)), MicroYuan(1'000'000'800));
  EXPECT_EQ(price_of_total(tiers(), Points(5'000'000)), MicroYuan(4'200'000'000));
  EXPECT_EQ(price_of_total(tiers(), Points(5'000'001)), MicroYuan(4'200'000'640));
  EXPECT_EQ(price_of_total(tiers(), Points(6'000'000)), MicroYuan(4'840'000'000));
}

RC_GTEST_PROP(Rating, ChargesDoNotDependOnHowUsageWasCut, ()) {
  const auto list = any_tiers();
  const auto cuts = *rc::gen::container<std::vector<std::int64_t>>(rc::gen::inRange<std::int64_t>(0, 700'000));
  const Points start(*rc::gen::inRange<std::int64_t>(0, 2'000'000));
  Points at = start;
  MicroYuan sum;
  for (const auto cut : cuts) {
    const Points after = at + Points(cut);
    sum += *charge(list, at, after);
    at = after;
  }
  RC_ASSERT(sum == *charge(list, start, at));
}

RC_GTEST_PROP(Rating, PartsAddUpToTheChargeAndStandByTier, ()) {
  const auto list = any_tiers();
  const Points before(*rc::gen::inRange<std::int64_t>(0, 3'000'000));
  const Points points(*rc::gen::inRange<std::int64_t>(0, 3'000'000));
  MicroYuan amount;
  Points sum;
  for (const auto& part : rate(list, before, points)) {
    RC_ASSERT(part.points > Points());
    RC_ASSERT(part.amount == part.unit_price * part.points.count());
    amount += part.amount;
    sum += part.points;
  }
  RC_ASSERT(sum == points);
  RC_ASSERT(amount == *charge(list, before, before + points));
}

RC_GTEST_PROP(Rating, EveryPointCostsThePriceOfItsOwnTier, ()) {
  const auto list = any_tiers();
  const Points total(*rc::gen::inRange<std::int64_t>(0, 5'000'000));
  const auto tier =
      std::find_if(list.begin(), list.end(), [&](const Tier& each) { return !each.up_to || total < *each.up_to; });
  RC_ASSERT(*charge(list, total, total + Points(1)) == tier->per_point);
}

TEST(Rating, WhatNoLedgerCouldHoldHasNoPrice) {
  const std::vector<Tier> dear = {{std::nullopt, MicroYuan(1'000'000'000'000)}};
  const Points most(std::numeric_limits<std::int64_t>::max());
  EXPECT_FALSE(price_of_total(dear, most));
  EXPECT_FALSE(charge(dear, Points(1), most));
  EXPECT_TRUE(rate(dear, Points(), Points(9'000'001)).empty());
  EXPECT_EQ(price_of_total(dear, Points(9'000'000)), MicroYuan(kPriceMaxMicroYuan));
  EXPECT_FALSE(price_of_calls(most.count(), MicroYuan(2)));
  EXPECT_EQ(price_of_calls(3, MicroYuan(2)), MicroYuan(6));
}

}  // namespace
}  // namespace tollgate::billing
