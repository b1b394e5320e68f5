// Which slots of the journal were counted into since the collector last looked: one byte a slot, so that it need not
// read all of them. Marks are of this process only; after a restart every slot counts as changed.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

#include "base/pages.h"

namespace tollgate::meter {

// Nothing that was counted is missed, since a mark is set after its count and taken before the count is read:
//
//   worker:     count into the slot;  mark.store(1, release)
//   collector:  mark.exchange(0, acquire);  read the slot
//
// Either the exchange finds the 1 of that store, or of one that came later: then the count is visible to what it reads
// (release and acquire). Or the store comes after the exchange in the mark's order of changes: then the mark stands,
// and the next round reads the slot. The store is made each time. To ask first whether the mark is set would be wrong
// without a full fence: the look may come before the count is visible to others, find the mark that the collector is
// about to take, and leave none. It costs a store into a line that no other worker writes: each has marks of its own.
class ChangeMarks {
  using Mark = std::atomic<std::uint8_t>;  // set by one worker, taken by the collector
  static_assert(sizeof(Mark) == 1 && Mark::is_always_lock_free);

 public:
  // The marks as whoever counts sets them: by the element's address, in a shift and an addition, since each count asks.
  template <class Element>
  class Of {
   public:
    Of(ChangeMarks& marks, const Element* first) noexcept
        : base_(reinterpret_cast<std::uintptr_t>(marks.marks_) - place_of(first)) {}

    // Any thread that has just written the element; one at a time, or the line is contended.
    void set(const Element& element) const noexcept {
      // NOLINTNEXTLINE(performance-no-int-to-ptr): the two arrays are no one object that a pointer could go through
      reinterpret_cast<Mark*>(base_ + place_of(&element))->store(1, std::memory_order_release);
    }

   private:
    static_assert(std::has_single_bit(sizeof(Element)));
    static std::uintptr_t place_of(const Element* element) noexcept {
      return reinterpret_cast<std::uintptr_t>(element) / sizeof(Element);
    }

    std::uintptr_t base_;  // the mark of an element at address 0
  };

  // For so many slots; memory is taken for those that are marked, in small pages. Throws std::bad_alloc.
  explicit ChangeMarks(std::uint32_t slots) : pages_((slots | 7U) + 1), marks_(static_cast<Mark*>(pages_.data())) {}

  // The same by the slot's index.
  void set(std::size_t index) noexcept { marks_[index].store(1, std::memory_order_release); }

  // The collector: takes the marks of the first `slots` slots and visits the index of each. What a visit throws comes
  // out of here, and its mark stands again.
  template <class Visit>
  void take(std::uint32_t slots, Visit visit) {
    for (std::size_t i = 0; i < slots; i += 8) {
      // Eight at a look, since most are not set. A mark that is being set meanwhile is seen now or in the next round.
      using Eight [[gnu::may_alias]] = std::uint64_t;
      if (__atomic_load_n(reinterpret_cast<const Eight*>(marks_ + i), __ATOMIC_RELAXED) == 0) continue;
      for (std::size_t one = i; one < i + 8; ++one) {
        if (marks_[one].load(std::memory_order_relaxed) != 0 &&
            marks_[one].exchange(0, std::memory_order_acquire) != 0) {
          visit_or_mark(one, visit);
        }
      }
    }
  }

 private:
  template <class Visit>
  void visit_or_mark(std::size_t index, Visit& visit) {
    try {
      visit(static_cast<std::uint32_t>(index));
    } catch (...) {
      set(index);
      throw;
    }
  }

  Pages pages_;
  Mark* marks_;
};

}  // namespace tollgate::meter
