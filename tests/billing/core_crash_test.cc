// A settlement and a purchase that break at each of their statements: afterwards nothing of them is there, and the
// repetition leaves the same books as if nothing had happened.
#include <SQLiteCpp/SQLiteCpp.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/billing/settlement_fixture.h"

namespace tollgate::billing {
namespace {

class CoreCrash : public SettlementTest {
 public:
  void settle() { run("2021-08-25T11:00:00+08:00"); }

 protected:
  void SetUp() override { prepare(); }

  void prepare() {
    subscribe("detect");
    subscribe("vision", "video-classification");
    deposit("200");
    ASSERT_TRUE(core->deposit("acme", yuan("3"), DepositKind::voucher, std::nullopt).has_value());
    package = core->buy_package("acme", "detect", Points(200'000)).value().id;
    ASSERT_TRUE(core->merge("gw-1", epoch,
                            {{"acme", "detect", hour_of(clock.now()), totals(5, 1, 20, 250'000, 2)},
                             {"acme", "vision", hour_of(clock.now()), totals(5, 0, 0, 30'000)}})
                    .has_value());
  }
  // Everything that moves, without ids that are random.
  std::string books() {
    std::string text;
    const auto page = core->transfers("acme", std::nullopt, 1000).value();
    for (const auto& row : page.items) {
      const bool random = row.reason != "usage";
      text += row.reason + " " + format_yuan(row.amount) + (random ? "" : " " + row.reference) + "\n";
    }
    for (const auto& invariant : core->audit()) {
      text += invariant.name + " " + std::to_string(invariant.left) + " " + std::to_string(invariant.right) + "\n";
    }
    const auto notifications = core->notifications(std::nullopt, 1000).value();
    for (const auto& each : notifications.items) text += each.payload + "\n";
    for (const auto* service : {"detect", "vision"}) {
      text += std::to_string(subscription(service).month_points.count()) + "\n";
      for (const auto& each : subscription(service).packages) text += std::to_string(each.points_left.count()) + "\n";
    }
    return text;
  }
  // In a folder of its own, without any fault.
  static std::string books_of_a_good_settlement() {
    CoreCrash good;
    good.SetUp();
    good.settle();
    return good.books();
  }
  void TestBody() override {}

  std::string package;
};

// Breaks `work` at the first statement, the second, ... until it runs through. Returns how often it broke.
template <class Work>
int break_everywhere(Store& store, Work work, const std::function<void()>& after_each) {
  for (int broken = 0;; ++broken) {
    int statements = 0;
    bool hit = false;
    store.set_statement_hook([&](std::string_view) {
      hit = hit || statements == broken;
      return statements++ == broken;
    });
    work();
    store.set_statement_hook({});
    if (!hit) return broken;
    after_each();
  }
}

TEST_F(CoreCrash, ASettlementThatBreaksAtAnyStatementLeavesNothingAndIsRepeated) {
  const std::string good = books_of_a_good_settlement();
  EXPECT_NE(good.find("arrears_notice"), std::string::npos);
  const std::string before = books();
  clock.set(at("2021-08-25T11:00:00+08:00"));
  const auto events = sink.count();
  const int broken = break_everywhere(
      *store, [&] { (void)core->run_due(clock.now()); },
      [&] {
        // Marking what is due to be run comes in a commit of its own; of the settlement nothing may be there.
        const std::string now = books();
        EXPECT_TRUE(now == before || now == good) << now;
        if (now == before) {
          EXPECT_EQ(sink.count(), events);
        }
      });
  EXPECT_GT(broken, 40);
  EXPECT_EQ(books(), good);
  ASSERT_TRUE(core->run_due(clock.now()).has_value());
  EXPECT_EQ(books(), good);
  expect_audit_holds();
}

TEST_F(CoreCrash, APurchaseThatBreaksAtAnyStatementLeavesNothingAndIsRepeated) {
  deposit("1000");
  const std::string before = books();
  const auto cash_before = cash();
  int answers = 0;
  const int broken = break_everywhere(
      *store,
      [&] {
        const auto once = core->once("the-key", "package", [&] {
          const auto bought = core->buy_package("acme", "vision", Points(200'000));
          return bought.has_value() ? StoredAnswer{201, "bought"} : StoredAnswer{503, "failed"};
        });
        if (once.has_value() && once->status == 201) ++answers;
      },
      [&] { EXPECT_EQ(books(), before); });
  EXPECT_GT(broken, 10);
  EXPECT_EQ(answers, 1);
  EXPECT_EQ(cash(), cash_before - yuan("180"));
  EXPECT_EQ(subscription("vision").packages.size(), 1u);
  expect_audit_holds();
}

TEST_F(CoreCrash, AProcessThatDiesAtAnyStatementOfASettlementLeavesTheSameBooks) {
  const std::string good = books_of_a_good_settlement();
  clock.set(at("2021-08-25T11:00:00+08:00"));
  close();
  for (int broken = 0; broken < 400; broken += 7) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      open();
      int statements = 0;
      store->set_statement_hook([&](std::string_view) {
        if (statements++ == broken) ::_exit(7);
        return false;
      });
      (void)core->run_due(clock.now());
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (WEXITSTATUS(status) == 0) break;  // ran through
  }
  open();
  EXPECT_EQ(books(), good);
  expect_audit_holds();
}

TEST_F(CoreCrash, TheDatabaseItselfRefusesToChangeSettlementsPointsAndPlansInUse) {
  run("2021-08-25T11:00:00+08:00");
  close();
  SQLite::Database ledger(folder.path() + "/tollgate.db", SQLite::OPEN_READWRITE);
  for (const auto* table : {"point_transfers", "settlements", "settlement_parts", "plans"}) {
    EXPECT_GT(ledger.execAndGet(std::string("SELECT count(*) FROM ") + table).getInt(), 0) << table;
    EXPECT_THROW(ledger.exec(std::string("DELETE FROM ") + table), SQLite::Exception) << table;
  }
  EXPECT_THROW(ledger.exec("UPDATE point_transfers SET points = 1"), SQLite::Exception);
  EXPECT_THROW(ledger.exec("UPDATE settlements SET amount = 1"), SQLite::Exception);
  EXPECT_THROW(ledger.exec("UPDATE settlement_parts SET amount = 1"), SQLite::Exception);
  EXPECT_THROW(ledger.exec("UPDATE plans SET canonical = ''"), SQLite::Exception);
  EXPECT_THROW(ledger.exec("INSERT OR REPLACE INTO point_transfers SELECT * FROM point_transfers"), SQLite::Exception);
}

}  // namespace
}  // namespace tollgate::billing
