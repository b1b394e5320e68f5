#include "gateway/call.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "tests/meter/journal_file.h"

namespace tollgate::gateway {
namespace {

constexpr std::int64_t kNow = 1'000'000'000;

// One call of cost 6 that was admitted: a permit of the subscription and one of the service, and a hold.
class CallTest : public testing::Test {
 protected:
  void admit(std::int64_t free_left, bool unmetered = false) {
    free_left_ = free_left;
    call_.emplace();
    call_->service = service_;
    call_->recorder = &recorder_;
    call_->slot = &slot_;
    call_->admission.cost = Points(6);
    call_->admission.paid = true;
    call_->admission.unmetered = unmetered;
    call_->admission.permit = limiter::Permit::acquire(in_flight_);
    call_->admission.service_permit = limiter::Permit::acquire(service_in_flight_);
    if (!unmetered) call_->admission.hold = limiter::Hold::up_to(free_left_, Points(6));
    call_->admitted = true;
    cells_.in_flight[0].add(1);
  }

  static std::unique_ptr<meter::Journal> begun(meter::JournalFile& file) {
    auto journal = file.open(64);
    EXPECT_TRUE(journal->begin_epoch(1, 7));
    return journal;
  }

  void expect_given_back() const {
    EXPECT_EQ(in_flight_.load(), 0);
    EXPECT_EQ(service_in_flight_.load(), 0);
    EXPECT_EQ(cells_.in_flight[0].load(), 0);
  }

  // What the journal and the metrics say, which must be the same.
  void expect_counted(std::int64_t succeeded, std::int64_t failed, std::int64_t free, std::int64_t billable) const {
    EXPECT_EQ(slot_.calls_succeeded(), succeeded);
    EXPECT_EQ(slot_.calls_failed(), failed);
    EXPECT_EQ(slot_.free_points().count(), free);
    EXPECT_EQ(slot_.billable_points().count(), billable);
    EXPECT_EQ(cells_.calls[static_cast<std::size_t>(meter::Outcome::succeeded)].load(), succeeded);
    EXPECT_EQ(cells_.calls[static_cast<std::size_t>(meter::Outcome::failed)].load(), failed);
    EXPECT_EQ(cells_.free_points.load(), free);
    EXPECT_EQ(cells_.billable_points.load(), billable);
    EXPECT_EQ(slot_.calls_open(), 0);
  }

  limiter::FreePointsLeft free_left_{0};
  limiter::InFlight in_flight_{0};
  limiter::InFlight service_in_flight_{0};
  meter::JournalFile file_;
  std::unique_ptr<meter::Journal> journal_ = begun(file_);
  meter::Recorder recorder_{*journal_};
  meter::Slot& slot_ = *recorder_.slot(1, Hour{450'000});
  meter::ServiceCells cells_;
  limiter::Service limits_;
  WorkerServicePtr service_{
      new WorkerService(std::make_shared<const ServiceConfig>("detect", ServiceDefinition(), limits_), cells_)};
  std::optional<Call> call_;
};

TEST_F(CallTest, ThatSucceededPaysItsCostLessWhatIsFree) {
  admit(4);
  call_->forward(kNow);
  call_->end(meter::Outcome::succeeded);
  call_->release();
  expect_counted(1, 0, 4, 2);
  EXPECT_EQ(free_left_.load(), 0);
  expect_given_back();
}

TEST_F(CallTest, ThatFailedUsesItsFreePointsAndPaysNothing) {
  admit(4);
  call_->forward(kNow);
  call_->end(meter::Outcome::failed);
  call_->release();
  expect_counted(0, 1, 4, 0);
  EXPECT_EQ(free_left_.load(), 0);
  expect_given_back();
}

TEST_F(CallTest, ThatWasNeverForwardedIsNoCall) {
  admit(10);
  EXPECT_EQ(free_left_.load(), 4);
  call_->end(meter::Outcome::failed);
  call_->release();
  EXPECT_EQ(free_left_.load(), 10) << "given back before the client hears of it, not when the call is forgotten";
  expect_counted(0, 0, 0, 0);
  EXPECT_EQ(slot_.calls_started(), 0);
  expect_given_back();
}

TEST_F(CallTest, IsCountedAsBegunBeforeItEnds) {
  admit(4);
  call_->forward(kNow);
  EXPECT_EQ(slot_.calls_open(), 1) << "a process that dies now must not have served it unseen";
  EXPECT_EQ(slot_.free_points().count(), 4);
  EXPECT_EQ(slot_.billable_points().count(), 0);
  EXPECT_EQ(in_flight_.load(), 1);
}

TEST_F(CallTest, ThatIsSentAgainRemainsOne) {
  admit(10);
  call_->forward(kNow);
  call_->forward(kNow + 5);
  EXPECT_EQ(call_->forwarded_ns, kNow);
  call_->end(meter::Outcome::succeeded);
  expect_counted(1, 0, 6, 0);
  EXPECT_EQ(slot_.calls_started(), 1);
}

TEST_F(CallTest, EndsOnceWhateverComesAfter) {
  admit(0);
  call_->forward(kNow);
  call_->end(meter::Outcome::succeeded);
  call_->end(meter::Outcome::failed);
  call_->end(meter::Outcome::succeeded);
  call_->release();
  call_->release();
  call_.reset();
  expect_counted(1, 0, 0, 6);
  expect_given_back();
}

TEST_F(CallTest, UnmeteredCostsNothingHoweverItEnds) {
  for (const auto outcome : {meter::Outcome::succeeded, meter::Outcome::failed}) {
    admit(10, true);
    call_->forward(kNow);
    call_->end(outcome);
    call_.reset();
  }
  EXPECT_EQ(slot_.calls_unmetered(), 2);
  EXPECT_EQ(slot_.calls_succeeded() + slot_.calls_failed(), 0);
  EXPECT_EQ(slot_.free_points().count() + slot_.billable_points().count(), 0);
  EXPECT_EQ(free_left_.load(), 10);
  expect_given_back();
}

TEST_F(CallTest, ThatIsForgottenOnTheWayIsSettledAsFailed) {
  admit(4);
  call_->forward(kNow);
  call_.reset();
  expect_counted(0, 1, 4, 0);
  EXPECT_EQ(free_left_.load(), 0);
  expect_given_back();
  admit(10);
  call_.reset();
  expect_counted(0, 1, 4, 0);
  EXPECT_EQ(free_left_.load(), 10);
  expect_given_back();
}

TEST_F(CallTest, KeepsItsPlaceAfterItsOutcomeIsKnown) {
  admit(4);
  call_->forward(kNow);
  call_->end(meter::Outcome::succeeded);
  EXPECT_EQ(in_flight_.load(), 1) << "the permit is held to the last byte, the outcome is counted before it";
  EXPECT_EQ(cells_.in_flight[0].load(), 1);
  call_->release();
  expect_given_back();
}

TEST_F(CallTest, ThatWasRefusedCountsNothing) {
  call_.emplace();
  call_->service = service_;
  call_->end(meter::Outcome::failed);
  call_->release();
  call_.reset();
  expect_counted(0, 0, 0, 0);
  expect_given_back();
}

}  // namespace
}  // namespace tollgate::gateway
