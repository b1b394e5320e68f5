#include "gateway/buffer.h"

#include <gtest/gtest.h>

#include <string>

namespace tollgate::gateway {
namespace {

void put(Buffer& buffer, std::string_view text) {
  ASSERT_GE(buffer.space().size(), text.size());
  std::memcpy(buffer.space().data(), text.data(), text.size());
  buffer.append(text.size());
}

TEST(Buffer, HoldsNothingUntilItBorrowsABlock) {
  Buffer buffer;
  EXPECT_FALSE(buffer.has_block());
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.space().size(), 0U);
}

TEST(Buffer, TakesItsBlockWhenItsSpaceIsAskedFor) {
  BlockPool pool(kSmallBlock, 4);
  Buffer buffer;
  buffer.use(pool);
  EXPECT_FALSE(buffer.has_block());
  EXPECT_TRUE(buffer.has_room());
  EXPECT_EQ(buffer.view(), "");
  EXPECT_EQ(buffer.space().size(), kSmallBlock - kHeadroom);
  EXPECT_TRUE(buffer.has_block());
}

TEST(Buffer, IsReadFromTheFrontAndWrittenAtTheEnd) {
  BlockPool pool(16, 4);
  Buffer buffer;
  buffer.use(pool);
  EXPECT_EQ(buffer.capacity(), 16U);
  put(buffer, "hello world");
  buffer.consume(6);
  EXPECT_EQ(buffer.view(), "world");
  EXPECT_EQ(buffer.space().size(), 5U);
  put(buffer, "!");
  EXPECT_EQ(buffer.view(), "world!");
}

TEST(Buffer, ThatIsEmptiedHasAllItsSpaceAgain) {
  BlockPool pool(16, 4);
  Buffer buffer;
  buffer.use(pool);
  put(buffer, "hello");
  buffer.consume(5);
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.space().size(), 16U);
}

TEST(Buffer, MakesRoomByMovingWhatItHoldsToTheFront) {
  BlockPool pool(8, 4);
  Buffer buffer;
  buffer.use(pool);
  put(buffer, "abcdefgh");
  buffer.consume(3);
  EXPECT_EQ(buffer.space().size(), 0U);
  buffer.compact();
  EXPECT_EQ(buffer.view(), "defgh");
  EXPECT_EQ(buffer.space().size(), 3U);
}

TEST(Buffer, PutsAHeadBeforeABodyInPlaceOfTheOneThatCame) {
  BlockPool pool(kSmallBlock, 4);
  Buffer buffer;
  buffer.use(pool);
  put(buffer, "old head|body|next");
  buffer.consume(9);
  const auto body = buffer.view().substr(0, 4);
  buffer.consume(5);
  EXPECT_EQ(buffer.put_before(body, "a new head, which is longer|"), "a new head, which is longer|body");
  EXPECT_EQ(buffer.put_before(body, "short|"), "short|body");
  EXPECT_EQ(buffer.put_before(body, {}), "body");
  const std::string as_long_as_may_be(kHeadroom + 9, 'h');
  EXPECT_EQ(buffer.put_before(body, as_long_as_may_be), as_long_as_may_be + "body");
  EXPECT_EQ(buffer.put_before(body, as_long_as_may_be + "h"), "");
  EXPECT_EQ(body, "body");
  EXPECT_EQ(buffer.view(), "next");
}

TEST(Buffer, PutsNothingBeforeABodyThatLiesElsewhere) {
  BlockPool pool(kSmallBlock, 4);
  Buffer buffer;
  const std::string elsewhere = "body";
  EXPECT_EQ(buffer.put_before(elsewhere, ""), "");
  buffer.use(pool);
  EXPECT_EQ(buffer.put_before(elsewhere, ""), "");
  put(buffer, "head|");
  EXPECT_EQ(buffer.put_before(buffer.view().substr(5), "head|"), "");  // there is none
}

TEST(Buffer, ThatIsFullTakesItsHeadroomToo) {
  BlockPool pool(kSmallBlock, 4);
  Buffer buffer;
  buffer.use(pool);
  put(buffer, std::string(buffer.space().size(), 'x'));
  EXPECT_EQ(buffer.size(), kSmallBlock - kHeadroom);
  buffer.compact();
  EXPECT_EQ(buffer.space().size(), kHeadroom);
  EXPECT_EQ(buffer.view(), std::string(kSmallBlock - kHeadroom, 'x'));
}

