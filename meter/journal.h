// The journal: a memory-mapped file of 64-byte slots, each the cumulative counts of one (subscription, hour, epoch)
// by one worker thread. What is counted survives kill -9 at any instant; it does not interpret usage or money.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/amount.h"
#include "base/calendar.h"
#include "base/fault.h"
#include "meter/report.h"

namespace tollgate::meter {

// A cell only grows and has one writer, the worker thread that owns the slot; the collector reads. Relaxed is
// enough: each cell is a fact of its own, and a sum that is one call behind is caught up by the next report.
class Cell {
 public:
  void add(std::int64_t n) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  [[nodiscard]] std::int64_t load() const noexcept { return value_.load(std::memory_order_relaxed); }
  void clear() noexcept { value_.store(0, std::memory_order_relaxed); }  // only while nobody owns the slot

 private:
  std::atomic<std::int64_t> value_{0};
};

struct alignas(64) Slot {
  std::uint32_t subscription = 0;
  std::int32_t hour = 0;  // hours since the Unix epoch
  // 0: the slot is free. Written last when a slot is taken and first when it is given back, so that a slot whose
  // epoch is set is whole whenever the process may have died. Release/acquire between owner and collector.
  std::atomic<std::uint32_t> epoch{0};
  std::uint32_t check = 0;  // over subscription, hour, epoch and the slot's place: a damaged slot is seen
  Cell calls_started;       // forwarded to an upstream
  Cell calls_succeeded;
  Cell calls_failed;
  Cell calls_unmetered;
  Cell free_points;  // counted when forwarding begins: from there on they are used, however the call ends
  Cell billable_points;

  // Forwarded and not ended yet; after a crash: interrupted.
  [[nodiscard]] std::int64_t calls_open() const noexcept {
    return calls_started.load() - calls_succeeded.load() - calls_failed.load() - calls_unmetered.load();
  }
};
static_assert(sizeof(Slot) == 64);

class Journal {
 public:
  // Opens or creates the file with `slots` pre-allocated slots (a full disk is an error here, not a SIGBUS in
  // traffic), locks it to this process and checks what it holds. `gateway`: the name the file belongs to. A file
  // that is damaged in its header or belongs to another gateway is refused with a fault that says so.
  // `store`: the number of the store its epochs come from; a journal of another store is refused too.
  static Result<std::unique_ptr<Journal>> open(const std::string& path, std::string_view gateway, std::uint32_t slots,
                                               std::uint32_t store = 0);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // From here on slots are taken under `epoch` (> 0, given out by the billing core).
  void begin_epoch(std::uint32_t epoch) noexcept;
  [[nodiscard]] std::uint32_t epoch() const noexcept { return epoch_; }

  // A fresh slot for the calling worker, or nullptr when the journal is full. Any worker; lock-free.
  [[nodiscard]] Slot* take(std::uint32_t subscription, Hour hour) noexcept;

  // Collector thread only: the slot's counts were acknowledged and nobody will add to it any more.
  void recycle(Slot& slot) noexcept;

  // Collector thread only: all slots that were ever taken; those with epoch 0 are free.
  [[nodiscard]] Slot* slots() noexcept { return slots_; }
  [[nodiscard]] std::uint32_t slots_touched() const noexcept;
  [[nodiscard]] std::uint32_t slots_total() const noexcept { return count_; }
  [[nodiscard]] std::uint32_t slots_used() const noexcept { return used_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint32_t slots_damaged() const noexcept { return damaged_; }  // found at open, set aside

  // Whether the slot's own words agree with its check. Damaged ones are neither counted nor reused.
  [[nodiscard]] bool is_whole(std::uint32_t index) const noexcept;

  // The epochs that slots are held under. Before begin_epoch().
  [[nodiscard]] std::set<std::uint32_t> epochs() const;

  // Writes everything counted so far to the disk. One thread at a time; blocks for as long as the disk takes.
  [[nodiscard]] bool sync() noexcept;

 private:
  Journal() = default;

  void load_slots();
  void push_free(std::uint32_t index) noexcept;

  int file_ = -1;
  void* mapping_ = nullptr;
  std::size_t mapping_bytes_ = 0;
  Slot* slots_ = nullptr;
  std::uint32_t count_ = 0;
  std::uint32_t epoch_ = 0;
  std::uint32_t damaged_ = 0;
  std::atomic<std::uint32_t> used_{0};   // written by takers and the collector; read for metrics
  std::atomic<std::uint32_t> fresh_{0};  // first slot that was never taken
  // The free list of recycled slots (Treiber's stack): low half the index plus one, high half a tag against ABA.
  // Acquire on pop pairs with release on push: the popped slot's cleared cells and its next_ are visible.
  std::atomic<std::uint64_t> free_{0};
  std::unique_ptr<std::atomic<std::uint32_t>[]> next_;
};

}  // namespace tollgate::meter
