#include "meter/journal_keeper.h"

#include <gtest/gtest.h>

#include <future>
#include <string>
#include <vector>

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
  JournalFile file_;
  std::unique_ptr<Journal> journal_ = file_.open(64, "gw-1", 0, 256);
  std::vector<Said> said_;
  JournalKeeper keeper_{*journal_, {10, 5'000, Points(20)}, [this](bool good, const std::string& what) {
                          said_.push_back({good, what});
                        }};
};

TEST_F(JournalKeeperTest, ADiskThatDoesNotAnswerInItsTimeIsNoDisk) {
  const std::int64_t begun = keeper_.last_sync_ns();
  keeper_.watch(begun + 5 * kSecond);
  EXPECT_TRUE(keeper_.is_durable());
  keeper_.watch(begun + 6 * kSecond);
  EXPECT_FALSE(keeper_.is_durable());
  keeper_.watch(begun + 7 * kSecond);
  ASSERT_EQ(said_.size(), 1U) << "once, however often it is looked at";
  EXPECT_FALSE(said_[0].good);
  EXPECT_NE(said_[0].what.find("does not answer"), std::string::npos) << said_[0].what;
}

TEST_F(JournalKeeperTest, TheAllowanceIsNeverExceededAndWholeAgainWithTheNextFailure) {
  keeper_.watch(keeper_.last_sync_ns() + 6 * kSecond);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(keeper_.take_allowance(Points(6)));
  EXPECT_FALSE(keeper_.take_allowance(Points(6)));
  EXPECT_TRUE(keeper_.take_allowance(Points(2)));
  EXPECT_FALSE(keeper_.take_allowance(Points(1)));

  keeper_.start();
  keeper_.stop();  // ends with a sync, which is good
  EXPECT_TRUE(keeper_.is_durable());
  ASSERT_EQ(said_.size(), 2U);
  EXPECT_TRUE(said_[1].good);
  keeper_.watch(keeper_.last_sync_ns() + 6 * kSecond);
  EXPECT_TRUE(keeper_.take_allowance(Points(20)));
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
