#include "limiter/free_points.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <thread>
#include <vector>

namespace tollgate::limiter {
namespace {

TEST(Hold, OfTheFreeStateTakesTheWholeCostOrNothing) {
  FreePointsLeft left{10};
  auto first = Hold::all(left, Points(6));
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->points(), Points(6));
  EXPECT_FALSE(Hold::all(left, Points(6)).has_value());
  EXPECT_EQ(left.load(), 4);
}

TEST(Hold, OfThePaidStateTakesWhatIsLeft) {
  FreePointsLeft left{4};
  const Hold hold = Hold::up_to(left, Points(6));
  EXPECT_EQ(hold.points(), Points(4));
  EXPECT_EQ(left.load(), 0);
  EXPECT_EQ(Hold::up_to(left, Points(6)).points(), Points(0));
}

TEST(Hold, ThatWasNotSpentGoesBack) {
  FreePointsLeft left{10};
  { const auto hold = Hold::all(left, Points(6)); }
  EXPECT_EQ(left.load(), 10);
}

TEST(Hold, ThatWasSpentStaysUsedAndReadable) {
  FreePointsLeft left{10};
  {
    auto hold = Hold::all(left, Points(6));
    ASSERT_TRUE(hold.has_value());
    hold->spend();
    EXPECT_EQ(hold->points(), Points(6));
  }
  EXPECT_EQ(left.load(), 4);
}

TEST(Hold, TakesNothingWhenUsageElsewhereHasPushedTheRestBelowZero) {
  FreePointsLeft left{-5};
  EXPECT_FALSE(Hold::all(left, Points(1)).has_value());
  EXPECT_EQ(Hold::up_to(left, Points(3)).points(), Points(0));
  EXPECT_EQ(left.load(), -5);
}

// domain.md section 9, example 6: 10,000 points of a 6-point model are 1,666 calls, and 4 points stay for good.
TEST(Hold, NeverGoesOverTheQuotaByOnePointUnderContention) {
  FreePointsLeft left{10'000};
  std::atomic<int> calls{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        auto hold = Hold::all(left, Points(6));
        if (!hold) continue;
        hold->spend();
        calls.fetch_add(1);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(calls.load(), 1666);
  EXPECT_EQ(left.load(), 4);
}

RC_GTEST_PROP(Hold, PointsLeftPlusPointsSpentStayTheSame, (std::vector<std::pair<bool, bool>> steps)) {
  FreePointsLeft left{100};
  std::int64_t spent = 0;
  for (const auto& [paid, spend] : steps) {
    std::optional<Hold> hold;
    if (paid) {
      hold = Hold::up_to(left, Points(7));
    } else {
      hold = Hold::all(left, Points(7));
    }
    if (hold && spend) {
      hold->spend();
      spent += hold->points().count();
    }
    hold.reset();
    RC_ASSERT(left.load() + spent == 100);
    RC_ASSERT(left.load() >= 0);
  }
}

}  // namespace
}  // namespace tollgate::limiter
