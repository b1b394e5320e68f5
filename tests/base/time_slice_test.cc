#include "base/time_slice.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <thread>

namespace tollgate {
namespace {

TEST(TimeSlice, TheLongestIsAskedForAndNothingElseChanges) {
  const auto before = time_slice();
  if (!before) GTEST_SKIP() << "this kernel has no time slices of a thread's own";
  std::thread([&before] {
    ASSERT_EQ(::setpriority(PRIO_PROCESS, 0, 3), 0);  // on Linux: of the thread
    take_long_time_slices();
    EXPECT_EQ(time_slice(), kLongTimeSlice);
    EXPECT_EQ(::getpriority(PRIO_PROCESS, 0), 3);
  }).join();
  EXPECT_LT(*before, kLongTimeSlice);
  EXPECT_EQ(time_slice(), before) << "another thread's is as it was";
}

}  // namespace
}  // namespace tollgate
