#include "limiter/rate_limit.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace tollgate::limiter {
namespace {
constexpr std::int64_t kStart = 5 * kSecondNs;

int passed(ArrivalTime& arrival, std::int32_t limit, std::int64_t now, int tries) {
  int count = 0;
  for (int i = 0; i < tries; ++i) count += try_pass(arrival, limit, now) ? 0 : 1;
  return count;
}

TEST(RateLimit, LetsABurstOfTheLimitThroughAndNotOneMore) {
  for (const std::int32_t limit : {1, 3, 4, 10, 997, 1000}) {
    ArrivalTime arrival{0};
    EXPECT_EQ(passed(arrival, limit, kStart, limit + 5), limit) << limit;
  }
}

TEST(RateLimit, RefillsWithTimeAndNeverAboveTheBurst) {
  ArrivalTime arrival{0};
  ASSERT_EQ(passed(arrival, 10, kStart, 20), 10);
  EXPECT_EQ(passed(arrival, 10, kStart + kSecondNs / 10, 5), 1);
  EXPECT_EQ(passed(arrival, 10, kStart + 3600 * kSecondNs, 50), 10);
}

TEST(RateLimit, SaysWhenTheNextCallWouldPass) {
  ArrivalTime arrival{0};
  ASSERT_EQ(passed(arrival, 4, kStart, 4), 4);
  const auto wait = try_pass(arrival, 4, kStart);
  ASSERT_TRUE(wait.has_value());
  EXPECT_EQ(*wait, kSecondNs / 4);
  EXPECT_TRUE(try_pass(arrival, 4, kStart + *wait - 1).has_value());
  EXPECT_FALSE(try_pass(arrival, 4, kStart + *wait).has_value());
}

TEST(RateLimit, RefusalsCostNothing) {
  ArrivalTime arrival{0};
  ASSERT_EQ(passed(arrival, 2, kStart, 1000), 2);
  EXPECT_EQ(passed(arrival, 2, kStart + kSecondNs / 2, 1000), 1);
}

TEST(RateLimit, AHigherLimitHoldsAtOnce) {
  ArrivalTime arrival{0};
  ASSERT_EQ(passed(arrival, 1, kStart, 3), 1);
  // What was used of the second stays used: nine tenths of ten remain at most.
  const int more = passed(arrival, 10, kStart + kSecondNs / 2, 50);
  EXPECT_GE(more, 5);
  EXPECT_LE(more, 10);
}

TEST(RateLimit, IsExactUnderContention) {
  constexpr std::int32_t kLimit = 1000;
  ArrivalTime arrival{0};
  std::atomic<int> through{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] { through.fetch_add(passed(arrival, kLimit, kStart, 1000)); });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(through.load(), kLimit);
}

}  // namespace
}  // namespace tollgate::limiter
