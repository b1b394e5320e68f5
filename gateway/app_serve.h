// The running process as one object: its parts by value in the order in which they depend on each other.
// app.cc starts and stops it; nobody else sees it but the benchmark of its scrape.
#pragma once

#include <atomic>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "billing/core.h"
#include "billing/store.h"
#include "gateway/access_log.h"
#include "gateway/admin_server.h"
#include "gateway/app_entitlements.h"
#include "gateway/app_outbox.h"
#include "gateway/app_price_lists.h"
#include "gateway/billing_thread.h"
#include "gateway/config.h"
#include "gateway/early_ports.h"
#include "gateway/traffic.h"
#include "gateway/worker.h"
#include "meter/collector.h"
#include "meter/journal.h"
#include "meter/journal_keeper.h"
#include "meter/metrics.h"

namespace tollgate::gateway {

// Between two rounds of collection, of which the last took so long. A round costs with the subscriptions in use, and
// totals are cumulative: where rounds are long, fewer of them carry the same. So that they take a tenth of a core, or
// what is needed to wait no longer than 5 s.
[[nodiscard]] std::chrono::nanoseconds pause_after_collection(std::chrono::nanoseconds interval,
                                                              std::chrono::nanoseconds took) noexcept;

class Serve final : public Traffic {
 public:
  Serve(const Config& config, const ConfigSource& source);
  ~Serve() override;

  Result<void> start();
  void run();  // until the drain has ended

  // ---- Traffic ----
  std::int32_t in_flight(std::uint32_t subscription) override;
  void flush_usage() override;
  std::string metrics() override;
  std::string not_ready_because() override;

 private:
  // Start, in order.
  Result<void> become_configured_user(std::size_t workers);  // app_user.cc, as the next
  Result<void> bind_early_ports(std::size_t workers);
  Result<void> choose_clock();
  void bound_connections(std::int64_t workers);
  Result<void> open_stores();
  Result<void> start_billing();  // on the billing thread: epoch, what the journal still holds, entitlements
  Result<void> take_over_journal();
  Result<void> deliver_usage(const meter::UsageReport& report);
  Result<void> listen(Transport transport, const std::string& address);
  Result<void> start_workers();
  Result<void> start_admin();
  void add_metrics();
  static meter::KeeperBounds keeper_bounds(const JournalConfig& journal);

  // Recurring.
  void collect_usage();        // billing thread
  void schedule_collection();  // billing thread
  void measure_books();        // billing thread: what metrics show of the store
  void books_changed();        // billing thread: measured at once, or in a round of collection if that costs much
  void measure_changed_books();
  void audited(std::int64_t broken);  // billing thread

  // What falls due (app_due.cc); billing thread but for start_outbox().
  Result<void> start_outbox();
  Result<void> run_due(WallTime now);  // the manual clock was moved
  Result<void> run_all_due(WallTime now);
  void schedule_due();
  void look_for_due();
  void run_due_slice(WallTime now);
  void end_of_due(const billing::DueRun& run);
  void stop_due();
  [[nodiscard]] WallTime outbox_now() const;

  // Signals and the end.
  void wait_for_signal();
  void begin_drain();
  void reload();
  void publish_service(const std::string& id, const std::shared_ptr<const ServiceConfig>& service);

  const ConfigSource source_;
  bool serves_tls_ = false;               // since the start; main thread only
  std::shared_ptr<const Config> config_;  // main thread only; workers hold their own
  asio::io_context main_{1};
  asio::signal_set signals_{main_};
  asio::steady_timer drain_timer_{main_};

  EarlyPorts early_ports_;  // empty once everybody listens

  SystemClock system_clock_;
  std::optional<ManualClock> manual_clock_;
  const std::string manual_clock_file_;
  WallTime manual_now_;  // billing thread, as the next
  SteadyTime manual_set_at_;
  std::chrono::nanoseconds last_collection_{0};  // how long the last scheduled round took; billing thread
  std::int64_t books_looked_at_ns_ = 0;          // steady; billing thread, as those below
  bool books_changed_ = false;                   // since the last look at them
  std::int64_t books_measured_ns_ = 0;           // when it ended, on the steady clock
  std::int64_t books_measuring_ns_ = 0;          // how long it took
  Hour due_hour_;                                // the last one in which everything due was run
  bool due_running_ = false;                     // between two slices
  bool stopping_ = false;                        // nothing is armed again
  billing::DueRun due_run_;
  PriceLists prices_;

  std::unique_ptr<billing::Store> store_;
  std::unique_ptr<meter::Journal> journal_;
  std::optional<meter::JournalKeeper> keeper_;
  std::optional<limiter::Quiescence> quiescence_;
  std::optional<limiter::Directory> directory_;
  std::optional<meter::Metrics> metrics_;
  std::unique_ptr<AccessLog> access_log_;
  std::unique_ptr<Plane> plane_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::optional<Entitlements> entitlements_;
  std::optional<billing::Core> core_;
  std::unique_ptr<meter::Collector> collector_;
  std::set<std::uint32_t> adopted_epochs_;  // of the journal, that this store did not give out
  std::optional<BillingThread> billing_;
  std::optional<asio::steady_timer> collect_timer_;
  std::optional<asio::steady_timer> due_timer_;
  std::unique_ptr<Outbox> outbox_;
  std::unique_ptr<AdminServer> admin_;
  std::thread drain_thread_;  // waits for the workers, so that the main thread hears further signals

  // Written by one thread each, read when metrics are scraped; each is a fact of its own, so relaxed is enough.
  std::atomic<bool> ready_{false};
  std::atomic<bool> draining_{false};
  std::atomic<std::int64_t> collect_interval_ms_;  // written by a reload on the main thread
  std::atomic<std::int64_t> last_merge_ns_{0};
  std::atomic<std::int64_t> unacknowledged_points_{0};
  std::atomic<std::int64_t> collect_failures_{0};
  std::atomic<std::int64_t> usage_set_aside_{0};
  std::atomic<std::int64_t> accounts_active_{0};
  std::atomic<std::int64_t> accounts_arrears_{0};
  std::atomic<std::int64_t> ledger_imbalance_{0};
  std::atomic<std::int64_t> audit_broken_{0};
  std::atomic<std::int64_t> audit_last_{0};               // unix seconds; 0: none yet
  std::atomic<std::int64_t> settlement_last_success_{0};  // unix seconds
  std::atomic<std::int64_t> settlement_lag_hours_{0};
  std::atomic<std::int64_t> settlement_put_off_{0};
  std::atomic<std::int64_t> wrong_tokens_{0};
  std::atomic<std::int64_t> reloads_good_{0};
  std::atomic<std::int64_t> reloads_bad_{0};
};

}  // namespace tollgate::gateway
