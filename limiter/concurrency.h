// Calls in flight, counted exactly: a Permit is one call's place, taken by compare-exchange and given back by its
// destructor. It is not a rate (see rate_limit.h) and keeps no queue: at the limit the next call is refused.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/check.h"

namespace tollgate::limiter {

// Written by every worker thread, read by all and by the admin API. Relaxed order is enough: the count guards no
// other data, it only has to be exact, and read-modify-write operations on one atomic are totally ordered.
using InFlight = std::atomic<std::int32_t>;

class Permit {
 public:
  Permit() noexcept = default;
  Permit(Permit&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
  Permit& operator=(Permit&& other) noexcept {
    if (this != &other) {
      release();
      count_ = std::exchange(other.count_, nullptr);
    }
    return *this;
  }
  Permit(const Permit&) = delete;
  Permit& operator=(const Permit&) = delete;
  ~Permit() { release(); }

  // Takes a place if fewer than `limit` are taken. Load-then-add would admit too many under a race.
  [[nodiscard]] static std::optional<Permit> try_acquire(InFlight& count, std::int32_t limit) noexcept {
    std::int32_t used = count.load(std::memory_order_relaxed);
    do {
      if (used >= limit) return std::nullopt;
    } while (!count.compare_exchange_weak(used, used + 1, std::memory_order_relaxed));
    return Permit(count);
  }

  // Takes a place whatever the count: for what is counted but not limited.
  [[nodiscard]] static Permit acquire(InFlight& count) noexcept {
    count.fetch_add(1, std::memory_order_relaxed);
    return Permit(count);
  }

  void release() noexcept {
    if (InFlight* count = std::exchange(count_, nullptr)) {
      TOLLGATE_CHECK(count->fetch_sub(1, std::memory_order_relaxed) > 0);
    }
  }

  [[nodiscard]] explicit operator bool() const noexcept { return count_ != nullptr; }

 private:
  explicit Permit(InFlight& count) noexcept : count_(&count) {}

  InFlight* count_ = nullptr;
};

}  // namespace tollgate::limiter