TEST(Buffer, LeavesItsBlockToOthersWhileItHoldsNothing) {
  BlockPool pool(16, 4);
  Buffer first;
  Buffer second;
  first.use(pool);
  const char* const block = first.space().data();
  put(first, "bytes");
  first.lend();
  EXPECT_EQ(first.view(), "bytes");
  first.consume(5);
  first.lend();
  EXPECT_FALSE(first.has_block());
  EXPECT_TRUE(first.empty());
  second.use(pool);
  EXPECT_EQ(second.space().data(), block);
  second.release();
  EXPECT_EQ(first.space().data(), block);
  EXPECT_EQ(first.space().size(), 16U);
}

TEST(Buffer, DoesNotLendABlockOfItsOwn) {
  Buffer buffer;
  buffer.use_own(16);
  buffer.lend();
  EXPECT_TRUE(buffer.has_block());
}

TEST(Buffer, ThatIsLentStillCounts) {
  meter::Cell counted;
  BufferBudget budget(counted);
  BlockPool pool(16, 4);
  Buffer buffer(budget);
  buffer.use(pool);
  const auto held = counted.load();
  EXPECT_GT(held, 0);
  (void)buffer.space();
  EXPECT_EQ(counted.load(), held);
  buffer.lend();
  EXPECT_EQ(counted.load(), held);
  buffer.release();
  EXPECT_EQ(counted.load(), 0);
}

TEST(Buffer, KeepsItsBytesWhenItMovesToALargerBlock) {
  BlockPool small(8, 4);
  BlockPool large(32, 4);
  Buffer buffer;
  buffer.use(small);
  put(buffer, "abcdefgh");
  buffer.consume(2);
  buffer.use(large);
  EXPECT_EQ(buffer.view(), "cdefgh");
  EXPECT_EQ(buffer.capacity(), 32U);
  buffer.use_own(100);
  EXPECT_EQ(buffer.view(), "cdefgh");
  EXPECT_EQ(buffer.capacity(), 100U);
}

TEST(Buffer, GivesItsBlockBackToThePoolItCameFrom) {
  BlockPool pool(8, 4);
  const char* block = nullptr;
  {
    Buffer buffer;
    buffer.use(pool);
    block = buffer.space().data();
  }
  Buffer other;
  other.use(pool);
  EXPECT_EQ(other.space().data(), block);
  other.release();
  EXPECT_FALSE(other.has_block());
  // A block of its own size must never be taken for one of the pool's.
  other.use_own(4);
  other.release();
  other.use(pool);
  EXPECT_EQ(other.space().data(), block);
}

TEST(BufferBudget, CountsWhatABufferHoldsBeyondItsFreeBytesAndHasItBack) {
  meter::Cell held;
  BufferBudget budget(held);
  BlockPool small(8, 4);
  BlockPool large(32, 4);
  {
    Buffer idle(budget, 8);
    idle.use(small);
    EXPECT_EQ(held.load(), 0);
    idle.use(large);
    EXPECT_EQ(held.load(), 24);
    Buffer other(budget);
    other.use(small);
    EXPECT_EQ(held.load(), 32);
    other.use_own(100);
    EXPECT_EQ(held.load(), 124);
    other.release();
    EXPECT_EQ(held.load(), 24);
    HeldBytes copy;
    copy.count_in(budget);
    copy.set(10);
    copy.set(7);
    EXPECT_EQ(held.load(), 31);
  }
  EXPECT_EQ(held.load(), 0);
}

TEST(BufferBudget, RefusesFreeCallsFromThreeQuartersAndPaidOnesAtItWithWhatOtherWorkersHold) {
  meter::Cell held;
  BufferBudget budget(held);
  const auto refuses = [&](std::int64_t others, std::int64_t max) {
    budget.observe(others, max);
    return std::pair(budget.refuses(false), budget.refuses(true));
  };
  budget.add(30);
  EXPECT_EQ(refuses(44, 100), std::pair(false, false));
  EXPECT_EQ(refuses(45, 100), std::pair(true, false));
  EXPECT_EQ(refuses(69, 100), std::pair(true, false));
  EXPECT_EQ(refuses(70, 100), std::pair(true, true));
  EXPECT_EQ(refuses(70, 0), std::pair(false, false)) << "0 is no budget";
}

TEST(BlockPool, KeepsNoMoreThanItWasTold) {
  BlockPool pool(8, 1);
  auto first = pool.take();
  auto second = pool.take();
  const char* const kept = first.get();
  pool.give(std::move(first));
  pool.give(std::move(second));
  auto again = pool.take();
  EXPECT_EQ(again.get(), kept);
}

}  // namespace
}  // namespace tollgate::gateway
