// The text of a `Date` field, kept by whoever ticks and formatted once a second. It reads no clock.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/calendar.h"

namespace tollgate::gateway {

class HttpDate {
 public:
  explicit HttpDate(WallTime now) noexcept { set(now); }

  void set(WallTime now) noexcept;  // years 0 to 9999
  // IMF-fixdate (RFC 9110 5.6.7): "Sun, 06 Nov 1994 08:49:37 GMT". Valid until the next set().
  [[nodiscard]] std::string_view text() const noexcept { return {text_.data(), text_.size()}; }

 private:
  static constexpr std::int64_t kNotSet = INT64_MIN;

  std::int64_t second_ = kNotSet;
  std::array<char, 29> text_{};
};

}  // namespace tollgate::gateway
