// How the threads of one process share a core.
#pragma once

#include <chrono>
#include <optional>

namespace tollgate {

// The longest that Linux grants (kernel/sched/syscalls.c bounds it to 0.1 to 100 ms).
inline constexpr std::chrono::milliseconds kLongTimeSlice{100};

// For a thread that computes for milliseconds on end beside threads that answer within microseconds, on its own behalf:
// from now on it asks for long time slices. Whoever has a shorter one and wakes up on its core goes first at once,
// where it would wait for the end of this thread's slice or for the next tick (4 ms at 250 Hz); the share of the core
// that each of them gets in the long run stays what it was. Needs Linux 6.12 (a time slice as a thread's own, and
// PREEMPT_SHORT); where the kernel is older or forbids it, nothing changes.
void take_long_time_slices() noexcept;

// This thread's; nullopt: the kernel has none of a thread's own.
[[nodiscard]] std::optional<std::chrono::nanoseconds> time_slice() noexcept;

}  // namespace tollgate
