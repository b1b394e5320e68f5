// The plain model of merged usage: the larger of two reports for each source, then the sum over sources. It shares no
// line with the product, and knows neither money nor reports on their way.
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace tollgate::sim {

enum Count : std::size_t { kSucceeded, kFailed, kUnmetered, kFree, kBillable, kCounts };

struct Counts {
  std::array<std::int64_t, kCounts> of{};

  std::int64_t& operator[](Count which) { return of[which]; }
  std::int64_t operator[](Count which) const { return of[which]; }
  friend bool operator==(const Counts&, const Counts&) = default;

  [[nodiscard]] bool within(const Counts& other) const {
    for (std::size_t i = 0; i < kCounts; ++i) {
      if (of[i] > other.of[i]) return false;
    }
    return true;
  }
  [[nodiscard]] Counts larger(const Counts& other) const {
    Counts most;
    for (std::size_t i = 0; i < kCounts; ++i) most.of[i] = std::max(of[i], other.of[i]);
    return most;
  }
  void add(const Counts& more) {
    for (std::size_t i = 0; i < kCounts; ++i) of[i] += more.of[i];
  }
  void subtract(const Counts& less) {
    for (std::size_t i = 0; i < kCounts; ++i) of[i] -= less.of[i];
  }
  [[nodiscard]] std::string text() const {
    return std::to_string(of[kSucceeded]) + " succeeded, " + std::to_string(of[kFailed]) + " failed, " +
           std::to_string(of[kUnmetered]) + " unmetered, " + std::to_string(of[kFree]) + " free, " +
           std::to_string(of[kBillable]) + " billable";
  }
};

struct Source {
  bool own = true;  // this gateway; false: the other one
  std::uint32_t epoch = 0;
  std::uint32_t subscription = 0;
  std::int64_t hour = 0;  // since 1970
  friend auto operator<=>(const Source&, const Source&) = default;
};

class UsageBook {
 public:
  using Hours = std::map<std::pair<std::uint32_t, std::int64_t>, Counts>;  // (subscription, hour)

  // What it added.
  Counts merge(const Source& source, const Counts& counts) {
    Counts& kept = sources_[source];
    const Counts after = kept.larger(counts);
    Counts increase = after;
    increase.subtract(kept);
    kept = after;
    hours_[{source.subscription, source.hour}].add(increase);
    return increase;
  }
  [[nodiscard]] Counts at(const Source& source) const {
    const auto found = sources_.find(source);
    return found == sources_.end() ? Counts() : found->second;
  }
  [[nodiscard]] Counts hour(std::uint32_t subscription, std::int64_t hour) const {
    const auto found = hours_.find({subscription, hour});
    return found == hours_.end() ? Counts() : found->second;
  }
  [[nodiscard]] const Hours& hours() const { return hours_; }

 private:
  std::map<Source, Counts> sources_;
  Hours hours_;
};

}  // namespace tollgate::sim
