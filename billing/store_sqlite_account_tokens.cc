// Accounts' own read-only tokens in SQLite.
#include "billing/store_sqlite.h"

namespace tollgate::billing {
namespace {
std::vector<AccountTokenRow> read_all(Query& query) {
  std::vector<AccountTokenRow> rows;
  while (query.step()) {
    AccountTokenRow& row = rows.emplace_back();
    row.id = query.text();
    row.account = query.text();
    row.name = query.text();
    row.prefix = query.text();
    row.hash = query.hash();
    row.created_at = query.time();
    row.expires_at = query.optional_time();
  }
  return rows;
}

#define TOKEN_COLUMNS "SELECT id, account, name, prefix, hash, created_at, expires_at FROM account_tokens "
}  // namespace

void SqliteStore::insert_account_token(const AccountTokenRow& row) {
  Query query(
      prepared("INSERT INTO account_tokens (id, account, name, prefix, hash, created_at, expires_at) "
               "VALUES (?, ?, ?, ?, ?, ?, ?)"));
  query.bind(row.id, row.account, row.name, row.prefix, row.hash, row.created_at, row.expires_at).exec();
}

std::optional<Sha256> SqliteStore::revoke_account_token(std::string_view account, std::string_view id, WallTime at) {
  Query query(
      prepared("UPDATE account_tokens SET revoked_at = ?3 WHERE account = ?1 AND id = ?2 AND revoked_at IS NULL "
               "RETURNING hash"));
  query.bind(account, id, at);
  if (!query.step()) return std::nullopt;
  const Sha256 hash = query.hash();
  query.exec();  // an UPDATE with RETURNING is done only when it was stepped to its end
  return hash;
}

std::vector<AccountTokenRow> SqliteStore::account_tokens(std::string_view account, std::string_view after, int limit) {
  Query query(
      prepared(TOKEN_COLUMNS
               "WHERE account = ?1 AND revoked_at IS NULL "
               "AND number > coalesce((SELECT number FROM account_tokens WHERE id = ?2), 0) ORDER BY number LIMIT ?3"));
  return read_all(query.bind(account, after, limit));
}

std::vector<AccountTokenRow> SqliteStore::all_account_tokens() {
  Query query(prepared(TOKEN_COLUMNS "WHERE revoked_at IS NULL ORDER BY number"));
  return read_all(query);
}

}  // namespace tollgate::billing
