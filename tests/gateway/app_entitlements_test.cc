#include "gateway/app_entitlements.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

namespace tollgate::gateway {
namespace {
using std::chrono::hours;

constexpr WallTime kNow{hours(450'000)};

// The traffic's side of what billing says: a real directory, and the services as they were published last.
class EntitlementsTest : public testing::Test {
 protected:
  // `more` are further members of the definition, each with a comma before it.
  void put_service(const std::string& id, const std::string& more = "") {
    entitlements_.service_changed(
        {id, "m", Points(6), 4,
         R"({"model":"m","upstreams":["10.0.0.1:9000"],"route":{"path_prefix":"/)" + id + "\"}" + more + "}"});
  }
  [[nodiscard]] const limiter::ServiceTerms& terms(const std::string& id) const {
    return *published_.at(id)->limits->terms.load();
  }
  void put_subscription(billing::SubscriptionState state, std::vector<billing::PackWindow> packs = {},
                        Points free_left = Points(100)) {
    entitlements_.subscription_changed({7, "acme", "detect", state, std::move(packs), free_left});
  }
  limiter::Subscription& subscription() { return *directory_.by_number(7); }

  limiter::Quiescence quiescence_{0};
  limiter::Directory directory_{quiescence_};
  std::map<std::string, std::shared_ptr<const ServiceConfig>> published_;
  Entitlements entitlements_{directory_,
                             [this](const std::string& service, std::shared_ptr<const ServiceConfig> config) {
                               published_[service] = std::move(config);
                             }};
};

TEST_F(EntitlementsTest, AServiceIsPublishedWithTheTermsOfItsModelAndDefinition) {
  put_service("detect");
  EXPECT_EQ(published_.at("detect")->upstreams.at(0)->host, "10.0.0.1:9000");
  EXPECT_EQ(terms("detect").cost, Points(6));
  EXPECT_EQ(terms("detect").base, 4);
  EXPECT_EQ(terms("detect").limit_by, limiter::LimitBy::concurrency);
  EXPECT_EQ(terms("detect").capacity, 0) << "none declared, none limited";
  put_service("detect", R"(,"limit_by":"qps")");
  EXPECT_EQ(terms("detect").limit_by, limiter::LimitBy::qps);
}

TEST_F(EntitlementsTest, ThePaidReserveIsRoundedDownToWholeCalls) {
  struct Case {
    int capacity, percent, free_ceiling;
  };
  for (const Case& c :
       {Case{8, 10, 8}, Case{10, 10, 9}, Case{19, 10, 18}, Case{20, 10, 18}, Case{1, 99, 1}, Case{3, 50, 2},
        Case{5, 0, 5}, Case{5, 100, 0}, Case{1'000'000, 100, 0}, Case{1'000'000, 33, 670'000}}) {
    put_service(
        "s", ",\"capacity\":" + std::to_string(c.capacity) + ",\"paid_reserve_percent\":" + std::to_string(c.percent));
    EXPECT_EQ(terms("s").capacity, c.capacity);
    EXPECT_EQ(terms("s").free_ceiling, c.free_ceiling) << c.capacity << " less " << c.percent << " %";
  }
}

TEST_F(EntitlementsTest, AServiceKeepsItsLimitsRecordWhenItIsPutAnew) {
  put_service("detect");
  const limiter::Service* limits = published_.at("detect")->limits;
  entitlements_.service_removed("detect");
  EXPECT_EQ(published_.at("detect"), nullptr);
  put_service("detect");
  EXPECT_EQ(published_.at("detect")->limits, limits) << "its subscriptions point there";
}

TEST_F(EntitlementsTest, ADefinitionThatCannotBeReadIsNotServedAnyMore) {
  put_service("detect");
  put_service("detect", R"(,"of_a_later_version":1)");
  EXPECT_EQ(published_.at("detect"), nullptr) << "the old definition is not what the store says";
}

TEST_F(EntitlementsTest, StatesAndPacksArriveAsTheyAre) {
  put_service("detect");
  const billing::PackWindow pack{kNow, kNow + hours(1), 5, true};
  put_subscription(billing::SubscriptionState::paid, {pack, {kNow + hours(2), kNow + hours(3), 6, false}});
  const limiter::Entitlement& paid = *subscription().entitlement.load();
  EXPECT_EQ(paid.state, limiter::State::paid);
  ASSERT_EQ(paid.packs.size(), 2U);
  EXPECT_EQ(paid.packs[0].starts_at, kNow);
  EXPECT_EQ(paid.packs[0].ends_at, kNow + hours(1));
  EXPECT_EQ(paid.packs[0].qps, 5);
  EXPECT_TRUE(paid.packs[0].unlimited);
  EXPECT_EQ(paid.packs[1].qps, 6);
  EXPECT_FALSE(paid.packs[1].unlimited);
  put_subscription(billing::SubscriptionState::arrears);
  EXPECT_EQ(subscription().entitlement.load()->state, limiter::State::arrears);
  put_subscription(billing::SubscriptionState::free);
  EXPECT_EQ(subscription().entitlement.load()->state, limiter::State::free);
  EXPECT_TRUE(subscription().entitlement.load()->packs.empty());
}

TEST_F(EntitlementsTest, FreePointsAreTheTrafficsOwnAfterTheFirstWord) {
  put_service("detect");
  put_subscription(billing::SubscriptionState::free, {}, Points(100));
  subscription().free_left.fetch_sub(30);  // holds
  put_subscription(billing::SubscriptionState::paid, {}, Points(100));
  EXPECT_EQ(subscription().free_left.load(), 70);
  entitlements_.free_points_used_elsewhere(7, Points(50));
  EXPECT_EQ(subscription().free_left.load(), 20);
  entitlements_.free_points_used_elsewhere(7, Points(25));
  EXPECT_EQ(subscription().free_left.load(), -5) << "what others used is used";
  entitlements_.free_quota_began(7, Points(10'000));
  EXPECT_EQ(subscription().free_left.load(), 10'000);
  entitlements_.free_points_used_elsewhere(8, Points(1));  // of a subscription that is not known yet
  entitlements_.free_quota_began(8, Points(1));
  EXPECT_EQ(subscription().free_left.load(), 10'000);
}

TEST_F(EntitlementsTest, KeysComeExpireAndGo) {
  entitlements_.key_added({sha256("k"), "acme", kNow + hours(1)});
  ASSERT_NE(directory_.identify(sha256("k"), kNow), nullptr);
  EXPECT_EQ(directory_.identify(sha256("k"), kNow)->id, "acme");
  EXPECT_EQ(directory_.identify(sha256("k"), kNow + hours(1)), nullptr);
  entitlements_.key_revoked(sha256("k"));
  EXPECT_EQ(directory_.identify(sha256("k"), kNow), nullptr);
}

}  // namespace
}  // namespace tollgate::gateway
