// Memory for coroutine frames: a free list per thread and size. A call has half a dozen frames while it waits, so a
// thread keeps as many as its calls in flight once needed; Asio's own cache keeps eight, whatever the load.
#pragma once

#include <array>
#include <cstddef>
#include <new>

namespace tollgate {

// On the thread that asks. A frame may be given back on another thread: it stays there.
class FramePool {
 public:
  [[nodiscard]] static void* take(std::size_t size) {
    const std::size_t index = index_of(size);
    if (index >= kLists) return ::operator new(size);
    List& list = mine().lists_[index];
    if (list.first == nullptr) return ::operator new((index + 1) * kStep);
    Free* frame = list.first;
    list.first = frame->next;
    --list.count;
    return frame;
  }

  static void give_back(void* frame, std::size_t size) noexcept {
    const std::size_t index = index_of(size);
    List* list = index < kLists ? &mine().lists_[index] : nullptr;
    if (list == nullptr || list->count >= kKeptMax / ((index + 1) * kStep)) {
      ::operator delete(frame);
      return;
    }
    list->first = ::new (frame) Free{list->first};
    ++list->count;
  }

  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;

 private:
  struct Free {
    Free* next;
  };
  struct List {
    Free* first = nullptr;
    std::size_t count = 0;
  };
  static constexpr std::size_t kStep = 64;          // bytes between two lists
  static constexpr std::size_t kLists = 64;         // up to 4 KiB
  static constexpr std::size_t kKeptMax = 2 << 20;  // bytes of free frames of a size; the rest goes back to the heap

#if defined(__SANITIZE_ADDRESS__)
  // Nothing is kept, so that a frame used after its end is found.
  static constexpr std::size_t index_of(std::size_t) noexcept { return kLists; }
#else
  static constexpr std::size_t index_of(std::size_t size) noexcept { return (size - 1) / kStep; }
#endif

  FramePool() = default;
  ~FramePool() {
    for (List& list : lists_) {
      while (list.first != nullptr) {
        Free* frame = list.first;
        list.first = frame->next;
        ::operator delete(frame);
      }
    }
  }

  static FramePool& mine() noexcept {
    static thread_local FramePool pool;
    return pool;
  }

  std::array<List, kLists> lists_;
};

}  // namespace tollgate
