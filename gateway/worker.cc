#include "gateway/worker.h"

#include <netinet/tcp.h>
#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <exception>

#include "base/ids.h"
#include "gateway/refusal.h"
#include "gateway/session.h"

namespace tollgate::gateway {
namespace {
using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;
// The most that the kernel keeps unsent of an answer. Without it a slow reader's buffer grows to megabytes, and shows
// room again only after a third of them: a client that takes bytes all the time would look as if it took none.
using UnsentMax = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_NOTSENT_LOWAT>;
constexpr int kUnsentMax = 256 * 1024;

constexpr int kBacklog = 4096;
constexpr std::uint64_t kSweepEveryTicks = 20;  // idle upstream connections: once a second
constexpr auto kAcceptPause = std::chrono::milliseconds(50);

// One connection's coroutine. The session lives in this frame and nowhere else.
Task<void> run_session(Worker& worker, Socket client, asio::ip::address peer,
                       [[maybe_unused]] AddressConnections::Place place) {
  Session session(worker, std::move(client), std::move(peer));
  co_await session.serve();
}

void log_end(const std::exception_ptr& failure, std::string_view what) {
  if (!failure) return;
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    spdlog::error("{} ended by an exception: {}", what, error.what());
  }
}
}  // namespace

Worker::Worker(std::size_t index, Plane& plane, std::shared_ptr<const Config> config)
    : index_(index),
      plane_(plane),
      config_(std::move(config)),
      recorder_(plane.journal),
      unrouted_cells_(plane.metrics.cells(index, "")),
      cells_(plane.metrics.worker(index)),
      coarse_now_ns_(steady_ns()),
      wheel_(coarse_now_ns_),
      http_date_(plane.clock.now()),
      request_prefix_(random_hex(6)),
      log_id_start_(random_log_id_start()) {}

Worker::~Worker() { join(); }

error_code Worker::listen(const asio::ip::tcp::endpoint& endpoint, int bound) {
  error_code error;
  if (bound >= 0) {
    acceptor_.assign(endpoint.protocol(), bound, error);
  } else {
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor_.set_option(ReusePort(true), error);
    if (!error) acceptor_.bind(endpoint, error);
  }
  if (!error) acceptor_.listen(kBacklog, error);
  return error;
}

std::uint16_t Worker::port() const {
  error_code ignored;
  return acceptor_.local_endpoint(ignored).port();
}

