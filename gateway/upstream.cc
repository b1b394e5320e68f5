#include "gateway/upstream.h"

#include <algorithm>

namespace tollgate::gateway {
namespace {
constexpr std::int32_t kDoublingsMax = 16;
constexpr std::int64_t kVerifiedForNs = 3'600'000'000'000;
}  // namespace

ServiceConfig::ServiceConfig(std::string name, const ServiceDefinition& from, limiter::Service& limiting)
    : id(std::move(name)), definition(from), failure_statuses(from.failure_status_set()), limits(&limiting) {
  if (from.tls) {
    auto made = UpstreamTls::make(*from.tls);
    if (made.has_error()) made = UpstreamTls::make({true, std::string(), {}});  // put by an OpenSSL that could read it
    tls = *std::move(made);
  }
  for (const auto& address : from.upstreams) upstreams.push_back(std::make_unique<Upstream>(address));
}

std::size_t choose_upstream(const ServiceConfig& service, const std::bitset<64>& tried, std::int64_t now_ns,
                            std::size_t turn) noexcept {
  const std::size_t count = service.upstreams.size();
  std::size_t best = kNoUpstream;
  std::size_t fallback = kNoUpstream;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t index = (turn + i) % count;
    if (tried[index]) continue;
    const Upstream& upstream = *service.upstreams[index];
    const auto until = upstream.ejected_until.load(std::memory_order_relaxed);
    if (until > now_ns) {
      if (fallback == kNoUpstream ||
          until < service.upstreams[fallback]->ejected_until.load(std::memory_order_relaxed)) {
        fallback = index;
      }
    } else if (best == kNoUpstream || upstream.in_flight.load(std::memory_order_relaxed) <
                                          service.upstreams[best]->in_flight.load(std::memory_order_relaxed)) {
      best = index;
    }
  }
  return best != kNoUpstream ? best : fallback;
}

void upstream_failed(Upstream& upstream, const UpstreamsConfig& config, std::int64_t now_ns) noexcept {
  const std::int32_t failures = upstream.failures.fetch_add(1, std::memory_order_relaxed) + 1;
  const std::int64_t beyond = failures - config.eject_after_failures;
  if (beyond < 0) return;
  const std::int64_t pause_ms =
      std::min(config.eject_ms << std::min<std::int64_t>(beyond, kDoublingsMax), config.eject_ms_max);
  upstream.ejected_until.store(now_ns + pause_ms * 1'000'000, std::memory_order_relaxed);
}

void upstream_succeeded(Upstream& upstream) noexcept {
  // Look before writing: the line is shared by all workers and almost always clean.
  if (upstream.failures.load(std::memory_order_relaxed) != 0) {
    upstream.failures.store(0, std::memory_order_relaxed);
    upstream.ejected_until.store(0, std::memory_order_relaxed);
  }
}

WorkerService::~WorkerService() {
  for (const auto& connections : idle)
    cells.upstream_connections[1].add(-static_cast<std::int64_t>(connections.size()));
}

// A connection that the upstream has closed would cost a POST its answer, and bytes that nobody asked for would become
// the answer to somebody else's call. The loop knows both of a connection at which it has looked since the last
// answer; at one that came back since then, a system call has to look.
std::unique_ptr<UpstreamConnection> WorkerService::take_idle(std::size_t upstream) {
  auto& connections = idle[upstream];
  while (!connections.empty()) {
    const std::uint64_t now = connections.back()->stream.socket().loop().looks();
    const auto seen = std::find_if(connections.rbegin(), connections.rend(),
                                   [&](const auto& each) { return each->idle_since_look != now; });
    const auto taken = seen != connections.rend() ? std::prev(seen.base()) : std::prev(connections.end());
    auto connection = std::move(*taken);
    connections.erase(taken);
    cells.upstream_connections[1].add(-1);
    Stream& stream = connection->stream;
    const bool usable =
        connection->idle_since_look != now ? stream.is_open_and_silent() : stream.look_if_open_and_silent();
    if (usable) return connection;
  }
  return nullptr;
}

void WorkerService::give_idle(std::unique_ptr<UpstreamConnection> connection, std::size_t idle_max,
                              std::int64_t now_ns) {
  auto& connections = idle[connection->index];
  if (connections.size() >= idle_max) return;
  connection->idle_since_ns = now_ns;
  connection->idle_since_look = connection->stream.socket().loop().looks();
  connection->reused = true;
  connections.push_back(std::move(connection));
  cells.upstream_connections[1].add(1);
}

void WorkerService::keep_session(const UpstreamConnection& connection, std::int64_t now_ns) {
  if (connection.reused || !connection.stream.is_tls()) return;  // once for each connection is enough
  Resumable& session = sessions[connection.index];
  session.latest = connection.stream.tls()->session();
  if (!connection.stream.tls()->is_resumed()) session.verified_ns = now_ns;
}

// What is resumed is not verified again, and each resumption gives a new ticket: without an end a chain that has
// expired would be good for ever.
SSL_SESSION* WorkerService::session_of(std::size_t upstream, std::int64_t now_ns) noexcept {
  Resumable& session = sessions[upstream];
  return now_ns - session.verified_ns < kVerifiedForNs ? session.latest.get() : nullptr;
}

std::size_t WorkerService::close_idle() {
  std::size_t closed = 0;
  for (auto& connections : idle) {
    closed += connections.size();
    cells.upstream_connections[1].add(-static_cast<std::int64_t>(connections.size()));
    connections.clear();
  }
  return closed;
}

void WorkerService::sweep(std::int64_t now_ns, std::int64_t idle_ns) {
  for (auto& connections : idle) {
    const auto removed = std::erase_if(connections, [&](const auto& connection) {
      return now_ns - connection->idle_since_ns > idle_ns || !connection->stream.is_open_and_silent();
    });
    cells.upstream_connections[1].add(-static_cast<std::int64_t>(removed));
  }
}

}  // namespace tollgate::gateway
