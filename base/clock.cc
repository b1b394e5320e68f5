#include "base/clock.h"

namespace tollgate {

WallTime SystemClock::now() const noexcept {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

ManualClock::ManualClock(WallTime start) noexcept : now_us_(start.time_since_epoch().count()) {}

WallTime ManualClock::now() const noexcept {
  return WallTime(std::chrono::microseconds(now_us_.load(std::memory_order_relaxed)));
}

void ManualClock::set(WallTime instant) noexcept {
  now_us_.store(instant.time_since_epoch().count(), std::memory_order_relaxed);
}

void ManualClock::advance(std::chrono::microseconds step) noexcept { set(now() + step); }

SteadyTime steady_now() noexcept { return std::chrono::steady_clock::now(); }

std::int64_t steady_ns() noexcept { return steady_now().time_since_epoch().count(); }

}  // namespace tollgate
