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
  Query query(prepared_apart("SELECT account FROM subscriptions WHERE number = ?"));
  TOLLGATE_CHECK(query.bind(subscription).step());
  return query.text();
}

// A settlement asks it of each subscription, and there are few services.
const std::string& SqliteStore::model_of(const std::string& service) {
  const auto [found, fresh] = models_.try_emplace(service);
  if (fresh) {
    Query query(prepared_apart("SELECT model FROM services WHERE id = ?"));
    if (query.bind(service).step()) found->second = query.text();
  }
  return found->second;
}

// '+' keeps SQLite from the index of all open hours: one account has few, found by its subscriptions, which come by
// service from their index.
std::vector<OpenUsage> SqliteStore::open_usage_of(std::string_view account, Hour until, Month month) {
  if (waiting_.accounts.contains(account)) write_waiting();
  Query query(
      prepared_apart("SELECT u.hour, s.number, s.service, s.plan, s.call_remainder, "
                     "s.number IN (SELECT subscription FROM migrations), "
                     "s.number IN (SELECT subscription FROM packages), "
                     "s.number IN (SELECT subscription FROM count_packs), coalesce(m.tier_points, 0), "
                     "u.free_points - u.settled_free, u.billable_points - u.settled_billable, "
                     "u.calls_unmetered - u.settled_unmetered, u.revision FROM subscriptions s "
                     "CROSS JOIN usage_hours u ON u.subscription = s.number "
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
    row.model = model_of(row.service);
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

Points SqliteStore::month_points(std::uint32_t subscription, Month month) {
  Query query(prepared_apart("SELECT tier_points FROM subscription_months WHERE month = ? AND subscription = ?"));
  Points points = query.bind(month, subscription).step() ? Points(query.integer()) : Points();
  for (const auto& row : waiting_.settlements.rows) {
    if (row.subscription != subscription || month_of(row.settlement.hour) != month) continue;
    points += row.settlement.month_points_after - row.settlement.month_points_before;
  }
  return points;
}

void SqliteStore::set_call_remainder(std::uint32_t subscription, std::int64_t points) {
  Query query(prepared_apart("UPDATE subscriptions SET call_remainder = ?2 WHERE number = ?1"));
  query.bind(subscription, points).exec();
}

std::vector<VoucherRow> SqliteStore::vouchers_left(std::string_view account, WallTime now) {
  if (waiting_.voucher_moved) write_waiting();
  Query query(prepared_apart(
      "SELECT d.id, b.credits - b.debits FROM deposits d "
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
      prepared_apart("INSERT INTO charges (account, at, amount) VALUES (?, ?, ?) "
                     "ON CONFLICT DO UPDATE SET amount = amount + excluded.amount"));
  query.bind(account, at, amount).exec();
}

ChargesRow SqliteStore::charges(std::string_view account, WallTime after) {
  ChargesRow row;
  {
    Query sum(prepared_apart("SELECT coalesce(sum(amount), 0) FROM charges WHERE account = ? AND at > ?"));
    sum.bind(account, after).step();
    row.amount = MicroYuan(sum.integer());
  }
  Query first(prepared_apart("SELECT at FROM charges WHERE account = ? ORDER BY at LIMIT 1"));
  if (first.bind(account).step()) row.first_at = first.time();
  return row;
}

std::int32_t SqliteStore::reminded(std::string_view account) {
  Query query(prepared_apart("SELECT hours FROM reminders WHERE account = ?"));
  return query.bind(account).step() ? static_cast<std::int32_t>(query.integer()) : 0;
}

void SqliteStore::set_reminded(std::string_view account, std::int32_t hours) {
  Query query(
      prepared_apart("INSERT INTO reminders (account, hours) VALUES (?, ?) "
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
