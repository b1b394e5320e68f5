// The store interface: the rows that the billing core keeps, and the transactions in which it reads and writes
// them. It holds no rules of money or usage, reads no clock, and is used by one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
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

struct AccountTokenRow {
  std::string id;
  std::string account;
  std::string name;
  std::string prefix;
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
  std::int64_t call_remainder = 0;  // points that a plan by the call charged and that are no whole call yet
};

struct MigrationRow {
  std::uint32_t subscription = 0;
  Hour from;
  std::string before;
  std::string after;
  WallTime asked_at;
};

struct UsageSums {   // over all hours there are
  Points metered;    // free and billable
  Points unsettled;  // of the billable ones
  std::int64_t calls_unmetered = 0;
};

struct HourUsage {
  meter::UsageTotals totals;  // over all sources
  Points settled_billable;
};

struct HourKey {  // an hour of a subscription's usage
  Hour hour;
  std::uint32_t subscription = 0;
  friend auto operator<=>(const HourKey&, const HourKey&) = default;
};

struct OpenUsage {  // an hour of usage of which something is not settled, and all that a settlement asks of it
  HourKey key;
  std::string service;
  std::string plan;                 // now; plan_at() says more when the subscription has migrated
  std::string model;                // of the service
  std::int64_t call_remainder = 0;  // as in SubscriptionRow
  bool migrated = false;            // ever
  bool has_packages = false;        // any, used up or not
  bool has_count_packs = false;
  Points month_points;  // the tier position of the month that was asked for
  Points free_points;   // not settled yet
  Points billable_points;
  std::int64_t calls_unmetered = 0;
  std::int32_t revision = 0;  // settlements so far
};

struct DueWork {  // an hour boundary that is being run
  WallTime at;
  HourKey after;              // everything open up to here was tried
  std::set<HourKey> put_off;  // by a fault, to the next boundary
  bool settled = false;       // all that can be; what else the boundary brings is left
};

struct VoucherRow {
  std::string id;
  MicroYuan left;
};

struct PointTransfer {  // a row of the points ledger; those of usage are settlements and their parts
  WallTime at;
  std::uint32_t subscription = 0;
  std::string debit;
  std::string credit;
  Points points;
  std::string reason;
  std::string reference;
};

struct ChargesRow {
  MicroYuan amount;                  // since the instant that was asked for
  std::optional<WallTime> first_at;  // of all charges
};

struct BillPartRow {                // one part of a settlement, on the bill of its month
  std::int64_t first_transfer = 0;  // that pays for the settlement; the others follow it
  std::int64_t transfers = 0;
  std::uint32_t subscription = 0;
  std::int32_t revision = 0;
  std::string service;
  Hour hour;
  WallTime at;
  SettlementPart part;
};

struct PurchaseRow {
  std::string service;
  PaidFrom item = PaidFrom::package;
  std::string id;
  MicroYuan price;
  WallTime at;
};

struct SettlementKey {
  std::uint32_t subscription = 0;
  Hour hour;
  std::int32_t revision = 0;
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

// Who counted the calls of a report. The audit holds only what this gateway counted against what was granted: a report
// of anybody else is a fact, whatever it says.
enum class CountedBy : int { this_gateway, others };

// When a commit is on the disk: before it returns, or with the next one that is. After a power cut those in between
// are undone, the newest first; a dead process loses none.
enum class Durability : int { at_once, with_next };

class Store {
 public:
  virtual ~Store() = default;

  // Runs `body` in a transaction and commits, durably, when it returns without a fault; with one, nothing that it
  // wrote stays. Called inside a body it is a part of that transaction: its fault takes back its own part only. When
  // the database itself fails, the outermost transaction is rolled back and returns unavailable, store_failed.
  // `durability` is the outermost one's. with_next is for what is repeated by itself.
  virtual Result<void> transaction(const std::function<Result<void>()>& body,
                                   Durability durability = Durability::at_once) = 0;

  // Everything below is to be called inside transaction() only. Lists come in the order that is named, after the
  // item that is named (empty: from the start), at most `limit` items.

  virtual std::optional<AccountRow> find_account(std::string_view id) = 0;
  virtual void insert_account(const AccountRow& row) = 0;
  virtual void rename_account(std::string_view id, std::string_view name) = 0;
  virtual std::vector<AccountRow> accounts(std::string_view after, int limit) = 0;  // by id
  virtual std::int64_t count_accounts() = 0;
  virtual std::int64_t count_accounts_in_debt() = 0;  // cash below 0
  virtual std::vector<std::string> accounts_in_debt() = 0;
  virtual bool has_history() = 0;  // any transfer or usage

