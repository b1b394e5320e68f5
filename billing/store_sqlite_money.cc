// The ledger, deposits, QPS packs and kept answers in SQLite.
#include <SQLiteCpp/Exception.h>
#include <sqlite3.h>

#include "billing/store_sqlite.h"

namespace tollgate::billing {
namespace {
// Whoever posts has looked that the books take it; if they do not, the transaction must not stay.
void add(std::int64_t& sum, MicroYuan amount) {
  if (__builtin_add_overflow(sum, amount.count(), &sum)) {
    throw SQLite::Exception("a balance is beyond 64 bits", SQLITE_TOOBIG);
  }
}
}  // namespace

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

std::int64_t SqliteStore::post(std::string_view account, const Transfer& transfer) {
  if (posted_.empty()) {
    Query query(prepared("SELECT coalesce(max(id), 0) FROM transfers"));
    query.step();
    last_transfer_ = query.integer();
  }
  add(movements_[transfer.debit].debits, transfer.amount);
  add(movements_[transfer.credit].credits, transfer.amount);
  voucher_moved_ = voucher_moved_ || transfer.debit.starts_with("voucher:") || transfer.credit.starts_with("voucher:");
  posted_.emplace_back(account, transfer);
  posted_.back().second.id = ++last_transfer_;
  return last_transfer_;
}

void SqliteStore::write_transfers() {
#define ROW "(?, ?, ?, ?, ?, ?, ?, ?)"
#define INSERT_ROWS "INSERT INTO transfers (id, at, account, debit, credit, amount, reason, reference) VALUES " ROW
  static_assert(kTransfersAStatement == 8);
  const char* const one = INSERT_ROWS;
  const char* const eight = INSERT_ROWS ", " ROW ", " ROW ", " ROW ", " ROW ", " ROW ", " ROW ", " ROW;
#undef INSERT_ROWS
#undef ROW
  for (std::size_t next = 0; next < posted_.size();) {
    const std::size_t rows = posted_.size() - next >= kTransfersAStatement ? kTransfersAStatement : 1;
    Query query(prepared(rows == 1 ? one : eight));
    for (const std::size_t end = next + rows; next < end; ++next) {
      const auto& [account, row] = posted_[next];
      query.bind(row.id, row.at, account, row.debit, row.credit, row.amount, row.reason, row.reference);
    }
    query.exec();
  }
  posted_.clear();
}

void SqliteStore::write_ledger() {
  if (posted_.empty()) return;
  write_transfers();
  for (const auto& [name, moved] : movements_) {
    Query query(
        prepared("INSERT INTO balances (ledger_account, debits, credits) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET "
                 "debits = debits + excluded.debits, credits = credits + excluded.credits"));
    query.bind(name, moved.debits, moved.credits).exec();
  }
  movements_.clear();
  voucher_moved_ = false;
}

MicroYuan SqliteStore::balance(std::string_view ledger_account) {
  Query query(prepared("SELECT credits - debits FROM balances WHERE ledger_account = ?"));
  MicroYuan balance = query.bind(ledger_account).step() ? MicroYuan(query.integer()) : MicroYuan();
  if (const auto moved = movements_.find(ledger_account); moved != movements_.end()) {
    balance += MicroYuan(moved->second.credits) - MicroYuan(moved->second.debits);
  }
  return balance;
}

std::vector<Transfer> SqliteStore::transfers(std::string_view account, std::int64_t after, int limit) {
  write_ledger();
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
  if (voucher_moved_) write_ledger();
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
      prepared("SELECT id, qps, unlimited, starts_at, ends_at, price, bought_at FROM qps_packs "
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
