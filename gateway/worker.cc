#include "gateway/worker.h"

#include <netinet/tcp.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <exception>
#include <future>
#include <utility>

#include "base/ids.h"
#include "gateway/refusal.h"
#include "gateway/session.h"
#include "net/descriptor_table.h"

namespace tollgate::gateway {
namespace {
// The most that the kernel keeps unsent of an answer. Without it a slow reader's buffer grows to megabytes, and shows
// room again only after a third of them: a client that takes bytes all the time would look as if it took none.
constexpr int kUnsentMax = 256 * 1024;

constexpr int kBacklog = 4096;
constexpr std::uint64_t kSweepEveryTicks = 20;  // idle upstream connections: once a second
constexpr std::int64_t kTroubleLinesPerS = 10;
constexpr std::int64_t kPauseNs = 4 * DeadlineWheel::kTickNs;
constexpr std::int64_t kAcceptPauseNs = 50'000'000;

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
      buffer_budget_(cells_.buffer_bytes),
      request_prefix_(random_hex(6)),
      log_id_start_(random_log_id_start()) {
  look_at_buffers();
}

Worker::~Worker() { join(); }

error_code Worker::listen(Transport transport, const Endpoint& endpoint, int bound) {
  return listeners_[static_cast<std::size_t>(transport)].listen(loop_, endpoint, kBacklog, bound);
}

std::uint16_t Worker::port(Transport transport) const {
  return listeners_[static_cast<std::size_t>(transport)].local_endpoint().port();
}

// What was opened for the worker alone is closed here, where nobody would serve it, once the worker has it.
void Worker::start() {
  const std::vector<int> listening = listening_descriptors();
  std::promise<bool> owns_descriptors;
  auto own = owns_descriptors.get_future();
  thread_ = std::thread([this, &owns_descriptors] {
    ::pthread_setname_np(::pthread_self(), ("worker-" + std::to_string(index_)).c_str());
    has_own_descriptors_ = own_descriptors();
    owns_descriptors.set_value(has_own_descriptors_);
    for (const Transport transport : {Transport::plain, Transport::tls}) {
      if (!listeners_[static_cast<std::size_t>(transport)].is_open()) continue;
      loop_.spawn(accept_loop(transport),
                  [](const std::exception_ptr& failure) { log_end(failure, "the accept loop"); });
    }
    loop_.spawn(tick_loop(), [](const std::exception_ptr& failure) { log_end(failure, "the tick loop"); });
    loop_.run();
    plane_.quiescence.leave(index_);
  });
  if (!own.get()) return;
  for (const int descriptor : listening) ::close(descriptor);
}

std::vector<int> Worker::listening_descriptors() const {
  std::vector<int> listening;
  for (const net::Listener& listener : listeners_) {
    if (listener.is_open()) listening.push_back(listener.native_handle());
  }
  return listening;
}

bool Worker::own_descriptors() {
  std::vector<int> kept = listening_descriptors();
  const auto of_loop = loop_.descriptors();
  kept.insert(kept.end(), of_loop.begin(), of_loop.end());
  const error_code error = net::own_descriptors(std::move(kept));
  if (error) {
    spdlog::info("all threads share one table of descriptors, which allows worker {} {} client connections: {}", index_,
                 plane_.connections_by_shared_descriptors, error.message());
  }
  return !error;
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::post(std::function<void()> work) { loop_.post(std::move(work)); }

void Worker::put_service(const std::shared_ptr<const ServiceConfig>& service) {
  WorkerServicePtr runtime(new WorkerService(service, plane_.metrics.cells(index_, service->id)));
  routes_.put(std::move(runtime));
}

void Worker::remove_service(const std::string& service) { routes_.remove(service); }

std::uint64_t Worker::log_id(std::uint64_t number) const noexcept { return gateway::log_id(log_id_start_, number); }

Task<void> Worker::accept_loop(Transport transport) {
  net::Listener& listener = listeners_[static_cast<std::size_t>(transport)];
  while (!draining_) {
    auto [error, client, from] = co_await listener.accept();
    if (error == asio::error::operation_aborted) break;
    if (error) {
      bool has_room = error == asio::error::no_descriptors && close_idle_upstreams() > 0;
      if (!has_room && error == asio::error::no_descriptors) has_room = co_await close_longest_idle();
      if (has_room) continue;
      // Out of descriptors or memory: waiting lets others finish; spinning would not.
      cells_.connections_refused.add(1);
      co_await loop_.until(steady_ns() + kAcceptPauseNs);
      continue;
    }
    auto place = co_await place_for(from.address());
    if (!place) continue;
    client.set_option(IPPROTO_TCP, TCP_NODELAY, 1);
    client.set_option(IPPROTO_TCP, TCP_NOTSENT_LOWAT, kUnsentMax);
    loop_.spawn(run_session(std::move(client), from.address(), transport, std::move(*place)),
                [this](const std::exception_ptr& failure) {
                  if (failure && may_log_trouble()) log_end(failure, "a session");
                });
  }
}

// One connection's coroutine. The session lives in this frame and nowhere else.
Task<void> Worker::run_session(Socket client, asio::ip::address peer, Transport transport,
                               [[maybe_unused]] AddressConnections::Place place) {
  Stream stream(std::move(client));
  if (transport == Transport::tls) stream.secure(TlsContexts::accept(tls_, stream.socket().native_handle()));
  Session session(*this, std::move(stream), peer);
  co_await session.serve();
}

// Counts a new connection; nullopt: it is one too many and is to be closed. Its own address's limit comes first, so
// that whoever is at it cannot push others out.
Task<std::optional<AddressConnections::Place>> Worker::place_for(asio::ip::address from) {
  const std::int64_t by_address = config_->limits.connections_per_address_max;
  auto place = plane_.address_connections.enter(client_address(from), by_address);
  if (!place) {
    cells_.connections_refused_by_address.add(1);
    co_return std::nullopt;
  }
  bool counted = count_connection();
  if (!counted) {
    const bool has_room = co_await close_longest_idle();
    counted = has_room && count_connection();
  }
  if (!counted) {
    cells_.connections_refused.add(1);
    co_return std::nullopt;
  }
  co_return std::move(place);
}

bool Worker::count_connection() noexcept {
  const std::int64_t own_max =
      has_own_descriptors_ ? plane_.connections_by_own_descriptors : plane_.connections_by_shared_descriptors;
  const std::int64_t all = plane_.connections.fetch_add(1, std::memory_order_relaxed);
  ++connections_;
  if (all < config_->limits.connections_max && connections_ <= own_max) return true;
  connection_ended();
  return false;
}

// A connection that carries no call makes room for one that may. False: this worker has none.
Task<bool> Worker::close_longest_idle() {
  if (idle_sessions_.empty()) co_return false;
  SessionLink& longest = idle_sessions_.front();
  longest.close_idle();
  longest.turn_hook.unlink();  // the next one to go is another
  cells_.connections_evicted.add(1);
  // Its end is queued before us: when we are back, its place and its descriptor are free.
  co_await loop_.yield();
  co_return true;
}

Task<void> Worker::tick_loop() {
  while (!draining_ || !sessions_.empty()) {
    const std::int64_t due = steady_ns() + DeadlineWheel::kTickNs;
    co_await loop_.until(due);
    tick();
    note_lag(coarse_now_ns_ - due);
  }
  routes_ = {};
  loop_.stop();
}

void Worker::tick() {
  const std::int64_t before_ns = std::exchange(coarse_now_ns_, steady_ns());
  plane_.quiescence.pass(index_);
  plane_.keeper.watch(coarse_now_ns_);
  const WallTime now = plane_.clock.now();
  recorder_.advance(hour_of(now));
  http_date_.set(now);
  look_at_buffers();
  // After a pause of the whole process all is overdue, and much of what it waits for has come meanwhile: that goes
  // first.
  deadlines_put_off_ = coarse_now_ns_ - before_ns > kPauseNs && !deadlines_put_off_;
  if (!deadlines_put_off_) wheel_.advance(coarse_now_ns_);
  look_for_clients_that_left();
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

void Worker::look_at_buffers() {
  std::int64_t others = 0;
  for (std::size_t i = 0; i < plane_.metrics.workers(); ++i) {
    if (i != index_) others += plane_.metrics.worker(i).buffer_bytes.load();
  }
  buffer_budget_.observe(others, config_->limits.buffer_bytes_max);
}

bool Worker::may_log_trouble() noexcept {
  if (trouble_lines_.take(coarse_now_ns_, kTroubleLinesPerS)) return true;
  cells_.log_left_out.add(1);
  return false;
}

void Worker::tell_lines_left_out() {
  const std::int64_t lines = refusal_lines_.take_left_out() + limit_lines_.take_left_out();
  if (lines > 0) spdlog::warn("the access log of worker {} left out {} lines of refused calls", index_, lines);
  const std::int64_t trouble = trouble_lines_.take_left_out();
  if (trouble > 0) spdlog::warn("worker {} left out {} lines of failed calls", index_, trouble);
}

std::size_t Worker::close_idle_upstreams() {
  std::size_t closed = 0;
  routes_.for_each([&](WorkerService& service) { closed += service.close_idle(); });
  return closed;
}

void Worker::tell_tls_failure(std::string_view service, std::string_view upstream, std::string_view why) {
  if (may_log_trouble()) spdlog::warn("TLS with {} of service {} failed: {}", upstream, service, why);
}

// While a call waits for its upstream nobody reads from the client. Clients that have left are found here, and only for
// calls that outlive a tick: a short call pays nothing for it.
void Worker::look_for_clients_that_left() {
  const std::int64_t before = coarse_now_ns_ - DeadlineWheel::kTickNs;
  for (SessionLink& session : busy_sessions_) {
    if (session.waits_for_upstream_since(before) && session.client_has_left()) session.client_gone();
  }
}

void Worker::begin_drain() {
  draining_ = true;
  for (net::Listener& listener : listeners_) listener.close();
  for (SessionLink& session : idle_sessions_) session.close_idle();
}

void Worker::abandon() {
  for (SessionLink& session : sessions_) session.abandon();
}

}  // namespace tollgate::gateway
