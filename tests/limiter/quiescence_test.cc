#include "limiter/quiescence.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace tollgate::limiter {
namespace {

class QuiescenceTest : public testing::Test {
 protected:
  void retire(int number) {
    quiescence_->retire([this, number] { reclaimed_.push_back(number); });
  }
  // What has been reclaimed by now, in that order.
  const std::vector<int>& collect() {
    quiescence_->collect();
    return reclaimed_;
  }

  std::vector<int> reclaimed_;  // outlives the object under test, whose destructor reclaims
  std::optional<Quiescence> quiescence_{3};
  using Numbers = std::vector<int>;
};

TEST_F(QuiescenceTest, NothingIsReclaimedUntilTheLastReaderHasPassed) {
  retire(1);
  for (const std::size_t reader : {0U, 1U, 0U, 1U}) {
    quiescence_->pass(reader);
    EXPECT_EQ(collect(), Numbers{}) << "reader 2 may still hold it";
  }
  EXPECT_EQ(quiescence_->waiting(), 1U);
  quiescence_->pass(2);
  EXPECT_EQ(collect(), Numbers{1});
  EXPECT_EQ(quiescence_->waiting(), 0U);
}

TEST_F(QuiescenceTest, APassBeforeTheRetirementSaysNothingOfIt) {
  for (std::size_t reader = 0; reader < 3; ++reader) quiescence_->pass(reader);
  retire(1);
  EXPECT_EQ(collect(), Numbers{}) << "a reader may have found it after it passed";
  quiescence_->pass(0);
  quiescence_->pass(1);
  retire(2);
  EXPECT_EQ(collect(), Numbers{});
  quiescence_->pass(2);
  EXPECT_EQ(collect(), Numbers{1}) << "readers 0 and 1 passed before the second was retired";
  quiescence_->pass(0);
  quiescence_->pass(1);
  EXPECT_EQ(collect(), (Numbers{1, 2}));
}

TEST_F(QuiescenceTest, ReclaimsInTheOrderOfRetirementAndEachOnce) {
  for (int number = 1; number <= 5; ++number) retire(number);
  for (std::size_t reader = 0; reader < 3; ++reader) quiescence_->pass(reader);
  EXPECT_EQ(collect(), (Numbers{1, 2, 3, 4, 5}));
  EXPECT_EQ(collect(), (Numbers{1, 2, 3, 4, 5}));
}

TEST_F(QuiescenceTest, RetiringReclaimsWhatIsDueByTheWay) {
  retire(1);
  for (std::size_t reader = 0; reader < 3; ++reader) quiescence_->pass(reader);
  retire(2);
  EXPECT_EQ(reclaimed_, Numbers{1}) << "a writer that only retires must not collect without end";
  EXPECT_EQ(quiescence_->waiting(), 1U);
}

TEST_F(QuiescenceTest, AReaderThatLeftHoldsNothingBackEverAgain) {
  quiescence_->leave(1);
  for (int number = 1; number <= 3; ++number) {
    retire(number);
    quiescence_->pass(0);
    EXPECT_EQ(collect().size(), static_cast<std::size_t>(number - 1)) << "reader 2 still reads";
    quiescence_->pass(2);
    EXPECT_EQ(collect().size(), static_cast<std::size_t>(number));
  }
}

TEST_F(QuiescenceTest, ItsEndReclaimsWhatNobodyPassedBy) {
  retire(1);
  quiescence_->pass(0);
  retire(2);
  quiescence_.reset();
  EXPECT_EQ(reclaimed_, (Numbers{1, 2}));
}

TEST(Quiescence, WithoutReadersNothingWaits) {
  Quiescence quiescence(0);
  bool reclaimed = false;
  quiescence.retire([&] { reclaimed = true; });
  EXPECT_TRUE(reclaimed);
}

}  // namespace
}  // namespace tollgate::limiter
