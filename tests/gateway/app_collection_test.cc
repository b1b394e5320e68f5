#include <gtest/gtest.h>

#include "gateway/app_serve.h"

namespace tollgate::gateway {
namespace {
using namespace std::chrono_literals;

TEST(PauseAfterCollection, IsTheIntervalWhereRoundsAreShort) {
  EXPECT_EQ(pause_after_collection(200ms, 0ns), 200ms);
  EXPECT_EQ(pause_after_collection(200ms, 22ms), 200ms);
  EXPECT_EQ(pause_after_collection(60s, 10s), 60s);
}

TEST(PauseAfterCollection, LeavesNineTenthsOfTheTimeToOthersUpToFiveSeconds) {
  EXPECT_EQ(pause_after_collection(200ms, 23ms), 207ms);
  EXPECT_EQ(pause_after_collection(200ms, 100ms), 900ms);
  EXPECT_EQ(pause_after_collection(1ms, 500ms), 4500ms);
  EXPECT_EQ(pause_after_collection(200ms, 1s), 5s);
  EXPECT_EQ(pause_after_collection(200ms, 1h), 5s);
}

}  // namespace
}  // namespace tollgate::gateway
