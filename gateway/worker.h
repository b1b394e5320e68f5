// A worker: one thread, one event loop, its listener, sessions, routes and idle upstream connections. Nothing here
// is shared but what `Plane` names; other threads speak to a worker only through post().
#pragma once

#include <array>
#include <atomic>
#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "gateway/access_log.h"
#include "gateway/address_connections.h"
#include "gateway/buffer.h"
#include "gateway/buffer_budget.h"
#include "gateway/config.h"
#include "gateway/deadline_wheel.h"
#include "gateway/http_date.h"
#include "gateway/key_failures.h"
#include "gateway/line_budget.h"
#include "gateway/overload.h"
#include "gateway/routes.h"
#include "gateway/stream.h"
#include "gateway/tls_contexts.h"
#include "limiter/directory.h"
#include "limiter/quiescence.h"
#include "meter/journal.h"
#include "meter/journal_keeper.h"
#include "meter/metrics.h"
#include "meter/recorder.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "net/socket.h"

namespace tollgate::gateway {

// What a worker knows of its sessions: enough to notice clients that left and to drain. On the worker's thread.
class SessionLink
    : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  virtual ~SessionLink() = default;
  // A call older than that instant is waiting for its upstream, so nobody is reading from the client.
  [[nodiscard]] virtual bool waits_for_upstream_since(std::int64_t before_ns) const noexcept = 0;
  [[nodiscard]] virtual bool client_has_left() noexcept = 0;  // as of the loop's last look
  virtual void client_gone() noexcept = 0;
  virtual void close_idle() noexcept = 0;  // for those that are idle
  virtual void abandon() noexcept = 0;

  // In one of its worker's two lists: idle (between two calls, and no byte of the next has come) or busy.
  using TurnHook = boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
  TurnHook turn_hook;
};

[[nodiscard]] inline std::uint64_t random_seed() { return std::stoull(random_hex(8), nullptr, 16); }

enum class Transport : std::size_t { plain, tls };  // of a listener and the connections that it accepts

// What all workers share. Everything in it outlives them.
struct Plane {
  const Clock& clock;
  limiter::Directory& directory;
  limiter::Quiescence& quiescence;
  meter::Journal& journal;
  meter::JournalKeeper& keeper;
  meter::Metrics& metrics;
  AccessLog* access_log = nullptr;           // nullptr: off
  std::atomic<std::int64_t> connections{0};  // client connections of all workers, against connections_max
  // Client connections that the descriptors of one worker allow, each with one upstream connection of its own: where
  // it has a table of its own, and where all threads share one.
  std::int64_t connections_by_own_descriptors = std::numeric_limits<std::int64_t>::max();
  std::int64_t connections_by_shared_descriptors = std::numeric_limits<std::int64_t>::max();
  AddressConnections address_connections{random_seed()};
  KeyFailures key_failures{random_seed()};
};

class Worker {
 public:
  Worker(std::size_t index, Plane& plane, std::shared_ptr<const Config> config);
  ~Worker();

  // Binds a listener of its own (SO_REUSEPORT spreads connections over the workers), unless `bound` is the descriptor
  // of a socket that is bound there already. Before start().
  error_code listen(Transport transport, const Endpoint& endpoint, int bound = -1);
  [[nodiscard]] std::uint16_t port(Transport transport) const;
  void start();
  void join();
  // See meter::Recorder::latest(). Any thread.
  [[nodiscard]] Hour latest_hour() const noexcept { return recorder_.latest(); }

  // Runs `work` on the worker's thread, soon. Any thread.
  void post(std::function<void()> work);

  // ---- on the worker's thread ----
  void put_service(const std::shared_ptr<const ServiceConfig>& service);
  void remove_service(const std::string& service);
  // For connections from now on; those that are open keep theirs. Also before start().
  void set_tls(std::shared_ptr<const TlsContexts> contexts) { tls_ = std::move(contexts); }
  void set_config(std::shared_ptr<const Config> config) { config_ = std::move(config); }
  void forget_hours() { recorder_.forget_hours(); }  // see Recorder
  void begin_drain();  // no new connections; idle ones are closed, busy ones after their answer
  void abandon();      // ends what is still in flight

