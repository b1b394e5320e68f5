// A store of the first schema version, opened by this program.
#include <SQLiteCpp/SQLiteCpp.h>

#include "billing/store_sqlite_migrations.h"
#include "tests/billing/settlement_fixture.h"

namespace tollgate::billing {
namespace {

class StoreUpgrade : public SettlementTest {
 protected:
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

}  // namespace
}  // namespace tollgate::billing
