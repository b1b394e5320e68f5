#include "limiter/published_map.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <thread>
#include <vector>

namespace tollgate::limiter {
namespace {

struct Record {
  std::uint64_t key = 0;
  std::uint64_t sum = 0;  // of the key: a record that is torn, or reused under its reader, does not add up
};
std::uint64_t sum_of(std::uint64_t key) { return ~key * 3; }

// The key is its own hash, so that a test says which keys meet: tables have a power of two of slots, 64 at first.
struct Traits {
  using Key = std::uint64_t;
  static std::uint64_t hash(Key key) noexcept { return key; }
  static bool equal(const Record& record, Key key) noexcept { return record.key == key; }
  static Key key(const Record& record) noexcept { return record.key; }
};
using Map = PublishedMap<Record, Traits>;

class PublishedMapTest : public testing::Test {
 protected:
  Record& insert(std::uint64_t key) {
    Record& record = records_.emplace_back(Record{key, sum_of(key)});
    map_.insert(record);
    return record;
  }

  std::deque<Record> records_;
  Quiescence quiescence_{1};
  Map map_{quiescence_};
};

TEST_F(PublishedMapTest, FindsWhatIsThereAndNothingElse) {
  EXPECT_EQ(map_.find(5), nullptr);
  Record& five = insert(5);
  EXPECT_EQ(map_.find(5), &five);
  EXPECT_EQ(map_.find(5 + 64), nullptr) << "the same slot, another key";
  EXPECT_EQ(map_.find(4), nullptr);
  EXPECT_EQ(map_.erase(5 + 64), nullptr);
  EXPECT_EQ(map_.erase(5), &five);
  EXPECT_EQ(map_.find(5), nullptr);
  EXPECT_EQ(map_.erase(5), nullptr) << "it is gone";
  EXPECT_EQ(map_.size(), 0U);
}

TEST_F(PublishedMapTest, KeysOfOneSlotAreAllFoundAlsoAroundTheEndOfTheTable) {
  for (const std::uint64_t slot : {7U, 62U}) {
    std::vector<Record*> same;
    for (std::uint64_t i = 0; i < 6; ++i) same.push_back(&insert(slot + 64 * i));
    for (std::uint64_t i = 0; i < 6; ++i) EXPECT_EQ(map_.find(slot + 64 * i), same[i]);
    EXPECT_EQ(map_.find(slot + 64 * 6), nullptr);
  }
}

TEST_F(PublishedMapTest, AnErasedRecordDoesNotHideThoseBehindIt) {
  Record& first = insert(9);
  Record& second = insert(9 + 64);
  Record& third = insert(9 + 128);
  EXPECT_EQ(map_.erase(9), &first);
  EXPECT_EQ(map_.find(9 + 64), &second);
  EXPECT_EQ(map_.find(9 + 128), &third);
  EXPECT_EQ(map_.erase(9 + 128), &third) << "the writer looks past it as well";
  Record& again = insert(9);
  EXPECT_EQ(map_.find(9), &again);
  EXPECT_EQ(map_.size(), 2U);
}

TEST_F(PublishedMapTest, AnErasedRecordIsNotTouched) {
  Record& record = insert(3);
  map_.erase(3);
  EXPECT_EQ(record.key, 3U) << "somebody may be reading it";
  EXPECT_EQ(record.sum, sum_of(3));
}

TEST_F(PublishedMapTest, KeepsManyKeysThroughGrowthAndRemoval) {
  constexpr std::uint64_t kKeys = 20'000;
  constexpr std::uint64_t kStride = 4096;  // most of them meet in the low bits
  std::map<std::uint64_t, Record*> living;
  for (std::uint64_t i = 0; i < kKeys; ++i) {
    const std::uint64_t key = i % 4 == 0 ? i / 4 * kStride : i;
    if (living.contains(key)) continue;
    living[key] = &insert(key);
    if (i % 3 == 0) {
      const std::uint64_t gone = living.begin()->first;
      EXPECT_EQ(map_.erase(gone), living[gone]);
      living.erase(gone);
    }
  }
  EXPECT_EQ(map_.size(), living.size());
  for (const auto& [key, record] : living) ASSERT_EQ(map_.find(key), record) << key;
  for (const Record& record : records_) {
    ASSERT_EQ(map_.find(record.key) != nullptr, living.contains(record.key)) << record.key;
  }
  std::map<std::uint64_t, int> visited;
  map_.for_each([&](Record& record) { ++visited[record.key]; });
  EXPECT_EQ(visited.size(), living.size());
  for (const auto& [key, times] : visited) ASSERT_TRUE(times == 1 && living.contains(key)) << key;
}

// Marks of the erased fill a table as records do: were they not counted, a search for what is not there would
// never meet an empty slot.
TEST_F(PublishedMapTest, EverNewKeysOneAtATimeDoNotFillTheTable) {
  for (std::uint64_t key = 0; key < 5'000; ++key) {
    Record& record = insert(key);
    ASSERT_EQ(map_.find(key), &record);
    ASSERT_EQ(map_.find(key + 1), nullptr);
    ASSERT_EQ(map_.erase(key), &record);
    ASSERT_EQ(map_.find(key), nullptr);
    quiescence_.pass(0);
  }
  EXPECT_EQ(map_.size(), 0U);
  EXPECT_LE(quiescence_.waiting(), 1U) << "tables that nobody can read are freed";
}

TEST_F(PublishedMapTest, AnOldTableWaitsForItsReaders) {
  std::uint64_t key = 0;
  while (quiescence_.waiting() == 0) {
    insert(key++);
    ASSERT_LE(key, 64U) << "a full table would end no search";
  }
  quiescence_.collect();
  EXPECT_EQ(quiescence_.waiting(), 1U) << "a reader may be inside the old one";
  quiescence_.pass(0);
  quiescence_.collect();
  EXPECT_EQ(quiescence_.waiting(), 0U);
  for (std::uint64_t i = 0; i < key; ++i) ASSERT_NE(map_.find(i), nullptr);
}

// Looks around while the map is in the middle of its work: a table is filled by asking each record for its key.
struct ProbedTraits : Traits {
  static inline std::function<void()> look;
  static Key key(const Record& record) noexcept {
    if (look) look();
    return record.key;
  }
};

TEST(PublishedMapGrowth, HidesNothingAtAnyInstant) {
  std::deque<Record> records;
  Quiescence quiescence(1);
  PublishedMap<Record, ProbedTraits> map(quiescence);
  std::uint64_t inserted = 0;
  std::uint64_t looks = 0;
  std::uint64_t lost = 0;
  ProbedTraits::look = [&] {
    ++looks;
    for (std::uint64_t key = 0; key < inserted; ++key) lost += map.find(key) == nullptr ? 1 : 0;
  };
  for (; inserted < 300; ++inserted) map.insert(records.emplace_back(Record{inserted, sum_of(inserted)}));
  ProbedTraits::look = nullptr;
  EXPECT_GT(looks, 400U) << "the table has grown, and each record was placed anew";
  EXPECT_EQ(lost, 0U);
}

// Readers look up keys that stay and keys that come and go, and hold what they found until their next quiescent
// point. The writer reuses a record as soon as it is reclaimed: one that is reclaimed too early turns into another
// under its reader, which the sums tell without a sanitizer and TSan tells in any case.
class PublishedMapUnderLoad : public testing::Test {
 protected:
  static constexpr std::size_t kReaders = 3;
  static constexpr std::uint64_t kStaying = 40;
  static constexpr std::uint64_t kRounds = 4'000;
  static constexpr std::uint64_t kPassing = 16;  // keys in the map at once that come and go
  static constexpr int kLooksMin = 300;          // of each reader, however the threads are scheduled

