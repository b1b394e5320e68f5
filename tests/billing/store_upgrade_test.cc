// Stores of older schema versions, opened by this program.
#include <SQLiteCpp/SQLiteCpp.h>

#include "billing/store_sqlite_migrations.h"
#include "tests/billing/settlement_fixture.h"

namespace tollgate::billing {
namespace {

class StoreUpgrade : public SettlementTest {
 protected:
  // The same of the second version, where that hour was settled at 11:00 for 1 yuan: a voucher paid 0.4 of it.
  void make_settled_store() {
    make_old_store();
    SQLite::Database old(folder.path() + "/tollgate.db", SQLite::OPEN_READWRITE);
    old.exec(kSchemaSettlement);
    old.exec("INSERT INTO schema_version (version) VALUES (2)");
    const WallTime created = at("2021-08-25T10:00:00+08:00");
    const std::string time = std::to_string(at("2021-08-25T11:00:00+08:00").time_since_epoch().count());
    const std::string hour = std::to_string(hour_of(created).since_epoch);
    const std::string month = std::to_string(2021 * 12 + 7);
    const std::string reference = "'1/" + hour + "/1'";
    old.exec("INSERT INTO deposits VALUES ('deposit-2', 'acme', 'voucher', 400000, NULL, " + time + ")");
    for (const char* row :
         {"'external:deposits', 'voucher:deposit-2', 400000, 'deposit', 'deposit-2'",
          "'voucher:deposit-2', 'income:usage', 400000, 'usage', ", "'cash:acme', 'income:usage', 600000, 'usage', "}) {
      const std::string values = row;
      old.exec("INSERT INTO transfers (at, account, debit, credit, amount, reason, reference) VALUES (" + time +
               ", 'acme', " + values + (values.ends_with(", ") ? reference : "") + ")");
    }
    old.exec("UPDATE usage_hours SET settled_free = 16, settled_billable = 1000, revision = 1, open = 0");
    old.exec("INSERT INTO settlements VALUES (7, 1, " + hour + ", 1, " + time + ", 'acme', " + month +
             ", 'points-2021-08-20', 16, 1000, 0, 0, 0, 1000, 1000000)");
    old.exec("INSERT INTO settlement_parts VALUES (7, 0, 0, '', 1000, 0, 1000, 1000000)");
    old.exec("INSERT INTO month_points VALUES (1, " + month + ", 1000)");
    old.exec("INSERT INTO charges VALUES ('acme', " + time + ", 1000000)");
    for (const char* row :
         {"'free:1', 'used:1', 16, 'used_free', ", "'issued:pay_as_you_go', 'used:1', 1000, 'charged', "}) {
      old.exec("INSERT INTO point_transfers (at, subscription, debit, credit, points, reason, reference) VALUES (" +
               time + ", 1, " + row + reference + ")");
    }
    old.exec("INSERT INTO due_through VALUES (1, " + time + ")");
  }
  // acme from 10:00 with 100 yuan, 16 free points used and 1,000 billable ones in the hour that begins then.
  void make_old_store() {
    close();
    std::filesystem::remove(folder.path() + "/tollgate.db");
    std::filesystem::remove(folder.path() + "/tollgate.db-wal");
    SQLite::Database old(folder.path() + "/tollgate.db", SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    old.exec("CREATE TABLE schema_version (version INTEGER PRIMARY KEY) STRICT");
    old.exec(kSchemaCore);
    old.exec("INSERT INTO schema_version (version) VALUES (1)");
    const WallTime created = at("2021-08-25T10:00:00+08:00");
    const std::string time = std::to_string(created.time_since_epoch().count());
    const std::string hour = std::to_string(hour_of(created).since_epoch);
    old.exec("INSERT INTO accounts VALUES ('acme', 'Acme', " + time + ")");
    old.exec("INSERT INTO services VALUES ('detect', 'image-segmentation', '{}', NULL)");
    old.exec(
        "INSERT INTO subscriptions (account, service, paid, plan, free_points_granted, free_points_used, created_at) "
        "VALUES ('acme', 'detect', 1, 'points-2021-08-20', 10000, 16, " +
        time + ")");
    old.exec("INSERT INTO deposits VALUES ('deposit-1', 'acme', 'cash', 100000000, NULL, " + time + ")");
    old.exec("INSERT INTO transfers (at, account, debit, credit, amount, reason, reference) VALUES (" + time +
             ", 'acme', 'external:deposits', 'cash:acme', 100000000, 'deposit', 'deposit-1')");
    old.exec("INSERT INTO epochs (gateway, opened_at) VALUES ('gw-1', " + time + ")");
    old.exec("INSERT INTO usage_reports VALUES ('gw-1', 1, 1, " + hour + ", 2, 0, 0, 16, 1000)");
    old.exec("INSERT INTO usage_hours VALUES (1, " + hour + ", 2, 0, 0, 16, 1000)");
  }
};

TEST_F(StoreUpgrade, ItsUsageIsSettledFromTheFirstHourAndItsBooksHold) {
  make_old_store();
  open();
  clock.set(at("2021-08-27T15:20:00+08:00"));
  ASSERT_TRUE(core->publish_all().has_value());
  expect_audit_holds();
  run("2021-08-27T15:20:00+08:00");
  EXPECT_EQ(cash(), yuan("99"));
  const auto transfers = core->transfers("acme", std::nullopt, 10).value();
  ASSERT_EQ(transfers.items.size(), 2u);
  EXPECT_EQ(transfers.items[1].at, at("2021-08-25T11:00:00+08:00"));
  EXPECT_EQ(subscription("detect").free_points_left, Points(9'984));
  expect_audit_holds();
  // The plan was pinned by its text when the store was opened.
  plans.front().package_months = 11;
  EXPECT_EQ(code_of(core->publish_all()), "plan_changed");
}

TEST_F(StoreUpgrade, WhatWasSettledStaysOnTheBillsAndLateUsageGoesOnFromThere) {
  make_settled_store();
  open();
  clock.set(at("2021-08-25T11:20:00+08:00"));
  ASSERT_TRUE(core->publish_all().has_value());
  expect_audit_holds();
  EXPECT_EQ(cash(), yuan("99.4"));
  EXPECT_EQ(subscription("detect").month_points, Points(1'000));
  const Bill bill = core->bill("acme", {2021, 8}).value();
  EXPECT_EQ(bill.total, yuan("1"));
  ASSERT_EQ(bill.lines.size(), 1u);
  EXPECT_EQ(bill.lines[0].transfers, (std::vector<std::int64_t>{3, 4}));
  const auto explained = core->explain_transfer("acme", 4).value();
  ASSERT_EQ(explained.settlements.size(), 1u);
  EXPECT_EQ(explained.settlements[0].transfers.size(), 2u);
  EXPECT_EQ(explained.settlements[0].free_points, Points(16));
  use("detect", "2021-08-25T10:00:00+08:00", 3'000);
  run("2021-08-25T12:00:00+08:00");
  EXPECT_EQ(cash(), yuan("97.4"));  // of the same source: 2,000 more
  EXPECT_EQ(core->bill("acme", {2021, 8})->total, yuan("3"));
  expect_audit_holds();
}

}  // namespace
}  // namespace tollgate::billing
