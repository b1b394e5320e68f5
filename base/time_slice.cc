#include "base/time_slice.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace tollgate {
namespace {
// sched_setattr(2); glibc has it from 2.41 on.
struct SchedulingAttributes {
  std::uint32_t size = sizeof(SchedulingAttributes);
  std::uint32_t policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime_ns = 0;
  std::uint64_t deadline_ns = 0;
  std::uint64_t period_ns = 0;
};
static_assert(sizeof(SchedulingAttributes) == 48);

constexpr std::uint32_t kNormal = 0;  // SCHED_OTHER: whoever started us with another policy knows why
constexpr pid_t kThisThread = 0;

std::optional<SchedulingAttributes> own_attributes() noexcept {
  SchedulingAttributes own;
  if (::syscall(SYS_sched_getattr, kThisThread, &own, sizeof own, 0U) != 0 || own.policy != kNormal) return {};
  return own;
}
}  // namespace

void take_long_time_slices() noexcept {
  auto own = own_attributes();
  if (!own) return;
  own->runtime_ns = static_cast<std::uint64_t>(std::chrono::nanoseconds(kLongTimeSlice).count());
  (void)::syscall(SYS_sched_setattr, kThisThread, &*own, 0U);
}

std::optional<std::chrono::nanoseconds> time_slice() noexcept {
  const auto own = own_attributes();
  if (!own || own->runtime_ns == 0) return {};
  return std::chrono::nanoseconds(own->runtime_ns);
}

}  // namespace tollgate
