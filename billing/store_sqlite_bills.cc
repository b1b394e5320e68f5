// What bills, explanations and the outbox are read from in SQLite.
#include "billing/store_sqlite.h"

namespace tollgate::billing {
namespace {
SettlementPart read_part(Query& query) {
  SettlementPart part;
  part.paid_from = static_cast<PaidFrom>(query.integer());
  part.item = query.text();
  part.points = Points(query.integer());
  part.calls = query.integer();
  part.unit_price = MicroYuan(query.integer());
  part.amount = MicroYuan(query.integer());
  return part;
}

Store::NotificationRow read_notification(Query& query) {
  Store::NotificationRow row;
  Notification& notification = row.notification;
  notification.number = query.integer();
  notification.kind = static_cast<NotificationKind>(query.integer());
  notification.account = query.text();
  notification.created_at = query.time();
  row.cash = MicroYuan(query.integer());
  row.vouchers = MicroYuan(query.integer());
  row.hours_left = query.optional_integer();
  notification.state = static_cast<NotificationState>(query.integer());
  notification.attempts = static_cast<std::int32_t>(query.integer());
  notification.next_attempt_at = query.time();
  notification.delivered_at = query.optional_time();
  notification.last_error = query.text();
  return row;
}

std::vector<Store::NotificationRow> read_notifications(Query& query) {
  std::vector<Store::NotificationRow> rows;
  while (query.step()) rows.push_back(read_notification(query));
  return rows;
}

#define PART_COLUMNS "p.paid_from, p.item, p.points, p.calls, p.unit_price, p.amount"
#define TRANSFER_COLUMNS "SELECT id, at, debit, credit, amount, reason, reference FROM transfers "
#define NOTIFICATION_COLUMNS                                                                                           \
  "SELECT number, kind, account, created_at, cash, vouchers, hours_left, state, attempts, next_attempt_at, "           \
  "delivered_at, last_error FROM notifications "
}  // namespace

// Hours are found by usage: settlements of one subscription are far apart.
std::vector<BillPartRow> SqliteStore::bill_parts(std::string_view account, Month month) {
  Query query(prepared(
      "SELECT t.first_transfer, t.transfers, t.subscription, t.revision, s.service, t.hour, t.at, " PART_COLUMNS
      " FROM subscriptions s CROSS JOIN usage_hours u ON u.subscription = s.number AND u.hour >= ?2 AND u.hour < ?3 "
      "CROSS JOIN settlements t ON t.hour = u.hour AND t.subscription = u.subscription "
      "CROSS JOIN settlement_parts p ON p.hour = t.hour AND p.subscription = t.subscription "
      "AND p.revision = t.revision WHERE s.account = ?1 ORDER BY t.at, t.hour, s.service, t.revision, p.part"));
  query.bind(account, hour_of(begin_of(month)), hour_of(begin_of(next(month))));
  std::vector<BillPartRow> rows;
  while (query.step()) {
    BillPartRow row;
    row.first_transfer = query.integer();
    row.transfers = query.integer();
    row.subscription = static_cast<std::uint32_t>(query.integer());
    row.revision = static_cast<std::int32_t>(query.integer());
    row.service = query.text();
    row.hour = Hour{static_cast<std::int32_t>(query.integer())};
    row.at = query.time();
    row.part = read_part(query);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<PurchaseRow> SqliteStore::purchases(std::string_view account, WallTime from, WallTime to) {
  Query query(
      prepared("SELECT s.service, b.item, b.id, b.price, b.bought_at FROM subscriptions s JOIN ("
               "SELECT subscription, 2 AS item, id, price, bought_at FROM packages "
               "UNION ALL SELECT subscription, 3, id, price, bought_at FROM count_packs "
               "UNION ALL SELECT subscription, 4, id, price, bought_at FROM qps_packs) b ON b.subscription = s.number "
               "WHERE s.account = ? AND b.bought_at >= ? AND b.bought_at < ? ORDER BY b.bought_at, b.id"));
  static_assert(static_cast<int>(PaidFrom::package) == 2 && static_cast<int>(PaidFrom::count_pack) == 3 &&
                static_cast<int>(PaidFrom::qps_pack) == 4);
  query.bind(account, from, to);
  std::vector<PurchaseRow> rows;
  while (query.step()) {
    PurchaseRow row;
    row.service = query.text();
    row.item = static_cast<PaidFrom>(query.integer());
    row.id = query.text();
    row.price = MicroYuan(query.integer());
    row.at = query.time();
    rows.push_back(std::move(row));
  }
  return rows;
}

std::optional<Transfer> SqliteStore::find_transfer(std::string_view account, std::int64_t id) {
  Query query(prepared(TRANSFER_COLUMNS "WHERE id = ? AND account = ?"));
  if (!query.bind(id, account).step()) return std::nullopt;
  return read_transfer(query);
}

std::vector<Transfer> SqliteStore::transfers_of(std::string_view reason, std::string_view reference) {
  Query query(prepared(TRANSFER_COLUMNS "WHERE reason = ? AND reference = ? AND reason <> 'usage' ORDER BY id"));
  query.bind(reason, reference);
  std::vector<Transfer> rows;
  while (query.step()) rows.push_back(read_transfer(query));
  return rows;
}

std::optional<Settlement> SqliteStore::find_settlement(const SettlementKey& key) {
  Settlement settlement;
  std::int64_t first = 0;
  std::int64_t transfers = 0;
  {
    Query query(
        prepared("SELECT t.first_transfer, t.transfers, s.account, s.service, t.at, t.plan, t.free_points, "
                 "t.billable_points, t.calls_unmetered, t.unmetered_points, t.month_points_before, "
                 "t.month_points_after, t.amount FROM settlements t JOIN subscriptions s ON s.number = t.subscription "
                 "WHERE t.hour = ? AND t.subscription = ? AND t.revision = ?"));
    if (!query.bind(key.hour, key.subscription, key.revision).step()) return std::nullopt;
    first = query.integer();
    transfers = query.integer();
    settlement.account = query.text();
    settlement.service = query.text();
    settlement.hour = key.hour;
    settlement.revision = key.revision;
    settlement.at = query.time();
    settlement.plan = query.text();
    settlement.free_points = Points(query.integer());
    settlement.billable_points = Points(query.integer());
    settlement.calls_unmetered = query.integer();
    settlement.unmetered_points = Points(query.integer());
    settlement.month_points_before = Points(query.integer());
    settlement.month_points_after = Points(query.integer());
    settlement.amount = MicroYuan(query.integer());
  }
  Query parts(prepared("SELECT " PART_COLUMNS " FROM settlement_parts p WHERE p.hour = ? AND p.subscription = ? "
                       "AND p.revision = ? ORDER BY p.part"));
  parts.bind(key.hour, key.subscription, key.revision);
  while (parts.step()) settlement.parts.push_back(read_part(parts));
  Query paid(prepared(TRANSFER_COLUMNS "WHERE id >= ? AND id < ? ORDER BY id"));
  paid.bind(first, first + transfers);
  while (paid.step()) settlement.transfers.push_back(read_transfer(paid));
  return settlement;
}

// Epochs are few, one for each start of a gateway; an index of the reports by hour would cost every report.
std::vector<ReportedUsage> SqliteStore::reported(std::uint32_t subscription, Hour hour) {
  Query query(
      prepared("SELECT r.gateway, r.epoch, r.calls_succeeded, r.calls_failed, r.calls_unmetered, "
               "r.free_points, r.billable_points FROM epochs e CROSS JOIN usage_reports r ON r.gateway = e.gateway "
               "AND r.epoch = e.epoch AND r.subscription = ? AND r.hour = ? ORDER BY e.epoch"));
  query.bind(subscription, hour);
  std::vector<ReportedUsage> rows;
  while (query.step()) {
    ReportedUsage row;
    row.gateway = query.text();
    row.epoch = static_cast<std::uint32_t>(query.integer());
    row.totals.calls_succeeded = query.integer();
    row.totals.calls_failed = query.integer();
    row.totals.calls_unmetered = query.integer();
    row.totals.free_points = Points(query.integer());
    row.totals.billable_points = Points(query.integer());
    rows.push_back(std::move(row));
  }
  return rows;
}

void SqliteStore::insert_notification(const NotificationRow& row) {
  Query query(
      prepared("INSERT INTO notifications (kind, account, created_at, cash, vouchers, hours_left, "
               "next_attempt_at) VALUES (?, ?, ?, ?, ?, ?, ?)"));
  const Notification& notification = row.notification;
  query
      .bind(static_cast<std::int32_t>(notification.kind), notification.account, notification.created_at, row.cash,
            row.vouchers, row.hours_left, notification.next_attempt_at)
      .exec();
}

std::vector<Store::NotificationRow> SqliteStore::notifications(std::int64_t after, int limit) {
  Query query(prepared(NOTIFICATION_COLUMNS "WHERE number > ? ORDER BY number LIMIT ?"));
  return read_notifications(query.bind(after, limit));
}

std::vector<Store::NotificationRow> SqliteStore::notifications_of(std::string_view account, std::int64_t after,
                                                                  int limit) {
  Query query(prepared(NOTIFICATION_COLUMNS "WHERE account = ? AND number > ? ORDER BY number LIMIT ?"));
  return read_notifications(query.bind(account, after, limit));
}

std::vector<Store::NotificationRow> SqliteStore::due_notifications(WallTime now, int limit) {
  Query query(prepared(NOTIFICATION_COLUMNS "WHERE state = 0 AND next_attempt_at <= ? ORDER BY number LIMIT ?"));
  return read_notifications(query.bind(now, limit));
}

std::optional<Store::NotificationRow> SqliteStore::find_notification(std::int64_t number) {
  Query query(prepared(NOTIFICATION_COLUMNS "WHERE number = ?"));
  if (!query.bind(number).step()) return std::nullopt;
  return read_notification(query);
}

void SqliteStore::update_notification(const Notification& notification) {
  Query query(
      prepared("UPDATE notifications SET state = ?2, attempts = ?3, next_attempt_at = ?4, delivered_at = ?5, "
               "last_error = ?6 WHERE number = ?1"));
  query
      .bind(notification.number, static_cast<std::int32_t>(notification.state), notification.attempts,
            notification.next_attempt_at, notification.delivered_at, notification.last_error)
      .exec();
}

}  // namespace tollgate::billing
