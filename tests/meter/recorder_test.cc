#include "meter/recorder.h"

#include <gtest/gtest.h>

#include "tests/meter/journal_file.h"

namespace tollgate::meter {
namespace {

constexpr Hour kHour{450'000};

class RecorderTest : public testing::Test {
 protected:
  RecorderTest() { EXPECT_TRUE(journal_->begin_epoch(1, 7)); }

  JournalFile file_;
  std::unique_ptr<Journal> journal_ = file_.open(64);
  Recorder recorder_{*journal_};
};

TEST_F(RecorderTest, HasOneSlotPerSubscriptionAndHour) {
  Slot* first = recorder_.slot(1, kHour);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(recorder_.slot(1, kHour), first);
  Slot* other = recorder_.slot(2, kHour);
  EXPECT_NE(other, first);
  EXPECT_EQ(recorder_.slot(1, kHour), first);
  EXPECT_EQ(journal_->slots_used(), 2U);
  EXPECT_EQ(first->subscription, 1U);
  EXPECT_EQ(other->subscription, 2U);
}

TEST_F(RecorderTest, TakesAFreshSlotWhenTheHourChanges) {
  Slot* before = recorder_.slot(1, kHour);
  Slot* after = recorder_.slot(1, kHour.next());
  EXPECT_NE(after, before);
  EXPECT_EQ(before->hour, kHour.since_epoch);
  EXPECT_EQ(after->hour, kHour.next().since_epoch);
}

TEST_F(RecorderTest, KeepsTheLaterHourWhenTheClockStepsBack) {
  Slot* later = recorder_.slot(1, kHour.next());
  EXPECT_EQ(recorder_.slot(1, kHour), later);
  // Also for a subscription that has not been seen in that hour.
  EXPECT_EQ(recorder_.slot(2, kHour)->hour, kHour.next().since_epoch);
}

TEST_F(RecorderTest, StartsHoursAgainAfterTheyWereForgotten) {
  Slot* later = recorder_.slot(1, kHour.next());
  recorder_.forget_hours();
  Slot* earlier = recorder_.slot(1, kHour);
  EXPECT_NE(earlier, later);
  EXPECT_EQ(earlier->hour, kHour.since_epoch);
}

TEST_F(RecorderTest, ServesSubscriptionsOfAnyNumber) {
  EXPECT_EQ(recorder_.slot(0, kHour)->subscription, 0U);
  EXPECT_EQ(recorder_.slot(100'000, kHour)->subscription, 100'000U);
  EXPECT_EQ(recorder_.slot(0, kHour), recorder_.slot(0, kHour));
}

TEST_F(RecorderTest, SaysWhenTheJournalIsFullAndGoesOnWhenItHasRoomAgain) {
  Recorder recorder(*journal_);
  Slot* last = nullptr;
  for (std::uint32_t i = 0; i < 64; ++i) last = recorder.slot(i, kHour);
  ASSERT_NE(last, nullptr);
  EXPECT_EQ(recorder.slot(64, kHour), nullptr);
  EXPECT_EQ(recorder.slot(64, kHour), nullptr);
  journal_->recycle(*last);
  EXPECT_NE(recorder.slot(64, kHour), nullptr);
}

// domain.md section 3: points are used when forwarding begins; how the call ends decides only its count and price.
TEST_F(RecorderTest, CountsACallByHowItEnded) {
  Slot* slot = recorder_.slot(1, kHour);
  recorder_.forwarded(*slot, Points(4));
  EXPECT_EQ(slot->calls_open(), 1);
  EXPECT_EQ(slot->free_points().count(), 4);
  recorder_.ended(*slot, Outcome::succeeded, false, Points(2));
  EXPECT_EQ(slot->calls_open(), 0);
  EXPECT_EQ(slot->calls_succeeded(), 1);
  EXPECT_EQ(slot->billable_points().count(), 2);

  recorder_.forwarded(*slot, Points(6));
  recorder_.ended(*slot, Outcome::failed, false, Points());
  EXPECT_EQ(slot->calls_failed(), 1);
  EXPECT_EQ(slot->free_points().count(), 10);
  EXPECT_EQ(slot->billable_points().count(), 2);
}

TEST_F(RecorderTest, CountsAnUnmeteredCallOnlyAsThatHoweverItEnds) {
  Slot* slot = recorder_.slot(1, kHour);
  for (const Outcome outcome : {Outcome::succeeded, Outcome::failed}) {
    recorder_.forwarded(*slot, Points());
    recorder_.ended(*slot, outcome, true, Points());
  }
  EXPECT_EQ(slot->calls_unmetered(), 2);
  EXPECT_EQ(slot->calls_succeeded() + slot->calls_failed(), 0);
  EXPECT_EQ(slot->free_points().count() + slot->billable_points().count(), 0);
  EXPECT_EQ(slot->calls_open(), 0);
}

}  // namespace
}  // namespace tollgate::meter
