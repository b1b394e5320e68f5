// What the process may do on its machine: the user that it becomes when root started it, and that nothing gains more
// or reads its memory. It opens no file of the program's; those are opened by whom it has become.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/fault.h"

namespace tollgate::gateway {

struct SystemUser {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
};

// Faults: user_unknown; user_is_root, which would be no change.
Result<SystemUser> find_user(const std::string& name);

[[nodiscard]] bool is_root() noexcept;

// Becomes `user` with his groups, for good: user_not_taken if it cannot, or could go back. Before there is a second
// thread, and as root or as that user already.
Result<void> become_user(const SystemUser& user);

// Makes the folder for `user` if it is not there. As root, before become_user().
Result<void> make_folder_for(const SystemUser& user, const std::string& path);

// data_dir_unusable, with the path: the folder, or a file in it, is not ours to write. None is no fault yet.
Result<void> check_folder_is_ours(const std::string& user, const std::string& path);

// No program that this one might run gains anything by being set-uid, whatever the file says.
void forbid_new_privileges() noexcept;

// Whether the kernel writes core dumps and lets other processes of the same user look into the memory, where keys and
// tokens are. After become_user(), which changes it.
void allow_reading_memory(bool allowed) noexcept;

}  // namespace tollgate::gateway
