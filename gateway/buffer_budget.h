// What one worker's calls hold in buffers, and whether all workers' together are at limits.buffer_bytes_max. It holds
// no memory itself and takes none back: what has begun goes on.
#pragma once

#include <cstddef>
#include <cstdint>

#include "meter/metrics.h"

namespace tollgate::gateway {

// Each worker counts what it holds in a cell of its own, so a call touches no line that another worker writes. What the
// others hold is as of the last tick: between two ticks the sum can go beyond the budget by what they take in 50 ms.
class BufferBudget {
 public:
  explicit BufferBudget(meter::Cell& held) noexcept : held_(held) {}

  void add(std::int64_t bytes) noexcept { held_.add(bytes); }
  // Once per tick. `max` 0: no budget.
  void observe(std::int64_t others, std::int64_t max) noexcept {
    others_ = others;
    max_ = max;
  }

  // Free calls are refused from three quarters on, so that the last quarter is for paid ones.
  [[nodiscard]] bool refuses(bool paid) const noexcept { return max_ > 0 && used() >= (paid ? max_ : max_ - max_ / 4); }

 private:
  [[nodiscard]] std::int64_t used() const noexcept { return held_.load() + others_; }

  meter::Cell& held_;
  std::int64_t others_ = 0;
  std::int64_t max_ = 0;
};

// One holder's share of it: so many bytes as were said last, given back when it is destroyed.
class HeldBytes {
 public:
  HeldBytes() = default;
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;
  ~HeldBytes() { set(0); }

  // Before set(); nothing is counted without it. The budget outlives the holder.
  void count_in(BufferBudget& budget) noexcept { budget_ = &budget; }
  void set(std::size_t bytes) noexcept {
    const auto now = static_cast<std::int64_t>(bytes);
    if (budget_ == nullptr || now == bytes_) return;
    budget_->add(now - bytes_);
    bytes_ = now;
  }

 private:
  BufferBudget* budget_ = nullptr;
  std::int64_t bytes_ = 0;
};

}  // namespace tollgate::gateway
