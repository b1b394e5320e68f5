#include "base/fail_point.h"

#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <sstream>
#include <utility>

namespace tollgate {
namespace {
struct NamedErrno {
  std::string_view name;
  int value;
};
constexpr std::array kErrnos = {NamedErrno{"EIO", EIO},       NamedErrno{"ENOSPC", ENOSPC},
                                NamedErrno{"EDQUOT", EDQUOT}, NamedErrno{"EROFS", EROFS},
                                NamedErrno{"ENOMEM", ENOMEM}, NamedErrno{"EINTR", EINTR},
                                NamedErrno{"EACCES", EACCES}, NamedErrno{"EMFILE", EMFILE}};

Fault bad_rule(std::string_view rule, std::string_view why) {
  return invalid("TOLLGATE_FAIL", "'" + std::string(rule) + "': " + std::string(why));
}

bool read_number(std::string_view text, std::int64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && out >= 1;
}

// "3", "2+" or "2-5".
bool read_passes(std::string_view text, std::int64_t& first, std::int64_t& last) {
  if (text.ends_with('+')) return read_number(text.substr(0, text.size() - 1), first);
  const auto dash = text.find('-');
  if (!read_number(text.substr(0, dash), first)) return false;
  last = first;
  return dash == std::string_view::npos || (read_number(text.substr(dash + 1), last) && last >= first);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const auto begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

[[noreturn]] void end_loudly(const std::string& why) noexcept {
  std::fprintf(stderr, "tollgate: fail points: %s\n", why.c_str());
  std::_Exit(3);
}

// The plan of this process and where it came from.
class ArmedPlan {
 public:
  ArmedPlan() {
    if (const char* text = std::getenv("TOLLGATE_FAIL")) plan_ = read(text);
    if (const char* path = std::getenv("TOLLGATE_FAIL_FILE")) path_ = path;
    look_at_file();
  }

  FailPlan::Effect pass(std::string_view name) {
    const std::lock_guard lock(mutex_);
    look_at_file();
    return plan_.pass(name);
  }

 private:
  static FailPlan read(std::string_view text) {
    auto plan = FailPlan::parse(text);
    if (plan.has_error()) end_loudly(plan.error().message);
    return std::move(*plan);
  }

  // A file that is not there arms nothing. One that is replaced by renaming is another inode, whatever its times say.
  void look_at_file() {
    if (path_.empty()) return;
    struct stat now {};
    if (::stat(path_.c_str(), &now) != 0) now = {};
    if (now.st_ino == seen_.st_ino && now.st_size == seen_.st_size && now.st_mtim.tv_sec == seen_.st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == seen_.st_mtim.tv_nsec) {
      return;
    }
    seen_ = now;
    std::ostringstream text;
    text << std::ifstream(path_).rdbuf();
    plan_ = read(text.str());
  }

  std::mutex mutex_;
  FailPlan plan_;
  std::string path_;
  struct stat seen_ {};
};

ArmedPlan& armed_plan() {
  static ArmedPlan plan;
  return plan;
}

#ifdef TOLLGATE_FAIL_POINTS
// Before main: a wrong plan must end the start, not the first pass, which may never come.
[[maybe_unused]] const ArmedPlan& kReadAtStart = armed_plan();
#endif
}  // namespace

Result<FailPlan> FailPlan::parse(std::string_view text) {
  FailPlan plan;
  text = trimmed(text);
  while (!text.empty()) {
    const auto comma = text.find(',');
    auto rule = parse_rule(trimmed(text.substr(0, comma)));
    if (rule.has_error()) return rule.error();
    plan.rules_.push_back(std::move(*rule));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
    if (trimmed(text).empty()) return bad_rule("", "nothing after the last comma");
  }
  return plan;
}

Result<FailPlan::Rule> FailPlan::parse_rule(std::string_view text) {
  Rule rule;
  const auto equals = text.find('=');
  if (equals == std::string_view::npos) return bad_rule(text, "not NAME=ACTION@PASSES");
  rule.name = text.substr(0, equals);
  if (!is_fail_point(rule.name)) return bad_rule(text, "there is no fail point of that name");
  const std::string_view rest = text.substr(equals + 1);
  const auto at = rest.find('@');
  const std::string_view action = rest.substr(0, at);
  rule.effect.kill = action == "kill";
  for (const auto& known : kErrnos) {
    if (action == known.name) rule.effect.error = known.value;
  }
  if (!rule.effect.kill && rule.effect.error == 0) return bad_rule(text, "an action is kill or an errno's name");
  if (at == std::string_view::npos) return rule;
  if (!read_passes(rest.substr(at + 1), rule.first, rule.last)) {
    return bad_rule(text, "passes are N, N+ or N-M, from 1 on");
  }
  return rule;
}

FailPlan::Effect FailPlan::pass(std::string_view name) noexcept {
  Effect effect;
  for (auto& rule : rules_) {
    if (rule.name != name) continue;
    ++rule.passes;
    if (rule.passes < rule.first || rule.passes > rule.last) continue;
    effect.kill = effect.kill || rule.effect.kill;
    if (effect.error == 0) effect.error = rule.effect.error;
  }
  return effect;
}

int pass_fail_point(std::string_view name) noexcept {
  const FailPlan::Effect effect = armed_plan().pass(name);
  if (effect.kill) std::raise(SIGKILL);
  return effect.error;
}

void pass_kill_point(std::string_view name) noexcept {
  if (pass_fail_point(name) != 0) end_loudly(std::string(name) + " is a place to die at, no call that could fail");
}

}  // namespace tollgate
