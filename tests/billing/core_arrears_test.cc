// Arrears, their end by a deposit, reminders, and the outbox.
#include "tests/billing/settlement_fixture.h"

namespace tollgate::billing {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

class CoreArrears : public SettlementTest {
 protected:
  CoreArrears() { subscribe("detect"); }
  std::vector<std::string> told() {
    std::vector<std::string> kinds;
    const auto page = core->notifications(std::nullopt, 1000).value();
    for (const auto& each : page.items) kinds.emplace_back(name_of(each.kind));
    return kinds;
  }
  // Usage of `points` in the hour that begins at `clock`, settled at its end.
  void one_hour(std::int64_t points) {
    use("detect", format_time(begin_of(hour_of(clock.now()))), points);
    run(format_time(begin_of(hour_of(clock.now()).next())));
  }
  using Kinds = std::vector<std::string>;
};

TEST_F(CoreArrears, AnHourThatTheBalanceDoesNotCoverIsArrearsAndADepositEndsThem) {
  deposit("10");
  sink = RecordingSink();
  use("detect", "2021-08-25T10:00:00+08:00", 12'000);
  run("2021-08-25T11:00:00+08:00");
  EXPECT_EQ(cash(), yuan("-2"));
  EXPECT_EQ(subscription("detect").state, SubscriptionState::arrears);
  ASSERT_FALSE(sink.subscriptions.empty());
  EXPECT_EQ(sink.subscriptions.back().state, SubscriptionState::arrears);
  EXPECT_EQ(told(), Kinds{"arrears_notice"});
  EXPECT_EQ(code_of(core->buy_package("acme", "detect", Points(200'000))), "arrears");
  one_hour(1'000);  // metered all the same, and settled; no second notice
  EXPECT_EQ(cash(), yuan("-3"));
  EXPECT_EQ(told().size(), 1u);
  deposit("2.999999");
  EXPECT_EQ(subscription("detect").state, SubscriptionState::arrears);
  deposit("0.000001");
  EXPECT_EQ(subscription("detect").state, SubscriptionState::paid);
  EXPECT_EQ(sink.subscriptions.back().state, SubscriptionState::paid);
  expect_audit_holds();
}

TEST_F(CoreArrears, PackagesPayInArrearsToo) {
  deposit("181");
  ASSERT_TRUE(core->buy_package("acme", "detect", Points(200'000)).has_value());
  charge("2");
  one_hour(5'000);
  EXPECT_EQ(cash(), yuan("-1"));
  EXPECT_EQ(subscription("detect").packages[0].points_left, Points(195'000));
}

// With one charge in the window, hours left = money x 24 / charge until a day has passed.
TEST_F(CoreArrears, EachThresholdIsRemindedOfAtItsExactBorder) {
  deposit("4.000001");
  one_hour(1'000);  // 3.000001 left, 72.000024 h
  EXPECT_TRUE(told().empty());
  charge("0.000001");
  use("detect", "2021-08-25T10:00:00+08:00", 1'000);
  one_hour(1);  // 2.999 x 24 / 1.001 = 71.9
  EXPECT_EQ(told(), Kinds{"reminder_72h"});
  one_hour(1);
  EXPECT_EQ(told().size(), 1u);  // once
}

TEST_F(CoreArrears, ExactlyTwentyFourHoursLeftIsTheMostUrgentAndTheOnlyOne) {
  deposit("2");
  one_hour(1'000);  // 1 yuan left at 1/24 yuan an hour
  EXPECT_EQ(told(), Kinds{"reminder_24h"});
  const auto page = core->notifications(std::nullopt, 10).value();
  EXPECT_EQ(page.items[0].payload,
            R"({"id":"notification-1","kind":"reminder_24h","account":"acme","created_at":"2021-08-25T11:00:00+08:00",)"
            R"("cash":"1.00","vouchers":"0.00","hours_left":24})");
  one_hour(1);
  EXPECT_EQ(told().size(), 1u);
}

TEST_F(CoreArrears, ADepositThatLiftsAboveAThresholdArmsItAgainAndOthersNot) {
  deposit("2");
  one_hour(1'000);
  ASSERT_EQ(told(), Kinds{"reminder_24h"});
  deposit("0.5");  // 36 h: above 24, not above 48
  one_hour(1);
  EXPECT_EQ(told().size(), 1u);
  charge("0.6");
  one_hour(1);
  EXPECT_EQ(told(), (Kinds{"reminder_24h", "reminder_24h"}));
  deposit("100");  // above all
  one_hour(1);
  EXPECT_EQ(told().size(), 2u);
  charge("98.5");
  one_hour(1);
  EXPECT_EQ(told(), (Kinds{"reminder_24h", "reminder_24h", "reminder_72h"}));  // 57 h
}

TEST_F(CoreArrears, VouchersCountAsMoneyLeftAndBurnLooksBackAWeek) {
  ASSERT_TRUE(core->deposit("acme", yuan("168"), DepositKind::voucher, std::nullopt).has_value());
  for (int hour = 0; hour < 60; ++hour) one_hour(1'000);
  EXPECT_TRUE(told().empty());  // 108 left at 60/59 an hour
  for (int hour = 60; hour < 100; ++hour) one_hour(1'000);
  EXPECT_EQ(told(), Kinds{"reminder_72h"});  // at 96 hours: 72 x 95 / 96 < 72
  const auto page = core->notifications(std::nullopt, 10).value();
  EXPECT_EQ(page.items[0].created_at, at("2021-08-25T10:00:00+08:00") + hours(96));
}

TEST_F(CoreArrears, NoReminderInArrearsAndNoneWithoutCharges) {
  deposit("1");
  one_hour(2'000);
  EXPECT_EQ(told(), Kinds{"arrears_notice"});
  one_hour(1'000);
  EXPECT_EQ(told().size(), 1u);
}

TEST_F(CoreArrears, ASettlementOfFreePointsAloneRemindsToo) {
  deposit("100");
  one_hour(1'000);
  EXPECT_TRUE(told().empty());
  charge("98");
  run("2021-08-25T12:30:00+08:00");
  EXPECT_TRUE(told().empty());  // nothing was settled
  const NamedUsage used{"acme", "detect", hour_of(clock.now()), totals(1, 0, 16, 0)};
  ASSERT_TRUE(core->merge("gw-1", epoch, {used}).has_value());
  run("2021-08-25T13:00:00+08:00");
  EXPECT_EQ(told(), Kinds{"reminder_24h"});
}

TEST_F(CoreArrears, NotificationsAreTriedAgainUntilTheyAreDelivered) {
  deposit("2");
  one_hour(1'000);
  const WallTime now = clock.now();
  const auto due = core->due_notifications(now, 10).value();
  ASSERT_EQ(due.size(), 1u);
  ASSERT_TRUE(core->mark_failed(due[0].number, now, "refused").has_value());
  EXPECT_TRUE(core->due_notifications(now + seconds(4), 10)->empty());
  EXPECT_EQ(core->due_notifications(now + seconds(5), 10)->size(), 1u);
  ASSERT_TRUE(core->mark_failed(due[0].number, now, "refused").has_value());
  EXPECT_TRUE(core->due_notifications(now + seconds(9), 10)->empty());
  EXPECT_EQ(core->due_notifications(now + seconds(10), 10)->size(), 1u);
  reopen();
  ASSERT_TRUE(core->mark_delivered(due[0].number, now).has_value());
  const auto page = core->notifications(std::nullopt, 10).value();
  EXPECT_EQ(page.items[0].state, NotificationState::delivered);
  EXPECT_EQ(page.items[0].attempts, 3);
  EXPECT_EQ(page.items[0].last_error, "refused");
  EXPECT_TRUE(core->due_notifications(now + hours(100), 10)->empty());
  EXPECT_EQ(code_of(core->mark_delivered(99, now)), "notification_not_found");
}

TEST_F(CoreArrears, ADeliveryThatNeverSucceedsIsGivenUpAndShown) {
  deposit("2");
  one_hour(1'000);
  for (int i = 0; i < kNotificationAttemptsMax; ++i) ASSERT_TRUE(core->mark_failed(1, clock.now(), "x").has_value());
  const auto page = core->notifications(std::nullopt, 10).value();
  EXPECT_EQ(page.items[0].state, NotificationState::failed);
  EXPECT_EQ(page.items[0].attempts, kNotificationAttemptsMax);
}

using CoreGuard = SettlementTest;

TEST_F(CoreGuard, TheRealtimeGuardActsBeforeTheHourEndsAndADepositLiftsIt) {
  plans.front().arrears_check = ArrearsCheck::realtime;
  subscribe("detect");
  deposit("10");
  use("detect", "2021-08-25T10:00:00+08:00", 10'000);
  EXPECT_EQ(subscription("detect").state, SubscriptionState::paid);  // exactly covered
  use("detect", "2021-08-25T10:00:00+08:00", 10'001);
  EXPECT_EQ(subscription("detect").state, SubscriptionState::arrears);
  EXPECT_EQ(sink.subscriptions.back().state, SubscriptionState::arrears);
  EXPECT_EQ(core->account_counts().arrears, 1);  // as the account is shown
  EXPECT_EQ(core->account_counts().active, 0);
  const WallTime now = clock.now();
  EXPECT_EQ(code_of(core->buy_package("acme", "detect", Points(200'000))), "arrears");
  EXPECT_EQ(code_of(core->buy_qps_pack("acme", "detect", 1, false, now, now + hours(1))), "arrears");
  EXPECT_EQ(cash(), yuan("10"));  // nothing is posted before the hour's settlement
  EXPECT_EQ(core->notifications(std::nullopt, 10)->items.size(), 0u);
  expect_audit_holds();
  reopen();
  ASSERT_TRUE(core->publish_all().has_value());
  EXPECT_EQ(sink.subscriptions.back().state, SubscriptionState::arrears);
  deposit("0.001");
  EXPECT_EQ(sink.subscriptions.back().state, SubscriptionState::paid);
  use("detect", "2021-08-25T10:00:00+08:00", 12'000);
  run("2021-08-25T11:00:00+08:00");
  EXPECT_EQ(cash(), yuan("-1.999"));
  EXPECT_EQ(core->account_counts().arrears, 1);
  EXPECT_EQ(core->notifications(std::nullopt, 10)->items.size(), 1u);
  deposit("5");
  EXPECT_EQ(subscription("detect").state, SubscriptionState::paid);
  expect_audit_holds();
}

TEST_F(CoreGuard, AFailedTransactionLeavesTheGuardAsItWas) {
  plans.front().arrears_check = ArrearsCheck::realtime;
  subscribe("detect");
  deposit("10");
  const NamedUsage beyond{"acme", "detect", hour_of(clock.now()), totals(1, 0, 0, 10'001)};
  for (int broken = 0;; ++broken) {
    int statements = 0;
    store->set_statement_hook([&](std::string_view) { return statements++ == broken; });
    const bool merged = core->merge("gw-1", epoch, {beyond}).has_value();
    store->set_statement_hook({});
    ASSERT_EQ(subscription("detect").state, merged ? SubscriptionState::arrears : SubscriptionState::paid) << broken;
    if (merged) break;
  }
  for (int broken = 0;; ++broken) {
    int statements = 0;
    store->set_statement_hook([&](std::string_view) { return statements++ == broken; });
    const bool paid = core->deposit("acme", yuan("1"), DepositKind::cash, std::nullopt).has_value();
    store->set_statement_hook({});
    ASSERT_EQ(subscription("detect").state, paid ? SubscriptionState::paid : SubscriptionState::arrears) << broken;
    if (paid) break;
  }
  EXPECT_EQ(sink.subscriptions.back().state, SubscriptionState::paid);
}

TEST_F(CoreGuard, AClockThatIsSetBackHidesNoUsageFromIt) {
  plans.front().arrears_check = ArrearsCheck::realtime;
  subscribe("detect");
  deposit("10");
  use("detect", "2021-08-25T11:00:00+08:00", 10'001);
  EXPECT_EQ(subscription("detect").state, SubscriptionState::arrears);
  clock.set(at("2021-08-25T10:59:00+08:00"));
  use("detect", "2021-08-25T10:00:00+08:00", 1);
  EXPECT_EQ(subscription("detect").state, SubscriptionState::arrears);
}

TEST_F(CoreGuard, ASubscriptionThatBecomesPaidIsWatchedAtOnce) {
  plans.front().arrears_check = ArrearsCheck::realtime;
  subscribe("detect");
  deposit("10");
  ASSERT_TRUE(core->put_subscription("acme", "detect", false, std::nullopt).has_value());
  use("detect", "2021-08-25T10:00:00+08:00", 10'001);
  EXPECT_EQ(subscription("detect").state, SubscriptionState::free);
  ASSERT_TRUE(core->put_subscription("acme", "detect", true, std::nullopt).has_value());
  EXPECT_EQ(subscription("detect").state, SubscriptionState::arrears);
  EXPECT_EQ(sink.subscriptions.back().state, SubscriptionState::arrears);
}

}  // namespace
}  // namespace tollgate::billing
