#include "net/loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>

#include "base/clock.h"
#include "tests/net/counted.h"

namespace tollgate::net {
namespace {

void expect_no_failure(const std::exception_ptr& failure) { EXPECT_FALSE(failure); }

TEST(Loop, RunsWhatOtherThreadsPostInTheirOrder) {
  Loop loop;
  std::vector<int> seen;
  std::thread other([&] {
    for (int i = 0; i < 1000; ++i) loop.post([&, i] { seen.push_back(i); });
    loop.post([&] { loop.stop(); });
  });
  loop.run();
  other.join();
  ASSERT_EQ(seen.size(), 1000U);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(seen[static_cast<std::size_t>(i)], i);
}

TEST(Loop, RunsWhatIsPostedByPostedWork) {
  Loop loop;
  loop.post([&] { loop.post([&] { loop.stop(); }); });
  loop.run();
}

Task<void> begin_and_end(Loop& loop, std::string& said, bool fails) {
  said += "begins ";
  co_await loop.yield();
  if (fails) throw std::runtime_error("broken");
  said += "ends ";
}

TEST(Loop, StartsATaskOnTheSpotAndTellsItsEnd) {
  Loop loop;
  std::string said;
  loop.spawn(begin_and_end(loop, said, false),
             [&](const std::exception_ptr& failure) { said += failure ? "failed " : "well "; });
  EXPECT_EQ(said, "begins ");
  loop.turn(false);
  EXPECT_EQ(said, "begins ends well ");
  loop.spawn(begin_and_end(loop, said, true),
             [&](const std::exception_ptr& failure) { said += failure ? "failed " : "well "; });
  loop.turn(false);
  EXPECT_EQ(said, "begins ends well begins failed ");
}

Task<void> say_three_times(Loop& loop, std::string& said, char name) {
  for (int i = 0; i < 3; ++i) {
    said += name;
    co_await loop.yield();
  }
}

// Whoever yields goes on after what is ready, and after the loop has looked again.
TEST(Loop, LetsTheOthersGoFirstWhereOneYields) {
  Loop loop;
  std::string said;
  loop.spawn(say_three_times(loop, said, 'a'), expect_no_failure);
  loop.spawn(say_three_times(loop, said, 'b'), expect_no_failure);
  const auto before = loop.looks();
  loop.turn(false);
  EXPECT_EQ(said, "abab");
  EXPECT_EQ(loop.looks(), before + 1);
  loop.turn(false);
  EXPECT_EQ(said, "ababab");
}

// What one look found has one time, however long it is worked on.
TEST(Loop, KnowsWhenItLookedLast) {
  Loop loop;
  loop.turn(false);
  const std::int64_t before = steady_ns();
  const std::int64_t looked_at = loop.looked_at_ns();
  EXPECT_GE(looked_at, before);
  while (steady_ns() == looked_at) {
  }
  EXPECT_EQ(loop.looked_at_ns(), looked_at);
  loop.turn(false);
  EXPECT_GT(loop.looked_at_ns(), looked_at);
}

Task<void> say_later(Loop& loop, std::string& said, char name, std::int64_t until) {
  co_await loop.until(until);
  EXPECT_GE(steady_ns(), until);
  said += name;
  if (said.size() == 3) loop.stop();
}

TEST(Loop, WakesSleepersNotBeforeTheirTimeAndTheEarliestFirst) {
  Loop loop;
  std::string said;
  const std::int64_t now = steady_ns();
  loop.spawn(say_later(loop, said, 'c', now + 12'000'000), expect_no_failure);
  loop.spawn(say_later(loop, said, 'a', now - 1), expect_no_failure);
  loop.spawn(say_later(loop, said, 'b', now + 6'000'000), expect_no_failure);
  loop.run();
  EXPECT_EQ(said, "abc");
}

Task<void> wait_for_long(Loop& loop, int& alive, bool sleeps) {
  const Counted counted(alive);
  if (sleeps) co_await loop.until(steady_ns() + 3'600'000'000'000);
  co_await loop.yield();
}

TEST(Loop, DestroysWhatHasNotEnded) {
  int alive = 0;
  int ended = 0;
  {
    Loop loop;
    const auto count_end = [&](const std::exception_ptr&) { ++ended; };
    loop.spawn(wait_for_long(loop, alive, true), count_end);
    loop.spawn(wait_for_long(loop, alive, false), count_end);
    EXPECT_EQ(alive, 2);
  }
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(ended, 0);
}

}  // namespace
}  // namespace tollgate::net
