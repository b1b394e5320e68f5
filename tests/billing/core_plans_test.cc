// Older plans, migration, purchases, free quota periods, and plans that are in use.
#include "tests/billing/settlement_fixture.h"

namespace tollgate::billing {
namespace {

class CorePlans : public SettlementTest {
 protected:
  static constexpr const char* kLegacy = "calls-legacy";
  // A subscription from before August 20, with 10,000 calls of object-detection/high-performance prepaid.
  void make_legacy() {
    clock.set(at("2021-08-19T10:30:00+08:00"));
    subscribe("detect", "object-detection/high-performance", kLegacy);
    deposit("1000");
    pack = core->buy_count_pack("acme", "detect", 10'000).value();
  }
  CountPack pack;
};

TEST_F(CorePlans, CallsAreChargedByTheCallAfterTheCountPacks) {
  make_legacy();
  EXPECT_EQ(pack.price, yuan("47.5"));
  EXPECT_EQ(cash(), yuan("952.5"));
  use("detect", "2021-08-19T10:00:00+08:00", 12'000 * 5, 12'000);
  run("2021-08-19T11:00:00+08:00");
  EXPECT_EQ(cash(), yuan("942.5"));  // 2,000 calls at 0.005
  EXPECT_TRUE(subscription("detect").count_packs.empty());
  EXPECT_EQ(subscription("detect").month_points, Points());
  const Bill bill = core->bill("acme", {2021, 8}).value();
  ASSERT_EQ(bill.lines.size(), 3u);
  EXPECT_EQ(bill.lines[0].kind, BillLineKind::tier);
  EXPECT_EQ(bill.lines[0].paid_from, PaidFrom::call);
  EXPECT_EQ(bill.lines[0].calls, 2'000);
  EXPECT_EQ(bill.lines[1].kind, BillLineKind::count_pack);
  EXPECT_EQ(bill.lines[1].calls, 10'000);
  expect_audit_holds();
}

TEST_F(CorePlans, PointsThatAreNoWholeCallYetWaitForTheNext) {
  make_legacy();
  use("detect", "2021-08-19T10:00:00+08:00", 10'000 * 5 + 3, 10'001);  // 2 points of the last call were free
  run("2021-08-19T11:00:00+08:00");
  EXPECT_EQ(cash(), yuan("952.5"));
  use("detect", "2021-08-19T11:00:00+08:00", 7, 2);
  run("2021-08-19T12:00:00+08:00");
  EXPECT_EQ(cash(), yuan("952.49"));  // 3 + 7 points are two calls
  expect_audit_holds();
}

TEST_F(CorePlans, NothingOfTheOldPlanIsSoldFromTheTwentiethOfAugust) {
  make_legacy();
  clock.set(at("2021-08-20T00:00:00+08:00"));
  const auto refused = core->buy_count_pack("acme", "detect", 10'000);
  EXPECT_EQ(code_of(refused), "plan_not_sold");
  EXPECT_EQ(refused.error().kind, FaultKind::gone);
  EXPECT_EQ(code_of(core->buy_qps_pack("acme", "detect", 1, false, clock.now(), clock.now() + std::chrono::hours(1))),
            "plan_not_sold");
  ASSERT_TRUE(core->put_service("other", "sound-classification", "{}").has_value());
  EXPECT_EQ(code_of(core->put_subscription("acme", "other", true, kLegacy)), "plan_not_sold");
  ASSERT_TRUE(core->put_subscription("acme", "other", true, std::nullopt).has_value());
  EXPECT_EQ(core->buy_count_pack("acme", "other", 10'000).error().kind, FaultKind::gone);
  use("detect", "2021-08-20T00:00:00+08:00", 100, 20);  // and what is pinned keeps running
  run("2021-08-20T01:00:00+08:00");
  EXPECT_EQ(subscription("detect").count_packs[0].calls_left, 9'980);
}

TEST_F(CorePlans, AMigrationHoldsFromTheNextHourAndUsesCountPacksUpFirst) {
  make_legacy();
  run("2021-08-25T10:30:00+08:00");
  const auto migration = core->migrate("acme", "detect", "points-2021-08-20").value();
  EXPECT_EQ(migration.from, hour_of(at("2021-08-25T11:00:00+08:00")));
  EXPECT_EQ(core->migrate("acme", "detect", "points-2021-08-20")->from, migration.from);
  EXPECT_EQ(subscription("detect").plan, kLegacy);
  ASSERT_TRUE(subscription("detect").migration);
  use("detect", "2021-08-25T10:00:00+08:00", 9'900 * 5, 9'900);
  use("detect", "2021-08-25T11:00:00+08:00", 1'100 * 5, 1'100);
  run("2021-08-25T12:00:00+08:00");
  const auto after = subscription("detect");
  EXPECT_EQ(after.plan, "points-2021-08-20");
  EXPECT_FALSE(after.migration);
  EXPECT_TRUE(after.count_packs.empty());
  EXPECT_EQ(after.month_points, Points(5'000));  // 100 calls were left of the pack
  EXPECT_EQ(cash(), yuan("947.5"));
  EXPECT_EQ(after.free_points_left, Points(10'000));
  EXPECT_EQ(code_of(core->migrate("acme", "detect", "points-2021-08-20")), "plan_unchanged");
  EXPECT_EQ(code_of(core->migrate("acme", "detect", kLegacy)), "plan_not_sold");
  EXPECT_EQ(field_of(core->migrate("acme", "detect", "no-such")), "plan");
  // Late usage of an hour before it is charged by the plan of that hour.
  use("detect", "2021-08-25T10:00:00+08:00", 9'901 * 5, 9'901);
  run("2021-08-25T13:00:00+08:00");
  EXPECT_EQ(cash(), yuan("947.495"));
  EXPECT_EQ(subscription("detect").month_points, Points(5'000));
  expect_audit_holds();
}

TEST_F(CorePlans, AServiceDoesNotMoveToAModelThatASubscribedPlanHasNoPriceFor) {
  auto& legacy = plans.back();
  std::erase_if(legacy.calls, [](const CallPrice& price) { return price.model == "sound-classification"; });
  make_legacy();
  ASSERT_TRUE(core->put_service("free", "image-segmentation", "{}").has_value());
  EXPECT_TRUE(core->put_service("free", "sound-classification", "{}").has_value());  // nobody is subscribed
  const auto refused = core->put_service("detect", "sound-classification", "{}");
  EXPECT_EQ(code_of(refused), "model_not_priced");
  EXPECT_EQ(refused.error().kind, FaultKind::conflict);
  EXPECT_NE(refused.error().message.find(kLegacy), std::string::npos);
  EXPECT_EQ(core->service("detect")->model, "object-detection/high-performance");
  ASSERT_TRUE(core->delete_service("detect").has_value());  // its subscriptions come back with it
  EXPECT_EQ(code_of(core->put_service("detect", "sound-classification", "{}")), "model_not_priced");
  EXPECT_TRUE(core->put_service("detect", "image-segmentation", "{}").has_value());
  EXPECT_TRUE(core->put_service("detect", "object-detection/high-performance", "{}").has_value());
  ASSERT_TRUE(core->migrate("acme", "detect", "points-2021-08-20").has_value());
  EXPECT_EQ(code_of(core->put_service("detect", "sound-classification", "{}")), "model_not_priced");
  run("2021-08-19T11:00:00+08:00");
  EXPECT_TRUE(core->put_service("detect", "sound-classification", "{}").has_value());
}

TEST_F(CorePlans, PackagesAreRefusedByNameAndNothingMoves) {
  subscribe("detect");
  const auto buy = [&](std::int64_t points) { return core->buy_package("acme", "detect", Points(points)); };
  EXPECT_EQ(field_of(buy(1)), "points");
  const auto shortage = buy(200'000);
  EXPECT_EQ(code_of(shortage), "balance_short");
  EXPECT_EQ(shortage.error().kind, FaultKind::payment_required);
  ASSERT_TRUE(core->deposit("acme", yuan("500"), DepositKind::voucher, std::nullopt).has_value());
  deposit("179.999999");
  EXPECT_EQ(code_of(buy(200'000)), "balance_short");  // vouchers pay for usage only
  ASSERT_TRUE(core->put_subscription("acme", "detect", false, std::nullopt).has_value());
  EXPECT_EQ(code_of(buy(200'000)), "not_paid");
  EXPECT_EQ(core->transfers("acme", std::nullopt, 10)->items.size(), 2u);
  ASSERT_TRUE(core->put_subscription("acme", "detect", true, std::nullopt).has_value());
  deposit("0.000001");
  EXPECT_TRUE(buy(200'000).has_value());
  EXPECT_EQ(cash(), MicroYuan());
  expect_audit_holds();
}

TEST_F(CorePlans, APlanInUseThatSaysSomethingElseIsRefusedWithTheDifference) {
  subscribe("detect");
  ASSERT_TRUE(core->publish_all().has_value());
  plans.front().tiers.back().per_point = MicroYuan(700);
  const auto refused = core->publish_all();
  EXPECT_EQ(code_of(refused), "plan_changed");
  EXPECT_NE(refused.error().message.find("was 'tier beyond: 0.00064'; is 'tier beyond: 0.0007'"), std::string::npos)
      << refused.error().message;
  plans = built_in_plans();
  plans.back().title = "not in use yet, so it may still change";
  EXPECT_TRUE(core->publish_all().has_value());
}

TEST_F(CorePlans, ADailyQuotaIsGrantedAgainEachBeijingMidnight) {
  plans.front().free_quota_period = FreeQuotaPeriod::day;
  subscribe("detect");
  const auto number = subscription("detect").number;
  const NamedUsage used{"acme", "detect", hour_of(clock.now()), totals(9, 0, 9'000, 0)};
  ASSERT_TRUE(core->merge("gw-1", epoch, {used}).has_value());
  EXPECT_EQ(subscription("detect").free_points_left, Points(1'000));
  sink = RecordingSink();
  run("2021-08-25T23:59:59+08:00");
  EXPECT_TRUE(sink.quota_began.empty());
  run("2021-08-26T00:00:00+08:00");
  ASSERT_EQ(sink.quota_began.size(), 1u);
  EXPECT_EQ(sink.quota_began[0], std::pair(number, std::int64_t{10'000}));
  EXPECT_EQ(subscription("detect").free_points_left, Points(10'000));
  run("2021-08-29T10:00:00+08:00");
  EXPECT_EQ(sink.quota_began.size(), 4u);
  expect_audit_holds();
}

TEST_F(CorePlans, QuotesAreTierByTier) {
  const auto quote =
      core->quote("object-detection/high-performance", Points(2'000'000), std::nullopt, Points(), {}).value();
  EXPECT_EQ(quote.total, yuan("1800"));
  ASSERT_EQ(quote.lines.size(), 2u);
  EXPECT_EQ(quote.lines[1].amount, yuan("800"));
  EXPECT_EQ(core->quote("object-detection/high-performance", std::nullopt, 1'000, Points(), {})->total, yuan("5"));
  EXPECT_EQ(core->quote("object-detection/high-performance", std::nullopt, 1'000, Points(5'000'000), {})->total,
            yuan("3.2"));
  EXPECT_EQ(core->quote("object-detection/high-performance", std::nullopt, 1'000, Points(), kLegacy)->total, yuan("5"));
  EXPECT_EQ(field_of(core->quote("nothing", Points(1), std::nullopt, Points(), {})), "model");
  EXPECT_EQ(field_of(core->quote("sound-classification", Points(1), 1, Points(), {})), "points");
  EXPECT_EQ(field_of(core->quote("sound-classification", Points(-1), {}, Points(), {})), "points");
  EXPECT_EQ(field_of(core->quote("sound-classification", {}, kUsageTotalMax, Points(), {})), "calls");
  EXPECT_EQ(field_of(core->quote("sound-classification", Points(1), {}, Points(-1), {})), "month_points");
  EXPECT_EQ(field_of(core->quote("sound-classification", Points(1), {}, Points(), "none")), "plan");
}

TEST_F(CorePlans, TheOldPlanHasAPriceForEveryModelAndIsMarkedAsEnded) {
  const Plan& legacy = built_in_plans().at(1);
  EXPECT_EQ(legacy.id, kLegacy);
  EXPECT_TRUE(legacy.by_call());
  EXPECT_EQ(legacy.sold_until, at("2021-08-20T00:00:00+08:00"));
  for (const auto& model : Catalog::built_in().models()) {
    ASSERT_NE(legacy.call_price(model.name), nullptr) << model.name;
    EXPECT_EQ(legacy.call_price(model.name)->count_packs.size(), 3u);
  }
  EXPECT_TRUE(Plan::parse("{id: x, title: X, free_quota: {points: 0, period: once}, tiers: [{yuan_per_point: 1}],"
                          " calls: [{model: m, yuan_per_call: 1}]}",
                          "x")
                  .has_error());
}

}  // namespace
}  // namespace tollgate::billing
