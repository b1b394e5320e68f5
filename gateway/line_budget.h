// How many lines of one kind may be written a second, and how many were left out. It reads no clock and writes nothing.
#pragma once

#include <cstdint>
#include <utility>

namespace tollgate::gateway {

class LineBudget {
 public:
  // True: write this one. `max_per_s` 0: all. Seconds are those of the steady clock, so the sum of two neighbours is
  // what any one second can hold.
  bool take(std::int64_t steady_ns, std::int64_t max_per_s) noexcept {
    if (max_per_s == 0) return true;
    const std::int64_t second = steady_ns / 1'000'000'000;
    if (second != second_) {
      second_ = second;
      written_ = 0;
    }
    if (written_ < max_per_s) {
      ++written_;
      return true;
    }
    ++left_out_;
    return false;
  }

  // How many were left out since the last time of asking.
  [[nodiscard]] std::int64_t take_left_out() noexcept { return std::exchange(left_out_, 0); }

 private:
  std::int64_t second_ = -1;
  std::int64_t written_ = 0;
  std::int64_t left_out_ = 0;
};

}  // namespace tollgate::gateway
