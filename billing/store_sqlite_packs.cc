// Packages, count packs, plans in use and migrations in SQLite.
#include "billing/store_sqlite.h"

namespace tollgate::billing {
namespace {
std::vector<Package> read_packages(Query& query) {
  std::vector<Package> packages;
  while (query.step()) {
    Package package;
    package.id = query.text();
    package.points = Points(query.integer());
    package.points_left = Points(query.integer());
    package.price = MicroYuan(query.integer());
    package.bought_at = query.time();
    package.expires_at = query.time();
    packages.push_back(std::move(package));
  }
  return packages;
}

MigrationRow read_migration(Query& query) {
  MigrationRow row;
  row.subscription = static_cast<std::uint32_t>(query.integer());
  row.from = Hour{static_cast<std::int32_t>(query.integer())};
  row.before = query.text();
  row.after = query.text();
  row.asked_at = query.time();
  return row;
}

#define PACKAGE_COLUMNS "SELECT id, points, points_left, price, bought_at, expires_at FROM packages "
#define MIGRATION_COLUMNS "SELECT subscription, from_hour, plan_before, plan_after, asked_at FROM migrations "
}  // namespace

std::unordered_set<std::uint32_t> SqliteStore::subscriptions_with_purchases() {
  Query query(
      prepared("SELECT subscription FROM qps_packs UNION SELECT subscription FROM packages "
               "UNION SELECT subscription FROM count_packs"));
  std::unordered_set<std::uint32_t> subscriptions;
  while (query.step()) subscriptions.insert(static_cast<std::uint32_t>(query.integer()));
  return subscriptions;
}

void SqliteStore::insert_package(std::uint32_t subscription, const Package& package) {
  Query query(
      prepared("INSERT INTO packages (id, subscription, points, points_left, price, bought_at, expires_at) "
               "VALUES (?, ?, ?, ?, ?, ?, ?)"));
  query
      .bind(package.id, subscription, package.points, package.points_left, package.price, package.bought_at,
            package.expires_at)
      .exec();
}

std::vector<Package> SqliteStore::packages(std::uint32_t subscription, WallTime not_expired_at) {
  Query query(
      prepared_apart(PACKAGE_COLUMNS "WHERE subscription = ? AND expires_at > ? ORDER BY expires_at, bought_at, id"));
  return read_packages(query.bind(subscription, not_expired_at));
}

std::vector<Package> SqliteStore::packages_covering(std::uint32_t subscription, WallTime begin, WallTime end) {
  Query query(prepared_apart(PACKAGE_COLUMNS "WHERE subscription = ? AND expires_at > ? AND bought_at < ? "
                                             "AND points_left > 0 ORDER BY expires_at, bought_at, id"));
  return read_packages(query.bind(subscription, begin, end));
}

void SqliteStore::use_package(std::string_view id, Points points) {
  Query query(prepared_apart("UPDATE packages SET points_left = points_left - ?2 WHERE id = ?1"));
  query.bind(id, points).exec();
}

void SqliteStore::insert_count_pack(std::uint32_t subscription, const CountPack& pack) {
  Query query(
      prepared("INSERT INTO count_packs (id, subscription, calls, calls_left, price, bought_at) "
               "VALUES (?, ?, ?, ?, ?, ?)"));
  query.bind(pack.id, subscription, pack.calls, pack.calls_left, pack.price, pack.bought_at).exec();
}

std::vector<CountPack> SqliteStore::count_packs(std::uint32_t subscription, WallTime end) {
  Query query(
      prepared_apart("SELECT id, calls, calls_left, price, bought_at FROM count_packs "
                     "WHERE subscription = ? AND bought_at < ? AND calls_left > 0 ORDER BY bought_at, id"));
  query.bind(subscription, end);
  std::vector<CountPack> packs;
  while (query.step()) {
    CountPack pack;
    pack.id = query.text();
    pack.calls = query.integer();
    pack.calls_left = query.integer();
    pack.price = MicroYuan(query.integer());
    pack.bought_at = query.time();
    packs.push_back(std::move(pack));
  }
  return packs;
}

void SqliteStore::use_count_pack(std::string_view id, std::int64_t calls) {
  Query query(prepared_apart("UPDATE count_packs SET calls_left = calls_left - ?2 WHERE id = ?1"));
  query.bind(id, calls).exec();
}

void SqliteStore::pin_plan(std::string_view id, std::string_view canonical, WallTime at) {
  // Not by ON CONFLICT: a trigger refuses every second row of an id.
  Query query(
      prepared("INSERT INTO plans (id, canonical, pinned_at) SELECT ?1, ?2, ?3 "
               "WHERE NOT EXISTS (SELECT 1 FROM plans WHERE id = ?1)"));
  query.bind(id, canonical, at).exec();
}

std::vector<std::pair<std::string, std::string>> SqliteStore::pinned_plans() {
  Query query(prepared("SELECT id, canonical FROM plans ORDER BY id"));
  std::vector<std::pair<std::string, std::string>> plans;
  while (query.step()) {
    std::string id = query.text();
    plans.emplace_back(std::move(id), query.text());
  }
  return plans;
}

std::vector<std::string> SqliteStore::plans_in_use() {
  Query query(
      prepared("SELECT plan FROM subscriptions UNION SELECT plan_before FROM migrations "
               "UNION SELECT plan_after FROM migrations"));
  std::vector<std::string> plans;
  while (query.step()) plans.push_back(query.text());
  return plans;
}

void SqliteStore::insert_migration(const MigrationRow& row) {
  Query query(
      prepared("INSERT INTO migrations (subscription, from_hour, plan_before, plan_after, asked_at) "
               "VALUES (?, ?, ?, ?, ?)"));
  query.bind(row.subscription, row.from, row.before, row.after, row.asked_at).exec();
}

std::optional<MigrationRow> SqliteStore::open_migration(std::uint32_t subscription) {
  Query query(prepared(MIGRATION_COLUMNS "WHERE subscription = ? AND applied = 0 ORDER BY from_hour LIMIT 1"));
  if (!query.bind(subscription).step()) return std::nullopt;
  return read_migration(query);
}

std::vector<MigrationRow> SqliteStore::open_migrations(Hour until) {
  Query query(prepared(MIGRATION_COLUMNS "WHERE applied = 0 AND from_hour <= ? ORDER BY from_hour, subscription"));
  query.bind(until);
  std::vector<MigrationRow> rows;
  while (query.step()) rows.push_back(read_migration(query));
  return rows;
}

std::optional<Hour> SqliteStore::first_open_migration() {
  Query query(prepared("SELECT from_hour FROM migrations WHERE applied = 0 ORDER BY from_hour LIMIT 1"));
  if (!query.step()) return std::nullopt;
  return Hour{static_cast<std::int32_t>(query.integer())};
}

void SqliteStore::apply_migration(const MigrationRow& row, Points granted) {
  Query plan(prepared("UPDATE subscriptions SET plan = ?2, free_points_granted = ?3 WHERE number = ?1"));
  plan.bind(row.subscription, row.after, granted).exec();
  Query applied(prepared("UPDATE migrations SET applied = 1 WHERE subscription = ? AND from_hour = ?"));
  applied.bind(row.subscription, row.from).exec();
}

std::optional<std::string> SqliteStore::plan_at(std::uint32_t subscription, Hour hour) {
  {
    Query later(
        prepared_apart("SELECT plan_before FROM migrations WHERE subscription = ? AND from_hour > ? "
                       "ORDER BY from_hour LIMIT 1"));
    if (later.bind(subscription, hour).step()) return later.text();
  }
  Query last(prepared("SELECT plan_after FROM migrations WHERE subscription = ? ORDER BY from_hour DESC LIMIT 1"));
  if (!last.bind(subscription).step()) return std::nullopt;
  return last.text();
}

}  // namespace tollgate::billing
