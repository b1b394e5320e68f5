#include "base/calendar.h"

#include <fmt/format.h>

#include <algorithm>

namespace tollgate {
namespace {
using std::chrono::days;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::year_month_day;

// Beijing's date of an instant: the UTC date of the instant shifted by the fixed offset.
year_month_day beijing_date(WallTime instant) noexcept { return std::chrono::floor<days>(instant + kBeijingOffset); }

WallTime midnight(std::chrono::sys_days day) noexcept { return WallTime(day) - kBeijingOffset; }

// Reads exactly `width` digits from the front of `text`.
std::optional<int> take_digits(std::string_view& text, std::size_t width) {
  if (text.size() < width) return std::nullopt;
  int value = 0;
  for (char c : text.substr(0, width)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(width);
  return value;
}

bool take(std::string_view& text, char expected) {
  if (text.empty() || text.front() != expected) return false;
  text.remove_prefix(1);
  return true;
}

// ".25" -> 250,000 us; nothing at all -> 0.
std::optional<microseconds> take_fraction(std::string_view& text) {
  if (!take(text, '.')) return microseconds(0);
  std::int64_t value = 0;
  int digits = 0;
  for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; text.remove_prefix(1), ++digits) {
    if (digits == 6) return std::nullopt;
    value = value * 10 + (text.front() - '0');
  }
  if (digits == 0) return std::nullopt;
  for (; digits < 6; ++digits) value *= 10;
  return microseconds(value);
}

std::optional<std::chrono::minutes> take_offset(std::string_view& text) {
  if (take(text, 'Z') || take(text, 'z')) return std::chrono::minutes(0);
  const bool east = take(text, '+');
  if (!east && !take(text, '-')) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || *hour > 23 || !take(text, ':')) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || *minute > 59) return std::nullopt;
  const std::chrono::minutes offset(*hour * 60 + *minute);
  return east ? offset : -offset;
}

std::optional<year_month_day> take_date(std::string_view& text) {
  const auto year = take_digits(text, 4);
  if (!year || *year < 1970 || !take(text, '-')) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day) return std::nullopt;
  const year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                            std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return date;
}
}  // namespace

Hour hour_of(WallTime instant) noexcept {
  return {static_cast<std::int32_t>(std::chrono::floor<hours>(instant).time_since_epoch().count())};
}

WallTime begin_of(Hour hour) noexcept { return WallTime(hours(hour.since_epoch)); }

Month month_of(WallTime instant) noexcept {
  const auto date = beijing_date(instant);
  return {static_cast<int>(date.year()), static_cast<std::int32_t>(static_cast<unsigned>(date.month()))};
}

WallTime begin_of(Month month) noexcept {
  const year_month_day first{std::chrono::year(month.year), std::chrono::month(static_cast<unsigned>(month.month)),
                             std::chrono::day(1)};
  return midnight(first);
}

Month next(Month month) noexcept {
  return month.month == 12 ? Month{month.year + 1, 1} : Month{month.year, month.month + 1};
}

Month month_of(Hour hour) noexcept { return month_of(begin_of(hour)); }

WallTime begin_of_day(WallTime instant) noexcept { return midnight(std::chrono::sys_days(beijing_date(instant))); }

WallTime end_of_day_after_months(WallTime instant, int months) noexcept {
  const auto date = beijing_date(instant);
  const auto year_month = date.year() / date.month() + std::chrono::months(months);
  const std::chrono::day last = (year_month / std::chrono::last).day();
  const year_month_day clamped = year_month / std::min(date.day(), last);
  return midnight(std::chrono::sys_days(clamped)) + days(1);
}

std::string format_time(WallTime instant) {
  const auto local = instant + kBeijingOffset;
  const auto date = beijing_date(instant);
  const std::chrono::hh_mm_ss clock(local - std::chrono::floor<days>(local));
  auto text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                          static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                          clock.minutes().count(), clock.seconds().count());
  const auto fraction = clock.subseconds().count();
  if (fraction != 0 && fraction % 1000 == 0) text += fmt::format(".{:03}", fraction / 1000);
  if (fraction % 1000 != 0) text += fmt::format(".{:06}", fraction);
  return text + "+08:00";
}

std::optional<WallTime> parse_time(std::string_view text) {
  const auto date = take_date(text);
  if (!date || !(take(text, 'T') || take(text, 't'))) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || *hour > 23 || !take(text, ':')) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || *minute > 59 || !take(text, ':')) return std::nullopt;
  const auto second = take_digits(text, 2);
  if (!second || *second > 59) return std::nullopt;
  const auto fraction = take_fraction(text);
  if (!fraction) return std::nullopt;
  const auto offset = take_offset(text);
  if (!offset || !text.empty()) return std::nullopt;
  return WallTime(std::chrono::sys_days(*date)) + hours(*hour) + std::chrono::minutes(*minute) +
         std::chrono::seconds(*second) + *fraction - *offset;
}

std::string format_month(Month month) { return fmt::format("{:04}-{:02}", month.year, month.month); }

std::optional<Month> parse_month(std::string_view text) {
  const auto year = take_digits(text, 4);
  if (!year || *year < 1970 || !take(text, '-')) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || *month < 1 || *month > 12 || !text.empty()) return std::nullopt;
  return Month{*year, *month};
}

}  // namespace tollgate
