// One slot of the journal: the cumulative counts of one (subscription, hour, epoch) by one worker thread, in a cache
// line of a mapped file. It is bytes and how they change; where slots lie and who takes them is the journal's.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/amount.h"

namespace tollgate::meter {

#if !defined(__x86_64__)
#error "A tally must be written by one instruction: say here how this processor stores 16 bytes."
#endif

// A number of calls and an amount that belongs to them, written together by one instruction: a process dies between
// two instructions, never within one, so after a kill either both are counted or none. (To other threads the two may
// show one after the other on a processor without AVX; a reader that is one call behind catches up.) The check sees
// damage of the file: every single bit, and any other with 2^-32 to spare.
class Tally {
 public:
  // One writer, the worker that owns the slot. `salt`: the slot's own check.
  void add(std::uint32_t calls, std::int64_t amount, std::uint32_t salt) noexcept {
    // Half by half, since both are computed with: nobody else writes, so the owner cannot see a torn one.
    store({words_[0] + amount, static_cast<std::uint32_t>(words_[1]) + calls}, salt);
  }
  void clear(std::uint32_t salt) noexcept { store({}, salt); }  // only while nobody owns the slot

  // Any thread.
  [[nodiscard]] std::int64_t calls() const noexcept { return static_cast<std::uint32_t>(load()[1]); }
  [[nodiscard]] std::int64_t amount() const noexcept { return load()[0]; }

  // Only while nobody writes.
  [[nodiscard]] bool is_whole(std::uint32_t salt) const noexcept {
    const Words words = load();
    return words[1] == with_check({words[0], static_cast<std::uint32_t>(words[1])}, salt);
  }

 private:
  struct Value {
    std::int64_t amount = 0;
    std::uint32_t calls = 0;  // of one worker in one hour
  };
  using Words = long long __attribute__((vector_size(16)));  // the amount; the calls below their check

  // The second word. Its upper half is that of a product with an odd number, which changes with every bit of either
  // factor's sum.
  static long long with_check(Value value, std::uint32_t salt) noexcept {
    const std::uint64_t mixed = static_cast<std::uint64_t>(value.amount) * 0x9e3779b97f4a7c15U +
                                (std::uint64_t{value.calls} * 0xd6e8feb86659fd93U + 0xa0761d6478bd642fU);
    const std::uint64_t rest = (std::uint64_t{salt} << 32) | value.calls;
    return static_cast<long long>((mixed & 0xffffffff00000000U) ^ rest);
  }

  // By hand, since neither a plain copy nor std::atomic promises that it is one instruction. The halves are put
  // together in a register: 16 bytes that were just written as two words can be read back only when both have left the
  // store buffer, and that wait would be more than half of what an add costs.
  [[nodiscard]] Words load() const noexcept {
    Words words;
    asm volatile("movdqa %1, %0" : "=x"(words) : "m"(words_));
    return words;
  }
  void store(Value value, std::uint32_t salt) noexcept {
    const Words words = {value.amount, with_check(value, salt)};
    asm volatile("movdqa %1, %0" : "=m"(words_) : "x"(words));
  }

  Words words_{};
};
static_assert(sizeof(Tally) == 16);
static_assert(alignof(Tally) == 16);

struct alignas(64) Slot {
  std::uint32_t subscription = 0;
  std::int32_t hour = 0;  // hours since the Unix epoch
  // 0: the slot is free. Written last when a slot is taken and first when it is given back, so that a slot whose
  // epoch is set is whole whenever the process may have died. Release/acquire between owner and collector.
  std::atomic<std::uint32_t> epoch{0};
  std::uint32_t check = 0;  // over whose journal it is, the slot's place and the three words above
  Tally forwarded;          // calls that went to an upstream; the free points they use, however they end
  Tally succeeded;          // their billable points
  Tally unbilled;           // calls that failed; the amount is the number of unmetered calls

  // The owning worker's. Each is one write: a kill leaves the call as it was or as it is.
  void count_forwarded(Points free) noexcept { forwarded.add(1, free.count(), check); }
  void count_succeeded(Points billable) noexcept { succeeded.add(1, billable.count(), check); }
  void count_failed() noexcept { unbilled.add(1, 0, check); }
  void count_unmetered() noexcept { unbilled.add(0, 1, check); }

  // Any thread.
  [[nodiscard]] std::int64_t calls_started() const noexcept { return forwarded.calls(); }
  [[nodiscard]] std::int64_t calls_succeeded() const noexcept { return succeeded.calls(); }
  [[nodiscard]] Points free_points() const noexcept { return Points(forwarded.amount()); }
  [[nodiscard]] Points billable_points() const noexcept { return Points(succeeded.amount()); }
  [[nodiscard]] std::int64_t calls_failed() const noexcept { return unbilled.calls(); }
  [[nodiscard]] std::int64_t calls_unmetered() const noexcept { return unbilled.amount(); }
  // Forwarded and not ended yet; after a crash: interrupted.
  [[nodiscard]] std::int64_t calls_open() const noexcept {
    return std::max<std::int64_t>(0, calls_started() - calls_succeeded() - calls_failed() - calls_unmetered());
  }
};
static_assert(sizeof(Slot) == 64);

}  // namespace tollgate::meter
