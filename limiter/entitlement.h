// What a subscription may do, as one immutable record that is published whole: its state and its QPS packs.
// Counts (in flight, free points) are not here; they live in the subscription's own atomics.
#pragma once

#include <cstdint>
#include <vector>

#include "base/amount.h"
#include "base/calendar.h"

namespace tollgate::limiter {

enum class State : std::uint8_t { free, paid, arrears };  // domain.md sections 1, 4, 7
enum class LimitBy : std::uint8_t { concurrency, qps };   // what the guarantee's number counts

struct PackWindow {  // active for starts_at <= now < ends_at
  WallTime starts_at;
  WallTime ends_at;
  std::int32_t qps = 0;
  bool unlimited = false;
};

struct Entitlement {
  State state = State::free;
  std::vector<PackWindow> packs;
  WallTime prepaid_until{};  // points or calls bought beforehand may pay for its calls; a time gone by: there are none
};

// The terms of a service that all its subscriptions share.
struct ServiceTerms {
  Points cost;            // points per call
  std::int32_t base = 4;  // base guarantee
  LimitBy limit_by = LimitBy::concurrency;
  std::int32_t capacity = 0;      // calls in flight the upstreams can take; 0: not declared
  std::int32_t free_ceiling = 0;  // capacity less the paid reserve: free calls come in below this many in flight
};

// What the packs active at `now` add up to.
struct ActivePacks {
  std::int32_t qps = 0;
  bool unlimited = false;
};
[[nodiscard]] inline ActivePacks active_packs(const std::vector<PackWindow>& packs, WallTime now) noexcept {
  ActivePacks active;
  for (const auto& pack : packs) {
    if (pack.starts_at <= now && now < pack.ends_at) {
      active.qps += pack.qps;
      active.unlimited = active.unlimited || pack.unlimited;
    }
  }
  return active;
}

}  // namespace tollgate::limiter
