// Deadlines of many connections on one thread without a timer each: a wheel of buckets, visited by the worker's
// tick, in which an entry may lie too early but never too late. It reads no clock.
#pragma once

#include <algorithm>
#include <array>
#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <limits>

namespace tollgate::gateway {

inline constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

class DeadlineWheel {
 public:
  class Entry : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
   public:
    virtual ~Entry() = default;
    // The true deadline in steady nanoseconds (kNever: none); asked when the entry's bucket comes up.
    [[nodiscard]] virtual std::int64_t due_ns() const noexcept = 0;
    virtual void on_due(std::int64_t now_ns) noexcept = 0;

   private:
    friend class DeadlineWheel;
    std::int64_t placed_ns_ = kNever;  // where it lies now
  };

  static constexpr std::int64_t kTickNs = 50'000'000;

  explicit DeadlineWheel(std::int64_t now_ns) noexcept : tick_(now_ns / kTickNs) {}

  // After an entry's deadline has changed. Moving it later costs nothing: it is looked at again when it comes up.
  void update(Entry& entry) noexcept {
    const std::int64_t due = entry.due_ns();
    if (due == kNever || (entry.is_linked() && entry.placed_ns_ <= due)) return;
    place(entry, due);
  }

  // Visits all buckets up to `now_ns`.
  void advance(std::int64_t now_ns) noexcept {
    for (const std::int64_t target = now_ns / kTickNs; tick_ < target;) {
      ++tick_;
      List due;
      due.swap(bucket(tick_));
      while (!due.empty()) {
        Entry& entry = due.front();
        due.pop_front();
        if (const std::int64_t when = entry.due_ns(); when <= now_ns) {
          entry.on_due(now_ns);
        } else if (when != kNever) {
          place(entry, when);
        }
      }
    }
  }

 private:
  static constexpr std::size_t kBuckets = 2048;  // 102 s ahead; what is due later is looked at then and moved on
  using List = boost::intrusive::list<Entry, boost::intrusive::constant_time_size<false>>;

  List& bucket(std::int64_t tick) noexcept { return buckets_[static_cast<std::size_t>(tick) % kBuckets]; }

  void place(Entry& entry, std::int64_t due) noexcept {
    entry.unlink();
    // One past the tick that holds the instant: never early by more than what advance() corrects.
    const std::int64_t furthest = tick_ + static_cast<std::int64_t>(kBuckets) - 1;
    const std::int64_t tick = std::min(std::max(due / kTickNs + 1, tick_ + 1), furthest);
    entry.placed_ns_ = tick * kTickNs;
    bucket(tick).push_back(entry);
  }

  std::int64_t tick_;
  std::array<List, kBuckets> buckets_;
};

}  // namespace tollgate::gateway
