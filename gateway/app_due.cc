// What time brings: settlements on the hour, in slices so that other work of the billing thread gets its turn, and
// the notifications that leave afterwards.
#include <spdlog/spdlog.h>

#include <filesystem>
#include <fstream>

#include "gateway/admin_token.h"
#include "gateway/app_serve.h"

namespace tollgate::gateway {
namespace {
constexpr std::chrono::seconds kLookEvery{1};
// Looking at every account's balance takes its time in a large store: it rests this many times as long in between.
constexpr std::int64_t kMeasuringRest = 20;

// A restart goes on at the same instant: what is stored must not lie in the future. Renamed into place, so that a kill
// leaves the instant of before or the new one.
void keep_manual_clock(const std::string& path, WallTime now) {
  const std::string fresh = path + ".new";
  std::ofstream file(fresh, std::ios::trunc);
  file << format_time(now);
  file.close();
  std::error_code error;
  if (file) std::filesystem::rename(fresh, path, error);
  if (!file || error) spdlog::error("cannot keep the manual clock in {}", path);
}
}  // namespace

// The manual clock was moved: everything is done when this returns, and the answer follows.
Result<void> Serve::run_due(WallTime now) {
  if (now < manual_now_) {
    for (auto& worker : workers_) worker->post([raw = worker.get()] { raw->forget_hours(); });
  }
  manual_now_ = now;
  manual_set_at_ = steady_now();
  keep_manual_clock(manual_clock_file_, now);
  return run_all_due(now);
}

Result<void> Serve::run_all_due(WallTime now) {
  billing::DueRun run;
  for (bool more = true; more;) {
    const auto piece = core_->run_due_piece(now, run);
    if (piece.has_error()) return piece.error();
    more = *piece;
    books_changed();
  }
  due_hour_ = hour_of(now);
  end_of_due(run);
  return {};
}

void Serve::schedule_due() {
  due_timer_->expires_after(kLookEvery);
  due_timer_->async_wait([this](const error_code& error) {
    if (error || stopping_) return;
    schedule_due();  // first: whatever goes wrong in a look, there is a next one
    look_for_due();
  });
}

void Serve::look_for_due() {
  outbox_->deliver_due();
  const Hour hour = hour_of(plane_->clock.now());
  if (due_running_ || hour == due_hour_) return;
  collect_usage();  // so that what was used up to the hour's end is settled with it
  due_run_ = {};
  run_due_slice(plane_->clock.now());
}

void Serve::run_due_slice(WallTime now) {
  due_running_ = false;
  if (stopping_) return;
  const auto more = core_->run_due_piece(now, due_run_);
  if (more.has_error()) {  // still due: the next look tries again
    spdlog::error("settlement: {}", more.error().message);
    return;
  }
  books_changed();
  // Posted, not looped: what came in meanwhile goes first.
  if (*more) {
    due_running_ = true;
    return billing_->post([this, now] { run_due_slice(now); });
  }
  due_hour_ = hour_of(now);
  end_of_due(due_run_);
}

void Serve::end_of_due(const billing::DueRun& run) {
  if (run.hours > 0) settlement_put_off_.store(run.failures, std::memory_order_relaxed);
  if (run.failures > 0) {
    spdlog::error("settlement: {} hours of subscriptions were put off to the next boundary, the last because: {}",
                  run.failures, run.failure);
  } else {
    const auto now = std::chrono::floor<std::chrono::seconds>(plane_->clock.now().time_since_epoch());
    settlement_last_success_.store(now.count(), std::memory_order_relaxed);
  }
  if (run.settlements > 0) spdlog::info("settlement: {} settlements of {} hours", run.settlements, run.hours);
  measure_books();
  outbox_->deliver_due();
}

void Serve::books_changed() {
  books_changed_ = true;
  measure_changed_books();
}

void Serve::measure_changed_books() {
  const bool rested = steady_ns() - books_measured_ns_ >= kMeasuringRest * books_measuring_ns_;
  if (books_changed_ && rested) measure_books();
}

void Serve::measure_books() {
  const std::int64_t begun = steady_ns();
  books_changed_ = false;
  const auto counts = core_->account_counts();
  accounts_active_.store(counts.active, std::memory_order_relaxed);
  accounts_arrears_.store(counts.arrears, std::memory_order_relaxed);
  if (const auto imbalance = core_->ledger_imbalance()) {
    ledger_imbalance_.store(imbalance->count(), std::memory_order_relaxed);
  }
  if (const auto status = core_->settlement_status()) {
    settlement_lag_hours_.store(status->lag_hours, std::memory_order_relaxed);
  }
  books_measured_ns_ = steady_ns();
  books_measuring_ns_ = books_measured_ns_ - begun;
}

void Serve::audited(std::int64_t broken) {
  const auto now = std::chrono::floor<std::chrono::seconds>(plane_->clock.now().time_since_epoch());
  audit_broken_.store(broken, std::memory_order_relaxed);
  audit_last_.store(now.count(), std::memory_order_relaxed);
}

// A test clock stands still, and a receiver that was down would never be tried again: for the outbox it goes on from
// where it was set.
WallTime Serve::outbox_now() const {
  if (!manual_clock_) return system_clock_.now();
  const auto since = std::chrono::duration_cast<std::chrono::microseconds>(steady_now() - manual_set_at_);
  return manual_now_ + since;
}

Result<void> Serve::start_outbox() {
  std::unique_ptr<Webhook> webhook;
  if (const auto& url = config_->billing.webhook_url; !url.empty()) {
    const auto target = parse_webhook_url(url);
    if (!target) return target.error();
    auto secret = load_webhook_secret(*config_);
    if (!secret) return secret.error();
    const std::chrono::milliseconds timeout(config_->billing.webhook_timeout_ms);
    WebhookOptions options{*target, *std::move(secret), config_->billing.webhook_allow_private, timeout};
    webhook = std::make_unique<Webhook>(std::move(options), system_clock_);
  }
  outbox_ = std::make_unique<Outbox>(
      *core_, *billing_, [this] { return outbox_now(); }, std::move(webhook));
  return {};
}

void Serve::stop_due() {
  if (due_timer_) due_timer_->cancel();
}

}  // namespace tollgate::gateway