  virtual void insert_key(const KeyRow& row) = 0;
  // The hash of the key that is revoked now; nullopt: unknown, or revoked before.
  virtual std::optional<Sha256> revoke_key(std::string_view account, std::string_view id, WallTime at) = 0;
  virtual std::vector<KeyRow> keys(std::string_view account, std::string_view after, int limit) = 0;  // by age
  // What there may be a million of is visited row by row; `visit` must not change what it is told of.
  virtual void each_key(const std::function<void(const KeyRow&)>& visit) = 0;  // those not revoked

  // The same of accounts' own read-only tokens.
  virtual void insert_account_token(const AccountTokenRow& row) = 0;
  virtual std::optional<Sha256> revoke_account_token(std::string_view account, std::string_view id, WallTime at) = 0;
  virtual std::vector<AccountTokenRow> account_tokens(std::string_view account, std::string_view after, int limit) = 0;
  virtual std::vector<AccountTokenRow> all_account_tokens() = 0;

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
  // As each_key(); not those of removed services.
  virtual void each_subscription(const std::function<void(const SubscriptionRow&)>& visit) = 0;

  // The ledger. transfer.id is ignored; `account` is the customer in whose list the row stands.
  virtual std::int64_t post(std::string_view account, const Transfer& transfer) = 0;  // its id
  virtual MicroYuan imbalance() = 0;                               // debits less credits over all ledger accounts
  virtual MicroYuan balance(std::string_view ledger_account) = 0;  // credits less debits
  virtual std::vector<Transfer> transfers(std::string_view account, std::int64_t after, int limit) = 0;  // by id
  virtual void insert_deposit(const DepositRow& row) = 0;
  virtual MicroYuan unexpired_vouchers(std::string_view account, WallTime now) = 0;
  virtual void insert_qps_pack(std::uint32_t subscription, const QpsPack& pack) = 0;
  virtual std::vector<QpsPack> qps_packs(std::uint32_t subscription, WallTime not_ended_at) = 0;  // by start
  // All that have a QPS pack, package or count pack, be it ended or used up.
  virtual std::unordered_set<std::uint32_t> subscriptions_with_purchases() = 0;

  // A random number above 0 that this store was given when it was made: journals name the store they belong to.
  virtual std::uint32_t identity() = 0;
  // A number above all before it and above `above`. `nonce` 0: none.
  virtual std::uint32_t insert_epoch(std::string_view gateway, WallTime at, std::int64_t nonce,
                                     std::uint32_t above) = 0;
  virtual std::optional<std::uint32_t> find_epoch(std::string_view gateway, std::int64_t nonce) = 0;
  virtual bool epoch_exists(std::string_view gateway, std::uint32_t epoch) = 0;
  virtual std::optional<meter::UsageTotals> find_report(const UsageSource& source) = 0;
  virtual void put_report(const UsageSource& source, const meter::UsageTotals& totals) = 0;
  // Adds to the sums over all sources: those of the hour, and the free points of the subscription.
  virtual void add_usage(std::uint32_t subscription, Hour hour, const meter::UsageTotals& increase,
                         CountedBy counted_by) = 0;
  virtual HourUsage hour_usage(std::uint32_t subscription, Hour hour) = 0;
  virtual UsageSums usage_sums() = 0;  // reads all hours: for what is reported once in a lifetime
  virtual Points free_points_used(std::uint32_t subscription, Hour from, Hour to) = 0;  // half-open
  virtual std::vector<UsageRow> usage(const UsageQuery& query) = 0;                     // by hour, then service

  // Purchases of points and calls.
  virtual void insert_package(std::uint32_t subscription, const Package& package) = 0;
  // By expiry, purchase, id: the order in which they are used.
  virtual std::vector<Package> packages(std::uint32_t subscription, WallTime not_expired_at) = 0;
  // The same, those with points left that were active at any instant of [begin, end).
  virtual std::vector<Package> packages_covering(std::uint32_t subscription, WallTime begin, WallTime end) = 0;
  virtual void use_package(std::string_view id, Points points) = 0;
  virtual void insert_count_pack(std::uint32_t subscription, const CountPack& pack) = 0;
  // Those with calls left that were bought before `end`, by purchase, id.
  virtual std::vector<CountPack> count_packs(std::uint32_t subscription, WallTime end) = 0;
  virtual void use_count_pack(std::string_view id, std::int64_t calls) = 0;

  // Plans in use and migrations.
  virtual void pin_plan(std::string_view id, std::string_view canonical, WallTime at) = 0;  // keeps the first text
  virtual std::vector<std::pair<std::string, std::string>> pinned_plans() = 0;              // id, canonical
  virtual std::vector<std::string> plans_in_use() = 0;  // that subscriptions and migrations refer to
  virtual std::vector<SubscriptionRow> subscriptions_of_plan(std::string_view plan) = 0;
  virtual void insert_migration(const MigrationRow& row) = 0;
  virtual std::optional<MigrationRow> open_migration(std::uint32_t subscription) = 0;
  virtual std::vector<MigrationRow> open_migrations(Hour until) = 0;  // from <= until, by from, subscription
  virtual std::optional<Hour> first_open_migration() = 0;
  virtual void apply_migration(const MigrationRow& row, Points granted) = 0;
  // The plan of an hour; nullopt: never migrated.
  virtual std::optional<std::string> plan_at(std::uint32_t subscription, Hour hour) = 0;

