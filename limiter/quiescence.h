// When may a record that readers use without locks be freed? When every reader has since passed a point at which
// it holds no such pointer (quiescent-state-based reclamation). It frees; it does not publish.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

namespace tollgate::limiter {

class Quiescence {
 public:
  explicit Quiescence(std::size_t readers);  // one per worker thread, known from the start
  ~Quiescence();                             // all readers must have stopped: frees everything
  Quiescence(const Quiescence&) = delete;
  Quiescence& operator=(const Quiescence&) = delete;

  // Reader `index` holds no pointer to a published record right now. Cheap; on its own thread, between calls.
  void pass(std::size_t index) noexcept;

  // The reader has ended and will hold none ever again.
  void leave(std::size_t index) noexcept;

  // `reclaim` runs once no reader can still hold what was unpublished before this call. Writer thread only.
  void retire(std::function<void()> reclaim);

  // Frees what can be freed. Writer thread only; retire() calls it too.
  void collect();

  // Frees all of it: the readers have stopped for good. Writer thread only.
  void reclaim_all();

  [[nodiscard]] std::size_t waiting() const noexcept { return retired_.size(); }

 private:
  struct alignas(64) Reader {
    // Written by its reader with release, read by the writer with acquire: all the reader's earlier loads of
    // published pointers come before the writer's freeing.
    std::atomic<std::uint64_t> passed{0};
  };
  struct Retired {
    std::uint64_t stamp;
    std::function<void()> reclaim;
  };

  // Written by the writer, read by readers. Release/acquire: a reader that sees stamp n sees what was
  // unpublished before it.
  std::atomic<std::uint64_t> stamp_{0};
  std::vector<Reader> readers_;
  std::deque<Retired> retired_;
};

}  // namespace tollgate::limiter
