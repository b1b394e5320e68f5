#include "gateway/app.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <boost/asio/post.hpp>
#include <csignal>
#include <thread>

#include "gateway/app_log.h"
#include "gateway/app_serve.h"

namespace tollgate::gateway {
namespace {
constexpr std::chrono::seconds kCollectPauseMax{5};
constexpr std::int64_t kMeasureBooksEveryNs = 5'000'000'000;  // a look at all books, changed or not

// As many descriptors as the system lets us have: two for each call in flight, one for each idle client.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &limit);
  }
}
}  // namespace

int run_serve(const Config& config, const ConfigSource& source) {
  set_up_log(config.log);
  raise_descriptor_limit();
  std::signal(SIGPIPE, SIG_IGN);
  Serve serve(config, source);
  if (const auto started = serve.start(); !started) {
    spdlog::error("cannot start: {} ({})", started.error().message, started.error().code);
    return 1;
  }
  serve.run();
  return 0;
}

void Serve::run() {
  wait_for_signal();
  main_.run();
  drain_thread_.join();
  spdlog::info("stopped");
}

void Serve::wait_for_signal() {
  signals_.async_wait([this](const error_code& error, int signal) {
    if (error) return;
    if (signal == SIGHUP) {
      reload();
    } else if (!draining_.load(std::memory_order_relaxed)) {
      begin_drain();
    } else {
      spdlog::warn("second signal: ending what is still in flight");
      for (auto& worker : workers_) worker->post([raw = worker.get()] { raw->abandon(); });
    }
    wait_for_signal();
  });
}

// No new calls; those in flight end in their time, and after drain_ms are ended.
void Serve::begin_drain() {
  draining_.store(true, std::memory_order_relaxed);
  spdlog::info("draining: finishing what is in flight, at most {} ms", config_->timeouts.drain_ms);
  for (auto& worker : workers_) worker->post([raw = worker.get()] { raw->begin_drain(); });
  drain_timer_.expires_after(std::chrono::milliseconds(config_->timeouts.drain_ms));
  drain_timer_.async_wait([this](const error_code& error) {
    if (error) return;
    spdlog::warn("drain_ms is over: ending what is still in flight");
    for (auto& worker : workers_) worker->post([raw = worker.get()] { raw->abandon(); });
  });
  drain_thread_ = std::thread([this] {
    for (auto& worker : workers_) worker->join();
    asio::post(main_, [this] {
      drain_timer_.cancel();
      signals_.cancel();
      main_.stop();
    });
  });
}

void Serve::reload() {
  LoadedConfig loaded = load_config(source_.path, source_.sets);
  if (!loaded.faults.empty()) {
    for (const auto& fault : loaded.faults) spdlog::error("{}: {}", fault.where, fault.message);
    spdlog::error("the configuration is unchanged: {} faults", loaded.faults.size());
    reloads_bad_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  Config& fresh = loaded.config;
  std::shared_ptr<const TlsContexts> contexts;
  if (serves_tls_ && !fresh.tls.listen.empty()) {
    auto read = TlsContexts::load(fresh.tls);
    if (!read) {
      spdlog::error("{}; the configuration is unchanged", read.error().message);
      reloads_bad_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    contexts = *std::move(read);
  }
  const bool fixed_changed =
      fresh.listen != config_->listen || fresh.tls.listen != config_->tls.listen ||
      fresh.admin_listen != config_->admin_listen || fresh.data_dir != config_->data_dir ||
      fresh.gateway != config_->gateway || fresh.workers != config_->workers || fresh.user != config_->user ||
      fresh.core_dumps != config_->core_dumps || fresh.billing.clock != config_->billing.clock ||
      fresh.billing.webhook_url != config_->billing.webhook_url || fresh.journal.slots != config_->journal.slots ||
      fresh.journal.slots_max != config_->journal.slots_max || fresh.billing.catalog != config_->billing.catalog ||
      fresh.billing.plans != config_->billing.plans || fresh.log.access_log != config_->log.access_log;
  if (fixed_changed)
    spdlog::warn(
        "addresses, data_dir, user, core_dumps, gateway, workers, journal.slots, journal.slots_max, billing and "
        "log.access_log take a "
        "restart");
  set_up_log(fresh.log);
  if (access_log_) access_log_->reopen();
  config_ = std::make_shared<const Config>(std::move(fresh));
  collect_interval_ms_.store(config_->journal.collect_interval_ms, std::memory_order_relaxed);
  keeper_->set_bounds(keeper_bounds(config_->journal));
  for (auto& worker : workers_) {
    worker->post([raw = worker.get(), config = config_, contexts] {
      raw->set_config(config);
      if (contexts) raw->set_tls(contexts);
    });
  }
  reloads_good_.fetch_add(1, std::memory_order_relaxed);
  spdlog::info("configuration reloaded");
}

// ---- what the admin API asks ----

std::int32_t Serve::in_flight(std::uint32_t subscription) {
  const limiter::Subscription* known = directory_->by_number(subscription);
  return known == nullptr ? 0 : known->in_flight.load(std::memory_order_relaxed);
}

void Serve::flush_usage() { collect_usage(); }

std::string Serve::metrics() { return metrics_->text(); }

std::string Serve::not_ready_because() {
  if (draining_.load(std::memory_order_relaxed)) return "draining";
  if (!ready_.load(std::memory_order_relaxed)) return "starting";
  if (!keeper_->is_durable()) return "the journal cannot be written to the disk";
  return {};
}

// ---- recurring work ----

void Serve::collect_usage() {
  Hour oldest = hour_of(plane_->clock.now());
  for (const auto& worker : workers_) oldest = std::min(oldest, worker->latest_hour());
  const std::int64_t begun = steady_ns();
  const auto collected = collector_->collect(oldest);
  unacknowledged_points_.store(collector_->unacknowledged().count(), std::memory_order_relaxed);
  if (collected) {
    last_merge_ns_.store(begun, std::memory_order_relaxed);
  } else {
    collect_failures_.fetch_add(1, std::memory_order_relaxed);
    spdlog::error("usage is kept in the journal, the store did not take it: {}", collected.error().message);
  }
}

std::chrono::nanoseconds pause_after_collection(std::chrono::nanoseconds interval,
                                                std::chrono::nanoseconds took) noexcept {
  return std::max(interval, std::min<std::chrono::nanoseconds>(9 * took, kCollectPauseMax));
}

void Serve::schedule_collection() {
  const std::chrono::milliseconds interval(collect_interval_ms_.load(std::memory_order_relaxed));
  collect_timer_->expires_after(pause_after_collection(interval, last_collection_));
  collect_timer_->async_wait([this](const error_code& error) {
    // An expired timer's handler may be queued already when it is cancelled: then it must not arm it again.
    if (error || stopping_) return;
    const std::int64_t begun = steady_ns();
    collect_usage();
    last_collection_ = std::chrono::nanoseconds(steady_ns() - begun);
    quiescence_->collect();
    if (entitlements_->take_changed()) books_changed_ = true;  // by usage: an account is guarded, or no longer
    if (begun - books_looked_at_ns_ >= kMeasureBooksEveryNs) {
      books_changed_ = true;
      books_looked_at_ns_ = begun;
    }
    measure_changed_books();
    schedule_collection();
  });
}

void Serve::publish_service(const std::string& id, const std::shared_ptr<const ServiceConfig>& service) {
  for (auto& worker : workers_) {
    worker->post([raw = worker.get(), id, service] {
      if (service) {
        raw->put_service(service);
      } else {
        raw->remove_service(id);
      }
    });
  }
}

}  // namespace tollgate::gateway
