// Settlements, tier positions, charges and the points ledger in SQLite.
#include <algorithm>
#include <tuple>

#include "base/check.h"
#include "billing/store_sqlite.h"

namespace tollgate::billing {

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

std::vector<HourKey> SqliteStore::open_hours(Hour before, HourKey after, int limit) {
  Query query(
      prepared("SELECT hour, subscription FROM usage_hours WHERE open = 1 AND hour < ? "
               "AND (hour, subscription) > (?, ?) ORDER BY hour, subscription LIMIT ?"));
  query.bind(before, after.hour, after.subscription, limit);
  std::vector<HourKey> keys;
  while (query.step()) {
    const Hour hour{static_cast<std::int32_t>(query.integer())};
    keys.push_back({hour, static_cast<std::uint32_t>(query.integer())});
  }
  return keys;
}

std::string SqliteStore::account_of(std::uint32_t subscription) {
  Query query(prepared("SELECT account FROM subscriptions WHERE number = ?"));
  TOLLGATE_CHECK(query.bind(subscription).step());
  return query.text();
}

// '+' keeps SQLite from the index of all open hours: one account has few, found by its subscriptions, which come by
// service from their index.
std::vector<OpenUsage> SqliteStore::open_usage_of(std::string_view account, Hour until, Month month) {
  Query query(
      prepared("SELECT u.hour, s.number, s.service, s.plan, coalesce(v.model, ''), s.call_remainder, "
               "EXISTS (SELECT 1 FROM migrations g WHERE g.subscription = s.number), "
               "EXISTS (SELECT 1 FROM packages p WHERE p.subscription = s.number), "
               "EXISTS (SELECT 1 FROM count_packs c WHERE c.subscription = s.number), coalesce(m.tier_points, 0), "
               "u.free_points - u.settled_free, u.billable_points - u.settled_billable, "
               "u.calls_unmetered - u.settled_unmetered, u.revision FROM subscriptions s "
               "CROSS JOIN usage_hours u ON u.subscription = s.number LEFT JOIN services v ON v.id = s.service "
               "LEFT JOIN subscription_months m ON m.month = ?3 AND m.subscription = s.number "
               "WHERE s.account = ?1 AND +u.open = 1 "
               "AND u.hour >= (SELECT min(hour) FROM usage_hours WHERE open = 1) AND u.hour <= ?2"));
  query.bind(account, until, month);
  std::vector<OpenUsage> rows;
  while (query.step()) {
    OpenUsage row;
    row.key.hour = Hour{static_cast<std::int32_t>(query.integer())};
    row.key.subscription = static_cast<std::uint32_t>(query.integer());
    row.service = query.text();
    row.plan = query.text();
    row.model = query.text();
    row.call_remainder = query.integer();
    row.migrated = query.integer() != 0;
    row.has_packages = query.integer() != 0;
    row.has_count_packs = query.integer() != 0;
    row.month_points = Points(query.integer());
    row.free_points = Points(query.integer());
    row.billable_points = Points(query.integer());
    row.calls_unmetered = query.integer();
    row.revision = static_cast<std::int32_t>(query.integer());
    rows.push_back(std::move(row));
  }
  const auto by_hour = [](const OpenUsage& a, const OpenUsage& b) {
    return std::tie(a.key.hour, a.service) < std::tie(b.key.hour, b.service);
  };
  if (!std::ranges::is_sorted(rows, by_hour)) std::ranges::sort(rows, by_hour);
  return rows;
}

void SqliteStore::mark_settled(const Settlement& settlement, std::uint32_t subscription) {
  Query query(
      prepared("UPDATE usage_hours SET settled_free = settled_free + ?3, settled_billable = settled_billable + ?4, "
               "settled_unmetered = settled_unmetered + ?5, revision = ?6, "
               "open = settled_free + ?3 < free_points OR settled_billable + ?4 < billable_points "
               "OR settled_unmetered + ?5 < calls_unmetered WHERE subscription = ?1 AND hour = ?2"));
  query
      .bind(subscription, settlement.hour, settlement.free_points, settlement.billable_points,
            settlement.calls_unmetered, settlement.revision)
      .exec();
}

void SqliteStore::insert_settlement(const Settlement& settlement, std::uint32_t subscription,
                                    std::int64_t first_transfer, std::int64_t transfers) {
  Query query(
      prepared("INSERT INTO settlements (hour, subscription, revision, at, plan, free_points, billable_points, "
               "calls_unmetered, unmetered_points, month_points_before, month_points_after, amount, first_transfer, "
               "transfers) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  query
      .bind(settlement.hour, subscription, settlement.revision, settlement.at, settlement.plan, settlement.free_points,
            settlement.billable_points, settlement.calls_unmetered, settlement.unmetered_points,
            settlement.month_points_before, settlement.month_points_after, settlement.amount, first_transfer, transfers)
      .exec();
  std::int32_t number = 0;
  for (const auto& part : settlement.parts) {
    Query insert(
        prepared("INSERT INTO settlement_parts (hour, subscription, revision, part, paid_from, item, points, calls, "
                 "unit_price, amount) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
    insert
        .bind(settlement.hour, subscription, settlement.revision, number++, static_cast<std::int32_t>(part.paid_from),
              part.item, part.points, part.calls, part.unit_price, part.amount)
        .exec();
  }
}

Points SqliteStore::month_points(std::uint32_t subscription, Month month) {
  Query query(prepared("SELECT tier_points FROM subscription_months WHERE month = ? AND subscription = ?"));
  return query.bind(month, subscription).step() ? Points(query.integer()) : Points();
}

void SqliteStore::add_to_month(const Settlement& settlement, std::uint32_t subscription) {
  Query query(
      prepared("INSERT INTO subscription_months (month, subscription, tier_points, free_points, billable_points, "
               "unmetered_points) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
               "tier_points = tier_points + excluded.tier_points, free_points = free_points + excluded.free_points, "
               "billable_points = billable_points + excluded.billable_points, "
               "unmetered_points = unmetered_points + excluded.unmetered_points"));
  query
      .bind(month_of(settlement.hour), subscription, settlement.month_points_after - settlement.month_points_before,
            settlement.free_points, settlement.billable_points, settlement.unmetered_points)
      .exec();
}

void SqliteStore::set_call_remainder(std::uint32_t subscription, std::int64_t points) {
  Query query(prepared("UPDATE subscriptions SET call_remainder = ?2 WHERE number = ?1"));
  query.bind(subscription, points).exec();
}

std::vector<VoucherRow> SqliteStore::vouchers_left(std::string_view account, WallTime now) {
  if (voucher_moved_) write_ledger();
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

// From month to month by the key, since one subscription's months are far apart.
Points SqliteStore::free_points_balance(std::uint32_t subscription) {
  Query query(
      prepared("WITH RECURSIVE months (month) AS (SELECT min(month) FROM subscription_months "
               "UNION ALL SELECT (SELECT min(n.month) FROM subscription_months n WHERE n.month > months.month) "
               "FROM months WHERE months.month IS NOT NULL) "
               "SELECT (SELECT coalesce(sum(iif(reason = 'granted', points, -points)), 0) FROM point_transfers "
               "WHERE subscription = ?1 AND reason <> 'bought') - (SELECT coalesce(sum(s.free_points), 0) FROM months "
               "CROSS JOIN subscription_months s ON s.month = months.month AND s.subscription = ?1)"));
  query.bind(subscription).step();
  return Points(query.integer());
}

}  // namespace tollgate::billing
