#include <algorithm>
#include <map>
#include <set>

#include "tests/billing/core_fixture.h"

namespace tollgate::billing {
namespace {

using CoreSubscriptions = CoreTest;

TEST_F(CoreSubscriptions, AServiceHasCostAndBaseOfItsModel) {
  const auto put = core->put_service("vision", "image-classification/high-performance", R"({"a":1})").value();
  EXPECT_EQ(put.cost, Points(4));
  EXPECT_EQ(put.base, 10);
  EXPECT_EQ(put.definition, R"({"a":1})");
  ASSERT_EQ(sink.services.size(), 1u);
  EXPECT_EQ(sink.services[0].id, "vision");
  EXPECT_EQ(core->service("vision")->definition, R"({"a":1})");
  EXPECT_EQ(field_of(core->put_service("vision", "no/such", "{}")), "model");
  EXPECT_EQ(field_of(core->put_service("Vision", "video-classification", "{}")), "service");
  EXPECT_EQ(code_of(core->service("other")), "service_not_found");
}

TEST_F(CoreSubscriptions, ASubscriptionFollowsItsServicesModel) {
  make_acme(true);
  EXPECT_EQ(vision().guarantee, 10);
  ASSERT_TRUE(core->put_service("vision", "video-classification", "{}").has_value());
  EXPECT_EQ(vision().guarantee, 4);
  EXPECT_EQ(sink.services.back().cost, Points(15));
}

TEST_F(CoreSubscriptions, SubscribingGrantsTheFreePointsOfThePlanOnce) {
  make_acme(false);
  const auto made = vision();
  EXPECT_EQ(made.state, SubscriptionState::free);
  EXPECT_EQ(made.plan, "points-2021-08-20");
  EXPECT_EQ(made.free_points_left, Points(10'000));
  EXPECT_EQ(made.guarantee, 0);
  ASSERT_EQ(sink.subscriptions.size(), 1u);
  EXPECT_EQ(sink.subscriptions[0].number, made.number);
  EXPECT_EQ(sink.subscriptions[0].free_points_left, Points(10'000));

  const auto paid = core->put_subscription("acme", "vision", true, std::nullopt).value();
  EXPECT_FALSE(paid.created);
  EXPECT_EQ(paid.subscription.number, made.number);
  EXPECT_EQ(paid.subscription.state, SubscriptionState::paid);
  EXPECT_EQ(paid.subscription.guarantee, 10);
  EXPECT_EQ(paid.subscription.free_points_left, Points(10'000));
  EXPECT_EQ(sink.subscriptions.back().state, SubscriptionState::paid);
  EXPECT_EQ(core->put_subscription("acme", "vision", false, "points-2021-08-20")->subscription.guarantee, 0);
}

TEST_F(CoreSubscriptions, UnknownThingsAreNamed) {
  make_acme(true);
  EXPECT_EQ(code_of(core->put_subscription("nobody", "vision", true, std::nullopt)), "account_not_found");
  EXPECT_EQ(code_of(core->put_subscription("acme", "nothing", true, std::nullopt)), "service_not_found");
  EXPECT_EQ(field_of(core->put_subscription("acme", "vision", true, "no-plan")), "plan");
  ASSERT_TRUE(core->put_account("other", "Other").has_value());
  EXPECT_EQ(code_of(core->subscription("other", "vision")), "subscription_not_found");
  EXPECT_EQ(code_of(core->subscription("acme", "nothing")), "service_not_found");
}

TEST_F(CoreSubscriptions, APlanIsPinnedAndOneNoLongerSoldIsForOldSubscriptionsOnly) {
  plans.push_back(plans.front());
  plans.back().id = "old";
  plans.back().sold_until = at("2021-08-26T00:00:00+08:00");
  make_acme(true);
  EXPECT_EQ(code_of(core->put_subscription("acme", "vision", true, "old")), "plan_pinned");
  ASSERT_TRUE(core->put_account("early", "Early").has_value());
  ASSERT_TRUE(core->put_account("late", "Late").has_value());
  ASSERT_TRUE(core->put_subscription("early", "vision", true, "old").has_value());
  clock.set(at("2021-08-26T00:00:00+08:00"));
  const auto late = core->put_subscription("late", "vision", true, "old");
  EXPECT_EQ(code_of(late), "plan_not_sold");
  EXPECT_EQ(late.error().kind, FaultKind::gone);
  EXPECT_EQ(core->put_subscription("early", "vision", false, "old")->subscription.plan, "old");
}

TEST_F(CoreSubscriptions, ADeletedServiceIsUnknownAndComesBackWithItsSubscriptions) {
  make_acme(true);
  const auto number = vision().number;
  ASSERT_TRUE(core->delete_service("vision").has_value());
  EXPECT_EQ(sink.removed, std::vector<std::string>{"vision"});
  EXPECT_EQ(code_of(core->service("vision")), "service_not_found");
  EXPECT_EQ(code_of(core->delete_service("vision")), "service_not_found");
  EXPECT_EQ(code_of(core->subscription("acme", "vision")), "service_not_found");
  EXPECT_TRUE(core->services(std::nullopt, 10)->items.empty());
  EXPECT_TRUE(core->subscriptions("acme", std::nullopt, 10)->items.empty());
  sink = RecordingSink();
  ASSERT_TRUE(core->publish_all().has_value());
  EXPECT_EQ(sink.count(), 0u);

  ASSERT_TRUE(core->put_service("vision", "video-classification", "{}").has_value());
  EXPECT_EQ(vision().number, number);
  ASSERT_EQ(sink.subscriptions.size(), 1u);
  EXPECT_EQ(sink.subscriptions[0].number, number);
}

TEST_F(CoreSubscriptions, NumbersAreDifferentAndPagesStandByService) {
  make_acme(true);
  ASSERT_TRUE(core->put_service("audio", "sound-classification", "{}").has_value());
  ASSERT_TRUE(core->put_subscription("acme", "audio", false, std::nullopt).has_value());
  const auto first = core->subscriptions("acme", std::nullopt, 1).value();
  ASSERT_EQ(first.items.size(), 1u);
  EXPECT_EQ(first.items[0].service, "audio");
  const auto second = core->subscriptions("acme", first.next, 1).value();
  ASSERT_EQ(second.items.size(), 1u);
  EXPECT_EQ(second.items[0].service, "vision");
  EXPECT_FALSE(second.next);
  EXPECT_NE(first.items[0].number, second.items[0].number);
  EXPECT_EQ(core->services(std::nullopt, 1)->items[0].id, "audio");
  EXPECT_EQ(core->services("audio", 1)->items[0].id, "vision");
}

TEST_F(CoreSubscriptions, PublishAllTellsEverythingOrNothing) {
  make_acme(true);
  ASSERT_TRUE(core->create_key("acme", "", std::nullopt).has_value());
  sink = RecordingSink();
  ASSERT_TRUE(core->publish_all().has_value());
  EXPECT_EQ(sink.services.size(), 1u);
  EXPECT_EQ(sink.keys.size(), 1u);
  EXPECT_EQ(sink.subscriptions.size(), 1u);

  sink = RecordingSink();
  plans.front().id = "renamed";
  EXPECT_EQ(code_of(core->publish_all()), "plan_missing");
  const auto small = Catalog::parse("models: [{name: m, direction: text, points: 1, title: M}]", "small").value();
  Core other(*store, small, plans, clock, sink);
  EXPECT_EQ(code_of(other.publish_all()), "model_missing");
  EXPECT_EQ(sink.count(), 0u);
}

// At a start, what is told is read in passes over all; at a change, of the one. Both must say the same.
TEST_F(CoreSubscriptions, PublishAllTellsOfEachWhatItsLastChangeTold) {
  const auto calls_plan = std::ranges::find(plans, "calls-legacy", &Plan::id);
  ASSERT_NE(calls_plan, plans.end());
  calls_plan->sold_until.reset();
  make_acme(true);
  for (const auto* id : {"free", "packs", "points", "calls"}) {
    ASSERT_TRUE(core->put_account(id, "Account").has_value());
    ASSERT_TRUE(core->deposit(id, *parse_yuan("100000"), DepositKind::cash, {}).has_value());
    const std::string plan = std::string_view(id) == "calls" ? "calls-legacy" : plans.front().id;
    ASSERT_TRUE(core->put_subscription(id, "vision", std::string_view(id) != "free", plan).has_value());
  }
  const WallTime now = clock.now();
  ASSERT_TRUE(core->buy_qps_pack("packs", "vision", 3, false, now, now + std::chrono::hours(24)).has_value());
  ASSERT_TRUE(core->buy_package("points", "vision", plans.front().packages.front().points).has_value());
  const CallPrice* price = calls_plan->call_price("image-classification/high-performance");
  ASSERT_NE(price, nullptr);
  ASSERT_TRUE(core->buy_count_pack("calls", "vision", price->count_packs.front().calls).has_value());
  charge("1");
  ASSERT_TRUE(core->put_subscription("acme", "vision", true, std::nullopt).has_value());

  const auto by_number = [](const std::vector<SubscriptionRecord>& told) {
    std::map<std::uint32_t, SubscriptionRecord> last;
    for (const auto& record : told) last[record.number] = record;
    return last;
  };
  const auto changes = by_number(sink.subscriptions);
  sink = RecordingSink();
  ASSERT_TRUE(core->publish_all().has_value());
  const auto at_start = by_number(sink.subscriptions);
  ASSERT_EQ(at_start.size(), 5u);
  ASSERT_EQ(changes.size(), 5u);
  std::set<SubscriptionState> states;
  for (const auto& [number, told] : changes) {
    const SubscriptionRecord& record = at_start.at(number);
    states.insert(record.state);
    EXPECT_EQ(record.account, told.account);
    EXPECT_EQ(record.service, told.service);
    EXPECT_EQ(record.state, told.state) << record.account;
    EXPECT_EQ(record.packs.size(), told.packs.size()) << record.account;
    EXPECT_EQ(record.packs.size(), record.account == "packs" ? 1u : 0u);
    EXPECT_EQ(record.prepaid_until, told.prepaid_until) << record.account;
    EXPECT_EQ(record.prepaid_until > now, record.account == "points" || record.account == "calls");
    EXPECT_EQ(record.free_points_left, told.free_points_left) << record.account;
  }
  EXPECT_EQ(states.size(), 3u) << "free, paid and in arrears";
}

TEST_F(CoreSubscriptions, AQuotaWithAPeriodCountsOnlyItsBeijingHours) {
  plans.front().free_quota_period = FreeQuotaPeriod::day;
  make_acme(false);
  const auto epoch = core->open_epoch("gw-2");
  const auto use = [&](std::string_view hour, std::int64_t points) {
    return core->merge("gw-2", epoch, {{"acme", "vision", hour_of(at(hour)), totals(0, 1, points, 0)}});
  };
  ASSERT_TRUE(use("2021-08-24T23:00:00+08:00", 100).has_value());
  EXPECT_EQ(vision().free_points_left, Points(10'000));
  EXPECT_TRUE(sink.used_elsewhere.empty());
  ASSERT_TRUE(use("2021-08-25T00:00:00+08:00", 30).has_value());
  EXPECT_EQ(vision().free_points_left, Points(9'970));
  EXPECT_EQ(sink.used_elsewhere.size(), 1u);
  clock.set(at("2021-08-26T00:00:00+08:00"));
  EXPECT_EQ(vision().free_points_left, Points(10'000));
  plans.front().free_quota_period = FreeQuotaPeriod::month;
  EXPECT_EQ(vision().free_points_left, Points(9'870));
  clock.set(at("2021-09-01T00:00:00+08:00"));
  EXPECT_EQ(vision().free_points_left, Points(10'000));
}

}  // namespace
}  // namespace tollgate::billing
