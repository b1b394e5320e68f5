// Counting on one worker thread: which slot of the journal a subscription's calls of this hour go to. It only adds;
// reading is the collector's.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/amount.h"
#include "base/calendar.h"
#include "meter/journal.h"

namespace tollgate::meter {

enum class Outcome : std::uint8_t { succeeded, failed };

class Recorder {
 public:
  explicit Recorder(Journal& journal) : journal_(journal), marks_(journal.add_marks(), journal.slots()) {}

  // The slot for calls of `subscription` admitted in `hour`, or nullptr: the journal is full, refuse the call.
  // A clock that steps back keeps counting into the later hour, since slots of hours gone by may be recycled.
  [[nodiscard]] Slot* slot(std::uint32_t subscription, Hour hour) noexcept {
    advance(hour);
    hour = latest();
    if (subscription >= current_.size()) grow(subscription);
    Current& current = current_[subscription];
    // Compare our own note of the hour, not the slot's: the slot may belong to somebody else by now.
    if (current.slot == nullptr || current.hour != hour) [[unlikely]] {
      current = {journal_.take(subscription, hour), hour};
    }
    return current.slot;
  }

  // This worker will not count into an hour before this one any more. Any thread.
  [[nodiscard]] Hour latest() const noexcept { return {latest_.load(std::memory_order_acquire)}; }

  // The hour has come, whether or not there are calls: an idle worker must not hold back the collector.
  void advance(Hour hour) noexcept {
    if (hour.since_epoch > latest_.load(std::memory_order_relaxed)) {
      latest_.store(hour.since_epoch, std::memory_order_release);
    }
  }

  // The call goes to an upstream: from here on its free points are used, even if this process dies.
  // `slot` is one of this worker's.
  void forwarded(Slot& slot, Points free_points) noexcept {
    slot.count_forwarded(free_points);
    mark(slot);
  }

  // The call has ended. Called once for each forwarded(), on the same thread.
  void ended(Slot& slot, Outcome outcome, bool unmetered, Points billable) noexcept {
    if (unmetered) {
      slot.count_unmetered();
    } else if (outcome == Outcome::succeeded) {
      slot.count_succeeded(billable);
    } else {
      slot.count_failed();
    }
    mark(slot);
  }

  // A clock that was set back by hand while nothing had been counted: hours may start again.
  void forget_hours() noexcept {
    latest_.store(0, std::memory_order_release);
    current_.clear();
  }

 private:
  struct Current {
    Slot* slot = nullptr;
    Hour hour;
  };

  // After the count: see ChangeMarks.
  void mark(const Slot& slot) noexcept { marks_.set(slot); }

  void grow(std::uint32_t subscription) { current_.resize(std::size_t{subscription} * 2 + 64); }

  Journal& journal_;
  const ChangeMarks::Of<Slot> marks_;  // of this worker alone
  // Written by this worker, read by the collector before it recycles. Release/acquire: whoever sees the later hour
  // sees the calls that were begun before it, and so that their slots are still open.
  std::atomic<std::int32_t> latest_{0};
  std::vector<Current> current_;  // by subscription number
};

}  // namespace tollgate::meter
