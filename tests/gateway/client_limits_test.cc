// The small rules about clients that want too much: who counts as one, how many connections and wrong keys it may have,
// how slow it may be, how many lines it may cause, and when a worker sheds calls.
#include <gtest/gtest.h>

#include <optional>
#include <utility>
#include <vector>

#include "gateway/address_connections.h"
#include "gateway/client_address.h"
#include "gateway/key_failures.h"
#include "gateway/line_budget.h"
#include "gateway/overload.h"
#include "gateway/pace.h"

namespace tollgate::gateway {
namespace {
constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kSecond = 1000 * kMs;

std::uint64_t of(const char* text) { return client_address(boost::asio::ip::make_address(text)); }

TEST(ClientAddress, AnIpv6NetworkOf64BitsIsOneAndAMappedAddressIsThePlainOne) {
  EXPECT_EQ(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
  EXPECT_NE(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
  EXPECT_EQ(of("::ffff:192.0.2.1"), of("192.0.2.1"));
  EXPECT_EQ(of("64:ff9b::192.0.2.1"), of("192.0.2.1")) << "translated by a NAT64";
  EXPECT_NE(of("192.0.2.1"), of("192.0.2.2"));
}

TEST(AddressConnections, AnAddressHasItsLimitAndOthersHaveTheirs) {
  AddressConnections connections(1);
  auto first = connections.enter(7, 2);
  auto second = connections.enter(7, 2);
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(connections.enter(7, 2));
  EXPECT_TRUE(connections.enter(8, 2));
}

TEST(AddressConnections, AClosedConnectionMakesRoomOnceHoweverOftenItsPlaceMoved) {
  AddressConnections connections(1);
  auto kept = connections.enter(7, 2);
  {
    auto place = connections.enter(7, 2);
    ASSERT_TRUE(place);
    const AddressConnections::Place moved = std::move(*place);
    EXPECT_FALSE(connections.enter(7, 2));
  }
  auto again = connections.enter(7, 2);
  EXPECT_TRUE(again);
  EXPECT_FALSE(connections.enter(7, 2));
}

TEST(AddressConnections, ConnectionsOpenedWithoutALimitCountWhenOneIsSet) {
  AddressConnections connections(1);
  const auto open = connections.enter(7, 0);
  EXPECT_FALSE(connections.enter(7, 1));
}

TEST(KeyFailures, AreCountedForEachAddressAndForgottenWithTheMinute) {
  KeyFailures failures(1);
  const std::int64_t now = 1000 * KeyFailures::kWindowNs;
  for (int i = 1; i <= 5; ++i) EXPECT_EQ(failures.count(7, now), i);
  EXPECT_EQ(failures.count(8, now), 1);
  EXPECT_EQ(failures.count(7, now + KeyFailures::kWindowNs - 1), 6);
  EXPECT_EQ(failures.count(7, now + KeyFailures::kWindowNs), 1);
}

TEST(KeyFailures, NeverWrapAround) {
  KeyFailures failures(1);
  std::int64_t last = 0;
  for (int i = 0; i < 70'000; ++i) last = failures.count(7, 0);
  EXPECT_EQ(last, 65'535);
}

// However many addresses fail once, the one that keeps failing between them stays known.
TEST(KeyFailures, AFloodOfOtherAddressesDoesNotWashAwayWhoFailsMost) {
  KeyFailures failures(1);
  for (int i = 0; i < 200; ++i) failures.count(7, 0);
  for (std::uint64_t other = 100; other < 600'000; ++other) failures.count(other, 0);
  EXPECT_EQ(failures.count(7, 0), 201);
}

TEST(Pace, ADripIsTooSlowWhenItsGraceIsUsedUp) {
  Pace pace(100, 60'000);
  pace.waited(29 * kSecond, 1);
  pace.waited(29 * kSecond, 1);
  EXPECT_GT(pace.left_ns(), 0);
  pace.waited(29 * kSecond, 1);
  EXPECT_LE(pace.left_ns(), 0);
}

TEST(Pace, WhoKeepsItIsNeverTooSlowAndSavesNothingUp) {
  Pace pace(100, 60'000);
  for (int i = 0; i < 1000; ++i) pace.waited(10 * kSecond, 1000);
  EXPECT_EQ(pace.left_ns(), 60 * kSecond);
  pace.waited(kSecond, 1'000'000'000);
  EXPECT_EQ(pace.left_ns(), 60 * kSecond);
}

TEST(Pace, TheNextWaitEndsWithTheSilenceAllowedOrWithTheGraceWhicheverIsFirst) {
  Pace pace(100, 60'000);
  EXPECT_EQ(pace.wait_ms(30'000), 30'000);
  pace.waited(50 * kSecond, 0);
  EXPECT_EQ(pace.wait_ms(30'000), 10'000);
  pace.waited(50 * kSecond, 0);
  EXPECT_EQ(pace.wait_ms(30'000), 1);
}

TEST(Pace, WithoutALeastPaceOnlySilenceCounts) {
  Pace pace(0, 60'000);
  pace.waited(1'000'000 * kSecond, 0);
  EXPECT_EQ(pace.wait_ms(30'000), 30'000);
}

TEST(Overload, OneLateTickRefusesNobody) {
  Overload overload;
  overload.observe(3'600 * kSecond, 100);  // the machine was suspended
  EXPECT_FALSE(overload.refuses(false));
  overload.observe(0, 100);
  EXPECT_FALSE(overload.refuses(false));
}

TEST(Overload, FourLateTicksInARowRefuseFreeCalls) {
  Overload overload;
  for (int i = 0; i < 3; ++i) overload.observe(10 * kSecond, 100);
  EXPECT_FALSE(overload.refuses(false));
  overload.observe(10 * kSecond, 100);
  EXPECT_TRUE(overload.refuses(false));
  EXPECT_FALSE(overload.refuses(true));
}

TEST(Overload, FreeCallsGoFirstThenPaidOnesAndAllComeBack) {
  Overload overload;
  for (int i = 0; i < 50; ++i) overload.observe(200 * kMs, 100);
  EXPECT_TRUE(overload.refuses(false));
  EXPECT_FALSE(overload.refuses(true));
  for (int i = 0; i < 50; ++i) overload.observe(500 * kMs, 100);
  EXPECT_TRUE(overload.refuses(true));
  for (int i = 0; i < 50; ++i) overload.observe(0, 100);
  EXPECT_FALSE(overload.refuses(false));
  EXPECT_FALSE(overload.refuses(true));
}

TEST(Overload, BetweenHalfTheBoundAndTheBoundItStaysAsItWas) {
  Overload calm;
  for (int i = 0; i < 50; ++i) calm.observe(70 * kMs, 100);
  EXPECT_FALSE(calm.refuses(false));
  Overload busy;
  for (int i = 0; i < 50; ++i) busy.observe(200 * kMs, 100);
  for (int i = 0; i < 50; ++i) busy.observe(70 * kMs, 100);
  EXPECT_TRUE(busy.refuses(false));
}

TEST(Overload, WhoWasRefusedIsHeldBackFromATwentiethOfTheBoundOn) {
  Overload overload;
  for (int i = 0; i < 50; ++i) overload.observe(4 * kMs, 100);
  EXPECT_FALSE(overload.holds_back_refused());
  for (int i = 0; i < 50; ++i) overload.observe(6 * kMs, 100);
  EXPECT_TRUE(overload.holds_back_refused());
  EXPECT_FALSE(overload.refuses(false));
  overload.observe(6 * kMs, 0);
  EXPECT_FALSE(overload.holds_back_refused());
  Overload strict;
  for (int i = 0; i < 50; ++i) strict.observe(1 * kMs, 2);
  EXPECT_FALSE(strict.holds_back_refused()) << "as late as timers are";
}

TEST(Overload, WithoutABoundNobodyIsRefusedAndTheLagIsStillKnown) {
  Overload overload;
  for (int i = 0; i < 100; ++i) overload.observe(kSecond, 0);
  EXPECT_FALSE(overload.refuses(false));
  EXPECT_GT(overload.lag_ns(), kSecond / 2);
}

TEST(LineBudget, ASecondHasItsLinesAndTheRestIsCounted) {
  LineBudget lines;
  EXPECT_TRUE(lines.take(0, 2));
  EXPECT_TRUE(lines.take(kSecond - 1, 2));
  EXPECT_FALSE(lines.take(kSecond - 1, 2));
  EXPECT_TRUE(lines.take(kSecond, 2));
  EXPECT_EQ(lines.take_left_out(), 1);
  EXPECT_EQ(lines.take_left_out(), 0);
}

TEST(LineBudget, WithoutABoundAllAreWritten) {
  LineBudget lines;
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(lines.take(0, 0));
}

}  // namespace
}  // namespace tollgate::gateway
