#include "meter/journal_keeper.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <string>
#include <utility>

#include "base/clock.h"
#include "tests/meter/journal_file.h"

namespace tollgate::meter {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

struct Said {
  bool good = false;
  std::string what;
};

class JournalKeeperTest : public testing::Test {
 protected:
  // What the keeper says next.
  Said next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !said_.empty(); });
    const Said said = said_.front();
    said_.pop_front();
    return said;
  }
  JournalKeeper::Say say() {
    return [this](bool good, const std::string& what) {
      const std::lock_guard lock(mutex_);
      said_.push_back({good, what});
      changed_.notify_all();
    };
  }

  JournalFile file_;
  std::unique_ptr<Journal> journal_ = file_.open(64, "gw-1", 0, 256);
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Said> said_;
};

TEST_F(JournalKeeperTest, ASyncThatDoesNotComeBackInItsTimeIsNone) {
  std::promise<void> begun, released;
  bool first = true;
  JournalKeeper keeper(*journal_, {1, 5'000, Points(20)}, say(), [&] {
    if (std::exchange(first, false)) {
      begun.set_value();
      released.get_future().wait();
    }
    return 0;
  });
  const std::int64_t before = steady_ns();
  keeper.watch(before + 3600 * kSecond);
  EXPECT_TRUE(keeper.is_durable()) << "no sync is under way";
  keeper.start();
  begun.get_future().wait();
  keeper.watch(before + 5 * kSecond);
  EXPECT_TRUE(keeper.is_durable());
  for (int i = 0; i < 3; ++i) keeper.watch(steady_ns() + 6 * kSecond);
  EXPECT_FALSE(keeper.is_durable());
  released.set_value();
  const Said bad = next();
  EXPECT_FALSE(bad.good);
  EXPECT_NE(bad.what.find("does not answer"), std::string::npos) << bad.what;
  EXPECT_TRUE(next().good) << "said once, and that it is over";
  EXPECT_TRUE(keeper.is_durable());
}

TEST_F(JournalKeeperTest, TheAllowanceIsNeverExceededAndWholeAgainWithTheNextFailure) {
  std::atomic<int> error = EIO;
  JournalKeeper keeper(*journal_, {1, 5'000, Points(20)}, say(), [&] { return error.load(); });
  keeper.start();
  const Said bad = next();
  EXPECT_FALSE(bad.good);
  EXPECT_NE(bad.what.find("Input/output error"), std::string::npos) << bad.what;
  EXPECT_FALSE(keeper.is_durable());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(keeper.take_allowance(Points(6)));
  EXPECT_FALSE(keeper.take_allowance(Points(6)));
  EXPECT_TRUE(keeper.take_allowance(Points(2)));
  EXPECT_FALSE(keeper.take_allowance(Points(1)));
  error = 0;
  EXPECT_TRUE(next().good);
  EXPECT_TRUE(keeper.is_durable());
  error = ENOSPC;
  EXPECT_FALSE(next().good);
  EXPECT_TRUE(keeper.take_allowance(Points(20)));
  EXPECT_GE(keeper.sync_failures(), 2);
}

TEST_F(JournalKeeperTest, LetsTheJournalGrow) {
  ASSERT_TRUE(journal_->begin_epoch(1, 7));
  for (std::uint32_t i = 0; i < 64; ++i) ASSERT_NE(journal_->take(i, Hour{450'000}), nullptr);
  ASSERT_EQ(journal_->take(64, Hour{450'000}), nullptr);
  std::promise<void> grown;
  JournalKeeper keeper(*journal_, {1, 5'000, Points()}, [&](bool good, const std::string&) {
    if (good) grown.set_value();
  });
  keeper.start();
  grown.get_future().wait();
  keeper.stop();
  EXPECT_EQ(journal_->slots_total(), 128U);
  EXPECT_NE(journal_->take(64, Hour{450'000}), nullptr);
}

}  // namespace
}  // namespace tollgate::meter
