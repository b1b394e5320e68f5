// CHECK: a broken invariant of our own ends the process, in every build, with the place and the condition.
// It is not for faults of the world (peers, disks, configuration): those are values, see base/fault.h.
#pragma once

namespace tollgate {

[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace tollgate

#define TOLLGATE_CHECK(condition)                                                                                      \
  do {                                                                                                                 \
    if (!(condition)) [[unlikely]]                                                                                     \
      ::tollgate::check_failed(#condition, __FILE__, __LINE__);                                                        \
  } while (false)
