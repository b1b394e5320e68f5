// What the journal does about a file that is damaged, cut off or somebody else's, and how it grows.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/meter/journal_file.h"

namespace tollgate::meter {
namespace {

constexpr Hour kHour{450'000};

// One call of six points for each of `subscriptions` from 1 on, under epoch `epoch`.
void count(JournalFile& file, std::uint32_t subscriptions, std::uint32_t epoch = 1, std::string_view gateway = "gw-1") {
  auto journal = file.open(256, gateway);
  ASSERT_TRUE(journal) << file.why.message;
  ASSERT_TRUE(journal->begin_epoch(epoch, 1000 + epoch));
  for (std::uint32_t i = 1; i <= subscriptions; ++i) {
    Slot* slot = journal->take(i, kHour);
    ASSERT_NE(slot, nullptr);
    slot->count_forwarded(Points());
    slot->count_succeeded(Points(6));
  }
}

std::int64_t points_held(Journal& journal) {
  std::int64_t points = 0;
  for (std::uint32_t i = 0; i < journal.slots_touched(); ++i) {
    if (journal.is_whole(i)) points += journal.slots()[i].billable_points().count();
  }
  return points;
}

bool says(const Journal& journal, std::string_view words) {
  const auto& findings = journal.findings();
  return std::any_of(findings.begin(), findings.end(), [&](const auto& one) { return one.find(words) != one.npos; });
}

void expect_set_aside(JournalFile& file, std::string_view gateway, std::string_view words) {
  auto journal = file.open(256, gateway);
  ASSERT_TRUE(journal) << file.why.message;
  EXPECT_TRUE(says(*journal, words)) << (journal->findings().empty() ? "nothing said" : journal->findings()[0]);
  EXPECT_EQ(points_held(*journal), 0);
  EXPECT_TRUE(std::filesystem::exists(file.path() + ".set-aside-1"));
  ASSERT_TRUE(journal->begin_epoch(9, 9));
  EXPECT_NE(journal->take(1, kHour), nullptr);
}

TEST(JournalRecovery, OneOfAnotherGatewayIsSetAsideAndNotLost) {
  JournalFile file;
  count(file, 3);
  expect_set_aside(file, "gw-2", "belongs to gateway gw-1, not gw-2");
  std::filesystem::rename(file.path() + ".set-aside-1", file.path());
  auto journal = file.open(256);
  EXPECT_EQ(points_held(*journal), 18);
}

TEST(JournalRecovery, OneOfAnotherStoreIsSetAside) {
  JournalFile file;
  count(file, 3);
  auto journal = file.open(256, "gw-1", 77);
  ASSERT_TRUE(journal);
  EXPECT_TRUE(says(*journal, "belongs to another store"));
  EXPECT_EQ(points_held(*journal), 0);
}

TEST(JournalRecovery, NamesOfFilesSetAsideAreNotTakenTwice) {
  JournalFile file;
  count(file, 1, 1, "gw-1");
  count(file, 1, 1, "gw-2");
  count(file, 1, 1, "gw-3");
  EXPECT_TRUE(std::filesystem::exists(file.path() + ".set-aside-1"));
  EXPECT_TRUE(std::filesystem::exists(file.path() + ".set-aside-2"));
}

TEST(JournalRecovery, OneOfAGatewayWithALongNameIsStillItsOwn) {
  JournalFile file;
  const std::string name(63, 'g');
  count(file, 3, 1, name);
  auto journal = file.open(256, name);
  EXPECT_TRUE(journal->findings().empty());
  EXPECT_EQ(points_held(*journal), 18);
}

TEST(JournalRecovery, ADamagedHeaderIsWrittenAnewAndTheUsageKept) {
  for (const std::streamoff offset : {0, 7, 8, 12, 16, 20, 24, 70, 90}) {
    JournalFile file;
    count(file, 3);
    file.damage(offset);
    {
      auto journal = file.open(256);
      ASSERT_TRUE(journal) << file.why.message;
      EXPECT_TRUE(says(*journal, "damaged header")) << offset;
      EXPECT_EQ(points_held(*journal), 18) << offset;
      ASSERT_EQ(journal->held_epochs().size(), 1U);
      EXPECT_EQ(journal->held_epochs()[0].nonce, 1001);
    }
    auto again = file.open(256);
    EXPECT_TRUE(again->findings().empty()) << "it is mended for good";
  }
}

TEST(JournalRecovery, ADamagedOneThatHoldsNothingOfOursIsSetAside) {
  JournalFile file;
  { ASSERT_TRUE(file.open(256)); }
  file.damage(20);
  expect_set_aside(file, "gw-1", "is damaged");
}

TEST(JournalRecovery, OneThatEndsWithinItsHeaderIsSetAside) {
  for (const std::uintmax_t bytes : {1U, 8U, 83U}) {
    JournalFile file;
    count(file, 3);
    file.truncate(bytes);
    expect_set_aside(file, "gw-1", "is damaged");
  }
}

TEST(JournalRecovery, ThoseOfOtherFormatsAreSetAside) {
  for (const char* magic : {"tgjourn1", "notours!"}) {
    JournalFile file;
    std::ofstream(file.path(), std::ios::binary) << magic << std::string(8192, 'x');
    expect_set_aside(file, "gw-1", magic[7] == '1' ? "is of format 1" : "not a journal");
  }
}

// The header says how many slots there are: a shorter file has lost usage, and that must not pass in silence.
TEST(JournalRecovery, OneThatWasCutOffKeepsWhatIsLeftAndSaysSo) {
  JournalFile file;
  count(file, 200);
  file.truncate(JournalFile::kSlotsBegin + 2 * sizeof(Slot));
  auto journal = file.open(256);
  ASSERT_TRUE(journal) << file.why.message;
  EXPECT_TRUE(says(*journal, "was cut off"));
  EXPECT_EQ(points_held(*journal), 12);
  EXPECT_EQ(journal->slots_total(), 256U);
}

TEST(JournalRecovery, APageThatWasZeroedIsSeenAndTheOthersAreKept) {
  for (const int page : {0, 1, 2}) {
    JournalFile file;
    count(file, 150);                 // two pages of slots and a part; closing syncs, the next opening knows it
    { ASSERT_TRUE(file.open(256)); }  // what is synced is noted after the sync, and written with the next one
    std::fstream raw(file.path(), std::ios::in | std::ios::out | std::ios::binary);
    raw.seekp(JournalFile::kSlotsBegin + page * 4096);
    raw << std::string(4096, '\0');
    raw.close();
    auto journal = file.open(256);
    ASSERT_TRUE(journal);
    const std::uint32_t lost = page < 2 ? 64 : 150 - 128;
    EXPECT_TRUE(says(*journal, "slots of the journal were written and are zeros now")) << page;
    EXPECT_EQ(journal->slots_damaged(), lost);
    EXPECT_EQ(points_held(*journal), (150 - lost) * 6);
  }
}

TEST(JournalRecovery, ASlotThatDamageFreedIsCountedAndOneThatWasGivenBackIsNot) {
  JournalFile file;
  count(file, 2);
  {
    auto journal = file.open(256);
    journal->recycle(journal->slots()[0]);
  }
  file.put(JournalFile::kSlotsBegin + static_cast<std::streamoff>(sizeof(Slot)) + 8, 0);  // epoch 1 becomes 0
  auto journal = file.open(256);
  EXPECT_TRUE(says(*journal, "1 slots of the journal were damaged in their epoch"));
  EXPECT_EQ(points_held(*journal), 6);
  EXPECT_EQ(journal->slots_used(), 1U);
}

TEST(JournalRecovery, AnEpochWhoseMarkIsDamagedHasTheSameNonceAtEveryStart) {
  JournalFile file;
  count(file, 1);
  for (std::streamoff mark = 256; mark < 4096; mark += 16) file.damage(mark + 8);
  const auto first = file.open(256)->held_epochs();
  const auto second = file.open(256)->held_epochs();
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].epoch, 1U);
  EXPECT_NE(first[0].nonce, 1001);
  EXPECT_GT(first[0].nonce, 0);
  EXPECT_FALSE(first[0].marked);
  EXPECT_EQ(first[0].nonce, second[0].nonce);
}

TEST(JournalRecovery, EpochsAreToldApartByTheirNoncesForAsLongAsTheyAreHeld) {
  JournalFile file;
  count(file, 1, 1);
  count(file, 2, 5);
  auto journal = file.open(256);
  const auto held = journal->held_epochs();
  ASSERT_EQ(held.size(), 2U);
  EXPECT_EQ(held[0].nonce, 1001);
  EXPECT_EQ(held[1].nonce, 1005);
}

TEST(JournalGrowth, IsByAPieceWhenAQuarterOfOneIsLeftUpToTheMost) {
  JournalFile file;
  {
    auto journal = file.open(64, "gw-1", 0, 160);
    ASSERT_TRUE(journal->begin_epoch(1, 7));
    for (std::uint32_t i = 0; i < 47; ++i) journal->take(i, kHour)->count_failed();
    EXPECT_FALSE(*journal->grow_if_short());
    Slot* before = journal->take(47, kHour);
    before->count_failed();
    EXPECT_TRUE(*journal->grow_if_short());
    EXPECT_EQ(journal->slots_total(), 128U);
    EXPECT_FALSE(*journal->grow_if_short());
    for (std::uint32_t i = 48; i < 128; ++i) journal->take(i, kHour)->count_failed();
    EXPECT_EQ(journal->take(128, kHour), nullptr);
    EXPECT_TRUE(*journal->grow_if_short());
    EXPECT_EQ(journal->slots_total(), 160U);
    for (std::uint32_t i = 128; i < 160; ++i) journal->take(i, kHour)->count_failed();
    EXPECT_FALSE(*journal->grow_if_short());
    EXPECT_EQ(journal->take(160, kHour), nullptr);
    EXPECT_EQ(before->calls_failed(), 1) << "slots stay where they are";
    EXPECT_EQ(journal->sync(), 0);
  }
  auto journal = file.open(64, "gw-1", 0, 160);
  EXPECT_TRUE(journal->findings().empty());
  EXPECT_EQ(journal->slots_total(), 160U);
  EXPECT_EQ(journal->slots_used(), 160U);
  EXPECT_EQ(journal->slots_damaged(), 0U);
}

}  // namespace
}  // namespace tollgate::meter
