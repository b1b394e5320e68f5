// Records that never move, in chunks of memory that grow with their number: from one page, doubled, to huge pages.
// It has one thread; what may still be read by others is not its business, but that of whoever gives a record back.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "base/pages.h"

namespace tollgate::limiter {

// All records that are left are destroyed with the slab.
template <class Record>
class Slab {
  static_assert(sizeof(Record) <= kPageBytes && alignof(Record) <= kPageBytes);

 public:
  Slab() = default;
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  ~Slab() {
    std::sort(free_.begin(), free_.end());
    for_each_place([this](Record* place) {
      if (!std::binary_search(free_.begin(), free_.end(), place)) std::destroy_at(place);
    });
  }

  template <class... Arguments>
  Record& emplace(Arguments&&... arguments) {
    if (free_.empty() && used_of_last_ == places_in_last()) add_chunk();
    const bool again = !free_.empty();
    void* place = again ? free_.back() : static_cast<Record*>(chunks_.back().data()) + used_of_last_;
    auto* record = new (place) Record{std::forward<Arguments>(arguments)...};
    again ? free_.pop_back() : static_cast<void>(++used_of_last_);
    ++size_;
    return *record;
  }

  // Destroys the record; its place is taken again.
  void erase(Record& record) {
    free_.push_back(&record);
    std::destroy_at(&record);
    --size_;
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  // Asked of the system, in use or not.
  [[nodiscard]] std::size_t bytes() const noexcept {
    std::size_t bytes = 0;
    for (const Pages& chunk : chunks_) bytes += chunk.size();
    return bytes;
  }

 private:
  [[nodiscard]] std::size_t places_in_last() const noexcept {
    return chunks_.empty() ? 0 : chunks_.back().size() / sizeof(Record);
  }

  void add_chunk() {
    // One page for few, so that they do not take a huge one; one huge page for each chunk of many.
    const std::size_t bytes = chunks_.empty() ? kPageBytes : std::min(2 * chunks_.back().size(), kHugePageBytes);
    chunks_.push_back(Pages::huge(bytes));
    used_of_last_ = 0;
  }

  template <class Visit>
  void for_each_place(Visit visit) const {
    for (const Pages& chunk : chunks_) {
      const std::size_t used = &chunk == &chunks_.back() ? used_of_last_ : chunk.size() / sizeof(Record);
      for (std::size_t i = 0; i < used; ++i) visit(static_cast<Record*>(chunk.data()) + i);
    }
  }

  std::vector<Pages> chunks_;
  std::size_t used_of_last_ = 0;
  std::size_t size_ = 0;
  std::vector<Record*> free_;
};

}  // namespace tollgate::limiter
