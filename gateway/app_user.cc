// Becoming the configured user, before anything is opened and before there is a second thread.
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "gateway/app_serve.h"
#include "gateway/listen_address.h"
#include "gateway/privileges.h"

namespace tollgate::gateway {
namespace {
// The leak checker of test builds reads the memory of its own process, as a debugger does.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kMemoryIsRead = true;
#else
constexpr bool kMemoryIsRead = false;
#endif
}  // namespace

// Of what root may do, binding low ports is all that is used. Whatever is read at the start is read by whom we became,
// so that a reload, or a start after it, finds nothing closed that was open before.
Result<void> Serve::become_configured_user(std::size_t workers) {
  forbid_new_privileges();
  if (config_->user.empty()) {
    if (is_root()) spdlog::warn("running as root: set `user` (or start as a user of its own, conf/tollgate.service)");
  } else {
    const auto user = find_user(config_->user);
    if (!user) return user.error();
    if (is_root()) {
      if (auto r = bind_early_ports(workers); !r) return r;
      if (auto r = make_folder_for(*user, config_->data_dir); !r) return r;
    }
    if (auto r = become_user(*user); !r) return r;
    if (auto r = check_folder_is_ours(user->name, config_->data_dir); !r) return r;
    spdlog::info("running as user '{}' ({})", user->name, user->uid);
    if (!source_.path.empty() && ::access(source_.path.c_str(), R_OK) != 0) {
      spdlog::warn("{} cannot be read by user '{}': a reload (SIGHUP) will be refused", source_.path, user->name);
    }
  }
  allow_reading_memory(config_->core_dumps || kMemoryIsRead);
  return {};
}

Result<void> Serve::bind_early_ports(std::size_t workers) {
  const std::pair<std::string, std::size_t> listeners[] = {
      {config_->listen, workers}, {config_->tls.listen, workers}, {config_->admin_listen, 1}};
  for (const auto& [address, sockets] : listeners) {
    const auto endpoint = parse_listen_address(address);
    const auto error = endpoint ? early_ports_.bind(*endpoint, sockets) : error_code();
    if (error) {
      return Fault{FaultKind::unavailable, "start_failed", "cannot listen on " + address + ": " + error.message(), ""};
    }
  }
  return {};
}

}  // namespace tollgate::gateway
