// How many invalid keys came from each client address within the current minute, for
// limits.key_failures_per_address_max. A table of fixed size without locks; it decides nothing about valid keys.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "gateway/client_address.h"

namespace tollgate::gateway {

class KeyFailures {
 public:
  explicit KeyFailures(std::uint64_t seed) : seed_(seed), lines_(std::make_unique<Line[]>(kLines)) {}

  // Counts one invalid key and gives how many came from the address in this minute, this one included. Any thread.
  // When more addresses fail at once than a line has words, the one with the fewest is forgotten.
  std::int64_t count(std::uint64_t address, std::int64_t steady_ns) noexcept {
    const std::uint64_t hash = spread(address, seed_);
    Line& line = lines_[hash % kLines];
    const auto minute = static_cast<std::uint64_t>(steady_ns / kWindowNs) & 0xffff;
    const std::uint64_t mine = (hash >> 32) << 32 | minute << 16;  // tag, minute, count
    while (true) {
      std::atomic<std::uint64_t>* place = nullptr;
      std::uint64_t there = 0;
      std::uint64_t least = ~std::uint64_t{0};
      for (auto& word : line.words) {
        const std::uint64_t value = word.load(std::memory_order_relaxed);
        const bool current = (value >> 16 & 0xffff) == minute;
        if (current && value >> 32 == hash >> 32 && value != 0) {
          place = &word;
          there = value;
          break;
        }
        const std::uint64_t weight = current ? (value & 0xffff) + 1 : 0;
        if (weight < least) {
          least = weight;
          place = &word;
          there = value;
        }
      }
      const bool known = (there & ~std::uint64_t{0xffff}) == mine && there != 0;
      const std::uint64_t counted = known ? (there & 0xffff) + ((there & 0xffff) < 0xffff ? 1 : 0) : 1;
      // Workers write the same words; nothing else is published with them, so no order is needed.
      if (place->compare_exchange_weak(there, mine | counted, std::memory_order_relaxed)) {
        return static_cast<std::int64_t>(counted);
      }
    }
  }

  static constexpr std::int64_t kWindowNs = 60'000'000'000;

 private:
  static constexpr std::size_t kLines = 8192;  // of 64 bytes: 512 KiB, 65,536 addresses
  struct alignas(64) Line {
    std::array<std::atomic<std::uint64_t>, 8> words{};
  };

  const std::uint64_t seed_;
  std::unique_ptr<Line[]> lines_;
};

}  // namespace tollgate::gateway
