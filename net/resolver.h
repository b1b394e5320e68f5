// Names to addresses, one after the other on a thread of its own: getaddrinfo() waits.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "net/loop.h"
#include "net/socket.h"

namespace tollgate::net {

// Of one loop, on its thread. Its end waits for the look-up that is under way, and comes before the loop's.
class Resolver {
 public:
  Resolver() = default;

 private:
  friend class Lookup;
  asio::thread_pool& thread(const Loop& loop);
  std::unique_ptr<asio::thread_pool> thread_;  // from the first name on
};

// One look-up, awaited once: {error, at least one endpoint}. On the loop's thread.
class Lookup final : public Waiter {
 public:
  using Result = std::tuple<error_code, std::vector<Endpoint>>;

  Lookup(Resolver& resolver, Loop& loop, std::string host, std::uint16_t port);
  ~Lookup();
  // Ends the wait with operation_aborted, if there is one; what comes later is dropped.
  void cancel() noexcept;

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> who);
  [[nodiscard]] Result await_resume() noexcept { return std::move(found_); }

 private:
  struct Pending;
  void forget() noexcept;
  bool perform() noexcept override { return true; }

  Resolver& resolver_;
  Loop& loop_;
  const std::string host_;
  const std::uint16_t port_;
  std::shared_ptr<Pending> pending_;
  Result found_;
};

}  // namespace tollgate::net
