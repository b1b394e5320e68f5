// Declared and not yet built; goes away with the next commit.
#include "billing/core.h"

namespace tollgate::billing {
namespace {
Fault missing() { return {FaultKind::unavailable, "not_implemented_yet", "not implemented yet", {}}; }
}  // namespace

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
std::string_view name_of(BillLineKind kind) noexcept {
  switch (kind) {
    case BillLineKind::tier: return "tier";
    case BillLineKind::package: return "package";
    case BillLineKind::count_pack: return "count_pack";
    case BillLineKind::purchase: return "purchase";
    case BillLineKind::adjustment: return "adjustment";
  }
  return "";
}
std::string_view name_of(PaidFrom paid_from) noexcept {
  switch (paid_from) {
    case PaidFrom::tier: return "tier";
    case PaidFrom::call: return "call";
    case PaidFrom::package: return "package";
    case PaidFrom::count_pack: return "count_pack";
    case PaidFrom::qps_pack: return "qps_pack";
  }
  return "";
}

Result<Package> Core::buy_package(std::string_view, std::string_view, Points) { return missing(); }
Result<CountPack> Core::buy_count_pack(std::string_view, std::string_view, std::int64_t) { return missing(); }
Result<Migration> Core::migrate(std::string_view, std::string_view, std::string_view) { return missing(); }
Result<DueRun> Core::run_due(WallTime) { return DueRun{}; }
Result<bool> Core::run_due_piece(WallTime, DueRun&) { return false; }
Result<SettlementStatus> Core::settlement_status() { return SettlementStatus{}; }
Result<Bill> Core::bill(std::string_view, Month) { return missing(); }
Result<Explanation> Core::explain_transfer(std::string_view, std::int64_t) { return missing(); }
Result<Explanation> Core::explain_line(std::string_view, Month, std::string_view) { return missing(); }
Result<Quote> Core::quote(std::string_view, std::optional<Points>, std::optional<std::int64_t>, Points,
                          std::optional<std::string>) {
  return missing();
}
Result<std::vector<Notification>> Core::due_notifications(WallTime, int) { return std::vector<Notification>{}; }
Result<void> Core::mark_delivered(std::int64_t, WallTime) { return missing(); }
Result<void> Core::mark_failed(std::int64_t, WallTime, std::string_view) { return missing(); }
Result<Page<Notification>> Core::notifications(std::optional<std::string>, int) { return Page<Notification>{}; }

}  // namespace tollgate::billing
