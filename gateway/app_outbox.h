// Empties the billing core's outbox: each notification that is due goes to the webhook, or to the log without one,
// and the core hears how it went. It holds no notification itself, so a crash loses none.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <unordered_set>

#include "billing/core.h"
#include "gateway/billing_thread.h"
#include "gateway/webhook.h"

namespace tollgate::gateway {

class Outbox {
 public:
  static constexpr std::size_t kKinds = 4;        // of billing::NotificationKind
  static constexpr std::size_t kInFlightMax = 8;  // attempts at once: a slow receiver must not delay all others

  // `now` says when a retry is due. `webhook` null: the log. All that is referred to must outlive the outbox.
  Outbox(billing::Core& core, BillingThread& billing, std::function<WallTime()> now, std::unique_ptr<Webhook> webhook);

  // Starts an attempt for what is due. Billing thread, never waits; to be called about every second.
  void deliver_due();

  // No attempt is under way afterwards; what was cut off is tried again at the next start. Not the billing thread.
  void stop();

  // For metrics: any thread.
  [[nodiscard]] std::int64_t delivered(billing::NotificationKind kind) const noexcept { return read(delivered_, kind); }
  [[nodiscard]] std::int64_t failed(billing::NotificationKind kind) const noexcept { return read(failed_, kind); }

 private:
  // Written on the billing thread, read when metrics are scraped; each is a fact of its own, so relaxed is enough.
  using Counters = std::array<std::atomic<std::int64_t>, kKinds>;

  static std::int64_t read(const Counters& counters, billing::NotificationKind kind) noexcept {
    return counters[static_cast<std::size_t>(kind)].load(std::memory_order_relaxed);
  }
  void attempt(const billing::Notification& notification);
  void finish(std::int64_t number, billing::NotificationKind kind, const std::optional<std::string>& failure);

  billing::Core& core_;
  BillingThread& billing_;
  std::function<WallTime()> now_;
  std::unordered_set<std::int64_t> in_flight_;  // by number; billing thread
  Counters delivered_{};
  Counters failed_{};
  std::unique_ptr<Webhook> webhook_;
};

}  // namespace tollgate::gateway
