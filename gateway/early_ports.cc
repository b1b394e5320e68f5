#include "gateway/early_ports.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace tollgate::gateway {
namespace {
using boost::asio::ip::tcp;
using boost::system::error_code;

constexpr std::uint16_t kPrivilegedEnd = 1024;  // ip(7)

error_code last_error() { return {errno, boost::system::system_category()}; }

// A bound socket; -1 and errno otherwise.
int bound_socket(const tcp::endpoint& endpoint, bool shared) {
  const int fd = ::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const int on = 1;
  const bool good = ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                    (!shared || ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
                    ::bind(fd, endpoint.data(), static_cast<socklen_t>(endpoint.size())) == 0;
  if (good) return fd;
  const int error = errno;
  ::close(fd);
  errno = error;
  return -1;
}
}  // namespace

EarlyPorts::~EarlyPorts() {
  for (const auto& [endpoint, fd] : bound_) ::close(fd);
}

error_code EarlyPorts::bind(const tcp::endpoint& endpoint, std::size_t sockets) {
  if (endpoint.port() == 0 || endpoint.port() >= kPrivilegedEnd) return {};
  // Those that share an address share it with another process of ours too: ask for it alone first.
  const int alone = bound_socket(endpoint, false);
  if (alone < 0) return last_error();
  const auto taken = ::listen(alone, 1) == 0 ? error_code() : last_error();
  ::close(alone);
  if (taken) return taken;
  for (std::size_t i = 0; i < sockets; ++i) {
    const int fd = bound_socket(endpoint, true);
    if (fd < 0) return last_error();
    bound_.emplace_back(endpoint, fd);
  }
  return {};
}

bool EarlyPorts::holds(const tcp::endpoint& endpoint) const noexcept {
  return std::any_of(bound_.begin(), bound_.end(), [&](const auto& one) { return one.first == endpoint; });
}

int EarlyPorts::take(const tcp::endpoint& endpoint) noexcept {
  const auto found = std::find_if(bound_.begin(), bound_.end(), [&](const auto& one) { return one.first == endpoint; });
  if (found == bound_.end()) return -1;
  const int fd = found->second;
  bound_.erase(found);
  return fd;
}

}  // namespace tollgate::gateway
