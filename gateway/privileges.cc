#include "gateway/privileges.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

namespace tollgate::gateway {
namespace {

Fault not_taken(const SystemUser& user, std::string_view step, int error) {
  return {FaultKind::unavailable, "user_not_taken",
          fmt::format("cannot become user '{}': {}: {}", user.name, step, std::strerror(error)), "user"};
}

Fault unusable(const std::string& path, int error) {
  return {FaultKind::unavailable, "data_dir_unusable", fmt::format("{}: {}", path, std::strerror(error)), "data_dir"};
}

// All three ids of both kinds: one that is kept could be taken up again.
bool is_wholly(const SystemUser& user) noexcept {
  uid_t uids[3] = {};
  gid_t gids[3] = {};
  if (::getresuid(&uids[0], &uids[1], &uids[2]) != 0 || ::getresgid(&gids[0], &gids[1], &gids[2]) != 0) return false;
  for (const uid_t uid : uids) {
    if (uid != user.uid) return false;
  }
  for (const gid_t gid : gids) {
    if (gid != user.gid) return false;
  }
  return true;
}

bool may_write(const std::string& path, int mode) noexcept {
  return ::faccessat(AT_FDCWD, path.c_str(), mode, AT_EACCESS) == 0;
}
}  // namespace

Result<SystemUser> find_user(const std::string& name) {
  std::vector<char> space(16 * 1024);
  passwd entry{};
  passwd* found = nullptr;
  const int error = ::getpwnam_r(name.c_str(), &entry, space.data(), space.size(), &found);
  if (found == nullptr) {
    return Fault{FaultKind::invalid, "user_unknown",
                 fmt::format("user: there is no user '{}' here{}{}", name, error == 0 ? "" : ": ",
                             error == 0 ? "" : std::strerror(error)),
                 "user"};
  }
  if (entry.pw_uid == 0 || entry.pw_gid == 0) {
    return Fault{FaultKind::invalid, "user_is_root", fmt::format("user: '{}' has the rights of root", name), "user"};
  }
  return SystemUser{name, entry.pw_uid, entry.pw_gid};
}

bool is_root() noexcept { return ::geteuid() == 0; }

Result<void> become_user(const SystemUser& user) {
  if (!is_root()) {
    if (is_wholly(user)) return {};
    return Fault{FaultKind::unavailable, "user_not_taken",
                 fmt::format("user: only root can become '{}'; start as root, or as that user", user.name), "user"};
  }
  // Groups first: without root they can no longer be changed.
  if (::initgroups(user.name.c_str(), user.gid) != 0) return not_taken(user, "initgroups", errno);
  if (::setresgid(user.gid, user.gid, user.gid) != 0) return not_taken(user, "setresgid", errno);
  if (::setresuid(user.uid, user.uid, user.uid) != 0) return not_taken(user, "setresuid", errno);
  // A capability that was kept (CAP_SETUID in an odd container) would let it go back; better no start than that.
  const bool went_back = ::setresuid(0, 0, 0) == 0 || ::seteuid(0) == 0 || ::setresgid(0, 0, 0) == 0;
  if (went_back || !is_wholly(user)) return not_taken(user, "root can be regained", EPERM);
  return {};
}

Result<void> make_folder_for(const SystemUser& user, const std::string& path) {
  std::error_code error;
  if (std::filesystem::exists(path, error)) return {};
  const auto parent = std::filesystem::path(path).parent_path();
  const mode_t before = ::umask(0022);  // whose folder it becomes must be able to get there
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  (void)::umask(before);
  if (::mkdir(path.c_str(), 0700) != 0) return unusable(path, errno);
  // What was made, and no link that somebody put in its place: it would give away the folder behind that.
  const int made = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat status {};
  const bool given = made >= 0 && ::fstat(made, &status) == 0 && status.st_uid == ::geteuid() &&
                     ::fchown(made, user.uid, user.gid) == 0;
  const int why = errno;
  if (made >= 0) (void)::close(made);
  if (!given) return unusable(path, why);
  return {};
}

// The first folder on the way to `path` that cannot be entered; empty: none.
std::string closed_folder_before(const std::string& path) {
  std::error_code error;
  std::filesystem::path way;
  for (const auto& part : std::filesystem::absolute(path, error).parent_path()) {
    way /= part;
    if (!may_write(way.string(), X_OK)) return errno == EACCES ? way.string() : std::string();
  }
  return {};
}

Result<void> check_folder_is_ours(const std::string& user, const std::string& path) {
  const auto fault = [&](const std::string& what) {
    const int error = errno;
    return Fault{FaultKind::unavailable, "data_dir_unusable",
                 fmt::format("{} cannot be read and written by user '{}': {}; chown -R {} {}", what, user,
                             std::strerror(error), user, path),
                 "data_dir"};
  };
  if (const auto closed = closed_folder_before(path); !closed.empty()) {
    return Fault{
        FaultKind::unavailable, "data_dir_unusable",
        fmt::format("{}: the way to it is closed to user '{}': {} cannot be entered; chmod o+x it, or put the data "
                    "elsewhere",
                    path, user, closed),
        "data_dir"};
  }
  if (!may_write(path, R_OK | W_OK | X_OK)) {
    if (errno == ENOENT) return {};  // whoever opens the store makes it, or says why not
    return fault(path);
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    if (entry.is_directory(error)) continue;  // none of ours: lost+found, where the folder is a file system of its own
    if (!may_write(entry.path().string(), R_OK | W_OK)) return fault(entry.path().string());
  }
  return {};
}

void forbid_new_privileges() noexcept { (void)::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

void allow_reading_memory(bool allowed) noexcept { (void)::prctl(PR_SET_DUMPABLE, allowed ? 1 : 0, 0, 0, 0); }

}  // namespace tollgate::gateway
