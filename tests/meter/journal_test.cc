#include "meter/journal.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "tests/meter/journal_file.h"

namespace tollgate::meter {
namespace {

constexpr Hour kHour{450'000};

std::uint32_t index_of(Journal& journal, const Slot& slot) {
  return static_cast<std::uint32_t>(&slot - journal.slots());
}

TEST(Journal, KeepsItsCountsOverARestart) {
  JournalFile file;
  {
    auto journal = file.open(16);
    ASSERT_TRUE(journal);
    EXPECT_EQ(journal->slots_total(), 16U);
    EXPECT_EQ(journal->slots_used(), 0U);
    ASSERT_TRUE(journal->begin_epoch(3, 33));
    Slot* slot = journal->take(7, kHour);
    ASSERT_NE(slot, nullptr);
    for (int i = 0; i < 5; ++i) slot->count_forwarded(Points(1));
    for (int i = 0; i < 2; ++i) slot->count_succeeded(Points(6));
  }
  auto journal = file.open(16);
  ASSERT_TRUE(journal);
  EXPECT_TRUE(journal->findings().empty()) << journal->findings()[0];
  EXPECT_EQ(journal->slots_used(), 1U);
  EXPECT_EQ(journal->slots_damaged(), 0U);
  ASSERT_GE(journal->slots_touched(), 1U);
  const Slot& slot = journal->slots()[0];
  EXPECT_EQ(slot.epoch.load(), 3U);
  EXPECT_EQ(slot.subscription, 7U);
  EXPECT_EQ(slot.hour, kHour.since_epoch);
  EXPECT_EQ(slot.calls_open(), 3);
  EXPECT_EQ(slot.free_points(), Points(5));
  EXPECT_EQ(slot.billable_points(), Points(12));
  EXPECT_TRUE(journal->is_whole(0));
  ASSERT_EQ(journal->held_epochs().size(), 1U);
  EXPECT_EQ(journal->held_epochs()[0].epoch, 3U);
  EXPECT_EQ(journal->held_epochs()[0].nonce, 33);
}

TEST(Journal, IsHeldByOneProcessAtATime) {
  JournalFile file;
  auto first = file.open(16);
  ASSERT_TRUE(first);
  EXPECT_EQ(file.open(16), nullptr);
  EXPECT_EQ(file.why.kind, FaultKind::conflict);
  EXPECT_NE(file.why.message.find("in use"), std::string::npos) << file.why.message;
  first.reset();
  EXPECT_NE(file.open(16), nullptr);
}

// Space is allocated before the header is written; a process that dies in between leaves zeros and no usage.
TEST(Journal, WhoseCreationWasInterruptedIsCreatedAgain) {
  JournalFile file;
  std::ofstream(file.path(), std::ios::binary) << std::string(JournalFile::kSlotsBegin + 16 * sizeof(Slot), '\0');
  auto journal = file.open(16);
  ASSERT_TRUE(journal) << file.why.message;
  EXPECT_EQ(journal->slots_used(), 0U);
  EXPECT_EQ(journal->findings().size(), 1U) << "it could have been damage";
}

TEST(Journal, SetsADamagedSlotAsideAndCountsIt) {  // wherever in the slot the damage is
  for (const std::streamoff word : {0, 4, 8, 12, 16, 24, 28, 32, 40, 44, 48, 56, 60, 63}) {
    JournalFile file;
    {
      auto journal = file.open(3);
      EXPECT_TRUE(journal->begin_epoch(1, 7));
      ASSERT_NE(journal->take(1, kHour), nullptr);
      ASSERT_NE(journal->take(2, kHour), nullptr);
    }
    file.damage(JournalFile::kSlotsBegin + word);
    auto journal = file.open(3);
    ASSERT_TRUE(journal) << file.why.message;
    EXPECT_EQ(journal->slots_damaged(), 1U) << word;
    EXPECT_FALSE(journal->is_whole(0)) << word;
    EXPECT_TRUE(journal->is_whole(1)) << word;
    EXPECT_TRUE(journal->begin_epoch(2, 7));
    Slot* last = journal->take(3, kHour);
    ASSERT_NE(last, nullptr);
    EXPECT_EQ(index_of(*journal, *last), 2U) << "the damaged slot must not be used again";
    EXPECT_EQ(journal->take(4, kHour), nullptr);
  }
}

TEST(Journal, SeesASlotThatWasCopiedToAnotherPlace) {
  JournalFile file;
  {
    auto journal = file.open(4);
    EXPECT_TRUE(journal->begin_epoch(1, 7));
    ASSERT_NE(journal->take(1, kHour), nullptr);
    Slot* second = journal->take(2, kHour);
    ASSERT_NE(second, nullptr);
    const Slot& first = journal->slots()[0];
    std::memcpy(static_cast<void*>(second), &first, sizeof first);
  }
  auto journal = file.open(4);
  ASSERT_TRUE(journal);
  EXPECT_EQ(journal->slots_damaged(), 1U);
}

TEST(Journal, ThatIsFullGivesNoSlotHoweverOftenItIsAsked) {
  JournalFile file;
  auto journal = file.open(2);
  EXPECT_TRUE(journal->begin_epoch(1, 7));
  Slot* first = journal->take(1, kHour);
  ASSERT_NE(first, nullptr);
  ASSERT_NE(journal->take(2, kHour), nullptr);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(journal->take(3, kHour), nullptr);
  EXPECT_EQ(journal->slots_used(), 2U);
  EXPECT_EQ(journal->slots_touched(), 2U);
  journal->recycle(*first);
  EXPECT_EQ(journal->slots_used(), 1U);
  EXPECT_EQ(journal->take(3, kHour), first);
}

TEST(Journal, GrowsWithTheConfigurationAndNeverShrinks) {
  JournalFile file;
  {
    auto journal = file.open(2);
    EXPECT_TRUE(journal->begin_epoch(1, 7));
    journal->take(1, kHour)->count_failed();
    ASSERT_NE(journal->take(2, kHour), nullptr);
  }
  {
    auto journal = file.open(4);
    ASSERT_TRUE(journal) << file.why.message;
    EXPECT_EQ(journal->slots_total(), 4U);
    EXPECT_EQ(journal->slots_used(), 2U);
    EXPECT_EQ(journal->slots()[0].calls_failed(), 1);
    EXPECT_TRUE(journal->begin_epoch(2, 7));
    EXPECT_NE(journal->take(3, kHour), nullptr);
    EXPECT_NE(journal->take(4, kHour), nullptr);
    EXPECT_EQ(journal->take(5, kHour), nullptr);
  }
  auto journal = file.open(1);
  ASSERT_TRUE(journal) << file.why.message;
  EXPECT_EQ(journal->slots_total(), 4U);
  EXPECT_EQ(journal->slots_used(), 4U);
}

TEST(Journal, GivesRecycledSlotsBackZeroed) {
  JournalFile file;
  auto journal = file.open(1);
  ASSERT_TRUE(journal->begin_epoch(1, 7));
  Slot* slot = journal->take(1, kHour);
  slot->count_forwarded(Points(5));
  slot->count_succeeded(Points(5));
  slot->count_failed();
  slot->count_unmetered();
  journal->recycle(*slot);
  ASSERT_EQ(journal->take(9, Hour{450'001}), slot);
  EXPECT_EQ(slot->subscription, 9U);
  EXPECT_EQ(slot->hour, 450'001);
  EXPECT_EQ(slot->epoch.load(), 1U);
  EXPECT_EQ(slot->calls_started() + slot->calls_succeeded() + slot->calls_failed() + slot->calls_unmetered(), 0);
  EXPECT_EQ(slot->free_points() + slot->billable_points(), Points());
}

TEST(Journal, FindsRecycledSlotsAgainAfterARestart) {
  JournalFile file;
  {
    auto journal = file.open(3);
    EXPECT_TRUE(journal->begin_epoch(1, 7));
    Slot* first = journal->take(1, kHour);
    ASSERT_NE(journal->take(2, kHour), nullptr);
    ASSERT_NE(journal->take(3, kHour), nullptr);
    journal->recycle(*first);
  }
  auto journal = file.open(3);
  EXPECT_EQ(journal->slots_used(), 2U);
  EXPECT_TRUE(journal->begin_epoch(2, 7));
  EXPECT_EQ(journal->take(4, kHour), journal->slots());
  EXPECT_EQ(journal->take(5, kHour), nullptr);
}

TEST(Journal, WritesItsCountsToTheDiskWhenAsked) {
  JournalFile file;
  auto journal = file.open(4);
  EXPECT_EQ(journal->sync(), 0);
}

TEST(Journal, InAFolderThatIsNotThereIsAFault) {
  auto journal = Journal::open({"/nonexistent/folder/usage.journal", "gw-1", 0, 4, 4});
  ASSERT_TRUE(journal.has_error());
  EXPECT_EQ(journal.error().kind, FaultKind::unavailable);
}

TEST(JournalDeathTest, AnEpochComesOnceAndBeforeSlots) {
  JournalFile file;
  auto journal = file.open(4);
  EXPECT_DEATH((void)journal->take(1, kHour), "CHECK failed");
  EXPECT_TRUE(journal->begin_epoch(2, 7));
  EXPECT_DEATH((void)journal->begin_epoch(3, 7), "CHECK failed");
}

TEST(Journal, GivesFourThreadsDistinctSlotsUntilItIsFull) {
  JournalFile file;
  constexpr std::uint32_t kSlots = 4000;
  auto journal = file.open(kSlots);
  EXPECT_TRUE(journal->begin_epoch(1, 7));
  std::vector<std::vector<Slot*>> taken(4);
  std::vector<std::thread> threads;
  for (std::uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      while (Slot* slot = journal->take(t, kHour)) {
        slot->count_forwarded(Points());
        taken[t].push_back(slot);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::set<Slot*> distinct;
  for (std::uint32_t t = 0; t < 4; ++t) {
    for (Slot* slot : taken[t]) {
      EXPECT_TRUE(distinct.insert(slot).second);
      EXPECT_EQ(slot->subscription, t);
      EXPECT_EQ(slot->calls_started(), 1);
    }
  }
  EXPECT_EQ(distinct.size(), kSlots);
  EXPECT_EQ(journal->slots_used(), kSlots);
}

// One thread gives back what four others take: the free list must neither lose a slot nor give one out twice.
TEST(Journal, TakesAndRecyclesAtOnceWithoutLosingASlot) {
  JournalFile file;
  constexpr std::uint32_t kSlots = 8;
  auto journal = file.open(kSlots);
  EXPECT_TRUE(journal->begin_epoch(1, 7));
  std::array<std::atomic<Slot*>, 4> handed{};
  std::atomic<int> running{4};
  std::atomic<bool> twice{false};
  std::vector<std::thread> threads;
  for (std::uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5000;) {
        Slot* slot = handed[t].load() == nullptr ? journal->take(t, kHour) : nullptr;
        if (slot == nullptr) {
          std::this_thread::yield();
          continue;
        }
        slot->count_forwarded(Points());
        if (slot->subscription != t || slot->calls_started() != 1) twice.store(true);
        handed[t].store(slot);
        ++i;
      }
      running.fetch_sub(1);
    });
  }
  while (running.load() > 0) {
    for (auto& place : handed) {
      if (Slot* slot = place.load()) {
        journal->recycle(*slot);
        place.store(nullptr);
      }
    }
    std::this_thread::yield();
  }
  for (auto& thread : threads) thread.join();
  for (auto& place : handed) {
    if (Slot* slot = place.load()) journal->recycle(*slot);
  }
  EXPECT_FALSE(twice.load());
  EXPECT_EQ(journal->slots_used(), 0U);
  for (std::uint32_t i = 0; i < kSlots; ++i) EXPECT_NE(journal->take(i, kHour), nullptr) << i;
  EXPECT_EQ(journal->take(9, kHour), nullptr);
}

}  // namespace
}  // namespace tollgate::meter
