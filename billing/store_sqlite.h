// The store in one SQLite file: prepared statements over one connection that no other process may share.
// It is private to the store_sqlite_*.cc files; everything else sees billing/store.h.
#pragma once

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>

#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "billing/store.h"
#include "billing/store_sqlite_memory.h"

namespace tollgate::billing {

// An open file descriptor whose flock() fences the data folder until it is closed.
class FolderLock {
 public:
  explicit FolderLock(int fd) noexcept : fd_(fd) {}
  FolderLock(FolderLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

  // A number kept in the lock's file: that of the database which the last process had open; 0: none.
  [[nodiscard]] std::uint32_t noted() const noexcept;
  [[nodiscard]] bool note(std::uint32_t number) const noexcept;  // on the disk when it returns true

 private:
  int fd_;
};

// One use of a prepared statement: binds in order, reads columns in order, resets when it goes out of scope (an
// unfinished reading statement would keep the transaction from ending).
class Query {
 public:
  explicit Query(SQLite::Statement& statement) : statement_(statement) {}
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query() { statement_.tryReset(); }

  template <class... Values>
  Query& bind(const Values&... values) {
    (bind_one(values), ...);
    return *this;
  }
  bool step() {  // to the next row
    column_ = 0;
    return statement_.executeStep();
  }
  void exec() {
    while (step()) {
    }
  }

  // The next column of the row.
  std::int64_t integer() { return statement_.getColumn(column_++).getInt64(); }
  std::string text() { return statement_.getColumn(column_++).getString(); }
  WallTime time() { return WallTime(std::chrono::microseconds(integer())); }
  std::optional<WallTime> optional_time();
  std::optional<std::int64_t> optional_integer();
  Sha256 hash();

 private:
  void bind_one(std::int64_t value) { statement_.bind(++parameter_, value); }
  void bind_one(std::int32_t value) { statement_.bind(++parameter_, value); }
  void bind_one(std::uint32_t value) { statement_.bind(++parameter_, value); }
  void bind_one(std::string_view value) { statement_.bind(++parameter_, std::string(value)); }
  void bind_one(const std::string& value) { statement_.bind(++parameter_, value); }
  void bind_one(const char* value) { statement_.bind(++parameter_, value); }
  void bind_one(WallTime value) { bind_one(value.time_since_epoch().count()); }
  void bind_one(const std::optional<WallTime>& value);
  void bind_one(const Sha256& value) { statement_.bind(++parameter_, value.data(), static_cast<int>(value.size())); }
  void bind_one(const std::optional<std::int64_t>& value);
  void bind_one(Month value) { bind_one(value.year * 12 + value.month - 1); }
  void bind_one(Hour value) { bind_one(value.since_epoch); }
  void bind_one(Points value) { bind_one(value.count()); }
  void bind_one(MicroYuan value) { bind_one(value.count()); }

  SQLite::Statement& statement_;
  int parameter_ = 0;
  int column_ = 0;
};

// A row of `id, at, debit, credit, amount, reason, reference`.
[[nodiscard]] Transfer read_transfer(Query& query);

struct Movement {  // of a ledger account
  std::int64_t debits = 0;
  std::int64_t credits = 0;
};

struct WaitingTransfer {
  std::string account;  // the customer's
  Transfer transfer;
};

struct WaitingSettlement {  // its parts wait beside it
  Settlement settlement;
  std::uint32_t subscription = 0;
  std::int64_t first_transfer = 0;
  std::int64_t transfers = 0;
};

struct WaitingPart {
  Hour hour;
  std::uint32_t subscription = 0;
  std::int32_t revision = 0;
  std::int32_t number = 0;
  SettlementPart part;
};

// What the open transaction, or its open part, posted and settled and did not write yet, and what that moved: all of it
// goes into few statements, and a balance is written once.
struct Waiting {
  Waiting();
  [[nodiscard]] bool empty() const noexcept { return transfers.rows.empty() && settlements.rows.empty(); }
  void clear() noexcept;

  RowsInMemory<WaitingTransfer> transfers;
  RowsInMemory<WaitingSettlement> settlements;
  RowsInMemory<WaitingPart> parts;
  std::set<std::string, std::less<>> accounts;  // of the settlements
  std::int64_t last_transfer = 0;
  std::map<std::string, Movement, std::less<>> movements;
  bool voucher_moved = false;  // there is one of a voucher in it
};

class SqliteStore final : public Store {
 public:
  SqliteStore(FolderLock lock, SQLite::Database database);

