// The worked examples of the price list, the order of payment, late usage, and what falls due with time.
#include "tests/billing/settlement_fixture.h"

namespace tollgate::billing {
namespace {

using CoreSettlement = SettlementTest;

TEST_F(CoreSettlement, AThousandCallsOfDetectionCostFiveYuan) {
  subscribe("detect", "object-detection/high-performance");
  deposit("100");
  use("detect", "2021-08-25T10:00:00+08:00", 5'000, 1'000);
  run("2021-08-25T11:00:00+08:00");
  EXPECT_EQ(cash(), yuan("95"));
  EXPECT_EQ(subscription("detect").month_points, Points(5'000));
  expect_audit_holds();
}

TEST_F(CoreSettlement, TwoMillionPointsInAMonthCostEighteenHundredYuanHoweverTheyCome) {
  subscribe("detect");
  deposit("10000");
  use("detect", "2021-08-25T10:00:00+08:00", 700'000);
  use("detect", "2021-08-25T11:00:00+08:00", 900'001);
  use("detect", "2021-08-26T23:00:00+08:00", 399'999);
  run("2021-08-31T12:00:00+08:00");
  EXPECT_EQ(cash(), yuan("8200"));
  const Bill bill = core->bill("acme", {2021, 8}).value();
  EXPECT_EQ(bill.total, yuan("1800"));
  ASSERT_EQ(bill.lines.size(), 2u);
  EXPECT_EQ(bill.lines[0].points, Points(1'000'000));
  EXPECT_EQ(bill.lines[0].amount, yuan("1000"));
  EXPECT_EQ(bill.lines[1].unit_price, yuan("0.0008"));
  EXPECT_EQ(bill.lines[1].amount, yuan("800"));
  EXPECT_EQ(bill.lines[0].kind, BillLineKind::tier);
  expect_audit_holds();
}

TEST_F(CoreSettlement, TheFirstPointOfTheNextMonthCostsTheFirstTierAgain) {
  subscribe("detect");
  deposit("10000");
  use("detect", "2021-08-31T23:00:00+08:00", 6'000'000);
  use("detect", "2021-09-01T00:00:00+08:00", 1);
  run("2021-09-01T00:00:00+08:00");
  EXPECT_EQ(cash(), yuan("10000") - yuan("4840"));
  run("2021-09-01T01:00:00+08:00");
  EXPECT_EQ(cash(), yuan("10000") - yuan("4840.001"));
  EXPECT_EQ(subscription("detect").month_points, Points(1));
  EXPECT_EQ(core->bill("acme", {2021, 8})->total, yuan("4840"));
  EXPECT_EQ(core->bill("acme", {2021, 9})->total, yuan("0.001"));
  expect_audit_holds();
}

TEST_F(CoreSettlement, APackageIsUsedUpBeforeTheTiers) {
  subscribe("detect");
  deposit("1000");
  const auto package = core->buy_package("acme", "detect", Points(200'000)).value();
  EXPECT_EQ(package.price, yuan("180"));
  EXPECT_EQ(package.expires_at, at("2022-08-26T00:00:00+08:00"));
  use("detect", "2021-08-25T10:00:00+08:00", 250'000);
  run("2021-08-25T11:00:00+08:00");
  EXPECT_EQ(cash(), yuan("770"));
  const auto after = subscription("detect");
  EXPECT_EQ(after.month_points, Points(50'000));
  ASSERT_EQ(after.packages.size(), 1u);
  EXPECT_EQ(after.packages[0].points_left, Points());
  const Bill bill = core->bill("acme", {2021, 8}).value();
  EXPECT_EQ(bill.total, yuan("230"));
  ASSERT_EQ(bill.lines.size(), 3u);
  EXPECT_EQ(bill.lines[0].kind, BillLineKind::tier);
  EXPECT_EQ(bill.lines[1].kind, BillLineKind::package);
  EXPECT_EQ(bill.lines[1].points, Points(200'000));
  EXPECT_EQ(bill.lines[2].kind, BillLineKind::purchase);
  expect_audit_holds();
}

TEST_F(CoreSettlement, TheEarliestExpiryPaysFirstAndEachPackageOnlyForHoursItWasActiveIn) {
  subscribe("detect");
  deposit("100000");
  const auto first = core->buy_package("acme", "detect", Points(200'000)).value();
  run("2021-10-01T09:59:59+08:00");
  const auto second = core->buy_package("acme", "detect", Points(500'000)).value();
  run("2021-10-01T10:00:00+08:00");
  const auto third = core->buy_package("acme", "detect", Points(200'000)).value();
  // The second was there in the last second of the hour; the third came at its end, which is no instant of it.
  use("detect", "2021-10-01T09:00:00+08:00", 800'000);
  run("2021-10-01T11:00:00+08:00");
  auto left = subscription("detect").packages;
  ASSERT_EQ(left.size(), 3u);
  EXPECT_EQ(left[0].id, first.id);
  EXPECT_EQ(left[0].points_left, Points());
  EXPECT_EQ(left[1].points_left, Points());
  EXPECT_EQ(left[2].points_left, Points(200'000));
  EXPECT_EQ(subscription("detect").month_points, Points(100'000));
  // It expires at the end of the day: the last hour of that day is covered and the next is not.
  EXPECT_EQ(third.expires_at, at("2022-10-02T00:00:00+08:00"));
  use("detect", "2022-10-01T23:00:00+08:00", 150'000);
  use("detect", "2022-10-02T00:00:00+08:00", 1'000);
  run("2022-10-02T01:00:00+08:00");
  EXPECT_EQ(subscription("detect").month_points, Points(1'000));
  EXPECT_TRUE(subscription("detect").packages.empty());
  expect_audit_holds();
}

TEST_F(CoreSettlement, APackageBoughtOnALeapDayExpiresWithTheLastOfFebruary) {
  subscribe("detect");
  deposit("1000");
  run("2024-02-29T12:00:00+08:00");
  EXPECT_EQ(core->buy_package("acme", "detect", Points(200'000))->expires_at, at("2025-03-01T00:00:00+08:00"));
}

TEST_F(CoreSettlement, LateUsageIsAnAdjustmentUnderItsOwnHourAndMonth) {
  subscribe("detect");
  deposit("10000");
  use("detect", "2021-08-31T22:00:00+08:00", 900'000);
  run("2021-09-02T10:30:00+08:00");
  EXPECT_EQ(cash(), yuan("9100"));
  use("detect", "2021-08-31T22:00:00+08:00", 1'200'000);  // 300,000 more of the same source
  use("detect", "2021-09-02T10:00:00+08:00", 1'000);
  run("2021-09-02T10:59:59+08:00");
  EXPECT_EQ(cash(), yuan("9100"));  // not before the next settlement
  run("2021-09-02T11:00:00+08:00");
  EXPECT_EQ(cash(), yuan("9100") - yuan("100") - yuan("160") - yuan("1"));
  EXPECT_EQ(subscription("detect").month_points, Points(1'000));
  const Bill august = core->bill("acme", {2021, 8}).value();
  EXPECT_EQ(august.total, yuan("1160"));
  ASSERT_EQ(august.lines.size(), 3u);
  for (const std::size_t i : {1u, 2u}) {
    EXPECT_EQ(august.lines[i].kind, BillLineKind::adjustment);
    EXPECT_EQ(august.lines[i].hour, hour_of(at("2021-08-31T22:00:00+08:00")));
  }
  EXPECT_EQ(core->bill("acme", {2021, 9})->total, yuan("1"));
  expect_audit_holds();
}

TEST_F(CoreSettlement, LateUsageAloneStandsInTheTiersOfItsOwnMonth) {
  subscribe("detect");
  deposit("10000");
  use("detect", "2021-08-31T22:00:00+08:00", 1'000'000);
  run("2021-09-02T10:00:00+08:00");
  EXPECT_EQ(cash(), yuan("9000"));
  use("detect", "2021-09-02T10:00:00+08:00", 10'000);
  run("2021-09-02T11:00:00+08:00");
  EXPECT_EQ(cash(), yuan("8990"));
  use("detect", "2021-08-31T22:00:00+08:00", 1'100'000);  // the only usage that is open at the next boundary
  run("2021-09-02T12:00:00+08:00");
  EXPECT_EQ(cash(), yuan("8990") - yuan("80"));
  EXPECT_EQ(subscription("detect").month_points, Points(10'000));
  expect_audit_holds();
}

TEST_F(CoreSettlement, AnHourThatHasNotEndedIsNotSettled) {
  subscribe("detect");
  deposit("10");
  use("detect", "2021-08-25T10:00:00+08:00", 1'000);
  run("2021-08-25T10:59:59.999999+08:00");
  EXPECT_EQ(cash(), yuan("10"));
  EXPECT_EQ(core->settlement_status()->lag_hours, 0);
  run("2021-08-25T11:00:00+08:00");
  EXPECT_EQ(cash(), yuan("9"));
  const auto again = core->run_due(clock.now()).value();
  EXPECT_EQ(again.settlements, 0);
  EXPECT_EQ(cash(), yuan("9"));
}

TEST_F(CoreSettlement, VouchersPayFirstByExpiryAndOnlyUnexpiredOnes) {
  subscribe("detect");
  deposit("10");
  const auto voucher = [&](std::string_view amount, std::optional<WallTime> expires_at) {
    ASSERT_TRUE(core->deposit("acme", yuan(amount), DepositKind::voucher, expires_at).has_value());
  };
  voucher("1", std::nullopt);
  voucher("2", at("2021-09-01T00:00:00+08:00"));
  voucher("4", at("2021-08-25T11:00:00+08:00"));  // expires with the instant of the settlement
  use("detect", "2021-08-25T10:00:00+08:00", 1'500);
  run("2021-08-25T11:00:00+08:00");
  EXPECT_EQ(core->account("acme")->vouchers, yuan("1.5"));
  EXPECT_EQ(cash(), yuan("10"));
  use("detect", "2021-08-25T11:00:00+08:00", 2'500);
  run("2021-08-25T12:00:00+08:00");
  EXPECT_EQ(core->account("acme")->vouchers, MicroYuan());
  EXPECT_EQ(cash(), yuan("9"));
  expect_audit_holds();
}

TEST_F(CoreSettlement, ALagAfterDowntimeIsCaughtUpHourByHourInOrder) {
  subscribe("detect");
  deposit("10");
  ASSERT_TRUE(core->deposit("acme", yuan("5"), DepositKind::voucher, at("2021-08-25T13:00:00+08:00")).has_value());
  for (const auto* hour : {"10", "11", "12", "13"}) {
    use("detect", std::string("2021-08-25T") + hour + ":00:00+08:00", 2'000);
  }
  clock.set(at("2021-08-25T14:20:00+08:00"));
  EXPECT_EQ(core->settlement_status()->lag_hours, 4);
  reopen();
  run("2021-08-25T14:20:00+08:00");
  // The voucher was good for the settlements of 11:00 and 12:00 and had expired at 13:00.
  EXPECT_EQ(cash(), yuan("6"));
  std::vector<std::string> paid;
  const auto transfers = core->transfers("acme", std::nullopt, 100).value();
  for (const auto& transfer : transfers.items) {
    if (transfer.reason == "usage") paid.push_back(format_time(transfer.at));
  }
  EXPECT_EQ(paid, (std::vector<std::string>{"2021-08-25T11:00:00+08:00", "2021-08-25T12:00:00+08:00",
                                            "2021-08-25T13:00:00+08:00", "2021-08-25T14:00:00+08:00"}));
  const Bill bill = core->bill("acme", {2021, 8}).value();
  for (const auto& line : bill.lines) EXPECT_EQ(line.kind, BillLineKind::tier);
  expect_audit_holds();
}

TEST_F(CoreSettlement, FreeAndUnmeteredUsageCostsNothingAndIsOnTheBooks) {
  subscribe("detect");
  const NamedUsage used{"acme", "detect", hour_of(clock.now()), totals(3, 1, 20, 0, 7)};
  ASSERT_TRUE(core->merge("gw-1", epoch, {used}).has_value());
  run("2021-08-25T11:00:00+08:00");
  EXPECT_EQ(cash(), MicroYuan());
  EXPECT_EQ(subscription("detect").month_points, Points());
  EXPECT_TRUE(core->bill("acme", {2021, 8})->lines.empty());
  expect_audit_holds();
}

TEST_F(CoreSettlement, ABillLeadsToTransfersAndTheyLeadToHoursGatewaysAndEpochs) {
  subscribe("detect");
  deposit("10");
  use("detect", "2021-08-25T10:00:00+08:00", 1'500);
  run("2021-08-25T11:00:00+08:00");
  const Bill bill = core->bill("acme", {2021, 8}).value();
  ASSERT_EQ(bill.lines.size(), 1u);
  ASSERT_EQ(bill.lines[0].transfers.size(), 1u);
  const auto transfer = core->explain_transfer("acme", bill.lines[0].transfers[0]).value();
  EXPECT_EQ(transfer.transfer->amount, yuan("1.5"));
  for (const auto& explanation : {transfer, core->explain_line("acme", {2021, 8}, bill.lines[0].id).value()}) {
    ASSERT_EQ(explanation.settlements.size(), 1u);
    const Settlement& settlement = explanation.settlements[0];
    EXPECT_EQ(settlement.reference, transfer.transfer->reference);
    EXPECT_EQ(settlement.hour, hour_of(at("2021-08-25T10:00:00+08:00")));
    EXPECT_EQ(settlement.plan, "points-2021-08-20");
    ASSERT_EQ(settlement.reported.size(), 1u);
    EXPECT_EQ(settlement.reported[0].gateway, "gw-1");
    EXPECT_EQ(settlement.reported[0].epoch, epoch);
    EXPECT_EQ(settlement.reported[0].totals.billable_points, Points(1'500));
  }
  EXPECT_EQ(code_of(core->explain_transfer("acme", 99)), "transfer_not_found");
  EXPECT_EQ(code_of(core->explain_line("acme", {2021, 8}, "x")), "line_not_found");
}

TEST_F(CoreSettlement, AYearOfAnAccountsLifeRunsInOneGo) {
  subscribe("detect");
  deposit("100000");
  for (int day = 0; day < 365; ++day) {
    const WallTime hour = at("2021-08-25T10:00:00+08:00") + std::chrono::days(day);
    use("detect", format_time(hour), 10'000);
  }
  const auto done = core->run_due(at("2022-09-01T00:00:00+08:00")).value();
  EXPECT_EQ(done.hours, 365);
  EXPECT_EQ(done.settlements, 365);
  EXPECT_EQ(cash(), yuan("100000") - yuan("3650"));
  expect_audit_holds();
}

TEST_F(CoreSettlement, AFaultPutsOffItsOwnHoursAndNothingElseOfItsAccountOrOfOthers) {
  plans.push_back(plans.front());
  plans.back().id = "gone";
  subscribe("detect");
  deposit("10");
  ASSERT_TRUE(core->put_account("zeta", "Zeta").has_value());
  ASSERT_TRUE(core->put_service("other", "sound-classification", "{}").has_value());
  ASSERT_TRUE(core->put_subscription("zeta", "detect", true, "gone").has_value());
  ASSERT_TRUE(core->put_subscription("zeta", "other", true, std::nullopt).has_value());
  ASSERT_TRUE(core->deposit("zeta", yuan("10"), DepositKind::cash, {}).has_value());
  const Plan gone = plans.back();
  plans.pop_back();
  const Hour hour = hour_of(clock.now());
  ASSERT_TRUE(core->merge("gw-1", epoch,
                          {{"zeta", "detect", hour, totals(1, 0, 0, 5'000)},
                           {"zeta", "other", hour, totals(1, 0, 0, 2'000)},
                           {"acme", "detect", hour, totals(1, 0, 0, 1'000)}})
                  .has_value());
  const auto done = core->run_due(at("2021-08-25T11:00:00+08:00")).value();
  EXPECT_EQ(done.failures, 1);
  EXPECT_EQ(done.settlements, 2);
  EXPECT_NE(done.failure.find("'zeta'"), std::string::npos) << done.failure;
  EXPECT_EQ(cash(), yuan("9"));
  EXPECT_EQ(core->account("zeta")->cash, yuan("8"));
  clock.set(at("2021-08-25T12:30:00+08:00"));
  EXPECT_EQ(core->run_due(clock.now())->failures, 1);
  EXPECT_EQ(core->settlement_status()->lag_hours, 2);
  expect_audit_holds();
  plans.push_back(gone);
  EXPECT_EQ(core->run_due(at("2021-08-25T13:00:00+08:00"))->settlements, 1);
  EXPECT_EQ(core->account("zeta")->cash, yuan("3"));
  expect_audit_holds();
}

// The data path refuses prepaid calls while it cannot count durably: it has to know which they are.
TEST_F(CoreSettlement, APackageIsPublishedAsPrepaidUntilItIsUsedUp) {
  clock.set(at("2021-09-01T09:00:00+08:00"));
  subscribe("detect");
  deposit("1000");
  run("2021-09-01T09:30:00+08:00");
  sink.subscriptions.clear();
  const auto package = core->buy_package("acme", "detect", Points(200'000)).value();
  ASSERT_EQ(sink.subscriptions.size(), 1u);
  EXPECT_EQ(sink.subscriptions[0].prepaid_until, package.expires_at);

  use("detect", "2021-09-01T09:00:00+08:00", 199'999);
  run("2021-09-01T10:00:00+08:00");
  EXPECT_EQ(sink.subscriptions.size(), 1u) << "a point is left";
  use("detect", "2021-09-01T10:00:00+08:00", 1);
  run("2021-09-01T11:00:00+08:00");
  ASSERT_EQ(sink.subscriptions.size(), 2u);
  EXPECT_LT(sink.subscriptions[1].prepaid_until, clock.now());
}

}  // namespace
}  // namespace tollgate::billing
