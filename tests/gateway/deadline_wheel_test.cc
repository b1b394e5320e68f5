#include "gateway/deadline_wheel.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <deque>
#include <memory>
#include <vector>

namespace tollgate::gateway {
namespace {

constexpr std::int64_t kTick = DeadlineWheel::kTickNs;
constexpr std::int64_t kStart = 1'000 * kTick + 7;

class Alarm : public DeadlineWheel::Entry {
 public:
  [[nodiscard]] std::int64_t due_ns() const noexcept override { return due; }
  void on_due(std::int64_t now_ns) noexcept override {
    ++fired;
    fired_at = now_ns;
    due = kNever;
  }

  std::int64_t due = kNever;
  int fired = 0;
  std::int64_t fired_at = 0;
};

class DeadlineWheelTest : public testing::Test {
 protected:
  void set(Alarm& alarm, std::int64_t due) {
    alarm.due = due;
    wheel_->update(alarm);
  }

  // On the heap: its buckets are many.
  std::unique_ptr<DeadlineWheel> wheel_ = std::make_unique<DeadlineWheel>(kStart);
  Alarm alarm_;
};

TEST_F(DeadlineWheelTest, FiresOnceNeitherEarlyNorMoreThanATickLate) {
  const std::int64_t due = kStart + 3 * kTick + 11;
  set(alarm_, due);
  for (std::int64_t now = kStart; now < kStart + 10 * kTick; now += kTick / 7) {
    wheel_->advance(now);
    const int least = now > due + kTick ? 1 : 0;
    const int most = now < due ? 0 : 1;
    ASSERT_TRUE(least <= alarm_.fired && alarm_.fired <= most) << now - due;
  }
  EXPECT_EQ(alarm_.fired, 1);
}

TEST_F(DeadlineWheelTest, MovesALaterDeadlineOnWithoutFiringIt) {
  set(alarm_, kStart + 2 * kTick);
  set(alarm_, kStart + 50 * kTick);
  wheel_->advance(kStart + 49 * kTick);
  EXPECT_EQ(alarm_.fired, 0);
  wheel_->advance(kStart + 51 * kTick);
  EXPECT_EQ(alarm_.fired, 1);
}

TEST_F(DeadlineWheelTest, FollowsADeadlineThatMovesCloser) {
  set(alarm_, kStart + 50 * kTick);
  set(alarm_, kStart + 2 * kTick);
  wheel_->advance(kStart + 4 * kTick);
  EXPECT_EQ(alarm_.fired, 1);
}

TEST_F(DeadlineWheelTest, ForgetsADeadlineThatBecameNever) {
  set(alarm_, kStart + 2 * kTick);
  set(alarm_, kNever);
  wheel_->advance(kStart + 5000 * kTick);
  EXPECT_EQ(alarm_.fired, 0);
  EXPECT_FALSE(alarm_.is_linked());
  set(alarm_, kStart + 5001 * kTick);
  wheel_->advance(kStart + 5003 * kTick);
  EXPECT_EQ(alarm_.fired, 1) << "and can be used again";
}

TEST_F(DeadlineWheelTest, KeepsDeadlinesThatAreFurtherThanItReaches) {
  const std::int64_t due = kStart + 100'000 * kTick;  // well over an hour
  set(alarm_, due);
  for (std::int64_t now = kStart; now < due; now += 97 * kTick) {
    wheel_->advance(now);
    ASSERT_EQ(alarm_.fired, 0);
  }
  wheel_->advance(due + kTick);
  EXPECT_EQ(alarm_.fired, 1);
}

TEST_F(DeadlineWheelTest, FiresWhatIsOverdueAtTheNextTick) {
  set(alarm_, kStart - 5 * kTick);
  wheel_->advance(kStart + kTick);
  EXPECT_EQ(alarm_.fired, 1);
}

TEST_F(DeadlineWheelTest, LetsGoOfAnEntryThatIsDestroyed) {
  {
    Alarm gone;
    set(gone, kStart + kTick);
  }
  set(alarm_, kStart + kTick);
  wheel_->advance(kStart + 3 * kTick);
  EXPECT_EQ(alarm_.fired, 1);
}

// Sessions end each other and set new deadlines while deadlines fire.
TEST_F(DeadlineWheelTest, AllowsChangesFromWithinAFiringEntry) {
  class Meddler : public Alarm {
   public:
    void on_due(std::int64_t now_ns) noexcept override {
      Alarm::on_due(now_ns);
      victim.reset();
      due = now_ns + 5 * kTick;
      wheel->update(*this);
    }
    DeadlineWheel* wheel = nullptr;
    std::unique_ptr<Alarm> victim;
  };
  Meddler meddler;
  meddler.wheel = wheel_.get();
  meddler.victim = std::make_unique<Alarm>();
  set(meddler, kStart + kTick);
  set(*meddler.victim, kStart + kTick);
  set(alarm_, kStart + kTick);
  wheel_->advance(kStart + 3 * kTick);
  EXPECT_EQ(meddler.fired, 1);
  EXPECT_EQ(alarm_.fired, 1);
  wheel_->advance(kStart + 9 * kTick);
  EXPECT_EQ(meddler.fired, 2);
}

RC_GTEST_PROP(DeadlineWheel, HoldsEveryDeadlineWhateverIsMovedWhen, ()) {
  auto wheel = std::make_unique<DeadlineWheel>(kStart);
  std::vector<Alarm> alarms(4);
  std::vector<std::int64_t> wanted(alarms.size(), kNever);
  std::int64_t now = kStart;
  const auto steps = *rc::gen::container<std::vector<std::pair<int, int>>>(
      rc::gen::pair(rc::gen::inRange(0, 9), rc::gen::inRange(0, 1'000'000)));
  for (const auto& [what, n] : steps) {
    if (what < 4) {  // a new deadline, near or far
      const auto i = static_cast<std::size_t>(what);
      const std::int64_t ahead = n % 3 == 0 ? std::int64_t{n} * 200'000 : std::int64_t{n} * 1'000;
      wanted[i] = alarms[i].due = now + ahead;
      wheel->update(alarms[i]);
    } else if (what == 4) {
      const auto i = static_cast<std::size_t>(n) % alarms.size();
      wanted[i] = alarms[i].due = kNever;
      wheel->update(alarms[i]);
    } else {
      now += what == 8 ? std::int64_t{n} * 300'000 : std::int64_t{n} * 100;
      wheel->advance(now);
    }
    for (std::size_t i = 0; i < alarms.size(); ++i) {
      if (alarms[i].fired > 0) {
        RC_ASSERT(alarms[i].fired == 1);
        RC_ASSERT(wanted[i] <= alarms[i].fired_at);
        alarms[i].fired = 0;
        wanted[i] = kNever;
      }
      // A deadline set in the past waits for the next tick; all others are met within one.
      if (what > 4) RC_ASSERT(wanted[i] == kNever || wanted[i] > now - kTick);
    }
  }
}

}  // namespace
}  // namespace tollgate::gateway