  [[nodiscard]] SQLite::Database& database() noexcept { return database_; }  // for opening
  [[nodiscard]] const FolderLock& lock() const noexcept { return lock_; }

  Result<void> transaction(const std::function<Result<void>()>& body,
                           Durability durability = Durability::at_once) override;

  std::optional<AccountRow> find_account(std::string_view id) override;
  void insert_account(const AccountRow& row) override;
  void rename_account(std::string_view id, std::string_view name) override;
  std::vector<AccountRow> accounts(std::string_view after, int limit) override;
  std::int64_t count_accounts() override;
  std::int64_t count_accounts_in_debt() override;
  std::vector<std::string> accounts_in_debt() override;
  bool has_history() override;
  MicroYuan imbalance() override;

  void insert_key(const KeyRow& row) override;
  std::optional<Sha256> revoke_key(std::string_view account, std::string_view id, WallTime at) override;
  std::vector<KeyRow> keys(std::string_view account, std::string_view after, int limit) override;
  void each_key(const std::function<void(const KeyRow&)>& visit) override;

  void insert_account_token(const AccountTokenRow& row) override;
  std::optional<Sha256> revoke_account_token(std::string_view account, std::string_view id, WallTime at) override;
  std::vector<AccountTokenRow> account_tokens(std::string_view account, std::string_view after, int limit) override;
  std::vector<AccountTokenRow> all_account_tokens() override;

  std::optional<ServiceRow> find_service(std::string_view id) override;
  void put_service(const ServiceRow& row) override;
  std::vector<ServiceRow> services(std::string_view after, int limit) override;

  std::optional<SubscriptionRow> find_subscription(std::string_view account, std::string_view service) override;
  std::optional<SubscriptionRow> find_subscription(std::uint32_t number) override;
  std::uint32_t insert_subscription(const SubscriptionRow& row) override;
  void set_paid(std::uint32_t number, bool paid) override;
  std::vector<SubscriptionRow> subscriptions(std::string_view account, std::string_view after, int limit) override;
  std::vector<SubscriptionRow> subscriptions_of_service(std::string_view service) override;
  void each_subscription(const std::function<void(const SubscriptionRow&)>& visit) override;

  std::int64_t post(std::string_view account, const Transfer& transfer) override;
  MicroYuan balance(std::string_view ledger_account) override;
  std::vector<Transfer> transfers(std::string_view account, std::int64_t after, int limit) override;
  void insert_deposit(const DepositRow& row) override;
  MicroYuan unexpired_vouchers(std::string_view account, WallTime now) override;
  void insert_qps_pack(std::uint32_t subscription, const QpsPack& pack) override;
  std::vector<QpsPack> qps_packs(std::uint32_t subscription, WallTime not_ended_at) override;

  std::uint32_t identity() override;
  std::uint32_t insert_epoch(std::string_view gateway, WallTime at, std::int64_t nonce, std::uint32_t above) override;
  std::optional<std::uint32_t> find_epoch(std::string_view gateway, std::int64_t nonce) override;
  bool epoch_exists(std::string_view gateway, std::uint32_t epoch) override;
  std::optional<meter::UsageTotals> find_report(const UsageSource& source) override;
  void put_report(const UsageSource& source, const meter::UsageTotals& totals) override;
  void add_usage(std::uint32_t subscription, Hour hour, const meter::UsageTotals& increase,
                 CountedBy counted_by) override;
  HourUsage hour_usage(std::uint32_t subscription, Hour hour) override;
  UsageSums usage_sums() override;
  Points free_points_used(std::uint32_t subscription, Hour from, Hour to) override;
  std::vector<UsageRow> usage(const UsageQuery& query) override;

