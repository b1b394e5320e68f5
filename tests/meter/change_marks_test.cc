#include "meter/change_marks.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <deque>
#include <new>
#include <thread>
#include <vector>

#include "meter/recorder.h"
#include "tests/meter/journal_file.h"
#include "tests/meter/receiver.h"

namespace tollgate::meter {
namespace {

constexpr Hour kHour{450'000};

std::vector<std::uint32_t> taken(ChangeMarks& marks, std::uint32_t slots) {
  std::vector<std::uint32_t> indices;
  marks.take(slots, [&](std::uint32_t index) { indices.push_back(index); });
  return indices;
}

TEST(ChangeMarks, AreTakenOnceEach) {
  ChangeMarks marks(1000);
  for (const std::size_t index : {0, 7, 8, 500, 501, 999}) marks.set(index);
  marks.set(7);
  EXPECT_EQ(taken(marks, 1000), (std::vector<std::uint32_t>{0, 7, 8, 500, 501, 999}));
  EXPECT_TRUE(taken(marks, 1000).empty());
  marks.set(8);
  EXPECT_EQ(taken(marks, 1000), std::vector<std::uint32_t>{8});
}

TEST(ChangeMarks, AreFoundByTheElementsAddress) {
  struct Element {
    std::array<char, 64> bytes;
  };
  // The array need not begin at a multiple of its elements' size.
  std::array<Element, 101> memory{};
  for (const std::size_t offset : {0, 1, 63}) {
    const auto* const elements = reinterpret_cast<const Element*>(memory[0].bytes.data() + offset);
    ChangeMarks marks(100);
    const ChangeMarks::Of<Element> own(marks, elements);
    for (const std::size_t index : {0, 1, 50, 99}) own.set(elements[index]);
    EXPECT_EQ(taken(marks, 100), (std::vector<std::uint32_t>{0, 1, 50, 99})) << offset;
  }
}

TEST(ChangeMarks, HaveAPlaceForTheLastSlot) {
  for (const std::uint32_t slots : {1U, 8U, 4096U, 4097U}) {
    ChangeMarks marks(slots);
    marks.set(slots - 1);
    EXPECT_EQ(taken(marks, slots), std::vector<std::uint32_t>{slots - 1});
  }
}

TEST(ChangeMarks, StandAgainWhereAVisitFails) {
  ChangeMarks marks(100);
  for (const std::size_t index : {3, 4, 5}) marks.set(index);
  std::vector<std::uint32_t> visited;
  const auto visit = [&](std::uint32_t index) {
    if (index == 4) throw std::bad_alloc();
    visited.push_back(index);
  };
  EXPECT_THROW(marks.take(100, visit), std::bad_alloc);
  EXPECT_EQ(visited, std::vector<std::uint32_t>{3});
  EXPECT_EQ(taken(marks, 100), (std::vector<std::uint32_t>{4, 5}));
}

// Threads count while the collector goes round as fast as it can: once into each of many slots, so that no later count
// makes up for a mark that got lost. When all have ended, one more round has to find what the rounds beside them did
// not.
TEST(ChangeMarks, LoseNoCountThatRacesWithTheCollector) {
  constexpr std::uint32_t kSubscriptions = 2000;
  constexpr int kThreads = 3;
  constexpr int kCalls = 2000;
  constexpr int kRepetitions = 40;
  JournalFile file;
  Receiver receiver;
  const auto journal = file.open(8192);
  ASSERT_TRUE(journal->begin_epoch(1, 7));
  std::deque<Recorder> workers;
  for (int i = 0; i < kThreads; ++i) workers.emplace_back(*journal);
  Collector collector(*journal, "gw-1", [&](const UsageReport& report) {
    receiver.reports.clear();  // only what was merged is looked at
    return receiver.deliver()(report);
  });
  for (int repetition = 1; repetition <= kRepetitions; ++repetition) {
    std::atomic<int> running{kThreads};
    std::vector<std::thread> threads;
    for (Recorder& worker : workers) {
      threads.emplace_back([&worker, &running] {
        for (std::uint32_t i = 0; i < kCalls; ++i) {
          Slot* slot = worker.slot(i % kSubscriptions, kHour);
          worker.forwarded(*slot, Points(4));
          worker.ended(*slot, i % 2 == 0 ? Outcome::succeeded : Outcome::failed, false, Points(i % 2 == 0 ? 6 : 0));
        }
        running.fetch_sub(1, std::memory_order_release);
      });
    }
    while (running.load(std::memory_order_acquire) > 0) ASSERT_TRUE(collector.collect(kHour));
    for (std::thread& thread : threads) thread.join();
    ASSERT_TRUE(collector.collect(kHour));
    UsageTotals sum;
    for (const auto& [key, totals] : receiver.merged) {
      sum.calls_succeeded += totals.calls_succeeded;
      sum.calls_failed += totals.calls_failed;
      sum.free_points += totals.free_points;
      sum.billable_points += totals.billable_points;
    }
    const std::int64_t calls = std::int64_t{kThreads} * kCalls * repetition;
    ASSERT_EQ(sum, (UsageTotals{calls / 2, calls / 2, 0, Points(4 * calls), Points(3 * calls)}));
  }
}

}  // namespace
}  // namespace tollgate::meter
