#include "base/calendar.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace tollgate {
namespace {
using std::chrono::microseconds;
using std::chrono::seconds;

WallTime at(std::string_view text) {
  const auto instant = parse_time(text);
  EXPECT_TRUE(instant.has_value()) << text;
  return instant.value_or(WallTime());
}

// Any instant of the years the product serves.
rc::Gen<WallTime> instants() {
  const auto first = WallTime(std::chrono::sys_days(std::chrono::year(1971) / 1 / 1)).time_since_epoch().count();
  const auto last = WallTime(std::chrono::sys_days(std::chrono::year(9990) / 1 / 1)).time_since_epoch().count();
  return rc::gen::map(rc::gen::inRange<std::int64_t>(first, last),
                      [](std::int64_t us) { return WallTime(microseconds(us)); });
}

TEST(BeijingCalendar, MonthsBeginAt16hUtcOfTheDayBefore) {
  EXPECT_EQ(month_of(at("2021-07-31T15:59:59.999999Z")), (Month{2021, 7}));
  EXPECT_EQ(month_of(at("2021-07-31T16:00:00Z")), (Month{2021, 8}));
  EXPECT_EQ(month_of(at("2021-12-31T15:59:59.999999Z")), (Month{2021, 12}));
  EXPECT_EQ(month_of(at("2021-12-31T16:00:00Z")), (Month{2022, 1}));
  EXPECT_EQ(month_of(at("2024-02-29T15:59:59Z")), (Month{2024, 2}));
  EXPECT_EQ(month_of(at("2024-02-29T16:00:00Z")), (Month{2024, 3}));
  EXPECT_EQ(begin_of(Month{2021, 8}), at("2021-07-31T16:00:00Z"));
  EXPECT_EQ(begin_of(Month{2022, 1}), at("2021-12-31T16:00:00Z"));
}

TEST(BeijingCalendar, MonthsFollowEachOtherOverTheYear) {
  EXPECT_EQ(next(Month{2021, 8}), (Month{2021, 9}));
  EXPECT_EQ(next(Month{2021, 12}), (Month{2022, 1}));
}

TEST(BeijingCalendar, DaysBeginAt16hUtcOfTheDayBefore) {
  EXPECT_EQ(begin_of_day(at("2021-08-20T00:00:00+08:00")), at("2021-08-19T16:00:00Z"));
  EXPECT_EQ(begin_of_day(at("2021-08-20T23:59:59.999999+08:00")), at("2021-08-19T16:00:00Z"));
  EXPECT_EQ(begin_of_day(at("2021-08-19T15:59:59Z")), at("2021-08-18T16:00:00Z"));
}

TEST(BeijingCalendar, HoursAreWholeAndFloored) {
  EXPECT_EQ(hour_of(at("1970-01-01T00:00:00Z")).since_epoch, 0);
  EXPECT_EQ(hour_of(at("1970-01-01T00:59:59.999999Z")).since_epoch, 0);
  EXPECT_EQ(hour_of(at("1970-01-01T01:00:00Z")).since_epoch, 1);
  EXPECT_EQ(hour_of(WallTime(microseconds(-1))).since_epoch, -1);
  EXPECT_EQ(begin_of(hour_of(at("2021-08-20T11:45:12+08:00"))), at("2021-08-20T11:00:00+08:00"));
  EXPECT_EQ(month_of(hour_of(at("2021-07-31T16:30:00Z"))), (Month{2021, 8}));
}

// domain.md section 5: the end of the Beijing day that is 12 months after the purchase, clamped to the month's last.
TEST(BeijingCalendar, APackageEndsWithTheDayTwelveMonthsLater) {
  EXPECT_EQ(end_of_day_after_months(at("2021-08-20T10:00:00+08:00"), 12), at("2022-08-21T00:00:00+08:00"));
  EXPECT_EQ(end_of_day_after_months(at("2021-08-20T00:00:00+08:00"), 12), at("2022-08-21T00:00:00+08:00"));
  EXPECT_EQ(end_of_day_after_months(at("2021-08-20T23:59:59.999999+08:00"), 12), at("2022-08-21T00:00:00+08:00"));
  // The day is Beijing's, not Greenwich's.
  EXPECT_EQ(end_of_day_after_months(at("2021-08-19T16:00:00Z"), 12), at("2022-08-20T16:00:00Z"));
}

TEST(BeijingCalendar, ADayThatTheMonthLacksIsItsLast) {
  EXPECT_EQ(end_of_day_after_months(at("2024-02-29T12:00:00+08:00"), 12), at("2025-03-01T00:00:00+08:00"));
  EXPECT_EQ(end_of_day_after_months(at("2023-02-28T12:00:00+08:00"), 12), at("2024-02-29T00:00:00+08:00"));
  EXPECT_EQ(end_of_day_after_months(at("2024-02-29T12:00:00+08:00"), 48), at("2028-03-01T00:00:00+08:00"));
  EXPECT_EQ(end_of_day_after_months(at("2021-01-31T12:00:00+08:00"), 1), at("2021-03-01T00:00:00+08:00"));
  EXPECT_EQ(end_of_day_after_months(at("2021-08-31T12:00:00+08:00"), 1), at("2021-10-01T00:00:00+08:00"));
  EXPECT_EQ(end_of_day_after_months(at("2021-12-31T12:00:00+08:00"), 2), at("2022-03-01T00:00:00+08:00"));
}

RC_GTEST_PROP(BeijingCalendar, EveryInstantLiesInItsHourDayAndMonth, ()) {
  const WallTime instant = *instants();
  const Hour hour = hour_of(instant);
  RC_ASSERT(begin_of(hour) <= instant && instant < begin_of(hour.next()));
  const WallTime day = begin_of_day(instant);
  RC_ASSERT(day <= instant && instant < day + std::chrono::hours(24));
  RC_ASSERT(begin_of_day(day) == day);
  const Month month = month_of(instant);
  RC_ASSERT(begin_of(month) <= instant && instant < begin_of(next(month)));
  RC_ASSERT(month_of(hour) == month);
}

RC_GTEST_PROP(BeijingCalendar, TheEndOfADayMonthsLaterIsAMidnightOfThatMonthOrTheFirstOfTheNext, ()) {
  const WallTime instant = *instants();
  const int months = *rc::gen::inRange(0, 60);
  Month wanted = month_of(instant);
  for (int i = 0; i < months; ++i) wanted = next(wanted);
  const WallTime end = end_of_day_after_months(instant, months);
  RC_ASSERT(begin_of_day(end) == end);
  RC_ASSERT(month_of(end - microseconds(1)) == wanted);
}

TEST(Rfc3339, IsReadWithAnyOffset) {
  const WallTime instant = WallTime(seconds(1'629'428'400));  // 2021-08-20T03:00:00Z
  EXPECT_EQ(parse_time("2021-08-20T03:00:00Z"), instant);
  EXPECT_EQ(parse_time("2021-08-20t03:00:00z"), instant);
  EXPECT_EQ(parse_time("2021-08-20T11:00:00+08:00"), instant);
  EXPECT_EQ(parse_time("2021-08-19T21:30:00-05:30"), instant);
  EXPECT_EQ(parse_time("2021-08-20T03:00:00-00:00"), instant);
  EXPECT_EQ(parse_time("2021-08-20T03:00:00.5Z"), instant + microseconds(500'000));
  EXPECT_EQ(parse_time("2021-08-20T03:00:00.000001Z"), instant + microseconds(1));
}

TEST(Rfc3339, IsWrittenInBeijingTimeWithAFractionOnlyWhereThereIsOne) {
  EXPECT_EQ(format_time(at("2021-08-20T03:00:00Z")), "2021-08-20T11:00:00+08:00");
  EXPECT_EQ(format_time(at("2021-12-31T16:00:00Z")), "2022-01-01T00:00:00+08:00");
  EXPECT_EQ(format_time(at("2021-08-20T03:00:00.25Z")), "2021-08-20T11:00:00.250+08:00");
  EXPECT_EQ(format_time(at("2021-08-20T03:00:00.000007Z")), "2021-08-20T11:00:00.000007+08:00");
}

TEST(Rfc3339, RefusesWhatIsNoInstant) {
  for (const char* text : {"",
                           "2021-08-20",
                           "2021-08-20T03:00:00",
                           "2021-08-20 03:00:00Z",
                           "2021-02-29T00:00:00Z",
                           "2021-13-01T00:00:00Z",
                           "2021-00-01T00:00:00Z",
                           "2021-01-00T00:00:00Z",
                           "2021-04-31T00:00:00Z",
                           "2021-08-20T24:00:00Z",
                           "2021-08-20T03:60:00Z",
                           "2021-08-20T03:00:60Z",
                           "2021-08-20T03:00Z",
                           "2021-08-20T03:00:00.Z",
                           "2021-08-20T03:00:00.1234567Z",
                           "2021-08-20T03:00:00+0800",
                           "2021-08-20T03:00:00+08",
                           "2021-08-20T03:00:00+24:00",
                           "2021-08-20T03:00:00+08:60",
                           "2021-08-20T03:00:00Z ",
                           " 2021-08-20T03:00:00Z",
                           "2021-8-20T03:00:00Z",
                           "1969-12-31T23:59:59Z",
                           "21-08-20T03:00:00Z",
                           "-021-08-20T03:00:00Z",
                           "2021-08-20T03:00:00ZZ",
                           "12021-08-20T03:00:00Z",
                           "2021-08-20T03:00:00,5Z"}) {
    EXPECT_EQ(parse_time(text), std::nullopt) << text;
  }
}

RC_GTEST_PROP(Rfc3339, WrittenAndReadAgainIsTheSame, ()) {
  const WallTime instant = *instants();
  RC_ASSERT(parse_time(format_time(instant)) == instant);
}

TEST(MonthText, IsYearAndMonth) {
  EXPECT_EQ(format_month({2021, 8}), "2021-08");
  EXPECT_EQ(parse_month("2021-08"), (Month{2021, 8}));
  EXPECT_EQ(parse_month("2021-12"), (Month{2021, 12}));
  for (const char* text :
       {"", "2021", "2021-8", "2021-00", "2021-13", "2021-08-01", "21-08", "2021/08", " 2021-08", "1969-12"}) {
    EXPECT_EQ(parse_month(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace tollgate
