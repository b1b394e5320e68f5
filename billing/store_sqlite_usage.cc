// Epochs, reported usage and its sums in SQLite.
#include <algorithm>

#include "billing/store_sqlite.h"

namespace tollgate::billing {
namespace {
meter::UsageTotals read_totals(Query& query) {
  meter::UsageTotals totals;
  totals.calls_succeeded = query.integer();
  totals.calls_failed = query.integer();
  totals.calls_unmetered = query.integer();
  totals.free_points = Points(query.integer());
  totals.billable_points = Points(query.integer());
  return totals;
}

#define TOTALS "calls_succeeded, calls_failed, calls_unmetered, free_points, billable_points"
}  // namespace

std::uint32_t SqliteStore::insert_epoch(std::string_view gateway, WallTime at, std::int64_t nonce,
                                        std::uint32_t above) {
  // No row is ever deleted: the largest is the last that was given out.
  Query query(
      prepared("INSERT INTO epochs (epoch, gateway, opened_at, nonce) "
               "SELECT max(coalesce(max(epoch), 0), ?) + 1, ?, ?, nullif(?, 0) FROM epochs"));
  query.bind(above, gateway, at, nonce).exec();
  return static_cast<std::uint32_t>(database_.getLastInsertRowid());
}

std::optional<std::uint32_t> SqliteStore::find_epoch(std::string_view gateway, std::int64_t nonce) {
  Query query(prepared("SELECT epoch FROM epochs WHERE nonce = ? AND gateway = ?"));
  if (!query.bind(nonce, gateway).step()) return std::nullopt;
  return static_cast<std::uint32_t>(query.integer());
}

bool SqliteStore::epoch_exists(std::string_view gateway, std::uint32_t epoch) {
  Query query(prepared("SELECT 1 FROM epochs WHERE epoch = ? AND gateway = ?"));
  return query.bind(epoch, gateway).step();
}

std::optional<meter::UsageTotals> SqliteStore::find_report(const UsageSource& source) {
  Query query(prepared("SELECT " TOTALS " FROM usage_reports "
                       "WHERE gateway = ? AND epoch = ? AND subscription = ? AND hour = ?"));
  if (!query.bind(source.gateway, source.epoch, source.subscription, source.hour).step()) return std::nullopt;
  return read_totals(query);
}

void SqliteStore::put_report(const UsageSource& source, const meter::UsageTotals& totals) {
  Query query(prepared("INSERT OR REPLACE INTO usage_reports (gateway, epoch, subscription, hour, " TOTALS ") "
                       "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  query
      .bind(source.gateway, source.epoch, source.subscription, source.hour, totals.calls_succeeded, totals.calls_failed,
            totals.calls_unmetered, totals.free_points, totals.billable_points)
      .exec();
}

void SqliteStore::add_usage(std::uint32_t subscription, Hour hour, const meter::UsageTotals& increase,
                            CountedBy counted_by) {
  Query sums(prepared("INSERT INTO usage_hours (subscription, hour, " TOTALS ") VALUES (?, ?, ?, ?, ?, ?, ?) "
                      "ON CONFLICT DO UPDATE SET calls_succeeded = calls_succeeded + excluded.calls_succeeded, "
                      "calls_failed = calls_failed + excluded.calls_failed, "
                      "calls_unmetered = calls_unmetered + excluded.calls_unmetered, "
                      "free_points = free_points + excluded.free_points, "
                      "billable_points = billable_points + excluded.billable_points, open = 1"));
  sums.bind(subscription, hour, increase.calls_succeeded, increase.calls_failed, increase.calls_unmetered,
            increase.free_points, increase.billable_points)
      .exec();
  if (increase.free_points == Points()) return;
  const Points counted = counted_by == CountedBy::this_gateway ? increase.free_points : Points();
  Query used(
      prepared("UPDATE subscriptions SET free_points_used = free_points_used + ?2, "
               "free_points_counted = free_points_counted + ?3 WHERE number = ?1"));
  used.bind(subscription, increase.free_points, counted).exec();
}

HourUsage SqliteStore::hour_usage(std::uint32_t subscription, Hour hour) {
  Query query(prepared("SELECT " TOTALS ", settled_billable FROM usage_hours WHERE subscription = ? AND hour = ?"));
  HourUsage usage;
  if (!query.bind(subscription, hour).step()) return usage;
  usage.totals = read_totals(query);
  usage.settled_billable = Points(query.integer());
  return usage;
}

UsageSums SqliteStore::usage_sums() {
  Query query(
      prepared("SELECT coalesce(sum(free_points + billable_points), 0), "
               "coalesce(sum(billable_points - settled_billable), 0), coalesce(sum(calls_unmetered), 0) "
               "FROM usage_hours"));
  query.step();
  UsageSums sums;
  sums.metered = Points(query.integer());
  sums.unsettled = Points(query.integer());
  sums.calls_unmetered = query.integer();
  return sums;
}

Points SqliteStore::free_points_used(std::uint32_t subscription, Hour from, Hour to) {
  Query query(
      prepared("SELECT coalesce(sum(free_points), 0) FROM usage_hours "
               "WHERE subscription = ? AND hour >= ? AND hour < ?"));
  query.bind(subscription, from, to).step();
  return Points(query.integer());
}

std::vector<UsageRow> SqliteStore::usage(const UsageQuery& query) {
  Query rows(prepared("SELECT s.service, u.hour, " TOTALS
                      ", u.settled_billable FROM subscriptions s JOIN usage_hours u ON u.subscription = s.number "
                      "WHERE s.account = ?1 AND (?2 = '' OR s.service = ?2) AND u.hour >= ?3 AND u.hour < ?4 "
                      "AND (u.hour, s.service) > (?5, ?6) ORDER BY u.hour, s.service LIMIT ?7"));
  // A cursor before everything, where there is none: no service is the empty text.
  const UsageCursor after = query.after.value_or(UsageCursor{query.from, ""});
  rows.bind(query.account, query.service.value_or(""), std::max(query.from, after.hour), query.to, after.hour,
            after.service, query.limit);
  std::vector<UsageRow> usage;
  while (rows.step()) {
    UsageRow row;
    row.service = rows.text();
    row.hour = Hour{static_cast<std::int32_t>(rows.integer())};
    row.totals = read_totals(rows);
    row.settled = Points(rows.integer());
    usage.push_back(std::move(row));
  }
  return usage;
}

}  // namespace tollgate::billing
