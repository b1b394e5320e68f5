#include "base/fail_point.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace tollgate {
namespace {
FailPlan plan_of(std::string_view text) {
  auto plan = FailPlan::parse(text);
  EXPECT_TRUE(plan.has_value()) << text;
  return plan.has_value() ? *plan : FailPlan();
}

// The errors of the first six passes of journal.sync.
std::vector<int> six_passes(FailPlan plan) {
  std::vector<int> errors;
  for (int i = 0; i < 6; ++i) errors.push_back(plan.pass("journal.sync").error);
  return errors;
}

TEST(FailPlan, NothingIsArmedByDefault) {
  EXPECT_TRUE(plan_of("").empty());
  EXPECT_TRUE(plan_of(" \n").empty());
  EXPECT_EQ(six_passes(FailPlan()), std::vector<int>({0, 0, 0, 0, 0, 0}));
}

TEST(FailPlan, PassesAreOneARangeOrAllFromOneOn) {
  EXPECT_EQ(six_passes(plan_of("journal.sync=EIO@3")), std::vector<int>({0, 0, EIO, 0, 0, 0}));
  EXPECT_EQ(six_passes(plan_of("journal.sync=EIO@2+")), std::vector<int>({0, EIO, EIO, EIO, EIO, EIO}));
  EXPECT_EQ(six_passes(plan_of("journal.sync=ENOSPC@2-4")), std::vector<int>({0, ENOSPC, ENOSPC, ENOSPC, 0, 0}));
  EXPECT_EQ(six_passes(plan_of("journal.sync=EIO")), std::vector<int>({EIO, EIO, EIO, EIO, EIO, EIO}));
}

TEST(FailPlan, EachPointCountsItsOwnPasses) {
  auto plan = plan_of("journal.sync=EIO@2,settle.commit=kill@1\n");
  EXPECT_EQ(plan.pass("journal.sync").error, 0);
  EXPECT_TRUE(plan.pass("settle.commit").kill);
  EXPECT_FALSE(plan.pass("settle.commit").kill);
  EXPECT_EQ(plan.pass("journal.sync").error, EIO);
  EXPECT_EQ(plan.pass("report.merge").error, 0);
}

TEST(FailPlan, WhatIsNotAPlanIsRefused) {
  for (const std::string_view text :
       {"nothing", "no.such.point=kill", "journal.sync", "journal.sync=", "journal.sync=ESOME", "journal.sync=EIO@",
        "journal.sync=EIO@0", "journal.sync=EIO@-1", "journal.sync=EIO@4-2", "journal.sync=EIO@2x",
        "journal.sync=EIO@+", "journal.sync=EIO,", ",journal.sync=EIO", "journal.sync=EIO@1@2"}) {
    EXPECT_TRUE(FailPlan::parse(text).has_error()) << text;
  }
}

#ifdef TOLLGATE_FAIL_POINTS
// The plan of a process is read once, at its start: each of these runs in a process of its own, started anew with the
// file's name in its environment.
class FailFile : public testing::Test {
 protected:
  FailFile() : path_(file()) { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
  ~FailFile() override { std::filesystem::remove(path_); }

  static std::string file() {
    if (const char* inherited = std::getenv("TOLLGATE_FAIL_FILE")) return inherited;
    const auto folder = std::filesystem::temp_directory_path();
    const std::string path = folder / ("fail-points-" + std::to_string(::getpid()));
    ::setenv("TOLLGATE_FAIL_FILE", path.c_str(), 1);
    return path;
  }

  // As a test does it from outside: renamed into place, so that a change is always seen.
  void arm(std::string_view plan) {
    const auto draft = path_ + ".draft";
    std::ofstream(draft) << plan;
    std::filesystem::rename(draft, path_);
  }
  const std::string path_;
};

TEST_F(FailFile, ArmsAndDisarmsWhileTheProcessRuns) {
  EXPECT_EXIT(
      {
        const bool without = TOLLGATE_FAIL_ERRNO("journal.sync") == 0;
        arm("journal.sync=EIO@2+");
        const bool first = TOLLGATE_FAIL_ERRNO("journal.sync") == 0;
        const bool second = TOLLGATE_FAIL_ERRNO("journal.sync") == EIO;
        arm("");
        const bool disarmed = TOLLGATE_FAIL_ERRNO("journal.sync") == 0;
        arm("journal.sync=EIO@2+");
        const bool anew = TOLLGATE_FAIL_ERRNO("journal.sync") == 0 && TOLLGATE_FAIL_ERRNO("journal.sync") == EIO;
        std::_Exit(without && first && second && disarmed && anew ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(FailFile, AKillIsAKill) {
  arm("settle.commit=kill@2");
  EXPECT_EXIT(
      {
        TOLLGATE_FAIL_POINT("settle.commit");
        TOLLGATE_FAIL_POINT("settle.commit");
        std::_Exit(0);
      },
      testing::KilledBySignal(SIGKILL), "");
}

TEST_F(FailFile, AWrongPlanEndsTheProcessLoudly) {
  arm("settle.comit=kill");
  EXPECT_EXIT(
      {
        TOLLGATE_FAIL_POINT("settle.commit");
        std::_Exit(0);
      },
      testing::ExitedWithCode(3), "no fail point of that name");
}

TEST_F(FailFile, AnErrnoWhereNoCallCanFailEndsTheProcessLoudly) {
  arm("settle.commit=EIO");
  EXPECT_EXIT(
      {
        TOLLGATE_FAIL_POINT("settle.commit");
        std::_Exit(0);
      },
      testing::ExitedWithCode(3), "a place to die at");
}
#endif
}  // namespace
}  // namespace tollgate
