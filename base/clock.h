// Where time enters: wall clocks behind an interface, and the steady clock for intervals. Only this file's
// implementation reads a system clock, so that every other part can be tested with time in hand.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/calendar.h"

namespace tollgate {

// The wall clock: hours, packs, expiry. Any thread may read it.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual WallTime now() const noexcept = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] WallTime now() const noexcept override;
};

// A clock that stands still until it is set. One thread sets it, any thread reads it.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(WallTime start) noexcept;
  [[nodiscard]] WallTime now() const noexcept override;
  void set(WallTime instant) noexcept;
  void advance(std::chrono::microseconds step) noexcept;

 private:
  // Written by the setter, read by all; relaxed is enough because nothing else is published with it.
  std::atomic<std::int64_t> now_us_;
};

// Intervals: nanoseconds of a clock that never steps. Its zero has no meaning.
using SteadyTime = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;
[[nodiscard]] SteadyTime steady_now() noexcept;
[[nodiscard]] std::int64_t steady_ns() noexcept;  // the same as a bare count of nanoseconds

}  // namespace tollgate
