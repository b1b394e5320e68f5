// Upstreams: which one a call goes to (least in flight among the healthy), passive health, and each worker's idle
// connections. It opens no connection and knows no HTTP.
#pragma once

#include <atomic>
#include <bitset>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gateway/config.h"
#include "gateway/service_definition.h"
#include "gateway/stream.h"
#include "gateway/upstream_tls.h"
#include "limiter/directory.h"
#include "meter/metrics.h"

namespace tollgate::gateway {

// Shared by all workers. Written and read by all of them; relaxed is enough everywhere: each value steers a choice
// that may be a little late, and publishes nothing.
struct Upstream {
  explicit Upstream(UpstreamAddress where) : address(std::move(where)), host(address.text()) {}
  UpstreamAddress address;
  std::string host;  // "host:port", as the Host field
  std::atomic<std::int32_t> in_flight{0};
  std::atomic<std::int32_t> failures{0};       // in a row
  std::atomic<std::int64_t> ejected_until{0};  // steady ns; 0: not ejected
};

// A service as the workers use it: immutable but for the health of its upstreams. Published by shared_ptr.
struct ServiceConfig {
  ServiceConfig(std::string name, const ServiceDefinition& from, limiter::Service& limits);
  std::string id;
  ServiceDefinition definition;
  std::bitset<600> failure_statuses;
  limiter::Service* limits;
  std::vector<std::unique_ptr<Upstream>> upstreams;
  std::shared_ptr<const UpstreamTls> tls;  // nullptr: they speak plain HTTP
};

// The upstream to try now, or nullptr if all were `tried` (bit per index). Least in flight among those not
// ejected; when every one is ejected, the one whose ejection ends first: a request is a better probe than none.
// `turn` breaks ties by rotation.
[[nodiscard]] std::size_t choose_upstream(const ServiceConfig& service, const std::bitset<64>& tried,
                                          std::int64_t now_ns, std::size_t turn) noexcept;
inline constexpr std::size_t kNoUpstream = static_cast<std::size_t>(-1);

// Passive health: after `eject_after_failures` failures in a row the upstream is passed over, for a time that doubles
// with every further failure; one success makes it whole.
void upstream_failed(Upstream& upstream, const UpstreamsConfig& config, std::int64_t now_ns) noexcept;
void upstream_succeeded(Upstream& upstream) noexcept;

struct UpstreamConnection {
  Stream stream;
  Upstream* upstream = nullptr;
  std::size_t index = 0;  // of the upstream in its service
  std::int64_t idle_since_ns = 0;
  std::uint64_t idle_since_look = 0;  // of the loop
  bool reused = false;                // has carried a call before
};

// One worker's side of a service. Counted by its calls, on that worker's thread only.
struct WorkerService : boost::intrusive_ref_counter<WorkerService, boost::thread_unsafe_counter> {
  WorkerService(std::shared_ptr<const ServiceConfig> from, meter::ServiceCells& counted)
      : config(std::move(from)), cells(counted), idle(config->upstreams.size()), sessions(config->upstreams.size()) {}
  ~WorkerService();

  // The most recently used idle connection that is open and silent, or nullptr. If there is one that the loop has
  // looked at since its last answer, one of those.
  std::unique_ptr<UpstreamConnection> take_idle(std::size_t upstream);
  // Keeps the connection for the next call, unless enough are kept.
  void give_idle(std::unique_ptr<UpstreamConnection> connection, std::size_t idle_max, std::int64_t now_ns);
  // What the next new connection to that upstream resumes. `connection` has carried an answer.
  void keep_session(const UpstreamConnection& connection, std::int64_t now_ns);
  // nullptr: there is none, or its upstream was verified too long ago.
  [[nodiscard]] SSL_SESSION* session_of(std::size_t upstream, std::int64_t now_ns) noexcept;
  // Closes all idle ones; how many.
  std::size_t close_idle();
  // Closes those that are idle for too long or that the upstream has closed.
  void sweep(std::int64_t now_ns, std::int64_t idle_ns);

  std::shared_ptr<const ServiceConfig> config;
  meter::ServiceCells& cells;
  std::vector<std::vector<std::unique_ptr<UpstreamConnection>>> idle;  // by upstream; last in, first out
  struct Resumable {
    TlsSession latest;             // for a new connection to resume
    std::int64_t verified_ns = 0;  // when the certificate was last looked at
  };
  std::vector<Resumable> sessions;  // by upstream
  std::size_t turn = 0;
};
using WorkerServicePtr = boost::intrusive_ptr<WorkerService>;

}  // namespace tollgate::gateway
