#include "limiter/admission.h"

#include <gtest/gtest.h>

#include <thread>

namespace tollgate::limiter {
namespace {
using std::chrono::microseconds;
using std::chrono::seconds;

constexpr WallTime kNow{std::chrono::hours(500'000)};
constexpr std::int64_t kSteady = 5 * kSecondNs;

class AdmissionTest : public testing::Test {
 protected:
  Subscription& subscribe(Entitlement entitlement, Points free_left, ServiceTerms terms) {
    directory_.set_service("detect", terms);
    return directory_.set_subscription(1, "acme", "detect", std::move(entitlement), free_left);
  }
  Subscription& subscribe(State state, Points free_left) { return subscribe({state, {}}, free_left, terms_); }

  static std::optional<Refusal> refusal(Subscription& subscription, WallTime now = kNow) {
    auto decision = admit(subscription, now, kSteady);
    if (const auto* refusal = std::get_if<Refusal>(&decision)) return *refusal;
    return std::nullopt;
  }
  // Admits until refused; the calls stay in flight in `held_`.
  std::int32_t fill(Subscription& subscription, WallTime now = kNow) {
    for (std::int32_t count = 0;; ++count) {
      auto decision = admit(subscription, now, kSteady);
      if (std::holds_alternative<Refusal>(decision)) return count;
      held_.push_back(std::get<Admission>(std::move(decision)));
    }
  }

  Quiescence quiescence_{0};
  Directory directory_{quiescence_};
  ServiceTerms terms_{Points(6), 4, LimitBy::concurrency, 0, 0};
  std::vector<Admission> held_;
};

TEST_F(AdmissionTest, APaidSubscriptionHasItsBaseGuarantee) {
  Subscription& subscription = subscribe(State::paid, Points(0));
  EXPECT_EQ(fill(subscription), 4);
  EXPECT_EQ(refusal(subscription), Refusal::limit_reached);
  held_.pop_back();
  EXPECT_EQ(fill(subscription), 1);
}

TEST_F(AdmissionTest, PaidCallsUseTheLastFreePointsAndGoOnWithoutAny) {
  Subscription& subscription = subscribe(State::paid, Points(4));
  auto first = std::get<Admission>(admit(subscription, kNow, kSteady));
  EXPECT_EQ(first.hold.points(), Points(4));
  EXPECT_EQ(first.cost, Points(6));
  auto second = std::get<Admission>(admit(subscription, kNow, kSteady));
  EXPECT_EQ(second.hold.points(), Points(0));
}

TEST_F(AdmissionTest, AFreeSubscriptionIsRefusedWhenThePointsDoNotCoverTheCall) {
  Subscription& subscription = subscribe(State::free, Points(4));
  EXPECT_EQ(refusal(subscription), Refusal::quota_exhausted);
  EXPECT_EQ(subscription.free_left.load(), 4);
  EXPECT_EQ(subscription.in_flight.load(), 0);
}

TEST_F(AdmissionTest, ArrearsIsRefusedWithItsOwnReason) {
  EXPECT_EQ(refusal(subscribe(State::arrears, Points(4))), Refusal::arrears);
}

TEST_F(AdmissionTest, ASpentQuotaIsSaidEvenAtTheCap) {
  Subscription& subscription = subscribe(State::free, Points(4 * 6));
  EXPECT_EQ(fill(subscription), 4);
  EXPECT_EQ(refusal(subscription), Refusal::quota_exhausted);
}

TEST_F(AdmissionTest, FreeCallsHaveTheBaseAsACapAndNoPacks) {
  Subscription& subscription =
      subscribe({State::free, {{kNow - seconds(1), kNow + seconds(1), 50, false}}}, Points(10'000), terms_);
  EXPECT_EQ(fill(subscription), 4);
  EXPECT_EQ(refusal(subscription), Refusal::limit_reached);
}

TEST_F(AdmissionTest, QpsPacksCountFromTheirFirstInstantToTheirLast) {
  const WallTime begin = kNow + seconds(10);
  const WallTime end = kNow + seconds(20);
  Subscription& subscription =
      subscribe({State::paid, {{begin, end, 3, false}, {begin, end, 2, false}}}, Points(0), terms_);
  EXPECT_EQ(limit_now(subscription, begin - microseconds(1)), 4);
  EXPECT_EQ(limit_now(subscription, begin), 9);
  EXPECT_EQ(limit_now(subscription, end - microseconds(1)), 9);
  EXPECT_EQ(limit_now(subscription, end), 4);
  EXPECT_EQ(fill(subscription, begin), 9);
  // The end of a pack leaves calls in flight alone; new ones wait until there is room under the base again.
  EXPECT_EQ(refusal(subscription, end), Refusal::limit_reached);
  EXPECT_EQ(subscription.in_flight.load(), 9);
}

TEST_F(AdmissionTest, UnderAnUnlimitedPackACallCostsNothing) {
  Subscription& subscription = subscribe({State::paid, {{kNow, kNow + seconds(1), 1, true}}}, Points(100), terms_);
  const auto admission = std::get<Admission>(admit(subscription, kNow, kSteady));
  EXPECT_TRUE(admission.unmetered);
  EXPECT_EQ(admission.hold.points(), Points(0));
  EXPECT_EQ(subscription.free_left.load(), 100);
}

TEST_F(AdmissionTest, InArrearsPacksAreSuspended) {
  Subscription& subscription = subscribe({State::arrears, {{kNow, kNow + seconds(1), 5, true}}}, Points(100), terms_);
  const auto admission = std::get<Admission>(admit(subscription, kNow, kSteady));
  EXPECT_FALSE(admission.unmetered);
  EXPECT_EQ(admission.hold.points(), Points(6));
  EXPECT_EQ(limit_now(subscription, kNow), 4);
}

TEST_F(AdmissionTest, FreeCallsAreShedBeforePaidOnesAreCrowdedOut) {
  terms_.capacity = 4;
  terms_.free_ceiling = 3;
  Subscription& paid = subscribe(State::paid, Points(0));
  Subscription& free = directory_.set_subscription(2, "zed", "detect", {State::free, {}}, Points(10'000));
  EXPECT_EQ(fill(free), 3);
  EXPECT_EQ(refusal(free), Refusal::no_capacity);
  EXPECT_EQ(fill(paid), 4) << "the guarantee was sold: capacity does not refuse it";
  held_.clear();
  EXPECT_EQ(fill(paid), 4);
  EXPECT_EQ(refusal(free), Refusal::no_capacity);
  held_.clear();
  EXPECT_EQ(free.service->in_flight.load(), 0);
}

TEST_F(AdmissionTest, ByRateTheSameNumberIsCallsPerSecond) {
  terms_.limit_by = LimitBy::qps;
  Subscription& subscription = subscribe(State::paid, Points(0));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(refusal(subscription), std::nullopt) << "each ends at once";
  EXPECT_EQ(refusal(subscription), Refusal::limit_reached);
  EXPECT_TRUE(std::holds_alternative<Admission>(admit(subscription, kNow, kSteady + kSecondNs / 4)));
}

TEST_F(AdmissionTest, ARefusalLeavesNothingTaken) {
  terms_.limit_by = LimitBy::qps;
  terms_.capacity = 100;
  terms_.free_ceiling = 100;
  Subscription& subscription = subscribe(State::free, Points(1000));
  for (int i = 0; i < 20; ++i) (void)admit(subscription, kNow, kSteady);
  EXPECT_EQ(subscription.free_left.load(), 1000) << "admissions that were dropped and refusals give points back";
  EXPECT_EQ(subscription.in_flight.load(), 0);
  EXPECT_EQ(subscription.service->in_flight.load(), 0);
}

// The last 10 points, 50 threads, 200 rounds: one call of 6 points goes through, never two.
TEST_F(AdmissionTest, TheRaceForTheLastPointsHasOneWinner) {
  terms_.base = 1000;
  for (std::uint32_t round = 0; round < 200; ++round) {
    directory_.set_service("detect", terms_);
    Subscription& subscription =
        directory_.set_subscription(round + 1, "a" + std::to_string(round), "detect", {State::free, {}}, Points(10));
    std::atomic<int> won{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 50; ++t) {
      threads.emplace_back([&] {
        auto decision = admit(subscription, kNow, kSteady);
        if (auto* admission = std::get_if<Admission>(&decision)) {
          admission->hold.spend();
          won.fetch_add(1);
        }
      });
    }
    for (auto& thread : threads) thread.join();
    ASSERT_EQ(won.load(), 1);
    ASSERT_EQ(subscription.free_left.load(), 4);
  }
}

}  // namespace
}  // namespace tollgate::limiter
