// The audit finds what was changed behind the program's back, and a report of somebody else never breaks it.
#include <SQLiteCpp/SQLiteCpp.h>

#include <algorithm>

#include "tests/billing/settlement_fixture.h"

namespace tollgate::billing {
namespace {

class CoreAudit : public SettlementTest {
 protected:
  // Subscriptions 1 (by the call, a count pack and a call begun) and 2 (by the point, a package, vouchers and cash),
  // settled; and an account with a voucher of its own that used nothing.
  void make_books() {
    clock.set(at("2021-08-19T10:30:00+08:00"));
    subscribe("detect", "object-detection/high-performance", "calls-legacy");
    subscribe("vision", "video-classification");
    deposit("1000");
    ASSERT_TRUE(core->deposit("acme", yuan("3"), DepositKind::voucher, std::nullopt).has_value());
    ASSERT_TRUE(core->put_account("beta", "Beta").has_value());
    ASSERT_TRUE(core->deposit("beta", yuan("3"), DepositKind::voucher, std::nullopt).has_value());
    ASSERT_TRUE(core->buy_count_pack("acme", "detect", 10'000).has_value());
    ASSERT_TRUE(core->buy_package("acme", "vision", Points(200'000)).has_value());
    ASSERT_TRUE(core->merge("gw-1", epoch,
                            {{"acme", "detect", hour_of(clock.now()), totals(10'001, 0, 5, 50'003)},
                             {"acme", "vision", hour_of(clock.now()), totals(9, 0, 15, 250'000)}})
                    .has_value());
    run("2021-08-19T11:00:00+08:00");
    expect_audit_holds();
  }
  // What the audit says of a copy of the closed store, changed by `sql`.
  std::vector<std::string> broken_by(const std::string& sql) {
    const TempFolder copy;
    const std::string database = copy.path() + "/tollgate.db";
    std::filesystem::copy(folder.path() + "/tollgate.db", database);
    {
      SQLite::Database changed(database, SQLite::OPEN_READWRITE);
      changed.exec(sql);
      EXPECT_GT(changed.getChanges(), 0) << sql;
    }
    const auto opened = open_sqlite_store(copy.path());
    if (opened.has_error()) return {opened.error().message};
    Core audited(**opened, Catalog::built_in(), plans, clock, sink);
    return broken(audited);
  }
  static std::vector<std::string> broken(Core& of) {
    std::vector<std::string> names;
    for (const auto& invariant : of.audit()) {
      if (!invariant.ok) names.push_back(invariant.name);
    }
    return names;
  }
};

TEST_F(CoreAudit, FindsWhatOthersChangedInTheBooks) {
  make_books();
  close();
  const std::string parts = "DROP TRIGGER settlement_parts_refuse_update; UPDATE settlement_parts SET ";
  const std::string transfers = "DROP TRIGGER transfers_refuse_update; UPDATE transfers SET ";
  const std::pair<std::string, const char*> changes[] = {
      {"INSERT INTO subscription_months VALUES (1, 1, 0, 5, 0, 0)", "month_points_off_from_settlements"},
      {"DELETE FROM subscription_months WHERE subscription = 1", "month_points_off_from_settlements"},
      {"UPDATE charges SET account = 'beta'", "charges_off_by_account"},
      {"UPDATE charges SET at = at + 1", "charges_off_by_account"},
      {"UPDATE subscriptions SET free_points_used = free_points_used + iif(number = 1, 5, -5)",
       "free_points_used_off_by_subscription"},
      {"UPDATE subscriptions SET free_points_granted = 20000 WHERE number = 2", "free_points_granted_off_from_grants"},
      {"UPDATE subscriptions SET call_remainder = -1 WHERE number = 1", "call_remainders_out_of_bounds"},
      {"UPDATE subscriptions SET call_remainder = 1000000 WHERE number = 1", "call_remainders_out_of_bounds"},
      {"UPDATE subscriptions SET call_remainder = 3 WHERE number = 2", "call_remainders_out_of_bounds"},
      {parts + "unit_price = 1 WHERE paid_from = 0", "parts_off_from_their_price"},
      {parts + "calls = calls + 1 WHERE paid_from = 1", "parts_off_from_their_price"},
      {parts + "unit_price = 5 WHERE paid_from = 2", "parts_off_from_their_price"},
      {parts + "unit_price = 5 WHERE paid_from = 3", "parts_off_from_their_price"},
      {parts + "paid_from = 9 WHERE paid_from = 1", "parts_off_from_their_price"},
      {transfers + "debit = 'cash:beta' WHERE debit = 'cash:acme' AND reason = 'usage'",
       "usage_transfers_off_from_their_account"},
      {transfers + "credit = 'income:packages' WHERE reason = 'usage'", "usage_transfers_off_from_their_account"},
      {transfers + "debit = (SELECT 'voucher:' || id FROM deposits WHERE account = 'beta') "
                   "WHERE reason = 'usage' AND debit LIKE 'voucher:%'",
       "usage_transfers_off_from_their_account"},
      {"UPDATE deposits SET expires_at = 1 WHERE kind = 'voucher' AND account = 'acme'",
       "usage_transfers_off_from_their_account"}};
  for (const auto& [sql, name] : changes) {
    const auto names = broken_by(sql);
    EXPECT_NE(std::ranges::find(names, name), names.end()) << sql << ": " << ::testing::PrintToString(names);
  }
}

TEST_F(CoreAudit, AReportOfMoreFreePointsThanWereGrantedBreaksNothingUnlessThisGatewayCountedThem) {
  subscribe("detect");
  const Hour hour = hour_of(clock.now());
  ASSERT_TRUE(core->merge("gw-1", epoch, {{"acme", "detect", hour, totals(1'250, 0, 20'000, 0)}}).has_value());
  EXPECT_EQ(subscription("detect").free_points_left, Points());
  expect_audit_holds();
  run("2021-08-25T11:00:00+08:00");
  expect_audit_holds();
  const auto own = core->open_epoch("gw-1");
  const std::uint32_t number = subscription("detect").number;
  ASSERT_TRUE(core->merge({"gw-1", own, {{number, hour, totals(625, 0, 10'000, 0)}}}).has_value());
  expect_audit_holds();
  ASSERT_TRUE(core->merge({"gw-1", own, {{number, hour, totals(626, 0, 10'016, 0)}}}).has_value());
  EXPECT_EQ(broken(*core), std::vector<std::string>{"free_points_over_grant"});
}

}  // namespace
}  // namespace tollgate::billing