  [[nodiscard]] std::size_t index() const noexcept { return index_; }
  [[nodiscard]] Plane& plane() noexcept { return plane_; }
  // Valid until the next suspension: a reload may replace it.
  [[nodiscard]] const Config& config() const noexcept { return *config_; }
  [[nodiscard]] const Routes& routes() const noexcept { return routes_; }
  [[nodiscard]] meter::Recorder& recorder() noexcept { return recorder_; }
  [[nodiscard]] meter::ServiceCells& unrouted_cells() noexcept { return unrouted_cells_; }
  [[nodiscard]] meter::WorkerCells& cells() noexcept { return cells_; }
  [[nodiscard]] DeadlineWheel& wheel() noexcept { return wheel_; }
  [[nodiscard]] BlockPool& small_blocks() noexcept { return small_blocks_; }
  [[nodiscard]] BlockPool& large_blocks() noexcept { return large_blocks_; }
  [[nodiscard]] net::Loop& loop() noexcept { return loop_; }
  [[nodiscard]] net::Resolver& resolver() noexcept { return resolver_; }
  [[nodiscard]] bool draining() const noexcept { return draining_; }
  [[nodiscard]] const Overload& overload() const noexcept { return overload_; }
  [[nodiscard]] BufferBudget& buffer_budget() noexcept { return buffer_budget_; }
  // Access lines of refused calls: of callers who are known, so that strangers cannot use up theirs, and of others.
  [[nodiscard]] LineBudget& refusal_lines(bool known) noexcept { return known ? limit_lines_ : refusal_lines_; }
  // Gives back descriptors that no call uses now; how many.
  std::size_t close_idle_upstreams();
  // A line for the operator: why an upstream's TLS was not accepted.
  void tell_tls_failure(std::string_view service, std::string_view upstream, std::string_view why);
  // One more line of the process's log about a single call or connection? False: it is counted instead.
  [[nodiscard]] bool may_log_trouble() noexcept;
  // Steady time as of the last tick, at most 50 ms old: for deadlines.
  [[nodiscard]] std::int64_t coarse_now_ns() const noexcept { return coarse_now_ns_; }
  // When the loop's last look had found what is served now, by both clocks. One reading serves all that it found.
  struct Instant {
    WallTime at;
    std::int64_t steady_ns;
  };
  [[nodiscard]] Instant heard_at() noexcept {
    const std::int64_t steady = loop_.looked_at_ns();
    if (steady != heard_at_.steady_ns) heard_at_ = {plane_.clock.now(), steady};
    return heard_at_;
  }
  [[nodiscard]] std::string_view http_date() const noexcept { return http_date_.text(); }  // as of the last tick
  void enlist(SessionLink& session) noexcept { sessions_.push_back(session); }
  void connection_ended() noexcept {
    --connections_;
    plane_.connections.fetch_sub(1, std::memory_order_relaxed);
  }
  void becomes_idle(SessionLink& session) noexcept {
    session.turn_hook.unlink();
    idle_sessions_.push_back(session);
  }
  void becomes_busy(SessionLink& session) noexcept {
    session.turn_hook.unlink();
    busy_sessions_.push_back(session);
  }
  // A request's id is the prefix (12 random hexadecimal digits of this worker) and its number.
  [[nodiscard]] std::uint64_t next_request_number() noexcept { return ++request_number_; }
  // Of a request's number, for an answer in the baidu dialect.
  [[nodiscard]] std::uint64_t log_id(std::uint64_t number) const noexcept;
  [[nodiscard]] const std::string& request_prefix() const noexcept { return request_prefix_; }

 private:
  Task<void> accept_loop(Transport transport);
  Task<void> run_session(Socket client, asio::ip::address peer, Transport transport, AddressConnections::Place place);
  Task<void> tick_loop();
  Task<std::optional<AddressConnections::Place>> place_for(asio::ip::address from);
  [[nodiscard]] bool count_connection() noexcept;
  [[nodiscard]] bool own_descriptors();
  [[nodiscard]] std::vector<int> listening_descriptors() const;
  Task<bool> close_longest_idle();
  void tick();
  void note_lag(std::int64_t lag_ns);
  void look_at_buffers();
  void tell_lines_left_out();
  void look_for_clients_that_left();

  const std::size_t index_;
  Plane& plane_;
  std::shared_ptr<const Config> config_;
  std::shared_ptr<const TlsContexts> tls_;  // nullptr: no TLS listener
  meter::Recorder recorder_;
  meter::ServiceCells& unrouted_cells_;
  meter::WorkerCells& cells_;
  std::int64_t coarse_now_ns_;
  Instant heard_at_{};
  DeadlineWheel wheel_;
  HttpDate http_date_;
  Overload overload_;
  BufferBudget buffer_budget_;
  LineBudget refusal_lines_;
  LineBudget limit_lines_;
  LineBudget trouble_lines_;
  BlockPool small_blocks_{kSmallBlock, 4096};
  BlockPool large_blocks_{kLargeBlock, 256};
  boost::intrusive::list<SessionLink, boost::intrusive::constant_time_size<false>> sessions_;
  // The same in two lists: what every tick looks at must not grow with connections that say nothing.
  using TurnMember = boost::intrusive::member_hook<SessionLink, SessionLink::TurnHook, &SessionLink::turn_hook>;
  using TurnList = boost::intrusive::list<SessionLink, TurnMember, boost::intrusive::constant_time_size<false>>;
  TurnList idle_sessions_;  // the longest idle first
  TurnList busy_sessions_;
  std::uint64_t ticks_ = 0;
  bool deadlines_put_off_ = false;  // to the next tick
  std::uint64_t request_number_ = 0;
  std::string request_prefix_;
  const std::uint64_t log_id_start_;
  bool draining_ = false;
  // Below what sessions point to: the loop destroys those that are left.
  net::Loop loop_;
  net::Resolver resolver_;
  std::array<net::Listener, 2> listeners_;  // by transport
  Routes routes_;
  std::int64_t connections_ = 0;  // of plane_.connections
  bool has_own_descriptors_ = false;
  std::thread thread_;
};

}  // namespace tollgate::gateway
