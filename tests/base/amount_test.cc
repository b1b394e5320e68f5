#include "base/amount.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>

namespace tollgate {
namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kYuanMax = 9'000'000'000'000;

TEST(Yuan, IsReadAsMicroYuan) {
  EXPECT_EQ(parse_yuan("0"), MicroYuan(0));
  EXPECT_EQ(parse_yuan("12.5"), MicroYuan(12'500'000));
  EXPECT_EQ(parse_yuan("1800.00"), MicroYuan(1'800'000'000));
  EXPECT_EQ(parse_yuan("0.000001"), MicroYuan(1));
  EXPECT_EQ(parse_yuan("007"), MicroYuan(7'000'000));
  EXPECT_EQ(parse_yuan("-2.25"), MicroYuan(-2'250'000));
  EXPECT_EQ(parse_yuan("-0.000001"), MicroYuan(-1));
}

TEST(Yuan, IsWrittenWithTwoToSixDigitsAfterThePoint) {
  EXPECT_EQ(format_yuan(MicroYuan(0)), "0.00");
  EXPECT_EQ(format_yuan(MicroYuan(1'800'000'000)), "1800.00");
  EXPECT_EQ(format_yuan(MicroYuan(500'000)), "0.50");
  EXPECT_EQ(format_yuan(MicroYuan(640)), "0.00064");
  EXPECT_EQ(format_yuan(MicroYuan(1)), "0.000001");
  EXPECT_EQ(format_yuan(MicroYuan(-1)), "-0.000001");
  EXPECT_EQ(format_yuan(MicroYuan(-2'000'000)), "-2.00");
  EXPECT_EQ(format_yuan(MicroYuan(kMax)), "9223372036854.775807");
  EXPECT_EQ(format_yuan(MicroYuan(kMin)), "-9223372036854.775808");
}

TEST(Yuan, RefusesWhatIsNotPlainDecimal) {
  for (const char* text : {"", "-", ".", ".5", "5.", "-.5", "+1", " 1", "1 ", "1.0000000", "1e3", "1,000", "--1",
                           "1.-5", "0x10", "1.2.3", "NaN", "\xEF\xBC\x91", "1\n"}) {
    EXPECT_EQ(parse_yuan(text), std::nullopt) << '"' << text << '"';
  }
  EXPECT_EQ(parse_yuan(std::string_view("1\0", 2)), std::nullopt);
}

TEST(Yuan, EndsAtNineTrillionEitherWay) {
  EXPECT_EQ(parse_yuan("9000000000000"), MicroYuan(kYuanMax * 1'000'000));
  EXPECT_EQ(parse_yuan("-9000000000000.00"), MicroYuan(-kYuanMax * 1'000'000));
  for (const char* text : {"9000000000000.000001", "9000000000001", "-9000000000000.000001", "-9000000000001",
                           "99999999999999", "100000000000000000000000"}) {
    EXPECT_EQ(parse_yuan(text), std::nullopt) << text;
  }
}

RC_GTEST_PROP(Yuan, WrittenAndReadAgainIsTheSame, ()) {
  const auto count = *rc::gen::oneOf(rc::gen::inRange<std::int64_t>(-kYuanMax * 1'000'000, kYuanMax * 1'000'000 + 1),
                                     rc::gen::inRange<std::int64_t>(-2'000'000, 2'000'000));
  RC_ASSERT(parse_yuan(format_yuan(MicroYuan(count))) == MicroYuan(count));
}

RC_GTEST_PROP(Yuan, ReadOnlyWhatIsNotLongerThanItsLimits, (std::string text)) {
  // Whatever is accepted is within the limits, and says the same after one round of writing and reading.
  const auto amount = parse_yuan(text);
  if (!amount) return;
  RC_ASSERT(amount->count() >= -kYuanMax * 1'000'000 && amount->count() <= kYuanMax * 1'000'000);
  RC_ASSERT(parse_yuan(format_yuan(*amount)) == amount);
}

TEST(Amount, CountsExactly) {
  Points points(5);
  points += Points(7);
  points -= Points(2);
  EXPECT_EQ(points, Points(10));
  EXPECT_EQ(points * 3, Points(30));
  EXPECT_EQ(-points, Points(-10));
  EXPECT_LT(Points(-1), Points());
  EXPECT_EQ(Points(kMax) - Points(kMax), Points());
  EXPECT_EQ(Points(kMin) + Points(kMax), Points(-1));
}

TEST(AmountDeathTest, OverflowIsOurBugAndEndsTheProcess) {
  const Points most(kMax);
  const Points least(kMin);
  EXPECT_DEATH((void)(most + Points(1)), "CHECK failed");
  EXPECT_DEATH((void)(least - Points(1)), "CHECK failed");
  EXPECT_DEATH((void)(most * 2), "CHECK failed");
  EXPECT_DEATH((void)(-least), "CHECK failed");
  EXPECT_DEATH(
      {
        Points sum = most;
        sum += Points(1);
      },
      "CHECK failed");
  EXPECT_DEATH(
      {
        Points difference = least;
        difference -= Points(1);
      },
      "CHECK failed");
}

template <class A, class B>
concept Adds = requires(A a, B b) {
  a + b;
};
static_assert(Adds<Points, Points> && !Adds<Points, MicroYuan> && !Adds<Points, std::int64_t>,
              "points never mix with money or with bare numbers");

}  // namespace
}  // namespace tollgate
