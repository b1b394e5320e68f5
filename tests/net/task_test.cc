#include "net/task.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "tests/net/counted.h"

namespace tollgate::net {
namespace {

// A wait that the test ends by hand.
struct Gate {
  std::coroutine_handle<> waiter;
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> who) noexcept { waiter = who; }
  void await_resume() const noexcept {}
  void open() { resume(std::exchange(waiter, {})); }
};

Task<int> after(Gate& gate, int value) {
  co_await gate;
  co_return value;
}
Task<int> at_once(int value) { co_return value; }
Task<void> throws() {
  throw std::runtime_error("broken");
  co_return;
}

Task<void> add_both(int& out) {
  const int one = co_await at_once(1);
  const int two = co_await at_once(2);
  out = one + two;
}

TEST(Task, RunsOnlyWhenAwaitedAndEndsAtOnceWhereNothingWaits) {
  int result = 0;
  Task<void> task = add_both(result);
  EXPECT_EQ(result, 0);
  EXPECT_TRUE(task.start());
  EXPECT_EQ(result, 3);
}

Task<int> one_more(Gate& gate) {
  const int value = co_await after(gate, 20);
  co_return value + 1;
}
Task<void> store(Gate& gate, int& out) { out = co_await one_more(gate); }

TEST(Task, GoesOnWhereItsInnermostWaitEnds) {
  Gate gate;
  int result = 0;
  Task<void> task = store(gate, result);
  EXPECT_FALSE(task.start());
  gate.open();
  EXPECT_TRUE(task.done());
  EXPECT_EQ(result, 21);
}

Task<void> catch_it(std::string& out) {
  try {
    co_await throws();
  } catch (const std::runtime_error& error) {
    out = error.what();
  }
}

TEST(Task, HandsExceptionsToWhoAwaits) {
  std::string what;
  Task<void> task = catch_it(what);
  EXPECT_TRUE(task.start());
  EXPECT_EQ(what, "broken");
}

Task<void> add_many(Gate& gate, std::int64_t& out) {
  for (int i = 0; i < 500'000; ++i) {
    out += co_await at_once(1);
    if (i % 10 == 0) out += co_await after(gate, 1);
  }
}

// Half a million ends in a row, at once and after a wait: a stack that grew with them would be gone.
TEST(Task, DoesNotNestWhatEndsOneAfterTheOther) {
  Gate gate;
  std::int64_t sum = 0;
  Task<void> task = add_many(gate, sum);
  task.start();
  while (!task.done()) gate.open();
  EXPECT_EQ(sum, 550'000);
}

Task<void> hold_one(Gate& gate, int& count) {
  const Counted counted(count);
  co_await gate;
}
Task<void> hold_two(Gate& gate, int& count) {
  const Counted counted(count);
  co_await hold_one(gate, count);
}

TEST(Task, FreesAllItHoldsWhenItIsDroppedWhileItWaits) {
  int alive = 0;
  Gate gate;
  {
    Task<void> task = hold_two(gate, alive);
    EXPECT_FALSE(task.start());
    EXPECT_EQ(alive, 2);
  }
  EXPECT_EQ(alive, 0);
}

class BothTest : public testing::Test {
 protected:
  Task<void> half(Gate* gate, std::string name) {
    said_.push_back(name + " begins");
    if (gate != nullptr) co_await *gate;
    said_.push_back(name + " ends");
  }
  Task<void> both(Gate* first, Gate* second) {
    Both both(half(first, "a"), half(second, "b"));
    co_await both;
    said_.push_back("through");
  }
  Task<void> both_with_failure(std::string& what) {
    try {
      Both both(throws(), half(&second_, "b"));
      co_await both;
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
  }
  std::vector<std::string> said_;
  Gate first_, second_;
};

TEST_F(BothTest, EndsWithTheLaterOfTheTwo) {
  Task<void> task = both(&first_, &second_);
  EXPECT_FALSE(task.start());
  second_.open();
  EXPECT_FALSE(task.done());
  first_.open();
  EXPECT_TRUE(task.done());
  EXPECT_EQ(said_, (std::vector<std::string>{"a begins", "b begins", "b ends", "a ends", "through"}));
}

TEST_F(BothTest, WaitsForTheOneThatDoesNotEndAtOnce) {
  for (const bool first_waits : {true, false}) {
    said_.clear();
    Task<void> task = both(first_waits ? &first_ : nullptr, first_waits ? nullptr : &second_);
    EXPECT_FALSE(task.start());
    (first_waits ? first_ : second_).open();
    EXPECT_TRUE(task.done());
    EXPECT_EQ(said_.back(), "through");
  }
  Task<void> task = both(nullptr, nullptr);
  EXPECT_TRUE(task.start());
}

TEST_F(BothTest, HandsOnAnExceptionWhenBothHaveEnded) {
  std::string what;
  Task<void> task = both_with_failure(what);
  EXPECT_FALSE(task.start());
  EXPECT_EQ(what, "");
  second_.open();
  EXPECT_EQ(what, "broken");
}

}  // namespace
}  // namespace tollgate::net
