#include "net/resolver.h"

#include <netdb.h>

#include <boost/asio/post.hpp>
#include <cstring>
#include <utility>

namespace tollgate::net {
namespace {
error_code error_of(int result) noexcept {
  switch (result) {
    case EAI_AGAIN: return asio::error::host_not_found_try_again;
    case EAI_MEMORY: return asio::error::no_memory;
    case EAI_SYSTEM: return last_error();
    default: return asio::error::host_not_found;
  }
}

Lookup::Result look_up(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* first = nullptr;
  const int result = ::getaddrinfo(host.c_str(), nullptr, &hints, &first);
  if (result != 0) return {error_of(result), {}};
  std::vector<Endpoint> found;
  for (const addrinfo* each = first; each != nullptr; each = each->ai_next) {
    Endpoint endpoint;
    if (each->ai_addrlen > endpoint.capacity()) continue;
    std::memcpy(endpoint.data(), each->ai_addr, each->ai_addrlen);
    endpoint.resize(each->ai_addrlen);
    endpoint.port(port);
    found.push_back(endpoint);
  }
  ::freeaddrinfo(first);
  if (found.empty()) return {asio::error::host_not_found, {}};
  return {error_code(), std::move(found)};
}
}  // namespace

// What the other thread and the loop share; `who` is the loop's, nullptr when nobody waits any more.
struct Lookup::Pending {
  Lookup* who;
};

Lookup::Lookup(Resolver& resolver, Loop& loop, std::string host, std::uint16_t port)
    : resolver_(resolver), loop_(loop), host_(std::move(host)), port_(port) {}

Lookup::~Lookup() {
  if (pending_) pending_->who = nullptr;
}

void Lookup::await_suspend(std::coroutine_handle<> who) {
  Loop::waits(*this, who);
  pending_ = std::make_shared<Pending>(Pending{this});
  asio::post(resolver_.thread(), [pending = pending_, &loop = loop_, host = host_, port = port_] {
    loop.post([pending, &loop, found = look_up(host, port)] {
      if (pending->who == nullptr) return;
      Lookup& waiting = *std::exchange(pending->who, nullptr);
      waiting.found_ = found;
      loop.wake(waiting);
    });
  });
}

void Lookup::cancel() noexcept {
  if (!pending_ || pending_->who == nullptr) return;
  pending_->who = nullptr;
  found_ = Result(asio::error::operation_aborted, {});
  loop_.wake(*this);
}

}  // namespace tollgate::net
