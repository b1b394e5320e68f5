// The decision: may this subscription make a call now? An Admission (permit, hold and terms of the call) or the
// reason why not. It reads published records and counts in atomics; it knows no HTTP, no database and no money.
#pragma once

#include <cstdint>
#include <variant>

#include "base/clock.h"
#include "limiter/directory.h"

namespace tollgate::limiter {

// domain.md sections 3, 4 and 7.
enum class Refusal : std::uint8_t {
  quota_exhausted,  // free state: the free points left do not cover the call
  arrears,          // the same in arrears
  limit_reached,    // at the guarantee, at the free cap, or over the rate
  no_capacity,      // free call, and the service's spare capacity is taken
};

// A call that was let in. Destroying it gives everything back that was not spent.
struct Admission {
  Permit permit;           // the place within the guarantee
  Permit service_permit;   // the place within the service's capacity, where one is declared
  Hold hold;               // free points reserved for the call
  Points cost;             // points of the call
  bool unmetered = false;  // an unlimited QPS pack was active at admission
  bool paid = false;       // in the paid state
  bool prepaid = false;    // what was bought beforehand may pay for it
};

// `now` is the wall clock (packs), `steady_ns` the steady clock (rate). Any worker thread; no lock, no allocation.
[[nodiscard]] std::variant<Admission, Refusal> admit(Subscription& subscription, WallTime now,
                                                     std::int64_t steady_ns) noexcept;

// In the paid state now, as admit() would find it: for whoever has to choose whom to refuse before.
[[nodiscard]] bool is_paid(const Subscription& subscription) noexcept;

// What the RateLimit headers tell: the number that limits this subscription now, and how many more calls would be
// let in at this instant (by a rate: of the burst; by concurrency: places free).
struct Room {
  std::int32_t limit = 0;
  std::int32_t remaining = 0;
};
[[nodiscard]] Room room_now(const Subscription& subscription, WallTime now, std::int64_t steady_ns) noexcept;

// The number that limits this subscription now.
[[nodiscard]] std::int32_t limit_now(const Subscription& subscription, WallTime now) noexcept;

}  // namespace tollgate::limiter
