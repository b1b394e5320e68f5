// What settlements write, and the ledger: rows wait in memory, and are written together before anybody reads them, when
// a part of the transaction begins, and before the commit.
#include <SQLiteCpp/Exception.h>
#include <sqlite3.h>

#include <optional>

#include "billing/store_sqlite.h"

namespace tollgate::billing {
namespace {
// Whoever posts has looked that the books take it; if they do not, the transaction must not stay.
void add(std::int64_t& sum, MicroYuan amount) {
  if (__builtin_add_overflow(sum, amount.count(), &sum)) {
    throw SQLite::Exception("a balance is beyond 64 bits", SQLITE_TOOBIG);
  }
}

#define COLUMN(Row, name, value)                                                                                       \
  {                                                                                                                    \
    name, [](const Row& row, Cell cell) { cell.take(row.value); }                                                      \
  }

constexpr MemoryColumn<WaitingTransfer> kTransferColumns[] = {
    COLUMN(WaitingTransfer, "id", transfer.id),         COLUMN(WaitingTransfer, "at", transfer.at),
    COLUMN(WaitingTransfer, "account", account),        COLUMN(WaitingTransfer, "debit", transfer.debit),
    COLUMN(WaitingTransfer, "credit", transfer.credit), COLUMN(WaitingTransfer, "amount", transfer.amount),
    COLUMN(WaitingTransfer, "reason", transfer.reason), COLUMN(WaitingTransfer, "reference", transfer.reference),
};

constexpr MemoryColumn<WaitingSettlement> kSettlementColumns[] = {
    COLUMN(WaitingSettlement, "hour", settlement.hour),
    COLUMN(WaitingSettlement, "subscription", subscription),
    COLUMN(WaitingSettlement, "revision", settlement.revision),
    COLUMN(WaitingSettlement, "at", settlement.at),
    COLUMN(WaitingSettlement, "plan", settlement.plan),
    COLUMN(WaitingSettlement, "free_points", settlement.free_points),
    COLUMN(WaitingSettlement, "billable_points", settlement.billable_points),
    COLUMN(WaitingSettlement, "calls_unmetered", settlement.calls_unmetered),
    COLUMN(WaitingSettlement, "unmetered_points", settlement.unmetered_points),
    COLUMN(WaitingSettlement, "month_points_before", settlement.month_points_before),
    COLUMN(WaitingSettlement, "month_points_after", settlement.month_points_after),
    COLUMN(WaitingSettlement, "amount", settlement.amount),
    COLUMN(WaitingSettlement, "first_transfer", first_transfer),
    COLUMN(WaitingSettlement, "transfers", transfers),
    {"month", [](const WaitingSettlement& row, Cell cell) { cell.take(month_of(row.settlement.hour)); }},
};

constexpr MemoryColumn<WaitingPart> kPartColumns[] = {
    COLUMN(WaitingPart, "hour", hour),
    COLUMN(WaitingPart, "subscription", subscription),
    COLUMN(WaitingPart, "revision", revision),
    COLUMN(WaitingPart, "part", number),
    {"paid_from", [](const WaitingPart& row, Cell cell) { cell.take(static_cast<std::int64_t>(row.part.paid_from)); }},
    COLUMN(WaitingPart, "item", part.item),
    COLUMN(WaitingPart, "points", part.points),
    COLUMN(WaitingPart, "calls", part.calls),
    COLUMN(WaitingPart, "unit_price", part.unit_price),
    COLUMN(WaitingPart, "amount", part.amount),
};
#undef COLUMN

// A trigger makes SQLite copy the rows of an INSERT ... SELECT and run a program for each. Those of the tables below
// only refuse to replace a row, and an INSERT that does not replace fails by the key of a row that is there: without
// them the same is refused. Each switch has the connection's statements prepared anew, which only very many rows are
// worth.
constexpr std::size_t kRowsWorthASwitch = 300;

// An account that catches up on very many hours asks for each what its month has come to, which looks through what
// waits.
constexpr std::size_t kRowsWaitingMax = 2'000;

class WithoutTriggers {
 public:
  explicit WithoutTriggers(sqlite3* database) : database_(database) { set(0); }
  WithoutTriggers(const WithoutTriggers&) = delete;
  WithoutTriggers& operator=(const WithoutTriggers&) = delete;
  ~WithoutTriggers() { set(1); }

 private:
  void set(int on) noexcept { sqlite3_db_config(database_, SQLITE_DBCONFIG_ENABLE_TRIGGER, on, nullptr); }

