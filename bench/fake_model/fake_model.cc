#include "bench/fake_model/fake_model.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <vector>

#include "bench/fake_model/record.h"
#include "bench/fake_model/worker.h"

namespace tollgate::bench {
namespace {

sockaddr_in parse_address(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  unsigned port = 65536;
  if (colon != std::string::npos) std::from_chars(text.data() + colon + 1, text.data() + text.size(), port);
  if (port > 65535 || ::inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1)
    throw std::runtime_error("not an IPv4 address and port: " + text);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

// Binds, and writes the port the kernel chose back into `address`, so that the next listener shares it.
int listen_on(sockaddr_in& address, bool shared) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // Only for several event loops: otherwise two fake models could end up on one port unnoticed.
  if (shared) ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(fd, generic, length) != 0 || ::listen(fd, 4096) != 0) {
    ::close(fd);
    throw std::runtime_error("cannot listen on port " + std::to_string(ntohs(address.sin_port)));
  }
  ::getsockname(fd, generic, &length);
  return fd;
}

}  // namespace

struct FakeModel::Parts {
  explicit Parts(const FakeModelOptions& wanted) : options(wanted), record(wanted.record) {}
  FakeModelOptions options;
  Record record;
  std::uint16_t port = 0;
  std::vector<std::unique_ptr<Worker>> workers;
};

FakeModel::FakeModel(const FakeModelOptions& options) : parts_(std::make_unique<Parts>(options)) {
  sockaddr_in address = parse_address(options.listen);
  const int threads = std::clamp(options.threads, 1, 64);
  for (int i = 0; i < threads; ++i) {
    const int listener = listen_on(address, threads > 1);
    parts_->workers.push_back(std::make_unique<Worker>(listener, parts_->options, parts_->record));
  }
  parts_->port = ntohs(address.sin_port);
}

FakeModel::~FakeModel() = default;

std::uint16_t FakeModel::port() const noexcept { return parts_->port; }
FakeModelStats FakeModel::stats() const noexcept { return parts_->record.stats(); }
void FakeModel::reset() { parts_->record.reset(); }

}  // namespace tollgate::bench
