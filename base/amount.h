// Integer amounts whose unit is their type: points never mix with micro-yuan, and overflow is our bug (CHECK).
// No rounding and no floating point exist here; domain.md section 1 says no price needs either.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/check.h"

namespace tollgate {

template <class Unit>
class Amount {
 public:
  constexpr Amount() noexcept = default;
  constexpr explicit Amount(std::int64_t count) noexcept : count_(count) {}

  [[nodiscard]] constexpr std::int64_t count() const noexcept { return count_; }

  friend constexpr auto operator<=>(Amount, Amount) noexcept = default;

  friend constexpr Amount operator+(Amount a, Amount b) noexcept {
    std::int64_t sum = 0;
    TOLLGATE_CHECK(!__builtin_add_overflow(a.count_, b.count_, &sum));
    return Amount(sum);
  }
  friend constexpr Amount operator-(Amount a, Amount b) noexcept {
    std::int64_t difference = 0;
    TOLLGATE_CHECK(!__builtin_sub_overflow(a.count_, b.count_, &difference));
    return Amount(difference);
  }
  friend constexpr Amount operator*(Amount a, std::int64_t factor) noexcept {
    std::int64_t product = 0;
    TOLLGATE_CHECK(!__builtin_mul_overflow(a.count_, factor, &product));
    return Amount(product);
  }
  constexpr Amount operator-() const noexcept { return Amount() - *this; }
  constexpr Amount& operator+=(Amount other) noexcept { return *this = *this + other; }
  constexpr Amount& operator-=(Amount other) noexcept { return *this = *this - other; }

 private:
  std::int64_t count_ = 0;
};

using Points = Amount<struct PointUnit>;         // usage: a call of a service costs a fixed number of them
using MicroYuan = Amount<struct MicroYuanUnit>;  // money: 10^-6 yuan

// "12.5" -> 12,500,000 micro-yuan. Digits, optionally a point and one to six digits, optionally a leading '-';
// nothing else (no '+', blanks, exponent). nullopt also when the value exceeds 9,000,000,000,000 yuan.
[[nodiscard]] std::optional<MicroYuan> parse_yuan(std::string_view text);

// At least two digits after the point, as many as are needed, at most six: "1800.00", "0.00064".
[[nodiscard]] std::string format_yuan(MicroYuan amount);

}  // namespace tollgate
