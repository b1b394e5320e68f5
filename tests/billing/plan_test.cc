#include "billing/plan.h"

#include <gtest/gtest.h>

#include "billing/embedded.h"

namespace tollgate::billing {
namespace {

TEST(Plan, BuiltInIsThePriceListOfAugust2021) {
  const auto files = embedded_plans();
  ASSERT_FALSE(files.empty());
  const auto plan = Plan::parse(files[0].text, files[0].name);
  ASSERT_TRUE(plan.has_value()) << plan.error().message;
  EXPECT_EQ(plan->id, "points-2021-08-20");
  EXPECT_EQ(plan->free_quota, Points(10'000));
  EXPECT_EQ(plan->free_quota_period, FreeQuotaPeriod::once);
  EXPECT_FALSE(plan->sold_until);

  ASSERT_EQ(plan->tiers.size(), 3u);
  EXPECT_EQ(plan->tiers[0].up_to, Points(1'000'000));
  EXPECT_EQ(plan->tiers[0].per_point, MicroYuan(1000));
  EXPECT_EQ(plan->tiers[1].up_to, Points(5'000'000));
  EXPECT_EQ(plan->tiers[1].per_point, MicroYuan(800));
  EXPECT_FALSE(plan->tiers[2].up_to);
  EXPECT_EQ(plan->tiers[2].per_point, MicroYuan(640));

  EXPECT_EQ(plan->package_months, 12);
  ASSERT_EQ(plan->packages.size(), 6u);
  EXPECT_EQ(plan->packages[0].points, Points(200'000));
  EXPECT_EQ(plan->packages[0].price, MicroYuan(180'000'000));
  EXPECT_EQ(plan->packages[5].points, Points(10'000'000));
  EXPECT_EQ(plan->packages[5].price, MicroYuan(6'500'000'000));
}

TEST(Plan, BuiltInPricesQpsPacksOfEveryModelAndUnlimitedCostsMore) {
  const auto& plan = built_in_plans().front();
  for (const auto& model : Catalog::built_in().models()) {
    const auto* price = plan.qps_pack_price(model.name);
    ASSERT_NE(price, nullptr) << model.name;
    EXPECT_LT(price->metered, price->unlimited) << model.name;
  }
  EXPECT_EQ(plan.qps_pack_price("no/such-model"), nullptr);
}

TEST(Plan, IsSoldUntilTheInstantItNames) {
  const auto plan = Plan::parse(
      "{id: old, title: Old, free_quota: {points: 5, period: month}, sold_until: '2021-08-20T00:00:00+08:00',"
      " tiers: [{yuan_per_point: 0.001}]}",
      "old.yaml");
  ASSERT_TRUE(plan.has_value()) << plan.error().message;
  EXPECT_EQ(plan->free_quota_period, FreeQuotaPeriod::month);
  const WallTime end = parse_time("2021-08-20T00:00:00+08:00").value();
  EXPECT_TRUE(plan->sold_at(end - std::chrono::microseconds(1)));
  EXPECT_FALSE(plan->sold_at(end));
}

TEST(Plan, EveryFaultOfAFileIsReportedWithItsLine) {
  const auto parsed = Plan::parse(
      "id: Upper\n"
      "title: ''\n"
      "free_quota: {points: -1, period: week}\n"
      "sold_until: yesterday\n"
      "tiers:\n"
      "  - {up_to: 100, yuan_per_point: 0.0000001}\n"
      "  - {up_to: 100, yuan_per_point: 1e-3}\n"
      "  - {yuan_per_point: 0}\n"
      "  - {up_to: 500, yuan_per_point: 0.1}\n"
      "packages:\n"
      "  - {points: 10, price: 1}\n"
      "  - {points: 10, price: -1}\n"
      "qps_packs:\n"
      "  - {model: m, metered: 1, unlimited: 2, monthly: 3}\n"
      "  - {model: m, metered: 1}\n"
      "currency: yuan\n",
      "p.yaml");
  ASSERT_TRUE(parsed.has_error());
  const std::string price = "must be yuan above 0 and at most 1000000, with at most six digits after the point, not ";
  EXPECT_EQ(parsed.error().code, "invalid_plan");
  EXPECT_EQ(parsed.error().message,
            "p.yaml:1: id must have 1 to 63 of a-z, 0-9 and '-', and not begin with '-'\n"
            "p.yaml:2: title must have 1 to 200 bytes\n"
            "p.yaml:3: points must be an integer from 0 to 1000000000000, not '-1'\n"
            "p.yaml:3: period must be one of once, day, month, not 'week'\n"
            "p.yaml:4: sold_until must be an RFC 3339 time\n"
            "p.yaml:6: yuan_per_point " +
                price +
                "'0.0000001'\n"
                "p.yaml:7: up_to must be above 100, the tier before\n"
                "p.yaml:7: yuan_per_point " +
                price +
                "'1e-3'\n"
                "p.yaml:8: a tier lacks 'up_to'\n"
                "p.yaml:8: yuan_per_point " +
                price +
                "'0'\n"
                "p.yaml:9: the last tier must have no up_to, or usage beyond it would have no price\n"
                "p.yaml:12: packages must stand by rising points\n"
                "p.yaml:12: price " +
                price +
                "'-1'\n"
                "p.yaml:14: unknown key 'monthly' in a QPS pack price\n"
                "p.yaml:15: a QPS pack price lacks 'unlimited'\n"
                "p.yaml:15: model 'm' stands here twice\n"
                "p.yaml:16: unknown key 'currency' in the plan");
}

TEST(Plan, SeveralPlansAreCheckedAgainstEachOtherAndTheCatalogue) {
  EXPECT_TRUE(check_plans(built_in_plans(), Catalog::built_in()).has_value());
  EXPECT_TRUE(check_plans({}, Catalog::built_in()).has_error());
  Plan twin = built_in_plans().front();
  twin.qps_packs = {{"no/such-model", MicroYuan(1), MicroYuan(2)}};
  const auto checked = check_plans({built_in_plans().front(), twin}, Catalog::built_in());
  ASSERT_TRUE(checked.has_error());
  EXPECT_EQ(checked.error().message,
            "plan 'points-2021-08-20' is there twice\n"
            "plan 'points-2021-08-20' prices QPS packs of 'no/such-model', which is not in the catalogue");
}

}  // namespace
}  // namespace tollgate::billing
