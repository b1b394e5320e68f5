// Settlements, tier positions, charges and the points ledger in SQLite.
#include "billing/store_sqlite.h"

namespace tollgate::billing {
namespace {
std::vector<OpenUsage> read_open_usage(Query& query) {
  std::vector<OpenUsage> rows;
  while (query.step()) {
    OpenUsage row;
    row.account = query.text();
    row.subscription = static_cast<std::uint32_t>(query.integer());
    row.hour = Hour{static_cast<std::int32_t>(query.integer())};
    rows.push_back(std::move(row));
  }
  return rows;
}
}  // namespace

std::optional<WallTime> SqliteStore::due_through() {
  Query query(prepared("SELECT at FROM due_through WHERE id = 1"));
  if (!query.step()) return std::nullopt;
  return query.time();
}

void SqliteStore::set_due_through(WallTime at) {
  Query query(prepared("INSERT INTO due_through (id, at) VALUES (1, ?) ON CONFLICT DO UPDATE SET at = excluded.at"));
  query.bind(at).exec();
}

std::optional<WallTime> SqliteStore::first_account_at() {
  Query query(prepared("SELECT min(created_at) FROM accounts"));
  query.step();
  return query.optional_time();
}

std::optional<Hour> SqliteStore::oldest_open_hour() {
  Query query(prepared("SELECT hour FROM usage_hours WHERE open = 1 ORDER BY hour LIMIT 1"));
  if (!query.step()) return std::nullopt;
  return Hour{static_cast<std::int32_t>(query.integer())};
}

std::vector<OpenUsage> SqliteStore::open_usage(Hour before) {
  Query query(
      prepared("SELECT s.account, u.subscription, u.hour FROM usage_hours u "
               "JOIN subscriptions s ON s.number = u.subscription "
               "WHERE u.open = 1 AND u.hour < ? ORDER BY s.account, u.hour, s.service"));
  return read_open_usage(query.bind(before));
}

// '+' keeps SQLite from the index of all open hours: one account has few, found by its subscriptions.
std::vector<OpenUsage> SqliteStore::open_usage_of(std::string_view account, Hour until) {
  Query query(
      prepared("SELECT s.account, u.subscription, u.hour FROM subscriptions s "
               "CROSS JOIN usage_hours u ON u.subscription = s.number WHERE s.account = ?1 AND +u.open = 1 "
               "AND u.hour >= (SELECT min(hour) FROM usage_hours WHERE open = 1) AND u.hour <= ?2 "
               "ORDER BY u.hour, s.service"));
  return read_open_usage(query.bind(account, until));
}

std::optional<UnsettledRow> SqliteStore::unsettled(std::uint32_t subscription, Hour hour) {
  Query query(
      prepared("SELECT calls_succeeded, calls_failed, calls_unmetered, free_points, billable_points, "
               "settled_free, settled_billable, settled_unmetered, revision "
               "FROM usage_hours WHERE subscription = ? AND hour = ?"));
  if (!query.bind(subscription, hour).step()) return std::nullopt;
  UnsettledRow row;
  row.totals.calls_succeeded = query.integer();
  row.totals.calls_failed = query.integer();
  row.totals.calls_unmetered = query.integer();
  row.totals.free_points = Points(query.integer());
  row.totals.billable_points = Points(query.integer());
  row.settled_free = Points(query.integer());
  row.settled_billable = Points(query.integer());
  row.settled_unmetered = query.integer();
  row.revision = static_cast<std::int32_t>(query.integer());
  return row;
}

void SqliteStore::close_usage(std::uint32_t subscription, Hour hour) {
  Query query(
      prepared("UPDATE usage_hours SET settled_free = free_points, settled_billable = billable_points, "
               "settled_unmetered = calls_unmetered, revision = revision + 1, open = 0 "
               "WHERE subscription = ? AND hour = ?"));
  query.bind(subscription, hour).exec();
}

std::int64_t SqliteStore::insert_settlement(const Settlement& settlement, std::uint32_t subscription) {
  Query query(prepared(
      "INSERT INTO settlements (subscription, hour, revision, at, account, month, plan, free_points, billable_points, "
      "calls_unmetered, unmetered_points, month_points_before, month_points_after, amount) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  query
      .bind(subscription, settlement.hour, settlement.revision, settlement.at, settlement.account,
            month_of(settlement.hour), settlement.plan, settlement.free_points, settlement.billable_points,
            settlement.calls_unmetered, settlement.unmetered_points, settlement.month_points_before,
            settlement.month_points_after, settlement.amount)
      .exec();
  return database_.getLastInsertRowid();
}

void SqliteStore::insert_part(std::int64_t settlement, int number, const SettlementPart& part) {
  Query query(
      prepared("INSERT INTO settlement_parts (settlement, part, paid_from, item, points, calls, unit_price, "
               "amount) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"));
  query
      .bind(settlement, number, static_cast<std::int32_t>(part.paid_from), part.item, part.points, part.calls,
            part.unit_price, part.amount)
      .exec();
}

Points SqliteStore::month_points(std::uint32_t subscription, Month month) {
  Query query(prepared("SELECT points FROM month_points WHERE subscription = ? AND month = ?"));
  return query.bind(subscription, month).step() ? Points(query.integer()) : Points();
}

void SqliteStore::add_month_points(std::uint32_t subscription, Month month, Points points) {
  Query query(
      prepared("INSERT INTO month_points (subscription, month, points) VALUES (?, ?, ?) "
               "ON CONFLICT DO UPDATE SET points = points + excluded.points"));
  query.bind(subscription, month, points).exec();
}

void SqliteStore::set_call_remainder(std::uint32_t subscription, std::int64_t points) {
  Query query(prepared("UPDATE subscriptions SET call_remainder = ?2 WHERE number = ?1"));
  query.bind(subscription, points).exec();
}

std::vector<VoucherRow> SqliteStore::vouchers_left(std::string_view account, WallTime now) {
  Query query(
      prepared("SELECT d.id, b.credits - b.debits FROM deposits d "
               "JOIN balances b ON b.ledger_account = 'voucher:' || d.id WHERE d.account = ? AND d.kind = 'voucher' "
               "AND (d.expires_at IS NULL OR d.expires_at > ?) AND b.credits > b.debits "
               "ORDER BY d.expires_at IS NULL, d.expires_at, d.at, d.id"));
  query.bind(account, now);
  std::vector<VoucherRow> rows;
  while (query.step()) {
    std::string id = query.text();
    rows.push_back({std::move(id), MicroYuan(query.integer())});
  }
  return rows;
}

void SqliteStore::add_charge(std::string_view account, WallTime at, MicroYuan amount) {
  Query query(
      prepared("INSERT INTO charges (account, at, amount) VALUES (?, ?, ?) "
               "ON CONFLICT DO UPDATE SET amount = amount + excluded.amount"));
  query.bind(account, at, amount).exec();
}

ChargesRow SqliteStore::charges(std::string_view account, WallTime after) {
  ChargesRow row;
  {
    Query sum(prepared("SELECT coalesce(sum(amount), 0) FROM charges WHERE account = ? AND at > ?"));
    sum.bind(account, after).step();
    row.amount = MicroYuan(sum.integer());
  }
  Query first(prepared("SELECT at FROM charges WHERE account = ? ORDER BY at LIMIT 1"));
  if (first.bind(account).step()) row.first_at = first.time();
  return row;
}

std::int32_t SqliteStore::reminded(std::string_view account) {
  Query query(prepared("SELECT hours FROM reminders WHERE account = ?"));
  return query.bind(account).step() ? static_cast<std::int32_t>(query.integer()) : 0;
}

void SqliteStore::set_reminded(std::string_view account, std::int32_t hours) {
  Query query(
      prepared("INSERT INTO reminders (account, hours) VALUES (?, ?) "
               "ON CONFLICT DO UPDATE SET hours = excluded.hours"));
  query.bind(account, hours).exec();
}

void SqliteStore::post_points(const PointTransfer& transfer) {
  Query query(
      prepared("INSERT INTO point_transfers (at, subscription, debit, credit, points, reason, reference) "
               "VALUES (?, ?, ?, ?, ?, ?, ?)"));
  query
      .bind(transfer.at, transfer.subscription, transfer.debit, transfer.credit, transfer.points, transfer.reason,
            transfer.reference)
      .exec();
}

Points SqliteStore::point_balance(std::string_view point_account) {
  Query query(prepared("SELECT credits - debits FROM point_balances WHERE point_account = ?"));
  return query.bind(point_account).step() ? Points(query.integer()) : Points();
}

}  // namespace tollgate::billing
