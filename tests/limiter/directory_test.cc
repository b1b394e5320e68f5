#include "limiter/directory.h"

#include <gtest/gtest.h>

#include <thread>

namespace tollgate::limiter {
namespace {
using std::chrono::seconds;

constexpr WallTime kNow{std::chrono::hours(500'000)};

class DirectoryTest : public testing::Test {
 protected:
  Quiescence quiescence_{1};
  Directory directory_{quiescence_};
};

TEST_F(DirectoryTest, FindsTheAccountOfAKeyUntilItExpires) {
  directory_.add_key(sha256("key"), "acme", kNow + seconds(1));
  const Account* account = directory_.identify(sha256("key"), kNow);
  ASSERT_NE(account, nullptr);
  EXPECT_EQ(account->id, "acme");
  EXPECT_EQ(directory_.identify(sha256("key"), kNow + seconds(1)), nullptr);
  EXPECT_EQ(directory_.identify(sha256("other"), kNow), nullptr);
}

TEST_F(DirectoryTest, ForgetsARevokedKeyAndNoOther) {
  directory_.add_key(sha256("a"), "acme", {});
  directory_.add_key(sha256("b"), "acme", {});
  directory_.revoke_key(sha256("a"));
  EXPECT_EQ(directory_.identify(sha256("a"), kNow), nullptr);
  EXPECT_NE(directory_.identify(sha256("b"), kNow), nullptr);
}

TEST_F(DirectoryTest, KeysOfOneAccountShareIt) {
  directory_.add_key(sha256("a"), "acme", {});
  directory_.add_key(sha256("b"), "acme", {});
  EXPECT_EQ(directory_.identify(sha256("a"), kNow), directory_.identify(sha256("b"), kNow));
}

TEST_F(DirectoryTest, ASubscriptionIsOneRecordForGoodAndItsEntitlementIsSwapped) {
  Service& service = directory_.set_service("detect", {Points(5), 4, LimitBy::concurrency, 0, 0});
  Subscription& first = directory_.set_subscription(7, "acme", "detect", {State::free, {}}, Points(100));
  first.free_left.fetch_sub(30);
  Subscription& second = directory_.set_subscription(7, "acme", "detect", {State::paid, {}}, Points(100));
  EXPECT_EQ(&first, &second);
  EXPECT_EQ(first.entitlement.load()->state, State::paid);
  EXPECT_EQ(first.free_left.load(), 70) << "what holds have taken must not come back with a new entitlement";
  directory_.add_key(sha256("k"), "acme", {});
  EXPECT_EQ(directory_.find(*directory_.identify(sha256("k"), kNow), service), &first);
  EXPECT_EQ(directory_.by_number(7), &first);
  EXPECT_EQ(directory_.by_number(8), nullptr);
}

TEST_F(DirectoryTest, SubscriptionsWithNothingBoughtShareTheirStatesRecord) {
  const auto set = [&](std::uint32_t number, Entitlement entitlement) {
    return directory_.set_subscription(number, "account-" + std::to_string(number), "detect", entitlement, Points(0))
        .entitlement.load();
  };
  const PackWindow pack{kNow, kNow + seconds(1), 5};
  EXPECT_EQ(set(1, {State::paid, {}, {}}), set(2, {State::paid, {}, {}}));
  EXPECT_NE(set(3, {State::free, {}, {}}), set(2, {State::paid, {}, {}}));
  EXPECT_NE(set(1, {State::paid, {pack}, {}}), set(2, {State::paid, {pack}, {}}));
  EXPECT_NE(set(1, {State::paid, {}, kNow}), set(2, {State::paid, {}, {}}));
  EXPECT_EQ(set(1, {State::paid, {}, kNow})->prepaid_until, kNow);
  for (const State state : {State::arrears, State::free, State::paid}) {
    const Entitlement* record = set(1, {state, {}, {}});
    EXPECT_EQ(record, set(2, {state, {}, {}}));
    EXPECT_EQ(record->state, state);
    EXPECT_TRUE(record->packs.empty());
  }
}

TEST(Directory, MayEndWithKeysRevokedThatReadersHaveNotPassedYet) {
  Quiescence quiescence(1);
  {
    Directory directory(quiescence);
    directory.add_key(sha256("a"), "acme", {});
    directory.revoke_key(sha256("a"));
    EXPECT_EQ(quiescence.waiting(), 1U);
  }
  EXPECT_EQ(quiescence.waiting(), 0U) << "nobody gives a place back to a directory that is gone";
}

TEST_F(DirectoryTest, HoldsManyKeysThroughGrowthAndRevocation) {
  constexpr int kKeys = 5000;
  for (int i = 0; i < kKeys; ++i) directory_.add_key(sha256(std::to_string(i)), "a" + std::to_string(i % 100), {});
  for (int i = 0; i < kKeys; i += 2) directory_.revoke_key(sha256(std::to_string(i)));
  for (int i = 0; i < kKeys; ++i) {
    const Account* account = directory_.identify(sha256(std::to_string(i)), kNow);
    ASSERT_EQ(account != nullptr, i % 2 == 1) << i;
    if (account != nullptr) {
      ASSERT_EQ(account->id, "a" + std::to_string(i % 100));
    }
  }
}

TEST(Quiescence, FreesOnlyAfterEveryReaderHasPassed) {
  Quiescence quiescence(2);
  bool freed = false;
  quiescence.retire([&] { freed = true; });
  quiescence.pass(0);
  quiescence.collect();
  EXPECT_FALSE(freed) << "the second reader may still hold it";
  quiescence.pass(1);
  quiescence.collect();
  EXPECT_TRUE(freed);
}

TEST(Quiescence, AReaderThatLeftHoldsNothing) {
  Quiescence quiescence(2);
  bool freed = false;
  quiescence.retire([&] { freed = true; });
  quiescence.leave(0);
  quiescence.leave(1);
  quiescence.collect();
  EXPECT_TRUE(freed);
}

// A reader looks things up all the time while the writer adds, revokes and swaps: under TSan this is the proof that
// what is published is published whole and freed late enough.
TEST(DirectoryUnderLoad, ReadersSeeWholeRecordsWhileTheWriterChangesThem) {
  Quiescence quiescence(2);
  Directory directory(quiescence);
  Service& service = directory.set_service("detect", {Points(5), 4, LimitBy::concurrency, 0, 0});
  directory.add_key(sha256("stays"), "acme", {});
  directory.set_subscription(1, "acme", "detect", {State::free, {}}, Points(10));
  std::atomic<bool> stop{false};
  std::atomic<int> seen{0};
  std::vector<std::thread> readers;
  for (std::size_t r = 0; r < 2; ++r) {
    readers.emplace_back([&, r] {
      while (!stop.load()) {
        const Account* account = directory.identify(sha256("stays"), kNow);
        ASSERT_NE(account, nullptr);
        const Subscription* subscription = directory.find(*account, service);
        ASSERT_NE(subscription, nullptr);
        const Entitlement* entitlement = subscription->entitlement.load(std::memory_order_acquire);
        for (const auto& pack : entitlement->packs) ASSERT_EQ(pack.qps, 3);
        seen.fetch_add(1);
        quiescence.pass(r);
      }
      quiescence.leave(r);
    });
  }
  for (int i = 0; i < 2000 || seen.load() < 100; ++i) {
    const std::string key = "key-" + std::to_string(i);
    directory.add_key(sha256(key), "acme", {});
    directory.set_subscription(
        1, "acme", "detect",
        {State::paid, std::vector<PackWindow>(static_cast<std::size_t>(i % 5), {kNow, kNow, 3, false})}, Points(10));
    if (i % 2 == 0) directory.revoke_key(sha256(key));
  }
  stop.store(true);
  for (auto& reader : readers) reader.join();
  quiescence.collect();
  EXPECT_EQ(quiescence.waiting(), 0U);
}

}  // namespace
}  // namespace tollgate::limiter
