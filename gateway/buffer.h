// Blocks of memory that sessions borrow from their worker, and a window over one of them. Whoever waits for bytes and
// holds none lends its block, so idle connections have none, and what all connections read passes through the few
// blocks that are in the caches.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/buffer_budget.h"

namespace tollgate::gateway {

inline constexpr std::size_t kSmallBlock = 8 * 1024;    // a usual head with a small body
inline constexpr std::size_t kLargeBlock = 128 * 1024;  // bodies: fewer system calls per byte
// Left free at the front of a small block: the head that goes on is longer than the one that came, by our own fields.
inline constexpr std::size_t kHeadroom = 512;

// Freed blocks of one size for reuse on one thread.
class BlockPool {
 public:
  explicit BlockPool(std::size_t block_bytes, std::size_t keep) : block_bytes_(block_bytes), keep_(keep) {
    free_.reserve(keep);  // so that nothing can fail when a block is given back
  }
  [[nodiscard]] std::unique_ptr<char[]> take() {
    if (free_.empty()) return std::make_unique_for_overwrite<char[]>(block_bytes_);
    auto block = std::move(free_.back());
    free_.pop_back();
    return block;
  }
  void give(std::unique_ptr<char[]> block) noexcept {
    if (free_.size() < keep_) free_.push_back(std::move(block));
  }
  [[nodiscard]] std::size_t block_bytes() const noexcept { return block_bytes_; }

 private:
  std::size_t block_bytes_;
  std::size_t keep_;
  std::vector<std::unique_ptr<char[]>> free_;
};

// Bytes between begin and end of a borrowed block; reading appends at the end, parsing takes from the front. The block
// is taken when its space is asked for.
class Buffer {
 public:
  Buffer() = default;
  // Its block counts in `budget`, but for the first `free_bytes` of it.
  explicit Buffer(BufferBudget& budget, std::size_t free_bytes = 0) noexcept : free_bytes_(free_bytes) {
    held_.count_in(budget);
  }
  ~Buffer() { release(); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  [[nodiscard]] bool has_block() const noexcept { return block_ != nullptr; }  // at the moment
  [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }
  [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::string_view view() const noexcept { return {block_.get() + begin_, size()}; }
  [[nodiscard]] std::span<char> bytes() noexcept { return {block_.get() + begin_, size()}; }
  [[nodiscard]] bool has_room() const noexcept { return end_ < capacity_; }
  [[nodiscard]] std::span<char> space() {
    if (block_ == nullptr && pool_ != nullptr) {
      block_ = pool_->take();
      begin_ = end_ = front();
    }
    return {block_.get() + end_, capacity_ - end_};
  }
  void append(std::size_t n) noexcept { end_ += n; }
  void consume(std::size_t n) noexcept {
    begin_ += n;
    if (begin_ == end_) clear();
  }
  void clear() noexcept { begin_ = end_ = block_ ? front() : 0; }

  // A block of `pool` from here on; what is held moves into it, which is larger. Views into the old block are void.
  void use(BlockPool& pool) { move_to(empty() ? std::unique_ptr<char[]>() : pool.take(), pool.block_bytes(), &pool); }
  // A block of its own, for the rare head that is larger than any pool's.
  void use_own(std::size_t bytes) { move_to(std::make_unique_for_overwrite<char[]>(bytes), bytes, nullptr); }
  // Puts `text` right before `body`, before which nothing is wanted any more: what goes out in one piece costs the
  // kernel less than two. Empty: there is no room, or the body lies elsewhere.
  [[nodiscard]] std::string_view put_before(std::string_view body, std::string_view text) noexcept {
    const auto room = reinterpret_cast<std::uintptr_t>(body.data()) - reinterpret_cast<std::uintptr_t>(block_.get());
    if (body.empty() || room >= capacity_ || text.size() > room) return {};
    char* const at = block_.get() + (room - text.size());
    text.copy(at, text.size());
    return {at, text.size() + body.size()};
  }
  // Makes room at the end by moving what is held to the very front. Views are void.
  void compact() noexcept {
    if (begin_ == 0) return;
    std::memmove(block_.get(), block_.get() + begin_, size());
    end_ -= begin_;
    begin_ = 0;
  }
  // Leaves the block to others if nothing is held; it still counts, since it will be wanted back. Views are void.
  void lend() noexcept {
    if (block_ == nullptr || pool_ == nullptr || !empty()) return;
    pool_->give(std::move(block_));
    begin_ = end_ = 0;
  }
  void release() {
    if (block_ && pool_ != nullptr) pool_->give(std::move(block_));
    block_.reset();
    pool_ = nullptr;
    capacity_ = begin_ = end_ = 0;
    held_.set(0);
  }

 private:
  [[nodiscard]] std::size_t front() const noexcept { return capacity_ == kSmallBlock ? kHeadroom : 0; }

  void move_to(std::unique_ptr<char[]> block, std::size_t bytes, BlockPool* pool) {
    const std::size_t held = size();
    const std::size_t begin = block && bytes == kSmallBlock ? kHeadroom : 0;
    if (held > 0) std::memcpy(block.get() + begin, block_.get() + begin_, held);
    release();
    block_ = std::move(block);
    pool_ = pool;
    capacity_ = bytes;
    begin_ = begin;
    end_ = begin + held;
    held_.set(bytes - std::min(bytes, free_bytes_));
  }

  std::unique_ptr<char[]> block_;
  BlockPool* pool_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t free_bytes_ = 0;
  HeldBytes held_;
};

}  // namespace tollgate::gateway
