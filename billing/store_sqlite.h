// The store in one SQLite file: prepared statements over one connection that no other process may share.
// It is private to the store_sqlite_*.cc files; everything else sees billing/store.h.
#pragma once

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>

#include <map>
#include <string>
#include <utility>

#include "billing/store.h"

namespace tollgate::billing {

// An open file descriptor whose flock() fences the data folder until it is closed.
class FolderLock {
 public:
  explicit FolderLock(int fd) noexcept : fd_(fd) {}
  FolderLock(FolderLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

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
  void exec() { while (step()) {} }

  // The next column of the row.
  std::int64_t integer() { return statement_.getColumn(column_++).getInt64(); }
  std::string text() { return statement_.getColumn(column_++).getString(); }
  WallTime time() { return WallTime(std::chrono::microseconds(integer())); }
  std::optional<WallTime> optional_time();
  Sha256 hash();

 private:
  void bind_one(std::int64_t value) { statement_.bind(++parameter_, value); }
  void bind_one(std::int32_t value) { statement_.bind(++parameter_, value); }
  void bind_one(std::uint32_t value) { statement_.bind(++parameter_, value); }
  void bind_one(std::string_view value) { statement_.bind(++parameter_, std::string(value)); }
  void bind_one(const std::string& value) { statement_.bind(++parameter_, value); }
  void bind_one(WallTime value) { bind_one(value.time_since_epoch().count()); }
  void bind_one(const std::optional<WallTime>& value);
  void bind_one(const Sha256& value) { statement_.bind(++parameter_, value.data(), static_cast<int>(value.size())); }
  void bind_one(Hour value) { bind_one(value.since_epoch); }
  void bind_one(Points value) { bind_one(value.count()); }
  void bind_one(MicroYuan value) { bind_one(value.count()); }

  SQLite::Statement& statement_;
  int parameter_ = 0;
  int column_ = 0;
};

class SqliteStore final : public Store {
 public:
  SqliteStore(FolderLock lock, SQLite::Database database) : lock_(std::move(lock)), database_(std::move(database)) {}

  Result<void> transaction(const std::function<Result<void>()>& body) override;

  std::optional<AccountRow> find_account(std::string_view id) override;
  void insert_account(const AccountRow& row) override;
  void rename_account(std::string_view id, std::string_view name) override;
  std::vector<AccountRow> accounts(std::string_view after, int limit) override;
  std::int64_t count_accounts() override;
  std::int64_t count_accounts_in_debt() override;
  bool has_history() override;
  MicroYuan imbalance() override;

  void insert_key(const KeyRow& row) override;
  std::optional<Sha256> revoke_key(std::string_view account, std::string_view id, WallTime at) override;
  std::vector<KeyRow> keys(std::string_view account, std::string_view after, int limit) override;
  std::vector<KeyRow> all_keys() override;

  std::optional<ServiceRow> find_service(std::string_view id) override;
  void put_service(const ServiceRow& row) override;
  std::vector<ServiceRow> services(std::string_view after, int limit) override;

  std::optional<SubscriptionRow> find_subscription(std::string_view account, std::string_view service) override;
  std::optional<SubscriptionRow> find_subscription(std::uint32_t number) override;
  std::uint32_t insert_subscription(const SubscriptionRow& row) override;
  void set_paid(std::uint32_t number, bool paid) override;
  std::vector<SubscriptionRow> subscriptions(std::string_view account, std::string_view after, int limit) override;
  std::vector<SubscriptionRow> subscriptions_of_service(std::string_view service) override;
  std::vector<SubscriptionRow> all_subscriptions() override;

  void post(std::string_view account, const Transfer& transfer) override;
  MicroYuan balance(std::string_view ledger_account) override;
  std::vector<Transfer> transfers(std::string_view account, std::int64_t after, int limit) override;
  void insert_deposit(const DepositRow& row) override;
  MicroYuan unexpired_vouchers(std::string_view account, WallTime now) override;
  void insert_qps_pack(std::uint32_t subscription, const QpsPack& pack) override;
  std::vector<QpsPack> qps_packs(std::uint32_t subscription, WallTime not_ended_at) override;

  std::uint32_t insert_epoch(std::string_view gateway, WallTime at) override;
  bool epoch_exists(std::string_view gateway, std::uint32_t epoch) override;
  std::optional<meter::UsageTotals> find_report(const UsageSource& source) override;
  void put_report(const UsageSource& source, const meter::UsageTotals& totals) override;
  void add_usage(std::uint32_t subscription, Hour hour, const meter::UsageTotals& increase) override;
  Points free_points_used(std::uint32_t subscription, Hour from, Hour to) override;
  std::vector<UsageRow> usage(const UsageQuery& query) override;

  std::optional<AnswerRow> find_answer(std::string_view key) override;
  void insert_answer(const AnswerRow& row) override;

  std::vector<Invariant> audit(const std::vector<std::string>& granted_once) override;

 private:
  // The prepared statement of `sql`, a literal: made once, found again by its address.
  SQLite::Statement& prepared(const char* sql);
  void begin(bool outermost);
  void commit(bool outermost);
  void roll_back(bool outermost) noexcept;

  FolderLock lock_;  // first: given up last
  SQLite::Database database_;
  std::map<const char*, SQLite::Statement> statements_;
  int depth_ = 0;                // of nested transactions
  std::optional<Fault> failed_;  // the database failed in the open transaction, which can only be rolled back
};

}  // namespace tollgate::billing
