// What is left of a subscription's free points, and the Hold: one call's reservation of some of them.
// A hold that is not spent goes back; what was spent is for the meter to count, not for this file.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/amount.h"

namespace tollgate::limiter {

// Written by every worker (holds) and by the billing thread (usage elsewhere, new periods), read by all. Relaxed
// is enough: exactness comes from the single modification order of the atomic, and it publishes nothing else.
// It may fall below zero when usage elsewhere is subtracted; then nothing is left.
using FreePointsLeft = std::atomic<std::int64_t>;

class Hold {
 public:
  Hold() noexcept = default;
  Hold(Hold&& other) noexcept
      : left_(std::exchange(other.left_, nullptr)), points_(std::exchange(other.points_, Points())) {}
  Hold& operator=(Hold&& other) noexcept {
    if (this != &other) {
      give_back();
      left_ = std::exchange(other.left_, nullptr);
      points_ = std::exchange(other.points_, Points());
    }
    return *this;
  }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  ~Hold() { give_back(); }

  // The whole cost or nothing: the free state, never over the quota by one point (domain.md section 3).
  [[nodiscard]] static std::optional<Hold> all(FreePointsLeft& left, Points cost) noexcept {
    std::int64_t now = left.load(std::memory_order_relaxed);
    do {
      if (now < cost.count()) return std::nullopt;
    } while (!left.compare_exchange_weak(now, now - cost.count(), std::memory_order_relaxed));
    return Hold(left, cost);
  }

  // min(left, cost), possibly nothing: the paid state uses up the last free points.
  [[nodiscard]] static Hold up_to(FreePointsLeft& left, Points cost) noexcept {
    std::int64_t now = left.load(std::memory_order_relaxed);
    std::int64_t taken = 0;
    do {
      taken = std::min(std::max<std::int64_t>(now, 0), cost.count());
      if (taken == 0) return {};
    } while (!left.compare_exchange_weak(now, now - taken, std::memory_order_relaxed));
    return {left, Points(taken)};
  }

  // The call was forwarded: the points are used, however it ends. They stay readable.
  void spend() noexcept { left_ = nullptr; }

  [[nodiscard]] Points points() const noexcept { return points_; }

 private:
  Hold(FreePointsLeft& left, Points points) noexcept : left_(&left), points_(points) {}

  void give_back() noexcept {
    if (FreePointsLeft* left = std::exchange(left_, nullptr)) {
      left->fetch_add(points_.count(), std::memory_order_relaxed);
    }
  }

  FreePointsLeft* left_ = nullptr;
  Points points_;
};

}  // namespace tollgate::limiter
