#include "meter/collector.h"

#include <gtest/gtest.h>

#include <deque>

#include "meter/recorder.h"
#include "tests/meter/journal_file.h"
#include "tests/meter/receiver.h"

namespace tollgate::meter {
namespace {

constexpr Hour kHour{450'000};
constexpr Hour later(int hours) { return Hour{kHour.since_epoch + hours}; }

class CollectorTest : public testing::Test {
 protected:
  CollectorTest() { start(1); }

  // A gateway's start: the journal is opened again under a new epoch.
  void start(std::uint32_t epoch) {
    collector_.reset();
    workers_.clear();
    journal_.reset();
    journal_ = file_.open(256);
    EXPECT_TRUE(journal_->begin_epoch(epoch, 7));
    for (int i = 0; i < 2; ++i) workers_.emplace_back(*journal_);
    collector_ = std::make_unique<Collector>(*journal_, "gw-1", receiver_.deliver());
  }

  Slot& forward(std::size_t worker, std::uint32_t subscription, Hour hour, Points free = Points()) {
    Slot* slot = workers_[worker].slot(subscription, hour);
    EXPECT_NE(slot, nullptr);
    workers_[worker].forwarded(*slot, free);
    return *slot;
  }
  void call(std::size_t worker, std::uint32_t subscription, Hour hour, Points billable = Points(6)) {
    workers_[worker].ended(forward(worker, subscription, hour), Outcome::succeeded, false, billable);
  }
  UsageTotals merged(std::uint32_t epoch, std::uint32_t subscription, Hour hour) {
    return receiver_.merged[{epoch, subscription, hour}];
  }

  JournalFile file_;
  Receiver receiver_;
  std::unique_ptr<Journal> journal_;
  std::deque<Recorder> workers_;
  std::unique_ptr<Collector> collector_;
};

TEST_F(CollectorTest, ReportsAnEpochUnderTheNumberItIsKnownBy) {
  call(0, 1, kHour);
  start(2);
  collector_->report_as(1, 41);
  call(0, 1, kHour);
  ASSERT_TRUE(collector_->collect(kHour));
  EXPECT_EQ(merged(41, 1, kHour).billable_points, Points(6));
  EXPECT_EQ(merged(2, 1, kHour).billable_points, Points(6));
  EXPECT_EQ(merged(1, 1, kHour), UsageTotals());
}

TEST_F(CollectorTest, ReportsCumulativeTotalsOfItsGatewayAndEpoch) {
  call(0, 1, kHour);
  ASSERT_TRUE(collector_->collect(kHour));
  call(0, 1, kHour);
  ASSERT_TRUE(collector_->collect(kHour));
  ASSERT_EQ(receiver_.reports.size(), 2U);
  EXPECT_EQ(receiver_.reports[1].gateway, "gw-1");
  EXPECT_EQ(receiver_.reports[1].epoch, 1U);
  ASSERT_EQ(receiver_.reports[1].entries.size(), 1U);
  const UsageEntry& entry = receiver_.reports[1].entries[0];
  EXPECT_EQ(entry.subscription, 1U);
  EXPECT_EQ(entry.hour, kHour);
  EXPECT_EQ(entry.totals, (UsageTotals{2, 0, 0, Points(), Points(12)}));
}

TEST_F(CollectorTest, ReportsOnlyWhatHasChangedSinceItWasAcknowledged) {
  call(0, 1, kHour);
  call(0, 2, kHour);
  ASSERT_TRUE(collector_->collect(kHour));
  ASSERT_TRUE(collector_->collect(kHour));
  EXPECT_EQ(receiver_.reports.size(), 1U);
  call(0, 2, kHour);
  ASSERT_TRUE(collector_->collect(kHour));
  ASSERT_EQ(receiver_.reports.size(), 2U);
  ASSERT_EQ(receiver_.reports[1].entries.size(), 1U);
  EXPECT_EQ(receiver_.reports[1].entries[0].subscription, 2U);
}

// What is not marked as changed is not looked at, so each way to count has to mark.
TEST_F(CollectorTest, SeesEachCountOfASlotThatWasAcknowledged) {
  call(0, 1, kHour);
  Slot& slot = forward(1, 1, kHour);
  ASSERT_TRUE(collector_->collect(kHour));
  workers_[1].ended(slot, Outcome::failed, false, Points());
  ASSERT_TRUE(collector_->collect(kHour));
  EXPECT_EQ(merged(1, 1, kHour), (UsageTotals{1, 1, 0, Points(), Points(6)}));
  workers_[1].forwarded(slot, Points(4));
  ASSERT_TRUE(collector_->collect(kHour));
  EXPECT_EQ(merged(1, 1, kHour), (UsageTotals{1, 1, 0, Points(4), Points(6)}));
  workers_[1].ended(slot, Outcome::succeeded, true, Points());
  ASSERT_TRUE(collector_->collect(kHour));
  EXPECT_EQ(merged(1, 1, kHour), (UsageTotals{1, 1, 1, Points(4), Points(6)}));
  call(1, 1, kHour, Points(2));
  ASSERT_TRUE(collector_->collect(kHour));
  EXPECT_EQ(merged(1, 1, kHour), (UsageTotals{2, 1, 1, Points(4), Points(8)}));
}

TEST_F(CollectorTest, LooksOnlyAtSlotsThatWereCountedInto) {
  call(0, 1, kHour);
  call(0, 2, kHour);
  ASSERT_TRUE(collector_->collect(kHour));
  workers_[0].slot(1, kHour)->count_failed();  // behind the back of the marks
  call(0, 2, kHour);
  ASSERT_TRUE(collector_->collect(kHour));
  EXPECT_EQ(merged(1, 1, kHour).calls_failed, 0);
  EXPECT_EQ(merged(1, 2, kHour).calls_succeeded, 2);
}

TEST_F(CollectorTest, RepeatsWhatCouldNotBeDeliveredAndSaysHowMuchWaits) {
  call(0, 1, kHour);
  forward(0, 1, kHour, Points(4));
  receiver_.mood = Receiver::Mood::loses;
  const auto failed = collector_->collect(kHour);
  ASSERT_TRUE(failed.has_error());
  EXPECT_EQ(failed.error().code, "store_failed");
  EXPECT_EQ(collector_->unacknowledged(), Points(10));
  EXPECT_TRUE(receiver_.merged.empty());
  receiver_.mood = Receiver::Mood::takes;
  ASSERT_TRUE(collector_->collect(kHour));
  EXPECT_EQ(merged(1, 1, kHour), (UsageTotals{1, 0, 0, Points(4), Points(6)}));
  EXPECT_EQ(collector_->unacknowledged(), Points());
}

TEST_F(CollectorTest, SumsTheSlotsOfAllWorkers) {
  call(0, 1, kHour, Points(6));
  call(1, 1, kHour, Points(4));
  EXPECT_EQ(journal_->slots_used(), 2U);
  ASSERT_TRUE(collector_->collect(kHour));
  ASSERT_EQ(receiver_.reports.size(), 1U);
  ASSERT_EQ(receiver_.reports[0].entries.size(), 1U);
  EXPECT_EQ(merged(1, 1, kHour), (UsageTotals{2, 0, 0, Points(), Points(10)}));
}

TEST_F(CollectorTest, AddsASlotOfAnotherWorkerThatComesLater) {
  call(0, 1, kHour);
  ASSERT_TRUE(collector_->collect(kHour));
  call(1, 1, kHour);
  ASSERT_TRUE(collector_->collect(kHour));
  EXPECT_EQ(merged(1, 1, kHour).calls_succeeded, 2);
}

TEST_F(CollectorTest, CountsOpenCallsOfThisEpochNotYetAndOfAnEarlierOneAsFailed) {
  call(0, 1, kHour);
  forward(0, 1, kHour, Points(4));
  ASSERT_TRUE(collector_->collect(kHour));
  EXPECT_EQ(merged(1, 1, kHour), (UsageTotals{1, 0, 0, Points(4), Points(6)}));
  start(2);
  ASSERT_TRUE(collector_->collect(kHour));
  EXPECT_EQ(merged(1, 1, kHour), (UsageTotals{1, 1, 0, Points(4), Points(6)}));
  EXPECT_FALSE(receiver_.merged.contains({2, 1, kHour}));
}

TEST_F(CollectorTest, ReportsAnEarlierEpochUnderItsOwnNumberAndRecyclesItOnceAcknowledged) {
  call(0, 1, kHour);
  start(2);
  call(0, 1, kHour);
  EXPECT_EQ(journal_->slots_used(), 2U);
  receiver_.mood = Receiver::Mood::loses;
  ASSERT_FALSE(collector_->collect(kHour));
  EXPECT_EQ(journal_->slots_used(), 2U);
  receiver_.mood = Receiver::Mood::takes;
  ASSERT_TRUE(collector_->collect(kHour));
  EXPECT_EQ(merged(1, 1, kHour).calls_succeeded, 1);
  EXPECT_EQ(merged(2, 1, kHour).calls_succeeded, 1);
  EXPECT_EQ(journal_->slots_used(), 1U) << "this hour's slot of the running epoch stays";
}

TEST_F(CollectorTest, RecyclesOldHoursOnlyAfterTheyWereAcknowledged) {
  call(0, 1, kHour);
  receiver_.mood = Receiver::Mood::loses;
  ASSERT_FALSE(collector_->collect(later(48)));
  EXPECT_EQ(journal_->slots_used(), 1U);
  receiver_.mood = Receiver::Mood::takes;
  ASSERT_TRUE(collector_->collect(later(48)));
  EXPECT_EQ(journal_->slots_used(), 0U);
}

TEST_F(CollectorTest, KeepsTheSlotsOfThisHourAndTheOneBefore) {
  call(0, 1, kHour);
  ASSERT_TRUE(collector_->collect(kHour));
  ASSERT_TRUE(collector_->collect(later(1)));
  EXPECT_EQ(journal_->slots_used(), 1U);
  ASSERT_TRUE(collector_->collect(later(2)));
  EXPECT_EQ(journal_->slots_used(), 0U);
}

TEST_F(CollectorTest, NeverRecyclesAKeyWithAnOpenCall) {
  Slot& open = forward(0, 1, kHour);
  call(1, 1, kHour);  // the other worker's slot has ended; it must not go alone
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(collector_->collect(later(10 + i)));
  EXPECT_EQ(journal_->slots_used(), 2U);
  workers_[0].ended(open, Outcome::succeeded, false, Points(6));
  ASSERT_TRUE(collector_->collect(later(20)));
  EXPECT_EQ(merged(1, 1, kHour).calls_succeeded, 2);
  EXPECT_EQ(journal_->slots_used(), 0U);
}

TEST_F(CollectorTest, FollowsARecycledSlotToItsNextOwner) {
  call(0, 1, kHour);
  ASSERT_TRUE(collector_->collect(later(2)));
  ASSERT_EQ(journal_->slots_used(), 0U);
  call(0, 2, later(2));
  ASSERT_EQ(journal_->slots_touched(), 1U) << "the same slot again";
  ASSERT_TRUE(collector_->collect(later(2)));
  EXPECT_EQ(merged(1, 1, kHour).calls_succeeded, 1);
  EXPECT_EQ(merged(1, 2, later(2)).calls_succeeded, 1);
}

TEST_F(CollectorTest, LeavesDamagedSlotsOut) {
  call(0, 1, kHour);
  call(0, 2, kHour);
  collector_.reset();
  workers_.clear();
  journal_.reset();
  file_.damage(JournalFile::kSlotsBegin);
  start(2);
  ASSERT_EQ(journal_->slots_damaged(), 1U);
  ASSERT_TRUE(collector_->collect(later(10)));
  EXPECT_EQ(receiver_.merged.size(), 1U);
  EXPECT_EQ(merged(1, 2, kHour).calls_succeeded, 1);
  EXPECT_EQ(journal_->slots_used(), 1U) << "kept for whoever looks into it";
}

TEST_F(CollectorTest, CutsWhatIsTooMuchForOneReport) {
  collector_.reset();
  workers_.clear();
  journal_.reset();
  journal_ = file_.open(12'000);
  EXPECT_TRUE(journal_->begin_epoch(2, 7));
  for (std::uint32_t i = 0; i < 10'001; ++i) journal_->take(i, kHour)->count_succeeded(Points());
  collector_ = std::make_unique<Collector>(*journal_, "gw-1", receiver_.deliver());
  ASSERT_TRUE(collector_->collect(kHour));
  EXPECT_EQ(receiver_.reports.size(), 2U);
  EXPECT_EQ(receiver_.merged.size(), 10'001U);
}

// The wall clock jumps a day ahead, the old hour is recycled, and the clock is set right again: the worker noticed
// nothing, because no call came meanwhile. What it counts then must reach the receiver.
// The second worker sees the jump, the first does not: it goes on in the slot it has.
TEST_F(CollectorTest, LosesNothingWhenTheClockJumpsAheadAndComesBack) {
  const auto oldest = [&] { return std::min(workers_[0].latest(), workers_[1].latest()); };
  call(0, 1, kHour);
  ASSERT_TRUE(collector_->collect(oldest()));
  workers_[1].advance(later(25));
  ASSERT_TRUE(collector_->collect(oldest()));
  call(0, 1, kHour);
  call(1, 1, kHour);
  ASSERT_TRUE(collector_->collect(oldest()));
  workers_[0].advance(later(25));
  ASSERT_TRUE(collector_->collect(oldest()));
  call(0, 1, kHour);
  ASSERT_TRUE(collector_->collect(oldest()));
  std::int64_t calls = 0;
  for (const auto& [key, totals] : receiver_.merged) calls += totals.calls_succeeded;
  EXPECT_EQ(calls, 4);
  EXPECT_EQ(journal_->slots_used(), 2U) << "the hour that no worker can come back to was recycled";
}

}  // namespace
}  // namespace tollgate::meter
