// Accounts, keys, services and subscriptions in SQLite.
#include "billing/store_sqlite.h"

namespace tollgate::billing {
namespace {

AccountRow read_account(Query& query) {
  AccountRow row;
  row.id = query.text();
  row.name = query.text();
  row.created_at = query.time();
  return row;
}

KeyRow read_key(Query& query) {
  KeyRow row;
  row.id = query.text();
  row.account = query.text();
  row.name = query.text();
  row.hash = query.hash();
  row.created_at = query.time();
  row.expires_at = query.optional_time();
  return row;
}

ServiceRow read_service(Query& query) {
  ServiceRow row;
  row.id = query.text();
  row.model = query.text();
  row.definition = query.text();
  row.removed_at = query.optional_time();
  return row;
}

SubscriptionRow read_subscription(Query& query) {
  SubscriptionRow row;
  row.number = static_cast<std::uint32_t>(query.integer());
  row.account = query.text();
  row.service = query.text();
  row.paid = query.integer() != 0;
  row.plan = query.text();
  row.free_points_granted = Points(query.integer());
  row.free_points_used = Points(query.integer());
  row.created_at = query.time();
  row.call_remainder = query.integer();
  return row;
}

template <class Row>
std::vector<Row> all(Query& query, Row (*read)(Query&)) {
  std::vector<Row> rows;
  while (query.step()) rows.push_back(read(query));
  return rows;
}

template <class Row>
std::optional<Row> first(Query& query, Row (*read)(Query&)) {
  if (!query.step()) return std::nullopt;
  return read(query);
}

// The columns in the order in which the functions above read them.
#define KEY_COLUMNS "SELECT id, account, name, hash, created_at, expires_at FROM keys "
#define SERVICE_COLUMNS "SELECT id, model, definition, removed_at FROM services "
#define SUBSCRIPTION_COLUMNS                                                                                           \
  "SELECT s.number, s.account, s.service, s.paid, s.plan, s.free_points_granted, s.free_points_used, s.created_at, "   \
  "s.call_remainder FROM subscriptions s "
}  // namespace

std::optional<AccountRow> SqliteStore::find_account(std::string_view id) {
  Query query(prepared("SELECT id, name, created_at FROM accounts WHERE id = ?"));
  return first(query.bind(id), read_account);
}

void SqliteStore::insert_account(const AccountRow& row) {
  Query query(prepared("INSERT INTO accounts (id, name, created_at) VALUES (?, ?, ?)"));
  query.bind(row.id, row.name, row.created_at).exec();
}

void SqliteStore::rename_account(std::string_view id, std::string_view name) {
  Query query(prepared("UPDATE accounts SET name = ?2 WHERE id = ?1"));
  query.bind(id, name).exec();
}

std::vector<AccountRow> SqliteStore::accounts(std::string_view after, int limit) {
  Query query(prepared("SELECT id, name, created_at FROM accounts WHERE id > ? ORDER BY id LIMIT ?"));
  return all(query.bind(after, limit), read_account);
}

std::int64_t SqliteStore::count_accounts() {
  Query query(prepared("SELECT count(*) FROM accounts"));
  query.step();
  return query.integer();
}

std::int64_t SqliteStore::count_accounts_in_debt() {
  // ';' follows ':' in ASCII: the range is every name that begins with "cash:".
  Query query(
      prepared("SELECT count(*) FROM balances WHERE ledger_account >= 'cash:' AND ledger_account < 'cash;' "
               "AND credits < debits"));
  query.step();
  return query.integer();
}

std::vector<std::string> SqliteStore::accounts_in_debt() {
  Query query(
      prepared("SELECT substr(ledger_account, 6) FROM balances WHERE ledger_account >= 'cash:' "
               "AND ledger_account < 'cash;' AND credits < debits"));
  std::vector<std::string> accounts;
  while (query.step()) accounts.push_back(query.text());
  return accounts;
}

bool SqliteStore::has_history() {
  Query query(prepared("SELECT EXISTS (SELECT 1 FROM transfers) OR EXISTS (SELECT 1 FROM usage_hours)"));
  query.step();
  return query.integer() != 0;
}

MicroYuan SqliteStore::imbalance() {
  Query query(prepared("SELECT coalesce(sum(debits - credits), 0) FROM balances"));
  query.step();
  return MicroYuan(query.integer());
}

void SqliteStore::insert_key(const KeyRow& row) {
  Query query(prepared("INSERT INTO keys (id, account, name, hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)"));
  query.bind(row.id, row.account, row.name, row.hash, row.created_at, row.expires_at).exec();
}

std::optional<Sha256> SqliteStore::revoke_key(std::string_view account, std::string_view id, WallTime at) {
  Query query(
      prepared("UPDATE keys SET revoked_at = ?3 WHERE account = ?1 AND id = ?2 AND revoked_at IS NULL "
               "RETURNING hash"));
  query.bind(account, id, at);
  if (!query.step()) return std::nullopt;
  const Sha256 hash = query.hash();
  query.exec();  // an UPDATE with RETURNING is done only when it was stepped to its end
  return hash;
}

std::vector<KeyRow> SqliteStore::keys(std::string_view account, std::string_view after, int limit) {
  Query query(prepared(KEY_COLUMNS
                       "WHERE account = ?1 AND revoked_at IS NULL "
                       "AND number > coalesce((SELECT number FROM keys WHERE id = ?2), 0) ORDER BY number LIMIT ?3"));
  return all(query.bind(account, after, limit), read_key);
}

void SqliteStore::each_key(const std::function<void(const KeyRow&)>& visit) {
  Query query(prepared(KEY_COLUMNS "WHERE revoked_at IS NULL ORDER BY number"));
  while (query.step()) visit(read_key(query));
}

std::optional<ServiceRow> SqliteStore::find_service(std::string_view id) {
  Query query(prepared(SERVICE_COLUMNS "WHERE id = ?"));
  return first(query.bind(id), read_service);
}

void SqliteStore::put_service(const ServiceRow& row) {
  models_.clear();
  Query query(
      prepared("INSERT INTO services (id, model, definition, removed_at) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
               "model = excluded.model, definition = excluded.definition, removed_at = excluded.removed_at"));
  query.bind(row.id, row.model, row.definition, row.removed_at).exec();
}

std::vector<ServiceRow> SqliteStore::services(std::string_view after, int limit) {
  Query query(prepared(SERVICE_COLUMNS "WHERE id > ? AND removed_at IS NULL ORDER BY id LIMIT ?"));
  return all(query.bind(after, limit), read_service);
}

std::optional<SubscriptionRow> SqliteStore::find_subscription(std::string_view account, std::string_view service) {
  Query query(prepared(SUBSCRIPTION_COLUMNS "WHERE s.account = ? AND s.service = ?"));
  return first(query.bind(account, service), read_subscription);
}

std::optional<SubscriptionRow> SqliteStore::find_subscription(std::uint32_t number) {
  Query query(prepared_apart(SUBSCRIPTION_COLUMNS "WHERE s.number = ?"));
  return first(query.bind(number), read_subscription);
}

std::uint32_t SqliteStore::insert_subscription(const SubscriptionRow& row) {
  Query query(
      prepared("INSERT INTO subscriptions (account, service, paid, plan, free_points_granted, created_at) "
               "VALUES (?, ?, ?, ?, ?, ?)"));
  query.bind(row.account, row.service, row.paid ? 1 : 0, row.plan, row.free_points_granted, row.created_at).exec();
  return static_cast<std::uint32_t>(database_.getLastInsertRowid());
}

void SqliteStore::set_paid(std::uint32_t number, bool paid) {
  Query query(prepared("UPDATE subscriptions SET paid = ?2 WHERE number = ?1"));
  query.bind(number, paid ? 1 : 0).exec();
}

std::vector<SubscriptionRow> SqliteStore::subscriptions(std::string_view account, std::string_view after, int limit) {
  Query query(prepared(SUBSCRIPTION_COLUMNS "JOIN services v ON v.id = s.service AND v.removed_at IS NULL "
                                            "WHERE s.account = ? AND s.service > ? ORDER BY s.service LIMIT ?"));
  return all(query.bind(account, after, limit), read_subscription);
}

std::vector<SubscriptionRow> SqliteStore::subscriptions_of_service(std::string_view service) {
  Query query(prepared(SUBSCRIPTION_COLUMNS "WHERE s.service = ? ORDER BY s.number"));
  return all(query.bind(service), read_subscription);
}

std::vector<SubscriptionRow> SqliteStore::subscriptions_of_plan(std::string_view plan) {
  Query query(prepared(SUBSCRIPTION_COLUMNS "WHERE s.plan = ? ORDER BY s.number"));
  return all(query.bind(plan), read_subscription);
}

void SqliteStore::each_subscription(const std::function<void(const SubscriptionRow&)>& visit) {
  Query query(
      prepared(SUBSCRIPTION_COLUMNS "JOIN services v ON v.id = s.service AND v.removed_at IS NULL ORDER BY s.number"));
  while (query.step()) visit(read_subscription(query));
}

}  // namespace tollgate::billing