  static bool is_whole(const Record* record, std::uint64_t key) {
    return record->key == key && record->sum == sum_of(key);
  }

  void read(std::size_t reader) {
    std::uint64_t turn = reader;
    while (!stop_.load(std::memory_order_relaxed)) {
      const std::uint64_t staying = ++turn % kStaying;
      const std::uint64_t passing = kStaying + newest_.load(std::memory_order_relaxed) - turn % kPassing;
      const Record* stays = map_.find(staying);
      const Record* passes = map_.find(passing);
      if (stays == nullptr) lost_.fetch_add(1);
      for (int look = 0; look < 4; ++look) {
        if (stays != nullptr && !is_whole(stays, staying)) broken_.fetch_add(1);
        if (passes != nullptr && !is_whole(passes, passing)) broken_.fetch_add(1);
        if (turn % 8 == 0) std::this_thread::yield();
      }
      looks_[reader].fetch_add(1, std::memory_order_relaxed);
      quiescence_.pass(reader);
    }
    quiescence_.leave(reader);
  }

  Record& fresh() {
    while (spare_.empty()) {
      if (records_.size() < kStaying + 4 * kPassing) return records_.emplace_back();
      quiescence_.collect();
      std::this_thread::yield();
    }
    Record& record = *spare_.back();
    spare_.pop_back();
    return record;
  }

  void insert(std::uint64_t key) {
    Record& record = fresh();
    record = {key, sum_of(key)};
    map_.insert(record);
  }

  void retire(std::uint64_t key) {
    Record* record = map_.erase(key);
    ASSERT_NE(record, nullptr) << key;
    quiescence_.retire([this, record] {
      *record = {};
      spare_.push_back(record);
    });
  }

  [[nodiscard]] bool all_have_looked() const {
    for (const auto& looks : looks_) {
      if (looks.load(std::memory_order_relaxed) < kLooksMin) return false;
    }
    return true;
  }

  std::deque<Record> records_;  // of the writer, as are the spare ones
  std::vector<Record*> spare_;
  Quiescence quiescence_{kReaders};
  Map map_{quiescence_};
  // For the readers to aim by, and counts of what they saw; nothing is published with them.
  std::atomic<std::uint64_t> newest_{kPassing};
  std::atomic<int> lost_{0};
  std::atomic<int> broken_{0};
  std::array<std::atomic<int>, kReaders> looks_{};
  std::atomic<bool> stop_{false};
};

TEST_F(PublishedMapUnderLoad, ReadersSeeWholeRecordsAndLoseNoneThatStay) {
  for (std::uint64_t key = 0; key < kStaying; ++key) insert(key);
  for (std::uint64_t i = 1; i <= kPassing; ++i) insert(kStaying + i);
  std::vector<std::thread> readers;
  for (std::size_t reader = 0; reader < kReaders; ++reader) readers.emplace_back([this, reader] { read(reader); });
  std::uint64_t newest = kPassing;
  for (std::uint64_t round = 0; round < kRounds || !all_have_looked(); ++round) {
    insert(kStaying + ++newest);
    newest_.store(newest, std::memory_order_relaxed);
    retire(kStaying + newest - kPassing);
    if (HasFatalFailure()) break;  // a record that is lost here would be waited for without end
  }
  stop_.store(true);
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(lost_.load(), 0) << "a key that was there all the time was not found";
  EXPECT_EQ(broken_.load(), 0) << "a record changed under its reader";
  EXPECT_EQ(map_.size(), kStaying + kPassing);
  quiescence_.collect();
  EXPECT_EQ(quiescence_.waiting(), 0U);
}

}  // namespace
}  // namespace tollgate::limiter
