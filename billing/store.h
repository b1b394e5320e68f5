// The store interface: the rows that the billing core keeps, and the transactions in which it reads and writes
// them. It holds no rules of money or usage, reads no clock, and is used by one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "billing/core.h"

namespace tollgate::billing {

struct AccountRow {
  std::string id;
  std::string name;
  WallTime created_at;
};

struct KeyRow {
  std::string id;
  std::string account;
  std::string name;
  Sha256 hash{};
  WallTime created_at;
  std::optional<WallTime> expires_at;
};

struct ServiceRow {
  std::string id;
  std::string model;
  std::string definition;
  std::optional<WallTime> removed_at;
};

struct SubscriptionRow {
  std::uint32_t number = 0;
  std::string account;
  std::string service;
  bool paid = false;
  std::string plan;
  Points free_points_granted;
  Points free_points_used;  // over all hours; kept by Store::add_usage
  WallTime created_at;
};

struct DepositRow {
  std::string id;
  std::string account;
  DepositKind kind = DepositKind::cash;
  MicroYuan amount;
  std::optional<WallTime> expires_at;
  WallTime at;
};

// Where a reported total comes from: maxima are kept for each.
struct UsageSource {
  std::string_view gateway;
  std::uint32_t epoch = 0;
  std::uint32_t subscription = 0;
  Hour hour;
};

struct UsageCursor {  // the last row that was shown
  Hour hour;
  std::string service;
};

struct UsageQuery {
  std::string_view account;
  std::optional<std::string> service;
  Hour from;  // half-open
  Hour to;
  std::optional<UsageCursor> after;
  int limit = kPageItemsDefault;
};

struct AnswerRow {  // an answer kept for an idempotency key
  std::string key;
  std::string fingerprint;
  StoredAnswer answer;
  WallTime at;
};

class Store {
 public:
  virtual ~Store() = default;

  // Runs `body` in a transaction and commits, durably, when it returns without a fault; with one, nothing that it
  // wrote stays. Called inside a body it is a part of that transaction: its fault takes back its own part only. When
  // the database itself fails, the outermost transaction is rolled back and returns unavailable, store_failed.
  virtual Result<void> transaction(const std::function<Result<void>()>& body) = 0;

  // Everything below is to be called inside transaction() only. Lists come in the order that is named, after the
  // item that is named (empty: from the start), at most `limit` items.

  virtual std::optional<AccountRow> find_account(std::string_view id) = 0;
  virtual void insert_account(const AccountRow& row) = 0;
  virtual void rename_account(std::string_view id, std::string_view name) = 0;
  virtual std::vector<AccountRow> accounts(std::string_view after, int limit) = 0;  // by id
  virtual std::int64_t count_accounts() = 0;
  virtual std::int64_t count_accounts_in_debt() = 0;  // cash below 0
  virtual bool has_history() = 0;                     // any transfer or usage

  virtual void insert_key(const KeyRow& row) = 0;
  // The hash of the key that is revoked now; nullopt: unknown, or revoked before.
  virtual std::optional<Sha256> revoke_key(std::string_view account, std::string_view id, WallTime at) = 0;
  virtual std::vector<KeyRow> keys(std::string_view account, std::string_view after, int limit) = 0;  // by age
  virtual std::vector<KeyRow> all_keys() = 0;  // those not revoked

  virtual std::optional<ServiceRow> find_service(std::string_view id) = 0;  // removed ones too
  virtual void put_service(const ServiceRow& row) = 0;                      // inserts, or replaces all but the id
  virtual std::vector<ServiceRow> services(std::string_view after, int limit) = 0;  // by id; not removed ones

  virtual std::optional<SubscriptionRow> find_subscription(std::string_view account, std::string_view service) = 0;
  virtual std::optional<SubscriptionRow> find_subscription(std::uint32_t number) = 0;
  virtual std::uint32_t insert_subscription(const SubscriptionRow& row) = 0;  // its number; row.number is ignored
  virtual void set_paid(std::uint32_t number, bool paid) = 0;
  // By service; not those of removed services.
  virtual std::vector<SubscriptionRow> subscriptions(std::string_view account, std::string_view after, int limit) = 0;
  virtual std::vector<SubscriptionRow> subscriptions_of_service(std::string_view service) = 0;
  virtual std::vector<SubscriptionRow> all_subscriptions() = 0;  // not those of removed services

  // The ledger. transfer.id is ignored; `account` is the customer in whose list the row stands.
  virtual void post(std::string_view account, const Transfer& transfer) = 0;
  virtual MicroYuan imbalance() = 0;                              // debits less credits over all ledger accounts
  virtual MicroYuan balance(std::string_view ledger_account) = 0;  // credits less debits
  virtual std::vector<Transfer> transfers(std::string_view account, std::int64_t after, int limit) = 0;  // by id
  virtual void insert_deposit(const DepositRow& row) = 0;
  virtual MicroYuan unexpired_vouchers(std::string_view account, WallTime now) = 0;
  virtual void insert_qps_pack(std::uint32_t subscription, const QpsPack& pack) = 0;
  virtual std::vector<QpsPack> qps_packs(std::uint32_t subscription, WallTime not_ended_at) = 0;  // by start

  virtual std::uint32_t insert_epoch(std::string_view gateway, WallTime at) = 0;
  virtual bool epoch_exists(std::string_view gateway, std::uint32_t epoch) = 0;
  virtual std::optional<meter::UsageTotals> find_report(const UsageSource& source) = 0;
  virtual void put_report(const UsageSource& source, const meter::UsageTotals& totals) = 0;
  // Adds to the sums over all sources: those of the hour, and the free points of the subscription.
  virtual void add_usage(std::uint32_t subscription, Hour hour, const meter::UsageTotals& increase) = 0;
  virtual Points free_points_used(std::uint32_t subscription, Hour from, Hour to) = 0;  // half-open
  virtual std::vector<UsageRow> usage(const UsageQuery& query) = 0;  // by hour, then service

  virtual std::optional<AnswerRow> find_answer(std::string_view key) = 0;
  virtual void insert_answer(const AnswerRow& row) = 0;

  // The invariants over all rows, by recomputing them. Free points of plans in `granted_once` must stay within what
  // was granted.
  virtual std::vector<Invariant> audit(const std::vector<std::string>& granted_once) = 0;
};

// Opens (or makes) tollgate.db in `data_dir`, which is made if it is not there. Faults: data_dir_unusable,
// data_dir_in_use (another process has it), schema_too_new, store_failed.
Result<std::unique_ptr<Store>> open_sqlite_store(const std::string& data_dir);

}  // namespace tollgate::billing
