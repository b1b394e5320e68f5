// What is read of the ledger, deposits, QPS packs and kept answers in SQLite.
#include "billing/store_sqlite.h"

namespace tollgate::billing {
Transfer read_transfer(Query& query) {
  Transfer row;
  row.id = query.integer();
  row.at = query.time();
  row.debit = query.text();
  row.credit = query.text();
  row.amount = MicroYuan(query.integer());
  row.reason = query.text();
  row.reference = query.text();
  return row;
}

std::vector<Transfer> SqliteStore::transfers(std::string_view account, std::int64_t after, int limit) {
  Query query(
      prepared("SELECT id, at, debit, credit, amount, reason, reference FROM transfers "
               "WHERE account = ? AND id > ? ORDER BY id LIMIT ?"));
  query.bind(account, after, limit);
  std::vector<Transfer> rows;
  while (query.step()) rows.push_back(read_transfer(query));
  return rows;
}

void SqliteStore::insert_deposit(const DepositRow& row) {
  Query query(prepared("INSERT INTO deposits (id, account, kind, amount, expires_at, at) VALUES (?, ?, ?, ?, ?, ?)"));
  const std::string_view kind = row.kind == DepositKind::cash ? "cash" : "voucher";
  query.bind(row.id, row.account, kind, row.amount, row.expires_at, row.at).exec();
}

MicroYuan SqliteStore::unexpired_vouchers(std::string_view account, WallTime now) {
  if (waiting_.voucher_moved) write_waiting();
  Query query(
      prepared("SELECT coalesce(sum(b.credits - b.debits), 0) FROM deposits d "
               "JOIN balances b ON b.ledger_account = 'voucher:' || d.id "
               "WHERE d.account = ? AND d.kind = 'voucher' AND (d.expires_at IS NULL OR d.expires_at > ?)"));
  query.bind(account, now).step();
  return MicroYuan(query.integer());
}

void SqliteStore::insert_qps_pack(std::uint32_t subscription, const QpsPack& pack) {
  Query query(
      prepared("INSERT INTO qps_packs (id, subscription, qps, unlimited, starts_at, ends_at, price, bought_at) "
               "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"));
  query
      .bind(pack.id, subscription, pack.qps, pack.unlimited ? 1 : 0, pack.starts_at, pack.ends_at, pack.price,
            pack.bought_at)
      .exec();
}

std::vector<QpsPack> SqliteStore::qps_packs(std::uint32_t subscription, WallTime not_ended_at) {
  Query query(
      prepared_apart("SELECT id, qps, unlimited, starts_at, ends_at, price, bought_at FROM qps_packs "
                     "WHERE subscription = ? AND ends_at > ? ORDER BY starts_at, bought_at, id"));
  query.bind(subscription, not_ended_at);
  std::vector<QpsPack> packs;
  while (query.step()) {
    QpsPack pack;
    pack.id = query.text();
    pack.qps = static_cast<std::int32_t>(query.integer());
    pack.unlimited = query.integer() != 0;
    pack.starts_at = query.time();
    pack.ends_at = query.time();
    pack.price = MicroYuan(query.integer());
    pack.bought_at = query.time();
    packs.push_back(std::move(pack));
  }
  return packs;
}

std::optional<AnswerRow> SqliteStore::find_answer(std::string_view key) {
  Query query(prepared("SELECT key, fingerprint, status, body, at FROM idempotency WHERE key = ?"));
  if (!query.bind(key).step()) return std::nullopt;
  AnswerRow row;
  row.key = query.text();
  row.fingerprint = query.text();
  row.answer.status = static_cast<int>(query.integer());
  row.answer.body = query.text();
  row.at = query.time();
  return row;
}

void SqliteStore::insert_answer(const AnswerRow& row) {
  Query query(prepared("INSERT INTO idempotency (key, fingerprint, status, body, at) VALUES (?, ?, ?, ?, ?)"));
  query.bind(row.key, row.fingerprint, row.answer.status, row.answer.body, row.at).exec();
}

}  // namespace tollgate::billing
