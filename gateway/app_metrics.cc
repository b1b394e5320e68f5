// The metrics that are read from wherever the truth is, when Prometheus asks.
#include "gateway/app_serve.h"

namespace tollgate::gateway {
namespace {
double value_of(const std::atomic<std::int64_t>& number) {
  return static_cast<double>(number.load(std::memory_order_relaxed));
}
}  // namespace

void Serve::add_metrics() {
  using meter::ReadMetric;
  const auto gauge = [this](const char* name, const char* help, std::function<double()> read,
                            std::vector<std::pair<std::string, std::string>> labels = {}) {
    metrics_->add(ReadMetric{name, help, false, std::move(labels), std::move(read)});
  };
  const auto counter = [this](const char* name, const char* help, std::function<double()> read,
                              std::vector<std::pair<std::string, std::string>> labels = {}) {
    metrics_->add(ReadMetric{name, help, true, std::move(labels), std::move(read)});
  };
  const auto of_workers = [this](const meter::Cell meter::WorkerCells::*which) {
    return [this, which] {
      std::int64_t sum = 0;
      for (std::size_t i = 0; i < workers_.size(); ++i) sum += (metrics_->worker(i).*which).load();
      return static_cast<double>(sum);
    };
  };
  gauge("client_connections", "Client connections open now.", of_workers(&meter::WorkerCells::client_connections));
  counter("client_connections_refused_total",
          "Client connections closed at once: too many, or no descriptors, and none idle.",
          of_workers(&meter::WorkerCells::connections_refused));
  counter("client_connections_refused_by_address_total",
          "Client connections closed at once: their address had limits.connections_per_address_max.",
          of_workers(&meter::WorkerCells::connections_refused_by_address));
  constexpr const char* handshakes_help = "TLS handshakes of clients; resumed: by a session of an earlier connection.";
  counter("tls_handshakes_total", handshakes_help, of_workers(&meter::WorkerCells::tls_handshakes),
          {{"outcome", "full"}});
  counter("tls_handshakes_total", handshakes_help, of_workers(&meter::WorkerCells::tls_handshakes_resumed),
          {{"outcome", "resumed"}});
  counter("tls_handshakes_total", handshakes_help, of_workers(&meter::WorkerCells::tls_handshakes_failed),
          {{"outcome", "failed"}});
  counter("client_connections_evicted_total", "Idle client connections closed to make room for new ones.",
          of_workers(&meter::WorkerCells::connections_evicted));
  counter("key_failures_total", "Requests with a key that is not valid.",
          of_workers(&meter::WorkerCells::key_failures));
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    gauge("loop_lag_seconds", "How late a worker's event loop is, smoothed.",
          [this, i] { return static_cast<double>(metrics_->worker(i).loop_lag_ns.load()) / 1e9; },
          {{"worker", std::to_string(i)}});
  }
  counter("refused_held_back_total", "Connections read later because their last call was refused and a worker is late.",
          of_workers(&meter::WorkerCells::refused_held_back));
  gauge("buffer_bytes", "Memory that calls hold in buffers, against limits.buffer_bytes_max.",
        of_workers(&meter::WorkerCells::buffer_bytes));
  counter("log_left_out_total", "Lines of the log about single calls and connections beyond 10 per worker and second.",
          of_workers(&meter::WorkerCells::log_left_out));
  counter("access_log_left_out_total", "Access log lines of refused calls beyond log.access_log_refusals_per_s_max.",
          of_workers(&meter::WorkerCells::access_log_left_out));
  counter("access_log_dropped_total", "Access log lines dropped because the queue was full.",
          of_workers(&meter::WorkerCells::access_log_dropped));
  constexpr const char* slots_help = "Slots of the journal: used, free, or damaged and set aside.";
  gauge("journal_slots", slots_help, [this] { return static_cast<double>(journal_->slots_used()); },
        {{"state", "used"}});
  gauge("journal_slots", slots_help,
        [this] { return static_cast<double>(journal_->slots_total() - journal_->slots_used()); }, {{"state", "free"}});
  gauge("journal_slots", slots_help, [this] { return static_cast<double>(journal_->slots_damaged()); },
        {{"state", "damaged"}});
  gauge("journal_unsynced_seconds", "Age of the oldest count that a power cut could take.",
        [this] { return static_cast<double>(steady_ns() - keeper_->last_sync_ns()) / 1e9; });
  gauge("journal_durable",
        "1: what is counted reaches the disk; 0: it does not, and free and prepaid calls are refused.",
        [this] { return keeper_->is_durable() ? 1.0 : 0.0; });
  counter("journal_sync_failures_total", "Syncs of the journal that the disk refused.",
          [this] { return static_cast<double>(keeper_->sync_failures()); });
  counter("journal_grow_failures_total", "Attempts to enlarge the journal that the disk refused.",
          [this] { return static_cast<double>(keeper_->grow_failures()); });
  gauge("journal_findings", "What was amiss with the journal at the start, mended or set aside; the log says what.",
        [this] { return static_cast<double>(journal_->findings().size()); });
  counter("usage_set_aside_total", "Entries of an earlier process's usage that the store could not place.",
          [this] { return value_of(usage_set_aside_); });
  gauge("usage_unacknowledged_points", "Points counted that the billing core has not taken yet.",
        [this] { return value_of(unacknowledged_points_); });
  gauge("usage_merge_age_seconds", "Age of the oldest usage that the billing core may not have taken yet.", [this] {
    const std::int64_t last = last_merge_ns_.load(std::memory_order_relaxed);
    return last == 0 ? 0 : static_cast<double>(steady_ns() - last) / 1e9;
  });
  counter("usage_report_failures_total", "Rounds in which the billing core did not take the usage.",
          [this] { return value_of(collect_failures_); });
  constexpr const char* accounts_help = "Accounts, by state.";
  gauge("accounts", accounts_help, [this] { return value_of(accounts_active_); }, {{"state", "active"}});
  gauge("accounts", accounts_help, [this] { return value_of(accounts_arrears_); }, {{"state", "arrears"}});
  gauge("ledger_imbalance",
        "Debits less credits of the whole ledger, in micro-yuan: anything but 0 is a broken ledger.",
        [this] { return value_of(ledger_imbalance_); });
  gauge("audit_broken_invariants", "Invariants that did not hold in the last audit that was asked for.",
        [this] { return value_of(audit_broken_); });
  gauge("audit_last_timestamp_seconds", "When that audit was, in seconds since 1970; 0: none was asked for yet.",
        [this] { return value_of(audit_last_); });
  gauge("settlement_last_success_timestamp_seconds",
        "When settlement last ended with nothing put off, in seconds since 1970; 0: not yet.",
        [this] { return value_of(settlement_last_success_); });
  gauge("settlement_put_off", "Hours of subscriptions that the last settlement could not settle; the log says why.",
        [this] { return value_of(settlement_put_off_); });
  gauge("settlement_lag_hours", "Ended hours from the oldest one with usage that is not settled; 0: all is settled.",
        [this] { return value_of(settlement_lag_hours_); });
  for (std::size_t i = 0; i < Outbox::kKinds; ++i) {
    const auto kind = static_cast<billing::NotificationKind>(i);
    constexpr const char* help = "Attempts to deliver a reminder or notice, by kind and result.";
    const std::string name(name_of(kind));
    counter("notifications_total", help, [this, kind] { return static_cast<double>(outbox_->delivered(kind)); },
            {{"kind", name}, {"result", "delivered"}});
    counter("notifications_total", help, [this, kind] { return static_cast<double>(outbox_->failed(kind)); },
            {{"kind", name}, {"result", "failed"}});
  }
  counter("admin_wrong_tokens_total", "Requests under /v1 of the admin API without a right token.",
          [this] { return value_of(wrong_tokens_); });
  constexpr const char* reloads_help = "Configuration reloads, by result.";
  counter("config_reloads_total", reloads_help, [this] { return value_of(reloads_good_); }, {{"result", "succeeded"}});
  counter("config_reloads_total", reloads_help, [this] { return value_of(reloads_bad_); }, {{"result", "failed"}});
  gauge("build_info", "Always 1; the version is in the label.", [] { return 1.0; }, {{"version", TOLLGATE_VERSION}});
}

}  // namespace tollgate::gateway