  sqlite3* database_;
};
}  // namespace

Waiting::Waiting() : transfers(kTransferColumns), settlements(kSettlementColumns), parts(kPartColumns) {}

void Waiting::clear() noexcept {
  transfers.rows.clear();
  settlements.rows.clear();
  parts.rows.clear();
  accounts.clear();
  movements.clear();
  voucher_moved = false;
}

std::int64_t SqliteStore::post(std::string_view account, const Transfer& transfer) {
  if (waiting_.transfers.rows.empty()) {
    Query query(prepared_apart("SELECT coalesce(max(id), 0) FROM transfers"));
    query.step();
    waiting_.last_transfer = query.integer();
  }
  add(waiting_.movements[transfer.debit].debits, transfer.amount);
  add(waiting_.movements[transfer.credit].credits, transfer.amount);
  waiting_.voucher_moved =
      waiting_.voucher_moved || transfer.debit.starts_with("voucher:") || transfer.credit.starts_with("voucher:");
  waiting_.transfers.rows.push_back({std::string(account), transfer});
  waiting_.transfers.rows.back().transfer.id = ++waiting_.last_transfer;
  return waiting_.last_transfer;
}

void SqliteStore::insert_settlement(Settlement settlement, std::uint32_t subscription, std::int64_t first_transfer,
                                    std::int64_t transfers) {
  if (waiting_.settlements.rows.size() >= kRowsWaitingMax) write_waiting();
  waiting_.accounts.insert(settlement.account);
  std::int32_t number = 0;
  for (auto& part : settlement.parts) {
    waiting_.parts.rows.push_back({settlement.hour, subscription, settlement.revision, number++, std::move(part)});
  }
  waiting_.settlements.rows.push_back({std::move(settlement), subscription, first_transfer, transfers});
}

void SqliteStore::write_waiting() {
  std::optional<WithoutTriggers> without_triggers;
  if (waiting_.settlements.rows.size() >= kRowsWorthASwitch) without_triggers.emplace(database_.getHandle());
  if (!waiting_.transfers.rows.empty()) {
    run_apart(
        "INSERT INTO transfers (id, at, account, debit, credit, amount, reason, reference) "
        "SELECT id, at, account, debit, credit, amount, reason, reference FROM waiting_transfers");
  }
  if (!waiting_.settlements.rows.empty()) write_settlements();
  write_balances();
  waiting_.clear();
}

// The hours are there, since their usage was read; one that is not is refused by the audit, as an hour without reports.
void SqliteStore::write_settlements() {
  run_apart(
      "INSERT INTO settlements (hour, subscription, revision, at, plan, free_points, billable_points, "
      "calls_unmetered, unmetered_points, month_points_before, month_points_after, amount, first_transfer, transfers) "
      "SELECT hour, subscription, revision, at, plan, free_points, billable_points, calls_unmetered, "
      "unmetered_points, month_points_before, month_points_after, amount, first_transfer, transfers "
      "FROM waiting_settlements");
  run_apart(
      "INSERT INTO settlement_parts (hour, subscription, revision, part, paid_from, item, points, calls, unit_price, "
      "amount) SELECT hour, subscription, revision, part, paid_from, item, points, calls, unit_price, amount "
      "FROM waiting_parts");
  run_apart(
      "INSERT INTO usage_hours (subscription, hour, calls_succeeded, calls_failed, calls_unmetered, free_points, "
      "billable_points, settled_free, settled_billable, settled_unmetered, revision, open) "
      "SELECT subscription, hour, 0, 0, 0, 0, 0, free_points, billable_points, calls_unmetered, revision, 0 "
      "FROM waiting_settlements WHERE true ON CONFLICT DO UPDATE SET "
      "settled_free = settled_free + excluded.settled_free, "
      "settled_billable = settled_billable + excluded.settled_billable, "
      "settled_unmetered = settled_unmetered + excluded.settled_unmetered, revision = excluded.revision, "
      "open = settled_free + excluded.settled_free < free_points "
      "OR settled_billable + excluded.settled_billable < billable_points "
      "OR settled_unmetered + excluded.settled_unmetered < calls_unmetered");
  run_apart(
      "INSERT INTO subscription_months (month, subscription, tier_points, free_points, billable_points, "
      "unmetered_points) SELECT month, subscription, month_points_after - month_points_before, free_points, "
      "billable_points, unmetered_points FROM waiting_settlements WHERE true ON CONFLICT DO UPDATE SET "
      "tier_points = tier_points + excluded.tier_points, free_points = free_points + excluded.free_points, "
      "billable_points = billable_points + excluded.billable_points, "
      "unmetered_points = unmetered_points + excluded.unmetered_points");
}

void SqliteStore::write_balances() {
  for (const auto& [name, moved] : waiting_.movements) {
    Query query(prepared_apart(
        "INSERT INTO balances (ledger_account, debits, credits) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET "
        "debits = debits + excluded.debits, credits = credits + excluded.credits"));
    query.bind(name, moved.debits, moved.credits).exec();
  }
}

MicroYuan SqliteStore::balance(std::string_view ledger_account) {
  Query query(prepared_apart("SELECT credits - debits FROM balances WHERE ledger_account = ?"));
  MicroYuan balance = query.bind(ledger_account).step() ? MicroYuan(query.integer()) : MicroYuan();
  const auto moved = waiting_.movements.find(ledger_account);
  if (moved != waiting_.movements.end()) {
    balance += MicroYuan(moved->second.credits) - MicroYuan(moved->second.debits);
  }
  return balance;
}

}  // namespace tollgate::billing
