// Settlements, purchases and deposits that break at each of their statements: afterwards nothing of them is there, and
// the repetition leaves the same books as if nothing had happened.
#include <SQLiteCpp/SQLiteCpp.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/billing/settlement_fixture.h"

namespace tollgate::billing {
namespace {

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

class CoreCrash : public SettlementTest {
 protected:
  void SetUp() override { prepare(); }

  // Three subscriptions: with a package, with nothing, and with a count pack of the older plan, which it leaves at
  // 11:00.
  void prepare() {
    plans.back().sold_until.reset();
    subscribe("detect");
    subscribe("vision", "video-classification");
    subscribe("older", "object-detection/high-performance", plans.back().id);
    deposit("250");
    ASSERT_TRUE(core->buy_count_pack("acme", "older", 10'000).has_value());
    ASSERT_TRUE(core->migrate("acme", "older", plans.front().id).has_value());
    ASSERT_TRUE(core->deposit("acme", yuan("3"), DepositKind::voucher, std::nullopt).has_value());
    ASSERT_TRUE(core->buy_package("acme", "detect", Points(200'000)).has_value());
    ASSERT_TRUE(core->merge("gw-1", epoch,
                            {{"acme", "detect", hour_of(clock.now()), totals(5, 1, 20, 250'000, 2)},
                             {"acme", "vision", hour_of(clock.now()), totals(5, 0, 0, 30'000)},
                             {"acme", "older", hour_of(clock.now()), totals(8'000, 0, 0, 40'003)}})
                    .has_value());
  }
  // Usage of the hour that follows: what is left of the packs, and tiers.
  void use_more() {
    use("vision", "2021-08-25T11:00:00+08:00", 1'500);
    use("older", "2021-08-25T11:00:00+08:00", 30'000, 6'000);
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
    for (const auto* service : {"detect", "vision", "older"}) {
      const Subscription held = subscription(service);
      text += held.plan + " " + std::to_string(held.month_points.count()) + " " +
              std::to_string(held.free_points_left.count()) + " " + std::to_string(held.qps_packs.size()) + "\n";
      for (const auto& each : held.packages) text += std::to_string(each.points_left.count()) + " points\n";
      for (const auto& each : held.count_packs) text += std::to_string(each.calls_left) + " calls\n";
    }
    return text;
  }
  // In a folder of its own, without any fault: before, and after each piece that is committed.
  static std::vector<std::string> good_books(std::string_view until, bool more) {
    CoreCrash good;
    good.SetUp();
    if (more) good.use_more();
    good.clock.set(at(until));
    std::vector<std::string> all{good.books()};
    DueRun run;
    while (good.core->run_due_piece(good.clock.now(), run).value()) all.push_back(good.books());
    EXPECT_EQ(run.failures, 0) << run.failure;
    return all;
  }
  // The books are only ever those of a good run, and never go back.
  void break_settlement(std::string_view until, bool more) {
    const auto good = good_books(until, more);
    if (more) use_more();
    clock.set(at(until));
    std::size_t reached = 0;
    ASSERT_EQ(books(), good[0]);
    auto events = sink.count();
    const int broken = break_everywhere(
        *store, [&] { (void)core->run_due(clock.now()); },
        [&] {
          const std::string now = books();
          const std::size_t before = reached;
          while (reached < good.size() && good[reached] != now) ++reached;
          ASSERT_LT(reached, good.size()) << now;
          if (reached == before) {
            EXPECT_EQ(sink.count(), events);
          }
          events = sink.count();
        });
    EXPECT_GT(broken, 40);
    EXPECT_EQ(books(), good.back());
    ASSERT_TRUE(core->run_due(clock.now()).has_value());
    EXPECT_EQ(books(), good.back());
    expect_audit_holds();
  }
  // `act` answers whether it was done. It is all there or nothing of it, and once, however often it is asked for.
  void break_purchase(const std::function<bool()>& act) {
    deposit("1000");
    const std::string before = books();
    const auto events = sink.count();
    int answers = 0;
    const auto ask = [&] {
      const auto once = core->once("the-key", "the same", [&] {
        return act() ? StoredAnswer{201, "bought"} : StoredAnswer{503, "failed"};
      });
      if (once.has_value() && once->status == 201) ++answers;
    };
    const int broken = break_everywhere(*store, ask, [&] {
      EXPECT_EQ(books(), before);
      EXPECT_EQ(sink.count(), events);
    });
    EXPECT_GT(broken, 8);
    EXPECT_EQ(answers, 1);
    const std::string after = books();
    EXPECT_NE(after, before);
    ask();
    EXPECT_EQ(answers, 2);
    EXPECT_EQ(books(), after);
    expect_audit_holds();
  }
  void TestBody() override {}
};

TEST_F(CoreCrash, ASettlementThatBreaksAtAnyStatementLeavesNothingAndIsRepeated) {
  break_settlement("2021-08-25T11:00:00+08:00", false);
  EXPECT_NE(books().find("arrears_notice"), std::string::npos);
}

TEST_F(CoreCrash, SoDoesOneOfTwoBoundariesWithAMigrationAndACountPackBetween) {
  break_settlement("2021-08-25T12:00:00+08:00", true);
  EXPECT_EQ(subscription("older").plan, plans.front().id);
  EXPECT_TRUE(subscription("older").count_packs.empty());  // 8,000 calls and 2,000
  EXPECT_EQ(subscription("older").month_points, Points(20'000));
}

TEST_F(CoreCrash, APackageThatBreaksAtAnyStatementOfItsPurchaseIsBoughtOnceOrNot) {
  const auto cash_before = cash();
  break_purchase([&] { return core->buy_package("acme", "vision", Points(200'000)).has_value(); });
  EXPECT_EQ(cash(), cash_before + yuan("1000") - yuan("180"));
  EXPECT_EQ(subscription("vision").packages.size(), 1u);
}

TEST_F(CoreCrash, SoIsAQpsPack) {
  break_purchase([&] {
    const WallTime now = clock.now();
    return core->buy_qps_pack("acme", "vision", 1, true, now, now + std::chrono::hours(25)).has_value();
  });
  EXPECT_EQ(subscription("vision").qps_packs.size(), 1u);
}

TEST_F(CoreCrash, SoIsACountPack) {
  break_purchase([&] { return core->buy_count_pack("acme", "older", 10'000).has_value(); });
  EXPECT_EQ(subscription("older").count_packs.size(), 2u);
}

TEST_F(CoreCrash, SoIsADepositOfCashAndAVoucherThatPaysADebt) {
  break_purchase([&] { return core->deposit("acme", yuan("7"), DepositKind::cash, std::nullopt).has_value(); });
  charge("5000");
  const MicroYuan debt = cash();
  ASSERT_LT(debt, MicroYuan());
  const std::string before = books();
  const auto events = sink.count();
  const int broken = break_everywhere(
      *store, [&] { (void)core->deposit("acme", yuan("6000"), DepositKind::voucher, std::nullopt); },
      [&] {
        EXPECT_EQ(books(), before);
        EXPECT_EQ(sink.count(), events);
      });
  EXPECT_GT(broken, 8);
  EXPECT_EQ(cash(), MicroYuan());
  EXPECT_GT(sink.count(), events);  // arrears ended
  expect_audit_holds();
}

TEST_F(CoreCrash, AProcessThatDiesAtAnyStatementOfASettlementLeavesTheSameBooks) {
  const std::string good = good_books("2021-08-25T11:00:00+08:00", false).back();
  clock.set(at("2021-08-25T11:00:00+08:00"));
  close();
  for (int broken = 0; broken < 400; broken += 3) {
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
    EXPECT_THROW(ledger.exec(std::string("INSERT OR REPLACE INTO ") + table + " SELECT * FROM " + table),
                 SQLite::Exception)
        << table;
    EXPECT_THROW(ledger.exec(std::string("REPLACE INTO ") + table + " SELECT * FROM " + table + " LIMIT 1"),
                 SQLite::Exception)
        << table;
  }
  EXPECT_THROW(ledger.exec("UPDATE point_transfers SET points = 1"), SQLite::Exception);
  EXPECT_THROW(ledger.exec("UPDATE settlements SET amount = 1"), SQLite::Exception);
  EXPECT_THROW(ledger.exec("UPDATE settlement_parts SET amount = 1"), SQLite::Exception);
  EXPECT_THROW(ledger.exec("UPDATE plans SET canonical = ''"), SQLite::Exception);
}

}  // namespace
}  // namespace tollgate::billing
