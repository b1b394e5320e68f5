// Instants and the Beijing calendar (UTC+8, no daylight saving: a fixed offset, never the host's zone).
// It computes only; the reading of clocks is in base/clock.h.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tollgate {

// Wall-clock instants, in microseconds since 1970-01-01T00:00:00Z.
using WallTime = std::chrono::sys_time<std::chrono::microseconds>;

inline constexpr std::chrono::hours kBeijingOffset{8};

// A Beijing hour by the instant it begins. The offset is whole hours, so these are UTC hours too.
struct Hour {
  std::int32_t since_epoch = 0;  // hours since 1970-01-01T00:00Z

  friend constexpr auto operator<=>(Hour, Hour) noexcept = default;
  [[nodiscard]] constexpr Hour next() const noexcept { return {since_epoch + 1}; }
};

// A Beijing calendar month.
struct Month {
  std::int32_t year = 1970;
  std::int32_t month = 1;  // 1 to 12

  friend constexpr auto operator<=>(Month, Month) noexcept = default;
};

[[nodiscard]] Hour hour_of(WallTime instant) noexcept;
[[nodiscard]] WallTime begin_of(Hour hour) noexcept;
[[nodiscard]] Month month_of(WallTime instant) noexcept;
[[nodiscard]] WallTime begin_of(Month month) noexcept;
[[nodiscard]] Month next(Month month) noexcept;
[[nodiscard]] Month month_of(Hour hour) noexcept;

// Midnight (Beijing) at which the day of `instant` begins.
[[nodiscard]] WallTime begin_of_day(WallTime instant) noexcept;

// The end (the following midnight) of the Beijing day `months` after the day of `instant`, clamped to the
// month's last day: 2024-02-29 plus 12 months ends with 2025-02-28. domain.md section 5.
[[nodiscard]] WallTime end_of_day_after_months(WallTime instant, int months) noexcept;

// RFC 3339 with +08:00; fractions (milli- or microseconds) only where there are any.
[[nodiscard]] std::string format_time(WallTime instant);

// RFC 3339 with any offset or Z, years 1970 to 9999; fractions beyond microseconds are refused, not rounded.
[[nodiscard]] std::optional<WallTime> parse_time(std::string_view text);

[[nodiscard]] std::string format_month(Month month);  // "2021-08"
[[nodiscard]] std::optional<Month> parse_month(std::string_view text);

}  // namespace tollgate
