#include "gateway/app_outbox.h"

#include <spdlog/spdlog.h>

namespace tollgate::gateway {

Outbox::Outbox(billing::Core& core, BillingThread& billing, std::function<WallTime()> now,
               std::unique_ptr<Webhook> webhook)
    : core_(core), billing_(billing), now_(std::move(now)), webhook_(std::move(webhook)) {}

void Outbox::deliver_due() {
  if (in_flight_.size() >= kInFlightMax) return;
  // Those in flight are still due, so as many more must be asked for.
  const auto due = core_.due_notifications(now_(), static_cast<int>(2 * kInFlightMax));
  if (due.has_error()) {
    spdlog::error("the outbox cannot be read: {}", due.error().message);
    return;
  }
  for (const auto& notification : *due) {
    if (in_flight_.size() >= kInFlightMax) return;
    if (in_flight_.insert(notification.number).second) attempt(notification);
  }
}

void Outbox::attempt(const billing::Notification& notification) {
  const auto number = notification.number;
  const auto kind = notification.kind;
  if (!webhook_) {
    spdlog::warn("notification: {}", notification.payload);
    billing_.post([this, number, kind] { finish(number, kind, std::nullopt); });
    return;
  }
  webhook_->send({notification.id, notification.payload}, [this, number, kind](std::optional<std::string> failure) {
    billing_.post([this, number, kind, failure = std::move(failure)] { finish(number, kind, failure); });
  });
}

void Outbox::finish(std::int64_t number, billing::NotificationKind kind, const std::optional<std::string>& failure) {
  in_flight_.erase(number);
  const auto counter = static_cast<std::size_t>(kind);
  (failure ? failed_ : delivered_)[counter].fetch_add(1, std::memory_order_relaxed);
  if (failure) spdlog::error("notification {} was not delivered: {}", number, *failure);
  const auto marked = failure ? core_.mark_failed(number, now_(), *failure) : core_.mark_delivered(number, now_());
  if (marked.has_error()) {  // then it will be sent again: at least once
    spdlog::error("notification {}: its delivery state was not kept: {}", number, marked.error().message);
    return;
  }
  deliver_due();
}

void Outbox::stop() {
  if (webhook_) webhook_->stop();
}

}  // namespace tollgate::gateway
