// Counting, collecting, failing deliveries and restarts in any order: what the receiver has merged in the end is
// what was counted, no call more and no call less.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <deque>
#include <memory>
#include <vector>

#include "meter/recorder.h"
#include "tests/meter/journal_file.h"
#include "tests/meter/receiver.h"

namespace tollgate::meter {
namespace {

enum class Step { forward, end, hour, collect, lose, half, restart };

// A gateway with its journal, and beside it the book of what was truly counted.
class World {
 public:
  World() { start(); }

  void forward(std::size_t worker, std::uint32_t subscription, Points free) {
    Slot* slot = workers_[worker].slot(subscription, hour_);
    if (slot == nullptr) return;  // the journal is full: the call is refused and counts nowhere
    workers_[worker].forwarded(*slot, free);
    const UsageKey key{epoch_, subscription, hour_};
    truth_[key].free_points += free;
    open_.push_back({&workers_[worker], slot, key});
  }

  void end(std::size_t which, int how) {
    if (open_.empty()) return;
    const Open call = open_[which % open_.size()];
    open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(which % open_.size()));
    UsageTotals& totals = truth_[call.key];
    const Points billable(how == 0 ? 6 : 0);
    totals.billable_points += billable;
    ++(how == 0 ? totals.calls_succeeded : how == 1 ? totals.calls_failed : totals.calls_unmetered);
    call.worker->ended(*call.slot, how == 1 ? Outcome::failed : Outcome::succeeded, how == 2, billable);
  }

  void next_hour() { hour_ = hour_.next(); }

  void collect(Receiver::Mood mood, std::size_t after) {
    receiver_.mood = mood;
    receiver_.moody_after = after;
    (void)collector_->collect(hour_);
    receiver_.mood = Receiver::Mood::takes;
  }

  // The process dies: open calls are cut off, and that is a failed outcome.
  void restart() {
    for (const Open& call : open_) ++truth_[call.key].calls_failed;
    open_.clear();
    collector_.reset();
    workers_.clear();
    journal_.reset();
    start();
  }

  [[nodiscard]] bool receiver_knows_the_truth() {
    UsageBook known = receiver_.merged;
    // A slot may be reported before anything has ended in it; nothing is nothing.
    std::erase_if(known, [](const auto& item) { return item.second == UsageTotals{}; });
    std::erase_if(truth_, [](const auto& item) { return item.second == UsageTotals{}; });
    return known == truth_;
  }
  [[nodiscard]] bool old_hours_are_recycled() const { return journal_->slots_used() == 0; }
  void end_all() {
    while (!open_.empty()) end(0, 0);
  }

 private:
  struct Open {
    Recorder* worker;
    Slot* slot;
    UsageKey key;
  };

  void start() {
    journal_ = file_.open(24);
    RC_ASSERT(journal_ != nullptr);
    EXPECT_TRUE(journal_->begin_epoch(++epoch_, 7));
    for (int i = 0; i < 2; ++i) workers_.emplace_back(*journal_);
    collector_ = std::make_unique<Collector>(*journal_, "gw-1", receiver_.deliver());
  }

  JournalFile file_;
  Receiver receiver_;
  std::unique_ptr<Journal> journal_;
  std::deque<Recorder> workers_;
  std::unique_ptr<Collector> collector_;
  std::vector<Open> open_;
  UsageBook truth_;
  std::uint32_t epoch_ = 0;
  Hour hour_{450'000};
};

RC_GTEST_PROP(Usage, OfAnyHistoryReachesTheReceiverExactly, ()) {
  const auto steps = *rc::gen::container<std::vector<std::pair<Step, int>>>(
      rc::gen::pair(rc::gen::weightedElement<Step>({{8, Step::forward},
                                                    {8, Step::end},
                                                    {2, Step::hour},
                                                    {4, Step::collect},
                                                    {2, Step::lose},
                                                    {2, Step::half},
                                                    {1, Step::restart}}),
                    rc::gen::inRange(0, 1000)));
  World world;
  for (const auto& [step, n] : steps) {
    const auto number = static_cast<std::uint32_t>(n);
    switch (step) {
      case Step::forward: world.forward(number % 2, number / 2 % 4, Points(n % 7)); break;
      case Step::end: world.end(number, n % 3); break;
      case Step::hour: world.next_hour(); break;
      case Step::collect: world.collect(Receiver::Mood::takes, 0); break;
      case Step::lose: world.collect(Receiver::Mood::loses, number % 3); break;
      case Step::half: world.collect(Receiver::Mood::takes_but_says_it_failed, number % 3); break;
      case Step::restart: world.restart(); break;
    }
  }
  world.collect(Receiver::Mood::takes, 0);
  RC_ASSERT(world.receiver_knows_the_truth());
  // And nothing stays behind for good.
  world.end_all();
  world.collect(Receiver::Mood::takes, 0);
  world.next_hour();
  world.next_hour();
  world.collect(Receiver::Mood::takes, 0);
  RC_ASSERT(world.receiver_knows_the_truth());
  RC_ASSERT(world.old_hours_are_recycled());
}

}  // namespace
}  // namespace tollgate::meter
