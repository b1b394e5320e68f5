// Whether a worker has more to do than it can: how late its tick is, smoothed, against limits.overload_lag_ms, with
// hysteresis. It is told every lag and reads no clock; whom to refuse then is said here, by whom is not.
#pragma once

#include <algorithm>
#include <cstdint>

namespace tollgate::gateway {

class Overload {
 public:
  // Once per tick. `max_ms` 0: never overloaded.
  void observe(std::int64_t lag_ns, std::int64_t max_ms) noexcept {
    const std::int64_t max_ns = max_ms * 1'000'000;
    max_ns_ = max_ns;
    // One late tick, however late, says that the machine stood still, not that there is too much to do.
    if (max_ms > 0) lag_ns = std::min(lag_ns, 2 * lag_ns_ + max_ns);
    lag_ns_ += (std::max<std::int64_t>(lag_ns, 0) - lag_ns_) / kWeight;
    refuses_free_ = is_over(refuses_free_, max_ns);
    refuses_paid_ = is_over(refuses_paid_, max_ns * kPaidFactor);
  }

  [[nodiscard]] std::int64_t lag_ns() const noexcept { return lag_ns_; }
  // Long before it refuses anybody: whoever was refused for a reason of his own waits before he is heard again.
  [[nodiscard]] bool holds_back_refused() const noexcept {
    return max_ns_ > 0 && lag_ns_ > std::max(max_ns_ / kHoldPart, kHoldMinNs);
  }
  // Free calls go first; paid ones only when that was not enough.
  [[nodiscard]] bool refuses(bool paid) const noexcept { return paid ? refuses_paid_ : refuses_free_; }

 private:
  static constexpr std::int64_t kWeight = 4;  // of the last lag: a quarter, so that it takes four late ticks in a row
  static constexpr std::int64_t kPaidFactor = 4;
  static constexpr std::int64_t kHoldPart = 20;
  static constexpr std::int64_t kHoldMinNs = 2'000'000;  // a timer is late by less on a machine that is free

  // Entered above the bound, left below half of it.
  [[nodiscard]] bool is_over(bool was, std::int64_t max_ns) const noexcept {
    return max_ns > 0 && lag_ns_ > (was ? max_ns / 2 : max_ns);
  }

  std::int64_t lag_ns_ = 0;
  std::int64_t max_ns_ = 0;
  bool refuses_free_ = false;
  bool refuses_paid_ = false;
};

}  // namespace tollgate::gateway
