#include "limiter/concurrency.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <thread>
#include <vector>

namespace tollgate::limiter {
namespace {

TEST(Permit, IsRefusedAtTheLimitAndGivenBackByItsDestructor) {
  InFlight count{0};
  {
    const auto first = Permit::try_acquire(count, 1);
    ASSERT_TRUE(first.has_value());
    EXPECT_FALSE(Permit::try_acquire(count, 1).has_value());
  }
  EXPECT_EQ(count.load(), 0);
  EXPECT_TRUE(Permit::try_acquire(count, 1).has_value());
}

TEST(Permit, ThatWasMovedIsGivenBackOnce) {
  InFlight count{0};
  auto permit = Permit::try_acquire(count, 4);
  ASSERT_TRUE(permit.has_value());
  Permit taken = std::move(*permit);
  permit.reset();
  EXPECT_EQ(count.load(), 1);
  taken.release();
  taken.release();
  EXPECT_EQ(count.load(), 0);
}

TEST(Permit, AssignmentGivesBackWhatWasHeldBefore) {
  InFlight count{0};
  Permit a = Permit::acquire(count);
  Permit b = Permit::acquire(count);
  EXPECT_EQ(count.load(), 2);
  a = std::move(b);
  EXPECT_EQ(count.load(), 1);
}

TEST(Permit, LoweringTheLimitRefusesNewCallsAndLeavesThoseInFlight) {
  InFlight count{0};
  const auto first = Permit::try_acquire(count, 2);
  const auto second = Permit::try_acquire(count, 2);
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(Permit::try_acquire(count, 1).has_value());
  EXPECT_EQ(count.load(), 2);
}

// Eight threads on a guarantee of four: never a fifth inside, and none missing after.
TEST(Permit, IsExactUnderContention) {
  constexpr int kThreads = 8;
  constexpr int kLimit = 4;
  constexpr int kRounds = 20'000;
  InFlight count{0};
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::atomic<int> admitted{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kRounds; ++i) {
        const auto permit = Permit::try_acquire(count, kLimit);
        if (!permit) continue;
        const int now = inside.fetch_add(1) + 1;
        int seen = most.load();
        while (now > seen && !most.compare_exchange_weak(seen, now)) {
        }
        admitted.fetch_add(1);
        inside.fetch_sub(1);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_LE(most.load(), kLimit);
  EXPECT_GT(admitted.load(), 0);
  EXPECT_EQ(count.load(), 0);
}

RC_GTEST_PROP(Permit, OutEqualsBackWhateverTheOrder, (std::vector<bool> steps)) {
  constexpr std::int32_t kLimit = 5;
  InFlight count{0};
  std::vector<Permit> held;
  for (const bool take : steps) {
    if (take) {
      auto permit = Permit::try_acquire(count, kLimit);
      RC_ASSERT(permit.has_value() == (held.size() < static_cast<std::size_t>(kLimit)));
      if (permit) held.push_back(std::move(*permit));
    } else if (!held.empty()) {
      held.erase(held.begin());
    }
    RC_ASSERT(count.load() == static_cast<std::int32_t>(held.size()));
  }
  held.clear();
  RC_ASSERT(count.load() == 0);
}

}  // namespace
}  // namespace tollgate::limiter
