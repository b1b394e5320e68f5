// A rate by the generic cell rate algorithm (GCRA) in one atomic: the theoretical arrival time of the next call.
// It limits calls per second with a burst of the same number; it does not know how many calls are in flight.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>

namespace tollgate::limiter {

// Nanoseconds of the steady clock; 0 before the first call. Written and read by every worker; relaxed is enough
// because the value guards nothing else.
using ArrivalTime = std::atomic<std::int64_t>;

inline constexpr std::int64_t kSecondNs = 1'000'000'000;

// Admits the call (nullopt) or says after how many nanoseconds (> 0) one would be admitted.
// Source: ITU-T I.371, GCRA(T, tau) with T = 1 s / limit and a burst of `limit` calls. `limit` is 1 to 10^9.
[[nodiscard]] inline std::optional<std::int64_t> try_pass(ArrivalTime& arrival, std::int32_t limit,
                                                          std::int64_t now_ns) noexcept {
  const std::int64_t interval = kSecondNs / limit;
  std::int64_t expected = arrival.load(std::memory_order_relaxed);
  std::int64_t next = 0;
  do {
    next = std::max(expected, now_ns) + interval;
    if (next - now_ns > kSecondNs) return next - now_ns - kSecondNs;
  } while (!arrival.compare_exchange_weak(expected, next, std::memory_order_relaxed));
  return std::nullopt;
}

// How many calls would pass at this instant, one after the other.
[[nodiscard]] inline std::int32_t calls_left(const ArrivalTime& arrival, std::int32_t limit,
                                             std::int64_t now_ns) noexcept {
  const std::int64_t used = std::max(arrival.load(std::memory_order_relaxed), now_ns) - now_ns;
  const std::int64_t left = (kSecondNs - used) / (kSecondNs / limit);
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(left, 0, limit));
}

}  // namespace tollgate::limiter
