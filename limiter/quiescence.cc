#include "limiter/quiescence.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace tollgate::limiter {

Quiescence::Quiescence(std::size_t readers) : readers_(readers) {}

Quiescence::~Quiescence() { reclaim_all(); }

void Quiescence::pass(std::size_t index) noexcept {
  TOLLGATE_CHECK(index < readers_.size());
  readers_[index].passed.store(stamp_.load(std::memory_order_acquire), std::memory_order_release);
}

void Quiescence::leave(std::size_t index) noexcept {
  TOLLGATE_CHECK(index < readers_.size());
  readers_[index].passed.store(std::numeric_limits<std::uint64_t>::max(), std::memory_order_release);
}

void Quiescence::retire(std::function<void()> reclaim) {
  const std::uint64_t stamp = stamp_.load(std::memory_order_relaxed) + 1;  // this thread is its only writer
  stamp_.store(stamp, std::memory_order_release);
  retired_.push_back({stamp, std::move(reclaim)});
  collect();
}

void Quiescence::collect() {
  std::uint64_t passed_by_all = std::numeric_limits<std::uint64_t>::max();
  for (const auto& reader : readers_) {
    passed_by_all = std::min(passed_by_all, reader.passed.load(std::memory_order_acquire));
  }
  while (!retired_.empty() && retired_.front().stamp <= passed_by_all) {
    retired_.front().reclaim();
    retired_.pop_front();
  }
}

void Quiescence::reclaim_all() {
  for (auto& retired : retired_) retired.reclaim();
  retired_.clear();
}

}  // namespace tollgate::limiter
