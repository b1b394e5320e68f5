#include "gateway/http_date.h"

#include <gtest/gtest.h>

namespace tollgate::gateway {
namespace {
WallTime at(const char* text) { return *parse_time(text); }

TEST(HttpDate, IsTheFixedFormInGreenwichTime) {
  EXPECT_EQ(HttpDate(at("1994-11-06T08:49:37Z")).text(), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(HttpDate(at("2024-02-29T23:59:59Z")).text(), "Thu, 29 Feb 2024 23:59:59 GMT");
  EXPECT_EQ(HttpDate(at("2026-01-01T07:59:59+08:00")).text(), "Wed, 31 Dec 2025 23:59:59 GMT");
  EXPECT_EQ(HttpDate(at("9999-12-31T23:59:59Z")).text(), "Fri, 31 Dec 9999 23:59:59 GMT");
}

TEST(HttpDate, CutsTheFractionAndFollowsAClockThatStepsBack) {
  HttpDate date(at("2026-05-04T03:02:01.999999Z"));
  EXPECT_EQ(date.text(), "Mon, 04 May 2026 03:02:01 GMT");
  date.set(at("2026-05-04T03:02:02Z"));
  EXPECT_EQ(date.text(), "Mon, 04 May 2026 03:02:02 GMT");
  date.set(at("2026-05-04T02:02:02Z"));
  EXPECT_EQ(date.text(), "Mon, 04 May 2026 02:02:02 GMT");
  date.set(at("1970-01-01T00:00:00Z"));
  EXPECT_EQ(date.text(), "Thu, 01 Jan 1970 00:00:00 GMT");
}

}  // namespace
}  // namespace tollgate::gateway
