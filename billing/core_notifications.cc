// Arrears, reminders and the outbox through which they leave.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "billing/account_books.h"
#include "billing/core.h"
#include "billing/page.h"
#include "billing/store.h"

namespace tollgate::billing {
namespace {
__extension__ using Wide = __int128;
constexpr std::chrono::hours kBurnWindow{168};
constexpr std::int64_t kBurnHoursMin = 24;
constexpr std::int32_t kThresholds[] = {24, 48, 72};  // hours left, the most urgent first
constexpr std::chrono::seconds kRetryFirst{5};
constexpr std::chrono::seconds kRetryMax{3600};

// domain.md section 7: hours left = money / (charges / hours), never divided.
struct Burn {
  MicroYuan charges;
  std::int64_t hours = kBurnHoursMin;

  [[nodiscard]] bool above(MicroYuan money, std::int32_t threshold) const {
    return static_cast<Wide>(money.count()) * hours > static_cast<Wide>(charges.count()) * threshold;
  }
  // The most urgent threshold that `money` is not above; 0: above all.
  [[nodiscard]] std::int32_t urgency(MicroYuan money) const {
    for (const std::int32_t threshold : kThresholds) {
      if (!above(money, threshold)) return threshold;
    }
    return 0;
  }
  [[nodiscard]] std::int64_t whole_hours_left(MicroYuan money) const {
    const Wide left = static_cast<Wide>(money.count()) * hours / charges.count();
    return static_cast<std::int64_t>(std::min<Wide>(left, std::numeric_limits<std::int64_t>::max()));
  }
};

Burn burn_of(const ChargesRow& charges, WallTime now) {
  Burn burn{charges.amount, kBurnHoursMin};
  if (!charges.first_at) return burn;
  const std::int64_t since = std::chrono::floor<std::chrono::hours>(now - *charges.first_at).count();
  burn.hours = std::clamp<std::int64_t>(since, kBurnHoursMin, kBurnWindow.count());
  return burn;
}

bool more_urgent(std::int32_t a, std::int32_t b) { return a != 0 && (b == 0 || a < b); }

NotificationKind reminder_of(std::int32_t threshold) {
  if (threshold == 24) return NotificationKind::reminder_24h;
  return threshold == 48 ? NotificationKind::reminder_48h : NotificationKind::reminder_72h;
}

// Ids, names of kinds, instants and amounts need no escapes in JSON.
Notification with_payload(const Store::NotificationRow& row) {
  Notification notification = row.notification;
  notification.id = fmt::format("notification-{}", notification.number);
  notification.payload =
      fmt::format(R"({{"id":"{}","kind":"{}","account":"{}","created_at":"{}","cash":"{}","vouchers":"{}")",
                  notification.id, name_of(notification.kind), notification.account,
                  format_time(notification.created_at), format_yuan(row.cash), format_yuan(row.vouchers));
  if (row.hours_left) notification.payload += fmt::format(R"(,"hours_left":{})", *row.hours_left);
  notification.payload += "}";
  return notification;
}

Fault no_notification(std::int64_t number) {
  return {FaultKind::not_found, "notification_not_found", fmt::format("there is no notification {}", number), {}};
}
}  // namespace

void Core::notify(NotificationKind kind, std::string_view account, std::optional<std::int64_t> hours_left) {
  Store::NotificationRow row;
  row.notification.kind = kind;
  row.notification.account = account;
  row.notification.created_at = now();
  row.notification.next_attempt_at = now();
  row.cash = store_.balance(fmt::format("cash:{}", account));
  row.vouchers = store_.unexpired_vouchers(account, now());
  row.hours_left = hours_left;
  store_.insert_notification(row);
}

void Core::after_settlement(const Books& books) {
  const std::string& account = books.account;
  if (books.cash < MicroYuan()) {
    if (books.was_in_arrears) return;
    notify(NotificationKind::arrears_notice, account, std::nullopt);
    publish_subscriptions_of(account);
    return;
  }
  if (!books.settled) return;
  const Burn burn = burn_of(store_.charges(account, now() - kBurnWindow), now());
  if (burn.charges == MicroYuan()) return;
  MicroYuan money = books.cash;
  for (const auto& voucher : books.vouchers) money += voucher.left;
  const std::int32_t urgency = burn.urgency(money);
  if (urgency == 0 || !more_urgent(urgency, store_.reminded(account))) return;
  store_.set_reminded(account, urgency);
  notify(reminder_of(urgency), account, burn.whole_hours_left(money));
}

// After a deposit: thresholds that the money is above again may be reminded of again.
void Core::rearm_reminders(std::string_view account) {
  const std::int32_t reminded = store_.reminded(account);
  if (reminded == 0) return;
  const Burn burn = burn_of(store_.charges(account, now() - kBurnWindow), now());
  const MicroYuan money = store_.balance(fmt::format("cash:{}", account)) + store_.unexpired_vouchers(account, now());
  const std::int32_t urgency = burn.urgency(money);
  if (more_urgent(reminded, urgency)) store_.set_reminded(account, urgency);
}

Result<std::vector<Notification>> Core::due_notifications(WallTime now, int limit) {
  return in_transaction([&]() -> Result<std::vector<Notification>> {
    std::vector<Notification> due;
    for (const auto& row : store_.due_notifications(now, page_limit(limit))) due.push_back(with_payload(row));
    return due;
  });
}

Result<void> Core::mark_delivered(std::int64_t number, WallTime now) {
  return run([&]() -> Result<void> {
    auto row = store_.find_notification(number);
    if (!row) return no_notification(number);
    Notification& notification = row->notification;
    if (notification.state == NotificationState::delivered) return {};
    notification.state = NotificationState::delivered;
    notification.attempts += 1;
    notification.delivered_at = now;
    store_.update_notification(notification);
    return {};
  });
}

Result<void> Core::mark_failed(std::int64_t number, WallTime now, std::string_view error) {
  return run([&]() -> Result<void> {
    auto row = store_.find_notification(number);
    if (!row) return no_notification(number);
    Notification& notification = row->notification;
    if (notification.state != NotificationState::pending) return {};
    const auto pause = std::min(kRetryMax, kRetryFirst * (1 << std::min(notification.attempts, 10)));
    notification.attempts += 1;
    notification.next_attempt_at = now + pause;
    notification.last_error = error.substr(0, 500);
    if (notification.attempts >= kNotificationAttemptsMax) notification.state = NotificationState::failed;
    store_.update_notification(notification);
    return {};
  });
}

namespace {
Result<std::int64_t> number_after(const std::optional<std::string>& after) {
  std::int64_t last = 0;
  if (!after) return last;
  const char* end = after->data() + after->size();
  const auto [stop, error] = std::from_chars(after->data(), end, last);
  if (error != std::errc() || stop != end) return invalid("after", "not a cursor of this list");
  return last;
}

std::string cursor_of(const Store::NotificationRow& row) { return std::to_string(row.notification.number); }
}  // namespace

Result<Page<Notification>> Core::notifications(std::optional<std::string> after, int limit) {
  return in_transaction([&]() -> Result<Page<Notification>> {
    const auto last = number_after(after);
    if (last.has_error()) return last.error();
    return make_page<Notification>(store_.notifications(*last, page_limit(limit) + 1), limit, with_payload, cursor_of);
  });
}

Result<Page<Notification>> Core::notifications_of(std::string_view account, std::optional<std::string> after,
                                                  int limit) {
  return in_transaction([&]() -> Result<Page<Notification>> {
    if (auto found = need_account(account); found.has_error()) return found.error();
    const auto last = number_after(after);
    if (last.has_error()) return last.error();
    const auto rows = store_.notifications_of(account, *last, page_limit(limit) + 1);
    return make_page<Notification>(rows, limit, with_payload, cursor_of);
  });
}

std::string_view name_of(NotificationKind kind) noexcept {
  switch (kind) {
    case NotificationKind::reminder_72h: return "reminder_72h";
    case NotificationKind::reminder_48h: return "reminder_48h";
    case NotificationKind::reminder_24h: return "reminder_24h";
    case NotificationKind::arrears_notice: return "arrears_notice";
  }
  return "";
}

std::string_view name_of(NotificationState state) noexcept {
  switch (state) {
    case NotificationState::pending: return "pending";
    case NotificationState::delivered: return "delivered";
    case NotificationState::failed: return "failed";
  }
  return "";
}

}  // namespace tollgate::billing
