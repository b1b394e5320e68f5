// Usage near the ends of what 64 bits hold: settled exactly, or refused where it is reported, and nobody else's harm.
#include "tests/billing/settlement_fixture.h"

namespace tollgate::billing {
namespace {

using CoreSettlementBounds = SettlementTest;

TEST_F(CoreSettlementBounds, TheMostThatCanBeReportedIsSettledExactlyInSeveralRevisions) {
  subscribe("detect");
  deposit("1000000000");
  use("detect", "2021-08-25T10:00:00+08:00", kUsageTotalMax);
  const auto done = core->run_due(at("2021-08-25T11:00:00+08:00")).value();
  EXPECT_EQ(done.failures, 0);
  EXPECT_EQ(done.settlements, 10);
  const MicroYuan charged = yuan("4200") + MicroYuan(640) * (kUsageTotalMax - 5'000'000);
  EXPECT_EQ(cash(), yuan("1000000000") - charged);
  EXPECT_EQ(subscription("detect").month_points, Points(kUsageTotalMax));
  const Bill bill = core->bill("acme", {2021, 8}).value();
  EXPECT_EQ(bill.total, charged);
  EXPECT_EQ(bill.lines.size(), 3u);
  expect_audit_holds();
}

TEST_F(CoreSettlementBounds, WhatNoLedgerCouldHoldIsRefusedWhereItIsReportedAndNothingOfTheReportIsTaken) {
  subscribe("detect");
  subscribe("other", "sound-classification");
  const Hour hour = hour_of(clock.now());
  const auto report = [&](std::string_view gateway, std::uint32_t of, std::int64_t billable) {
    return core->merge(
        gateway, of,
        {{"acme", "other", hour, totals(1, 0, 0, 1'000)}, {"acme", "detect", hour, totals(0, 0, 0, billable)}});
  };
  const auto second = core->open_epoch("gw-2");
  EXPECT_TRUE(report("gw-1", epoch, kUsageTotalMax).has_value());
  EXPECT_TRUE(report("gw-1", epoch, kUsageTotalMax).has_value());  // a repetition adds nothing
  // The same again of another gateway: more than an hour has, and more than the books hold.
  for (const auto& refused : {report("gw-2", second, kUsageTotalMax), report("gw-2", second, kUsageTotalMax / 2)}) {
    EXPECT_EQ(code_of(refused), "usage_too_large");
    EXPECT_EQ(field_of(refused).substr(0, 10), "totals[1].");
  }
  const auto rows = core->usage("acme", "other", begin_of(hour), begin_of(hour.next()), {}, 10).value();
  EXPECT_EQ(rows.items.at(0).totals.billable_points, Points(1'000));
  const auto done = core->run_due(at("2021-08-25T11:00:00+08:00")).value();
  EXPECT_EQ(done.failures, 0);
  const NamedUsage next{"acme", "detect", hour.next(), totals(0, 0, 0, kUsageTotalMax / 2)};
  EXPECT_EQ(code_of(core->merge("gw-2", second, {next})), "usage_too_large");
  const NamedUsage absurd{"acme", "detect", hour.next(), totals(0, 0, 0, 20'000'000'000)};  // and the books hold it
  EXPECT_TRUE(core->merge("gw-2", second, {absurd}).has_value());
  EXPECT_EQ(core->run_due(at("2021-08-25T12:00:00+08:00"))->failures, 0);
  expect_audit_holds();
}

TEST_F(CoreSettlementBounds, WhatTheBooksCannotHoldWaitsAndTheRestOfItsAccountDoesNot) {
  subscribe("detect");
  subscribe("other", "sound-classification");
  deposit("10");
  // What this process counted itself is taken in any case.
  const std::vector<Hour> hours = {hour_of(clock.now()), hour_of(clock.now()).next()};
  for (const Hour hour : hours) {
    const meter::UsageReport report{
        "gw-1", epoch, {{1, hour, totals(1, 0, 0, kUsageTotalMax)}, {2, hour, totals(1, 0, 0, 1'000)}}};
    ASSERT_TRUE(core->merge(report).has_value());
  }
  EXPECT_EQ(core->run_due(at("2021-08-25T11:00:00+08:00"))->failures, 0);
  const auto done = core->run_due(at("2021-08-25T12:00:00+08:00")).value();
  EXPECT_EQ(done.failures, 1);
  EXPECT_NE(done.failure.find("books"), std::string::npos) << done.failure;
  EXPECT_EQ(subscription("other").month_points, Points(2'000));
  const auto used = core->usage("acme", "detect", begin_of(hours[1]), begin_of(hours[1].next()), {}, 10).value();
  EXPECT_GE(used.items.at(0).settled.count(), 3 * (kHourPointsMax - 16));  // as much of it as there is room for
  EXPECT_LT(used.items.at(0).settled.count(), kUsageTotalMax);
  expect_audit_holds();
  // All vouchers that a store takes pay the debt: debits of the whole ledger are beyond 64 bits, its balances are not.
  while (core->deposit("acme", kDepositMax, DepositKind::voucher, std::nullopt).has_value()) continue;
  EXPECT_LT(cash(), MicroYuan(-6'500'000'000'000'000'000));
  EXPECT_EQ(core->ledger_imbalance().value(), MicroYuan());
  expect_audit_holds();
}

}  // namespace
}  // namespace tollgate::billing