  // Settlement.
  virtual std::optional<WallTime> due_through() = 0;
  virtual void set_due_through(WallTime at) = 0;
  virtual std::optional<WallTime> first_account_at() = 0;
  virtual std::optional<Hour> oldest_open_hour() = 0;
  // Hours before `before` that are open, by hour and subscription.
  virtual std::vector<HourKey> open_hours(Hour before, HourKey after, int limit) = 0;
  virtual std::string account_of(std::uint32_t subscription) = 0;  // of one that exists
  // The open hours of one account, up to an hour, by hour and service; tier positions are those of `month`.
  virtual std::vector<OpenUsage> open_usage_of(std::string_view account, Hour until, Month month) = 0;
  // With its parts; its transfers, posted before, are `transfers` from the id `first_transfer` on. What it took of the
  // hour is settled, one revision more; the hour stays open while something is left. The sums of the month grow.
  virtual void insert_settlement(Settlement settlement, std::uint32_t subscription, std::int64_t first_transfer,
                                 std::int64_t transfers) = 0;
  virtual Points month_points(std::uint32_t subscription, Month month) = 0;  // the tier position
  virtual void set_call_remainder(std::uint32_t subscription, std::int64_t points) = 0;
  virtual std::vector<VoucherRow> vouchers_left(std::string_view account, WallTime now) = 0;  // by expiry, deposit
  virtual void add_charge(std::string_view account, WallTime at, MicroYuan amount) = 0;
  virtual ChargesRow charges(std::string_view account, WallTime after) = 0;  // at > after
  virtual std::int32_t reminded(std::string_view account) = 0;               // 0: of nothing
  virtual void set_reminded(std::string_view account, std::int32_t hours) = 0;
  virtual void post_points(const PointTransfer& transfer) = 0;
  virtual Points free_points_balance(std::uint32_t subscription) = 0;  // granted less expired less settled

  // Bills.
  virtual std::vector<BillPartRow> bill_parts(std::string_view account, Month month) = 0;  // by settlement, part
  virtual std::vector<PurchaseRow> purchases(std::string_view account, WallTime from, WallTime to) = 0;  // by time
  virtual std::optional<Transfer> find_transfer(std::string_view account, std::int64_t id) = 0;
  virtual std::vector<Transfer> transfers_of(std::string_view reason, std::string_view reference) = 0;  // not usage
  // With its parts and transfers, and without reports.
  virtual std::optional<Settlement> find_settlement(const SettlementKey& key) = 0;
  virtual std::vector<ReportedUsage> reported(std::uint32_t subscription, Hour hour) = 0;

  // The outbox. id, number and payload of what is inserted are ignored; `hours_left` is part of the payload.
  struct NotificationRow {
    Notification notification;
    MicroYuan cash;
    MicroYuan vouchers;
    std::optional<std::int64_t> hours_left;
  };
  virtual void insert_notification(const NotificationRow& row) = 0;
  virtual std::vector<NotificationRow> notifications(std::int64_t after, int limit) = 0;
  virtual std::vector<NotificationRow> notifications_of(std::string_view account, std::int64_t after, int limit) = 0;
  virtual std::vector<NotificationRow> due_notifications(WallTime now, int limit) = 0;
  virtual std::optional<NotificationRow> find_notification(std::int64_t number) = 0;
  virtual void update_notification(const Notification& notification) = 0;  // what delivery changes

  virtual std::optional<AnswerRow> find_answer(std::string_view key) = 0;
  virtual void insert_answer(const AnswerRow& row) = 0;

  // The audit log of changes. The database takes a row only if it follows the head, and refuses to change one.
  virtual AuditHead audit_head() = 0;
  virtual void insert_audit_row(const AuditRow& row) = 0;
  virtual std::vector<AuditRow> audit_rows(std::int64_t after, int limit) = 0;  // by sequence

  // The invariants over all rows, by recomputing them. What this gateway counted of the free points of plans in
  // `granted_once` must stay within what was granted.
  virtual std::vector<Invariant> audit(const std::vector<std::string>& granted_once) = 0;

  // For tests: called with every statement before it is run, commits too. When it returns true the statement fails as
  // on a broken disk.
  using StatementHook = std::function<bool(std::string_view sql)>;
  virtual void set_statement_hook(StatementHook hook) = 0;
};

// Opens (or makes) tollgate.db in `data_dir`, which is made if it is not there. Faults: data_dir_unusable,
// data_dir_in_use (another process has it), schema_too_new, store_failed.
Result<std::unique_ptr<Store>> open_sqlite_store(const std::string& data_dir);

}  // namespace tollgate::billing