void Worker::start() {
  asio::co_spawn(loop_, accept_loop(), [](const std::exception_ptr& failure) { log_end(failure, "the accept loop"); });
  asio::co_spawn(loop_, tick_loop(), [](const std::exception_ptr& failure) { log_end(failure, "the tick loop"); });
  thread_ = std::thread([this] {
    loop_.run();
    plane_.quiescence.leave(index_);
  });
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::post(std::function<void()> work) { asio::post(loop_, std::move(work)); }

void Worker::put_service(const std::shared_ptr<const ServiceConfig>& service) {
  WorkerServicePtr runtime(new WorkerService(service, plane_.metrics.cells(index_, service->id)));
  routes_.put(std::move(runtime));
}

void Worker::remove_service(const std::string& service) { routes_.remove(service); }

std::uint64_t Worker::log_id(std::uint64_t number) const noexcept { return gateway::log_id(log_id_start_, number); }

Task<void> Worker::accept_loop() {
  while (!draining_) {
    Socket client(loop_.get_executor());
    asio::ip::tcp::endpoint from;
    const auto [error] = co_await acceptor_.async_accept(client, from, kAwait);
    if (error == asio::error::operation_aborted || error == asio::error::bad_descriptor) break;
    if (error) {
      // Out of descriptors or memory: waiting lets others finish; spinning would not.
      cells_.connections_refused.add(1);
      Timer pause(loop_.get_executor(), kAcceptPause);
      co_await pause.async_wait(kAwait);
      continue;
    }
    auto place = place_for(from.address());
    if (!place) continue;
    error_code ignored;
    client.set_option(asio::ip::tcp::no_delay(true), ignored);
    client.set_option(UnsentMax(kUnsentMax), ignored);
    client.native_non_blocking(true, ignored);
    asio::co_spawn(loop_, run_session(*this, std::move(client), from.address(), std::move(*place)),
                   [](const std::exception_ptr& failure) { log_end(failure, "a session"); });
  }
}

// Counts a new connection; nullopt: it is one too many and is to be closed.
std::optional<AddressConnections::Place> Worker::place_for(const asio::ip::address& from) {
  const auto& limits = config_->limits;
  const std::int64_t max = std::min(limits.connections_max, plane_.connections_by_descriptors);
  if (plane_.connections.load(std::memory_order_relaxed) >= max) {
    cells_.connections_refused.add(1);
    return std::nullopt;
  }
  auto place = plane_.address_connections.enter(client_address(from), limits.connections_per_address_max);
  if (!place) {
    cells_.connections_refused_by_address.add(1);
  } else if (plane_.connections.fetch_add(1, std::memory_order_relaxed) >= max) {
    plane_.connections.fetch_sub(1, std::memory_order_relaxed);
    cells_.connections_refused.add(1);
    place.reset();
  }
  return place;
}

Task<void> Worker::tick_loop() {
  while (!draining_ || !sessions_.empty()) {
    const std::int64_t due = steady_ns() + DeadlineWheel::kTickNs;
    ticker_.expires_after(std::chrono::nanoseconds(DeadlineWheel::kTickNs));
    co_await ticker_.async_wait(kAwait);
    tick();
    note_lag(coarse_now_ns_ - due);
  }
  routes_ = {};
  work_.reset();
}

void Worker::tick() {
  coarse_now_ns_ = steady_ns();
  plane_.quiescence.pass(index_);
  plane_.keeper.watch(coarse_now_ns_);
  const WallTime now = plane_.clock.now();
  recorder_.advance(hour_of(now));
  http_date_.set(now);
  wheel_.advance(coarse_now_ns_);
  poll_waiting_clients();
  if (++ticks_ % kSweepEveryTicks == 0) {
    const std::int64_t idle_ns = config_->upstreams.idle_ms * 1'000'000;
    routes_.for_each([&](WorkerService& service) { service.sweep(coarse_now_ns_, idle_ns); });
    tell_lines_left_out();
  }
}

// The tick waits in the same queue as every connection that is ready: how late it is, is how late they are.
void Worker::note_lag(std::int64_t lag_ns) {
  overload_.observe(lag_ns, config_->limits.overload_lag_ms);
  cells_.loop_lag_ns.add(overload_.lag_ns() - cells_.loop_lag_ns.load());
}

void Worker::tell_lines_left_out() {
  const std::int64_t lines = refusal_lines_.take_left_out();
  if (lines > 0) spdlog::warn("the access log of worker {} left out {} lines of refused calls", index_, lines);
}

// While a call waits for its upstream nobody reads from the client. Clients that have left are found here, all with
// one system call a tick, and only for calls that outlive a tick: a short call pays nothing for it.
void Worker::poll_waiting_clients() {
  waiting_.clear();
  polled_.clear();
  const std::int64_t before = coarse_now_ns_ - DeadlineWheel::kTickNs;
  for (SessionLink& session : sessions_) {
    if (!session.waits_for_upstream_since(before)) continue;
    waiting_.push_back(&session);
    polled_.push_back({session.client_socket(), POLLRDHUP, 0});
  }
  if (polled_.empty() || ::poll(polled_.data(), polled_.size(), 0) <= 0) return;
  for (std::size_t i = 0; i < polled_.size(); ++i) {
    if ((polled_[i].revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) waiting_[i]->client_gone();
  }
}

void Worker::begin_drain() {
  draining_ = true;
  error_code ignored;
  acceptor_.close(ignored);
  for (SessionLink& session : sessions_) session.close_if_idle();
}

void Worker::abandon() {
  for (SessionLink& session : sessions_) session.abandon();
}

}  // namespace tollgate::gateway
