// Starting and stopping: every part in the order in which others depend on it, and back.
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>
#include <thread>

#include "gateway/admin_token.h"
#include "gateway/app_serve.h"
#include "gateway/listen_address.h"
#include "gateway/refusal.h"

namespace tollgate::gateway {
namespace {
Fault start_fault(std::string message) { return {FaultKind::unavailable, "start_failed", std::move(message), ""}; }

Result<std::string> read_text(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  if (!(text << file.rdbuf())) return start_fault("cannot read " + path);
  return std::move(text).str();
}

// Runs `work` on the billing thread and waits: for the start, when nobody else does.
template <class Work>
auto run_and_wait(BillingThread& thread, Work work) {
  std::promise<decltype(work())> done;
  auto result = done.get_future();
  thread.post([&] { done.set_value(work()); });
  return result.get();
}

// How many descriptors the process may have, or a number beyond all needs.
std::int64_t descriptors_max() {
  constexpr rlim_t kPlenty = 1U << 30U;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return kPlenty;
  return static_cast<std::int64_t>(std::min(limit.rlim_cur, kPlenty));
}

// Whoever holds connections to the admin API open must not take the descriptors that calls need.
std::int64_t admin_connections_max() {
  return std::clamp<std::int64_t>(descriptors_max() / 8, 4, AdminOptions().connections_max);
}

// Idle clients must not take them either: each connection is let in with one for its upstream.
std::int64_t with_their_upstreams(std::int64_t descriptors) { return std::max<std::int64_t>(descriptors / 2, 1); }

constexpr std::int64_t kOfAWorker = 5;  // three of its loop, two listeners

std::int64_t connections_by_own_descriptors() {
  constexpr std::int64_t kOthers = 11;  // the standard ones, and some to spare
  return with_their_upstreams(descriptors_max() - kOthers - kOfAWorker);
}

std::int64_t connections_by_shared_descriptors(std::int64_t workers) {
  constexpr std::int64_t kOthers = 40;  // store, journal, logs, the other threads' loops
  const std::int64_t own = kOthers + workers * kOfAWorker;
  return with_their_upstreams((descriptors_max() - own - admin_connections_max()) / workers);
}
}  // namespace

meter::KeeperBounds Serve::keeper_bounds(const JournalConfig& journal) {
  return {journal.sync_interval_ms, journal.unsynced_ms_max, Points(journal.unsynced_points_max)};
}

Serve::Serve(const Config& config, const ConfigSource& source)
    : source_(source),
      config_(std::make_shared<const Config>(config)),
      manual_clock_file_(config.data_dir + "/manual-clock"),
      collect_interval_ms_(config.journal.collect_interval_ms) {}

Result<void> Serve::start() {
  const auto cores = static_cast<std::int64_t>(std::max(1U, std::thread::hardware_concurrency()));
  const auto workers = static_cast<std::size_t>(config_->workers > 0 ? config_->workers : cores);
  if (auto r = become_configured_user(workers); !r) return r;
  if (auto r = choose_clock(); !r) return r;
  auto prices = load_price_lists(config_->billing);
  if (!prices) return prices.error();
  prices_ = std::move(*prices);
  if (auto r = open_stores(); !r) return r;
  quiescence_.emplace(workers);
  directory_.emplace(*quiescence_);
  metrics_.emplace(workers, reason_codes());
  if (!config_->log.access_log.empty()) {
    auto log = AccessLog::open(config_->log.access_log, workers,
                               static_cast<std::size_t>(config_->log.access_log_queue_bytes));
    if (!log) return log.error();
    access_log_ = std::move(*log);
  }
  const Clock& clock = manual_clock_ ? static_cast<const Clock&>(*manual_clock_) : system_clock_;
  plane_.reset(new Plane{clock, *directory_, *quiescence_, *journal_, *keeper_, *metrics_, access_log_.get()});
  bound_connections(static_cast<std::int64_t>(workers));
  for (std::size_t i = 0; i < workers; ++i) workers_.push_back(std::make_unique<Worker>(i, *plane_, config_));
  if (auto r = start_billing(); !r) return r;
  add_metrics();
  // Signals before the listeners: whoever sees us ready may also tell us to stop.
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) signals_.add(signal);
  if (auto r = start_workers(); !r) return r;
  if (auto r = start_admin(); !r) return r;
  ready_.store(true, std::memory_order_relaxed);
  return {};
}

void Serve::bound_connections(std::int64_t workers) {
  plane_->connections_by_own_descriptors = connections_by_own_descriptors();
  plane_->connections_by_shared_descriptors = connections_by_shared_descriptors(workers);
  if (plane_->connections_by_own_descriptors >= config_->limits.connections_max) return;
  spdlog::info(
      "{} descriptors allow each of the workers ({}) {} client connections, limits.connections_max all of them {}",
      descriptors_max(), workers, plane_->connections_by_own_descriptors, config_->limits.connections_max);
}

Result<void> Serve::choose_clock() {
  if (config_->billing.clock != "manual") return {};
  manual_now_ = system_clock_.now();
  if (std::error_code ignored; std::filesystem::exists(manual_clock_file_, ignored)) {
    const auto kept = read_text(manual_clock_file_);
    const auto instant = kept ? parse_time(*kept) : std::nullopt;
    // Today's time instead would put what is stored into the future or the past.
    if (!instant) return start_fault(manual_clock_file_ + " does not hold an instant");
    manual_now_ = *instant;
  }
  manual_clock_.emplace(manual_now_);
  spdlog::warn("billing.clock is manual: time stands still until POST /v1/clock moves it; for tests only");
  return {};
}

