#include "net/resolver.h"

#include <netdb.h>
#include <pthread.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "net/descriptor_table.h"

namespace tollgate::net {
namespace {
error_code error_of(int result) noexcept {
  switch (result) {
    case EAI_AGAIN: return asio::error::host_not_found_try_again;
    case EAI_FAIL: return asio::error::no_recovery;
    case EAI_MEMORY: return asio::error::no_memory;
    case EAI_SYSTEM: return errno != 0 ? last_error() : error_code(asio::error::host_not_found);
    default: return asio::error::host_not_found;
  }
}

Lookup::Result look_up(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
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

// It leaves the table of descriptors of the loop's thread, in which the kernel would have to count references for the
// two of them, and keeps what post() writes to.
asio::thread_pool& Resolver::thread(const Loop& loop) {
  if (thread_) return *thread_;
  thread_ = std::make_unique<asio::thread_pool>(1);
  asio::post(*thread_, [wakeup = loop.wakeup_descriptor()] {
    ::pthread_setname_np(::pthread_self(), "resolver");
    (void)own_descriptors({wakeup});  // where that is forbidden it shares the table, and all works as well
  });
  return *thread_;
}

// What the other thread and the loop share. `who` is the loop's, nullptr when nobody waits any more; then the thread
// does not begin: while no server answers, those who gave up would keep it from all who come later.
struct Lookup::Pending {
  Lookup* who;
  std::atomic<bool> wanted{true};
};

void Lookup::forget() noexcept {
  pending_->who = nullptr;
  pending_->wanted.store(false, std::memory_order_relaxed);
}

Lookup::Lookup(Resolver& resolver, Loop& loop, std::string host, std::uint16_t port)
    : resolver_(resolver), loop_(loop), host_(std::move(host)), port_(port) {}

Lookup::~Lookup() {
  if (pending_) forget();
}

void Lookup::await_suspend(std::coroutine_handle<> who) {
  Loop::waits(*this, who);
  pending_ = std::make_shared<Pending>(this);
  asio::post(resolver_.thread(loop_), [pending = pending_, &loop = loop_, host = host_, port = port_] {
    if (!pending->wanted.load(std::memory_order_relaxed)) return;
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
  forget();
  found_ = Result(asio::error::operation_aborted, {});
  loop_.wake(*this);
}

}  // namespace tollgate::net
