// Fail points: named places where a test build can be told to die, or to take the next call as failed with an errno.
// They are no part of what is shipped: without TOLLGATE_FAIL_POINTS the macros are nothing at all.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/fault.h"

namespace tollgate {

// Every name there is, so that a test that arms one which no longer exists fails instead of proving nothing.
inline constexpr std::array kFailPointNames = {
    std::string_view("journal.create"),         // the file exists, its header is not written
    std::string_view("journal.grow"),           // before more slots are allocated
    std::string_view("journal.sync"),           // before the journal is written to the disk
    std::string_view("epoch.open"),             // before an epoch's commit
    std::string_view("epoch.opened"),           // committed, nobody has been told
    std::string_view("report.merge"),           // before a report's commit
    std::string_view("report.merged"),          // committed, the collector does not know it
    std::string_view("collector.acknowledge"),  // before the slots of a merged report are given back
    std::string_view("settle.commit"),          // before a settlement's commit
    std::string_view("settle.committed"),       // committed, nothing after it is done
    std::string_view("store.checkpoint"),       // before the write-ahead log is copied into the database
};

constexpr bool is_fail_point(std::string_view name) {
  return std::find(kFailPointNames.begin(), kFailPointNames.end(), name) != kFailPointNames.end();
}

// What is armed: "NAME=ACTION@PASSES", several with commas between. ACTION is `kill` or an errno's name; PASSES is
// `3` (the third pass only), `2+` (from the second on) or `2-5`, and without `@PASSES` every pass. Not thread-safe.
class FailPlan {
 public:
  struct Effect {
    bool kill = false;
    int error = 0;  // errno, 0 for none
  };

  static Result<FailPlan> parse(std::string_view text);

  [[nodiscard]] bool empty() const noexcept { return rules_.empty(); }

  // Counts one pass of the point and says what happens there.
  Effect pass(std::string_view name) noexcept;

 private:
  struct Rule {
    std::string name;
    Effect effect;
    std::int64_t first = 1;
    std::int64_t last = std::numeric_limits<std::int64_t>::max();
    std::int64_t passes = 0;
  };

  static Result<Rule> parse_rule(std::string_view text);

  std::vector<Rule> rules_;
};

// One pass in this process, by what TOLLGATE_FAIL holds, or the file that TOLLGATE_FAIL_FILE names: it is read again
// whenever it changed, and counting begins anew then. 0 or an errno; does not return from a kill. Any thread. A plan
// that cannot be read ends the process: at its start if it is wrong then.
int pass_fail_point(std::string_view name) noexcept;
// The same for a place where no call can fail: an errno armed there ends the process, since it would prove nothing.
void pass_kill_point(std::string_view name) noexcept;

}  // namespace tollgate

#ifdef TOLLGATE_FAIL_POINTS
#define TOLLGATE_KNOWN_FAIL_POINT(name)                                                                                \
  static_assert(::tollgate::is_fail_point(name), "every name stands in kFailPointNames")
// Here the process may die, as by kill -9.
#define TOLLGATE_FAIL_POINT(name)                                                                                      \
  do {                                                                                                                 \
    TOLLGATE_KNOWN_FAIL_POINT(name);                                                                                   \
    ::tollgate::pass_kill_point(name);                                                                                 \
  } while (false)
// 0, or the errno with which the call that follows is to be taken as failed.
#define TOLLGATE_FAIL_ERRNO(name)                                                                                      \
  ([]() noexcept -> int {                                                                                              \
    TOLLGATE_KNOWN_FAIL_POINT(name);                                                                                   \
    return ::tollgate::pass_fail_point(name);                                                                          \
  }())
#else
#define TOLLGATE_FAIL_POINT(name) static_cast<void>(0)
#define TOLLGATE_FAIL_ERRNO(name) 0
#endif
