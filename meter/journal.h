// The journal: a memory-mapped file of 64-byte slots, each the cumulative counts of one (subscription, hour, epoch)
// by one worker thread. What is counted survives kill -9 at any instant; it does not interpret usage or money.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/calendar.h"
#include "base/fault.h"
#include "meter/change_marks.h"
#include "meter/journal_mapping.h"
#include "meter/slot.h"

namespace tollgate::meter {

// An epoch that slots are held under, of an earlier process.
struct HeldEpoch {
  std::uint32_t epoch = 0;
  std::int64_t nonce = 0;  // the random number it was given out with
  bool marked = false;     // false: its mark is damaged, and the nonce made up, the same at every opening
};

struct JournalOptions {
  std::string path;
  std::string gateway;          // the name the file belongs to
  std::uint32_t store = 0;      // the number of the store its epochs come from
  std::uint32_t slots = 0;      // allocated at least; the file grows by as many
  std::uint32_t slots_max = 0;  // up to which it grows; less than `slots`: it does not
};

class Journal {
 public:
  // Opens or creates the file with its slots allocated (a full disk is an error here, not a SIGBUS in traffic), locks
  // it to this process and checks what it holds. What is damaged, or not ours, is set aside: findings() says so.
  // Faults: journal_refused (another process has it), journal_failed (the system's words).
  static Result<std::unique_ptr<Journal>> open(const JournalOptions& options);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // What was found at opening and done about it, a sentence each; empty: all is well.
  [[nodiscard]] const std::vector<std::string>& findings() const noexcept { return findings_; }

  // The epochs that whole slots are held under. Before begin_epoch().
  [[nodiscard]] std::vector<HeldEpoch> held_epochs() const;

  // From here on slots are taken under `epoch` (> 0 and above all held ones), given out by the billing core with
  // `nonce`. Returns when that is on the disk. Once.
  Result<void> begin_epoch(std::uint32_t epoch, std::int64_t nonce);
  [[nodiscard]] std::uint32_t epoch() const noexcept { return epoch_; }

  // A fresh slot for the calling worker, or nullptr when the journal is full. Any worker; lock-free.
  [[nodiscard]] Slot* take(std::uint32_t subscription, Hour hour) noexcept;

  // Collector thread only: the slot's counts were acknowledged and nobody will add to it any more.
  void recycle(Slot& slot) noexcept;

  // Collector thread only: all slots that were ever taken; those with epoch 0 are free.
  [[nodiscard]] Slot* slots() const noexcept { return mapping_.slots(); }
  [[nodiscard]] std::uint32_t slots_touched() const noexcept { return fresh_.load(std::memory_order_relaxed); }
  // Marks for a worker of its own; valid as long as the journal. Whoever counts into a slot sets its mark. Any thread.
  [[nodiscard]] ChangeMarks& add_marks();
  // Collector thread only: visits the index of each slot that was taken or counted into since the last time, at the
  // first time of all slots; of some twice, and of some that are free again.
  template <class Visit>
  void take_changed(Visit visit) {
    const std::lock_guard lock(marks_mutex_);
    for (ChangeMarks& marks : marks_) marks.take(slots_touched(), visit);
  }
  // Whether the slot is taken and good to be counted; damaged ones are neither counted nor taken again.
  [[nodiscard]] bool is_whole(std::uint32_t index) const noexcept;

  [[nodiscard]] std::uint32_t slots_total() const noexcept { return count_.load(std::memory_order_acquire); }
  [[nodiscard]] std::uint32_t slots_used() const noexcept { return used_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint32_t slots_damaged() const noexcept { return damaged_; }  // found at opening

  // Sync thread only, as sync(): allocates another piece when fewer than a quarter of one are free, up to the most
  // that was configured. true: the journal has grown.
  Result<bool> grow_if_short();

  // Writes everything counted so far to the disk; 0 or errno. Blocks for as long as the disk takes. What a failed one
  // may have lost is written by the next.
  [[nodiscard]] int sync() noexcept;

 private:
  Journal() = default;

  void load_slots();
  [[nodiscard]] int sync_slots(std::uint32_t slots) noexcept;
  [[nodiscard]] bool revive(std::uint32_t index) noexcept;
  [[nodiscard]] std::uint32_t find_zeroed_slots() const noexcept;
  [[nodiscard]] std::optional<std::uint32_t> pop_free() noexcept;
  [[nodiscard]] std::optional<std::uint32_t> next_fresh() noexcept;
  void push_free(std::uint32_t index) noexcept;

  JournalMapping mapping_;
  std::uint32_t salt_ = 0;
  std::uint32_t piece_ = 0;  // slots by which it grows
  std::uint32_t epoch_ = 0;
  std::uint32_t damaged_ = 0;
  bool sync_failed_ = false;
  std::vector<std::string> findings_;
  std::mutex marks_mutex_;  // of the list: workers add theirs as they start; never on the data path
  std::deque<ChangeMarks> marks_;
  ChangeMarks* taken_ = nullptr;  // the first of them: of slots that were taken, by any worker
  // Release by the sync thread when the file has grown, acquire by takers: the space is there.
  std::atomic<std::uint32_t> count_{0};
  std::atomic<std::uint32_t> used_{0};   // written by takers and the collector; read for metrics
  std::atomic<std::uint32_t> fresh_{0};  // first slot that was never taken
  // The free list of recycled slots (Treiber's stack): low half the index plus one, high half a tag against ABA. The
  // links are in the free slots themselves, in place of their subscription. Acquire on pop pairs with release on push.
  std::atomic<std::uint64_t> free_{0};
};

}  // namespace tollgate::meter
