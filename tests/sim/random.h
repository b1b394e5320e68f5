// The one source of chance of a simulation: numbers that depend on the seed alone, on every machine. It is not for
// secrets, and the standard library's distributions are not used because each library draws them in its own way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace tollgate::sim {

class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}

  // SplitMix64 (Steele, Lea, Flood 2014).
  std::uint64_t next() noexcept {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }

  // 0 to n - 1. The bias of the remainder is of no account here.
  std::int64_t below(std::int64_t n) noexcept {
    return static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(n));
  }
  std::int64_t between(std::int64_t least, std::int64_t most) noexcept { return least + below(most - least + 1); }
  std::size_t index(std::size_t size) noexcept { return static_cast<std::size_t>(next() % size); }
  bool percent(std::int64_t chance) noexcept { return below(100) < chance; }
  template <class T>
  T one_of(std::initializer_list<T> values) noexcept {
    return *(values.begin() + index(values.size()));
  }

 private:
  std::uint64_t state_;
};

}  // namespace tollgate::sim