  std::unordered_set<std::uint32_t> subscriptions_with_purchases() override;
  void insert_package(std::uint32_t subscription, const Package& package) override;
  std::vector<Package> packages(std::uint32_t subscription, WallTime not_expired_at) override;
  std::vector<Package> packages_covering(std::uint32_t subscription, WallTime begin, WallTime end) override;
  void use_package(std::string_view id, Points points) override;
  void insert_count_pack(std::uint32_t subscription, const CountPack& pack) override;
  std::vector<CountPack> count_packs(std::uint32_t subscription, WallTime end) override;
  void use_count_pack(std::string_view id, std::int64_t calls) override;
  void pin_plan(std::string_view id, std::string_view canonical, WallTime at) override;
  std::vector<std::pair<std::string, std::string>> pinned_plans() override;
  std::vector<std::string> plans_in_use() override;
  std::vector<SubscriptionRow> subscriptions_of_plan(std::string_view plan) override;
  void insert_migration(const MigrationRow& row) override;
  std::optional<MigrationRow> open_migration(std::uint32_t subscription) override;
  std::vector<MigrationRow> open_migrations(Hour until) override;
  std::optional<Hour> first_open_migration() override;
  void apply_migration(const MigrationRow& row, Points granted) override;
  std::optional<std::string> plan_at(std::uint32_t subscription, Hour hour) override;
  std::optional<WallTime> due_through() override;
  void set_due_through(WallTime at) override;
  std::optional<WallTime> first_account_at() override;
  std::optional<Hour> oldest_open_hour() override;
  std::vector<HourKey> open_hours(Hour before, HourKey after, int limit) override;
  std::string account_of(std::uint32_t subscription) override;
  std::vector<OpenUsage> open_usage_of(std::string_view account, Hour until, Month month) override;
  void insert_settlement(Settlement settlement, std::uint32_t subscription, std::int64_t first_transfer,
                         std::int64_t transfers) override;
  Points month_points(std::uint32_t subscription, Month month) override;
  void set_call_remainder(std::uint32_t subscription, std::int64_t points) override;
  std::vector<VoucherRow> vouchers_left(std::string_view account, WallTime now) override;
  void add_charge(std::string_view account, WallTime at, MicroYuan amount) override;
  ChargesRow charges(std::string_view account, WallTime after) override;
  std::int32_t reminded(std::string_view account) override;
  void set_reminded(std::string_view account, std::int32_t hours) override;
  void post_points(const PointTransfer& transfer) override;
  Points free_points_balance(std::uint32_t subscription) override;
  std::vector<BillPartRow> bill_parts(std::string_view account, Month month) override;
  std::vector<PurchaseRow> purchases(std::string_view account, WallTime from, WallTime to) override;
  std::optional<Transfer> find_transfer(std::string_view account, std::int64_t id) override;
  std::vector<Transfer> transfers_of(std::string_view reason, std::string_view reference) override;
  std::optional<Settlement> find_settlement(const SettlementKey& key) override;
  std::vector<ReportedUsage> reported(std::uint32_t subscription, Hour hour) override;
  void insert_notification(const NotificationRow& row) override;
  std::vector<NotificationRow> notifications(std::int64_t after, int limit) override;
  std::vector<NotificationRow> notifications_of(std::string_view account, std::int64_t after, int limit) override;
  std::vector<NotificationRow> due_notifications(WallTime now, int limit) override;
  std::optional<NotificationRow> find_notification(std::int64_t number) override;
  void update_notification(const Notification& notification) override;

  std::optional<AnswerRow> find_answer(std::string_view key) override;
  void insert_answer(const AnswerRow& row) override;

  AuditHead audit_head() override;
  void insert_audit_row(const AuditRow& row) override;
  std::vector<AuditRow> audit_rows(std::int64_t after, int limit) override;

  std::vector<Invariant> audit(const std::vector<std::string>& granted_once) override;
  void set_statement_hook(StatementHook hook) override { hook_ = std::move(hook); }

 private:
  void ask_hook(std::string_view sql);
  // The prepared statement of `sql`, a literal: made once, found again by its address. What waits is written before.
  SQLite::Statement& prepared(const char* sql);
  // The same of a statement that has nothing to do with what waits: with transfers, balances, settlements, their parts,
  // usage by the hour, and sums by the month.
  SQLite::Statement& prepared_apart(const char* sql);
  void run(const char* sql);  // a prepared statement without values
  void run_apart(const char* sql) { Query(prepared_apart(sql)).exec(); }
  void leave_suspect_log();
  void begin(bool outermost, Durability durability);
  void commit(bool outermost);
  void write_waiting();
  void write_settlements();
  void write_balances();
  void roll_back(bool outermost) noexcept;
  const std::string& model_of(const std::string& service);  // "": there is no such service

  FolderLock lock_;  // first: given up last
  Waiting waiting_;
  SQLite::Database database_;
  std::unordered_map<const char*, SQLite::Statement> statements_;
  // Of services that settlements asked for: forgotten when one is put, and when what was put is taken back.
  std::unordered_map<std::string, std::string> models_;
  StatementHook hook_;
  int depth_ = 0;  // of nested transactions
  Durability durability_ = Durability::at_once;
  bool log_suspect_ = false;     // the disk failed since the log was last copied into the database
  std::optional<Fault> failed_;  // the database failed in the open transaction, which can only be rolled back
};

}  // namespace tollgate::billing
