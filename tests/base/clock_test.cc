#include "base/clock.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "base/check.h"
#include "base/fault.h"

namespace tollgate {
namespace {

TEST(ManualClock, StandsStillUntilItIsMovedEitherWay) {
  const WallTime start{std::chrono::hours(500'000)};
  ManualClock clock(start);
  EXPECT_EQ(clock.now(), start);
  EXPECT_EQ(clock.now(), start);
  clock.advance(std::chrono::hours(1));
  EXPECT_EQ(clock.now(), start + std::chrono::hours(1));
  clock.set(start - std::chrono::hours(1));
  EXPECT_EQ(clock.now(), start - std::chrono::hours(1));
}

TEST(SteadyClock, NeverStepsBack) {
  SteadyTime last = steady_now();
  for (int i = 0; i < 1000; ++i) {
    const SteadyTime now = steady_now();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(Fault, OfAFieldSaysWhichAndIsTheRequestsOwn) {
  const Fault fault = invalid("amount", "must be positive");
  EXPECT_EQ(fault.kind, FaultKind::invalid);
  EXPECT_EQ(fault.code, "invalid_field");
  EXPECT_EQ(fault.field, "amount");
  EXPECT_EQ(fault.message, "must be positive");
}

TEST(Fault, TakenForAValueIsOurBugAndSaysWhatItWas) {
  const Result<int> result = invalid("amount", "must be positive");
  try {
    (void)result.value();
    FAIL() << "a fault was taken for a value";
  } catch (const std::logic_error& error) {
    EXPECT_NE(std::string(error.what()).find("must be positive"), std::string::npos);
  }
}

TEST(CheckDeathTest, EndsTheProcessWithTheConditionAndThePlace) {
  const int calls = 1;
  EXPECT_DEATH(TOLLGATE_CHECK(calls == 2), "CHECK failed: calls == 2 .*clock_test.cc");
}

}  // namespace
}  // namespace tollgate
