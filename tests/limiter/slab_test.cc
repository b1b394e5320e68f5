#include "limiter/slab.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <vector>

namespace tollgate::limiter {
namespace {

struct alignas(64) Line {
  std::uint64_t value = 0;
};

TEST(Slab, KeepsItsRecordsWhereTheyAreFromThePagesOfFewToTheHugeOnesOfMany) {
  Slab<Line> slab;
  std::vector<Line*> at;
  for (std::uint64_t i = 0; i < 100'000; ++i) at.push_back(&slab.emplace(i));
  EXPECT_EQ(slab.size(), 100'000U);
  EXPECT_EQ(std::set<Line*>(at.begin(), at.end()).size(), at.size());
  for (std::uint64_t i = 0; i < at.size(); ++i) {
    ASSERT_EQ(at[i]->value, i);
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(at[i]) % 64, 0U);
  }
}

TEST(Slab, TakesLittleMoreMemoryThanItsRecordsNeed) {
  Slab<Line> slab;
  EXPECT_EQ(slab.bytes(), 0U);
  slab.emplace();
  EXPECT_EQ(slab.bytes(), kPageBytes) << "one subscription does not cost a huge page";
  for (std::uint64_t i = 1; i < 100'000; ++i) {
    slab.emplace();
    const std::size_t needed = slab.size() * sizeof(Line);
    ASSERT_LE(slab.bytes(), std::min(2 * needed, needed + kHugePageBytes) + kPageBytes);
  }
}

TEST(Slab, GivesAPlaceThatWasGivenBackAgain) {
  Slab<Line> slab;
  Line& first = slab.emplace(1U);
  Line& second = slab.emplace(2U);
  slab.erase(first);
  EXPECT_EQ(slab.size(), 1U);
  EXPECT_EQ(&slab.emplace(3U), &first);
  EXPECT_EQ(first.value, 3U);
  EXPECT_EQ(second.value, 2U);
}

TEST(Slab, DestroysEachRecordOnce) {
  const auto shared = std::make_shared<int>(0);
  {
    Slab<std::shared_ptr<int>> slab;
    std::vector<std::shared_ptr<int>*> at;
    for (int i = 0; i < 1000; ++i) at.push_back(&slab.emplace(shared));
    for (std::size_t i = 0; i < at.size(); i += 3) slab.erase(*at[i]);
    EXPECT_EQ(shared.use_count(), 1 + 1000 - 334);
    slab.emplace(shared);
  }
  EXPECT_EQ(shared.use_count(), 1);
}

}  // namespace
}  // namespace tollgate::limiter
