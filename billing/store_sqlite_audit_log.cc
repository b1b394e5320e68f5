// The audit log of changes in SQLite; the audit of the books is in store_sqlite_audit.cc.
#include "billing/store_sqlite.h"

namespace tollgate::billing {

AuditHead SqliteStore::audit_head() {
  Query query(prepared("SELECT sequence, hash FROM audit_log ORDER BY sequence DESC LIMIT 1"));
  if (!query.step()) return empty_audit_log();
  AuditHead head;
  head.sequence = query.integer();
  head.hash = query.text();
  return head;
}

void SqliteStore::insert_audit_row(const AuditRow& row) {
  Query query(
      prepared("INSERT INTO audit_log (sequence, at, role, address, request_id, method, path, body, status, made, "
               "previous_hash, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  const AuditChange& change = row.change;
  query
      .bind(row.sequence, row.at, change.role, change.address, change.request_id, change.method, change.path,
            change.body, row.outcome.status, row.outcome.made, row.previous_hash, row.hash)
      .exec();
}

std::vector<AuditRow> SqliteStore::audit_rows(std::int64_t after, int limit) {
  Query query(
      prepared("SELECT sequence, at, role, address, request_id, method, path, body, status, made, previous_hash, hash "
               "FROM audit_log WHERE sequence > ? ORDER BY sequence LIMIT ?"));
  query.bind(after, limit);
  std::vector<AuditRow> rows;
  while (query.step()) {
    AuditRow& row = rows.emplace_back();
    row.sequence = query.integer();
    row.at = query.time();
    row.change.role = query.text();
    row.change.address = query.text();
    row.change.request_id = query.text();
    row.change.method = query.text();
    row.change.path = query.text();
    row.change.body = query.text();
    const std::int64_t status = query.integer();
    row.outcome.status = status >= 0 && status <= 999 ? static_cast<int>(status) : -1;  // none that was ever hashed
    row.outcome.made = query.text();
    row.previous_hash = query.text();
    row.hash = query.text();
  }
  return rows;
}

}  // namespace tollgate::billing