Result<void> Serve::open_stores() {
  auto store = billing::open_sqlite_store(config_->data_dir);
  if (!store) return store.error();
  store_ = std::move(*store);
  const auto& sizes = config_->journal;
  auto journal =
      meter::Journal::open({config_->data_dir + "/journal", config_->gateway, store_->identity(),
                            static_cast<std::uint32_t>(sizes.slots), static_cast<std::uint32_t>(sizes.slots_max)});
  if (!journal) return journal.error();
  journal_ = std::move(*journal);
  keeper_.emplace(*journal_, keeper_bounds(sizes), [](bool good, const std::string& what) {
    spdlog::log(good ? spdlog::level::info : spdlog::level::err, "{}", what);
  });
  return {};
}

Result<void> Serve::start_billing() {
  entitlements_.emplace(*directory_,
                        [this](const std::string& id, const std::shared_ptr<const ServiceConfig>& service) {
                          publish_service(id, service);
                        });
  core_.emplace(*store_, prices_.catalog(), prices_.plans(), plane_->clock, *entitlements_);
  billing_.emplace();
  collect_timer_.emplace(billing_->context());
  due_timer_.emplace(billing_->context());
  manual_set_at_ = steady_now();
  if (auto r = start_outbox(); !r) return r;
  return run_and_wait(*billing_, [this]() -> Result<void> {
    // What an earlier process counted is merged before anything is published: used free points stay used.
    if (auto taken = take_over_journal(); !taken) return taken;
    keeper_->start();
    if (auto published = core_->publish_all(); !published) return published;
    measure_books();
    schedule_collection();
    if (manual_clock_) {
      // Nothing is due at a time that is shown: a move of the clock that a kill cut short ends here.
      if (auto done = run_all_due(manual_now_); !done) return done;
    } else {
      // What fell due while no process ran is caught up in slices, with the traffic already served.
      look_for_due();
    }
    schedule_due();
    return {};
  });
}

Result<void> Serve::listen(Transport transport, const std::string& address) {
  auto endpoint = parse_listen_address(address);
  if (!endpoint) return start_fault("not an IP address and port: " + address);
  // The workers share the address by SO_REUSEPORT, and so would another process of ours: ask for it alone first.
  if (endpoint->port() != 0 && !early_ports_.holds(*endpoint)) {
    asio::ip::tcp::acceptor alone(main_.get_executor());
    error_code error;
    alone.open(endpoint->protocol(), error);
    if (!error) alone.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) alone.bind(*endpoint, error);
    if (!error) alone.listen(1, error);
    if (error) return start_fault("cannot listen on " + address + ": " + error.message());
  }
  for (auto& worker : workers_) {
    if (const auto error = worker->listen(transport, *endpoint, early_ports_.take(*endpoint))) {
      return start_fault("cannot listen on " + address + ": " + error.message());
    }
    endpoint->port(worker->port(transport));  // port 0: the first one's choice is for all
  }
  spdlog::info("serving{} on {}:{} with {} workers", transport == Transport::tls ? " TLS" : "",
               endpoint->address().to_string(), endpoint->port(), workers_.size());
  return {};
}

Result<void> Serve::start_workers() {
  if (!config_->tls.listen.empty()) {
    auto contexts = TlsContexts::load(config_->tls);
    if (!contexts) return contexts.error();
    serves_tls_ = true;
    for (auto& worker : workers_) worker->set_tls(*contexts);
    if (auto r = listen(Transport::tls, config_->tls.listen); !r) return r;
  }
  if (auto r = listen(Transport::plain, config_->listen); !r) return r;
  for (auto& worker : workers_) worker->start();
  return {};
}

Result<void> Serve::start_admin() {
  const auto token = load_admin_token(*config_);
  if (!token) return token.error();
  AdminOptions options;
  options.listen = config_->admin_listen;
  options.connections_max = static_cast<std::size_t>(admin_connections_max());
  if (const auto endpoint = parse_listen_address(options.listen)) options.bound = early_ports_.take(*endpoint);
  options.token = token->token;
  const auto reader = load_billing_read_token(*config_, token->token);
  if (!reader) return reader.error();
  options.billing_read_token = *reader;
  options.run_due = [this](WallTime now) { return run_due(now); };
  options.changed = [this] { books_changed(); };
  options.wrong_token = [this] { wrong_tokens_.fetch_add(1, std::memory_order_relaxed); };
  options.audited = [this](std::int64_t broken) { audited(broken); };
  try {
    admin_ = std::make_unique<AdminServer>(options, *billing_, *core_, *this, plane_->clock,
                                           manual_clock_ ? &*manual_clock_ : nullptr);
  } catch (const std::exception& error) {
    return start_fault(error.what());
  }
  spdlog::info("admin API on port {}", admin_->port());
  return {};
}

// The way back. Everything counted is merged and synced once more when no worker can count any longer.
Serve::~Serve() {
  for (auto& worker : workers_) {
    worker->post([raw = worker.get()] {
      raw->begin_drain();
      raw->abandon();
    });
  }
  for (auto& worker : workers_) worker->join();
  admin_.reset();
  if (billing_) {
    run_and_wait(*billing_, [this] {
      stopping_ = true;
      stop_due();
      if (collect_timer_) collect_timer_->cancel();
      if (collector_) collect_usage();
      return 0;
    });
    if (outbox_) outbox_->stop();
    billing_->stop();
  }
  if (keeper_) keeper_->stop();
  workers_.clear();
}

}  // namespace tollgate::gateway
