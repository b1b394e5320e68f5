// The listener of the admin API: HTTP/1.1 connections on a thread of its own, with a bound for everything.
// It knows no call of the API; those are behind admin_api.h.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "billing/core.h"
#include "gateway/billing_thread.h"
#include "gateway/traffic.h"

namespace tollgate::gateway {

struct AdminOptions {
  std::string listen = "127.0.0.1:0";  // IP address and port; port 0: one the system chooses
  int bound = -1;                      // a descriptor that is bound there already; -1: none
  std::string token;                   // for everything under /v1; never empty
  std::string billing_read_token;      // reads everything there, changes nothing; empty: there is none
  std::size_t connections_max = 256;   // one more is closed as it comes
  std::size_t head_bytes_max = 32 * 1024;
  std::chrono::milliseconds head_timeout{60'000};  // also how long a connection may idle
  std::chrono::milliseconds body_timeout{60'000};
  std::chrono::milliseconds write_timeout{30'000};
  std::function<Result<void>(WallTime)> run_due;  // these three as AdminContext has them; billing thread
  std::function<void()> changed;
  std::function<void(std::int64_t)> audited;
  std::function<void()> wrong_token;  // as AdminContext has it; server thread
};

class AdminServer {
 public:
  // Listens and serves at once. Throws std::runtime_error if the address cannot be listened on. `manual_clock` is
  // null unless billing.clock is manual. All that is referred to must outlive the server.
  AdminServer(AdminOptions options, BillingThread& billing, billing::Core& core, Traffic& traffic, const Clock& clock,
              ManualClock* manual_clock);
  ~AdminServer();  // stop()
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  [[nodiscard]] std::uint16_t port() const noexcept;

  // Closes the listener and idle connections, lets running requests have their answer, and joins. The billing
  // thread must still run. Not from the server's own thread.
  void stop();

 private:
  class Listener;
  std::unique_ptr<Listener> listener_;
};

}  // namespace tollgate::gateway
