// A hash map of pointers that one thread writes and any thread reads without a lock. It owns its tables, not the
// records it points to; whoever erases a record retires it through Quiescence.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>

#include "base/pages.h"
#include "limiter/quiescence.h"

namespace tollgate::limiter {

// Traits: `Key`, `static std::uint64_t hash(const Key&)`, `static bool equal(const Record&, const Key&)`,
// `static Key key(const Record&)`.
template <class Record, class Traits>
class PublishedMap {
 public:
  using Key = typename Traits::Key;

  explicit PublishedMap(Quiescence& quiescence) : quiescence_(quiescence), table_(new Table(kSlotsAtStart)) {}
  ~PublishedMap() { delete table_.load(std::memory_order_relaxed); }
  PublishedMap(const PublishedMap&) = delete;
  PublishedMap& operator=(const PublishedMap&) = delete;

  // Any thread. Valid until the caller's next quiescent point.
  [[nodiscard]] Record* find(const Key& key) const noexcept {
    // Acquire pairs with the release in grow() and insert(): the table's and the record's contents are visible.
    const Table& table = *table_.load(std::memory_order_acquire);
    for (std::size_t i = Traits::hash(key) & table.mask;; i = (i + 1) & table.mask) {
      Record* record = table.slots[i].load(std::memory_order_acquire);
      if (record == nullptr) return nullptr;
      if (record != erased() && Traits::equal(*record, key)) return record;
    }
  }

  // Writer only. The key must not be there yet.
  void insert(Record& record) {
    Table* table = table_.load(std::memory_order_relaxed);
    if ((taken_ + 1) * 2 > table->mask + 1) table = grow();
    place(*table, record);
    ++taken_;
    ++size_;
  }

  // Writer only. Returns what was there, unpublished but still readable by others until they pass.
  Record* erase(const Key& key) noexcept {
    Table& table = *table_.load(std::memory_order_relaxed);
    for (std::size_t i = Traits::hash(key) & table.mask;; i = (i + 1) & table.mask) {
      Record* record = table.slots[i].load(std::memory_order_relaxed);
      if (record == nullptr) return nullptr;
      if (record != erased() && Traits::equal(*record, key)) {
        table.slots[i].store(erased(), std::memory_order_release);
        --size_;
        return record;
      }
    }
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }  // writer only

  // Writer only.
  template <class Visit>
  void for_each(Visit visit) const {
    const Table& table = *table_.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i <= table.mask; ++i) {
      Record* record = table.slots[i].load(std::memory_order_relaxed);
      if (record != nullptr && record != erased()) visit(*record);
    }
  }

 private:
  static constexpr std::size_t kSlotsAtStart = 64;

  using Slot = std::atomic<Record*>;
  struct Table {
    explicit Table(std::size_t size)
        : mask(size - 1), pages(Pages::huge(size * sizeof(Slot))), slots(new (pages.data()) Slot[size]()) {}
    std::size_t mask;
    Pages pages;
    Slot* slots;
  };

  // A mark that keeps probe chains whole; never dereferenced, so that no optimisation is lost by the cast.
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  static Record* erased() noexcept { return reinterpret_cast<Record*>(alignof(Record)); }

  static void place(Table& table, Record& record) noexcept {
    std::size_t i = Traits::hash(Traits::key(record)) & table.mask;
    while (table.slots[i].load(std::memory_order_relaxed) != nullptr) i = (i + 1) & table.mask;
    table.slots[i].store(&record, std::memory_order_release);
  }

  Table* grow() {
    Table* old = table_.load(std::memory_order_relaxed);
    auto* table = new Table(std::bit_ceil((size_ + 1) * 4));
    for_each([&](Record& record) { place(*table, record); });
    taken_ = size_;
    table_.store(table, std::memory_order_release);
    quiescence_.retire([old] { delete old; });
    return table;
  }

  Quiescence& quiescence_;
  std::atomic<Table*> table_;  // written by the writer; acquire/release as said above
  std::size_t taken_ = 0;      // slots that are not null, erased ones included
  std::size_t size_ = 0;
};

}  // namespace tollgate::limiter
