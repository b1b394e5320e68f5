// What the billing core shows: the records of accounts, subscriptions, bills and notifications that its methods give
// out, for the admin API to write as JSON. It has no behaviour, and the rows that are stored are in billing/store.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/amount.h"
#include "base/calendar.h"
#include "meter/report.h"

namespace tollgate::billing {

enum class SubscriptionState { free, paid, arrears };  // domain.md sections 1, 4 and 7

struct Account {
  std::string id;
  std::string name;
  bool in_arrears = false;
  MicroYuan cash;
  MicroYuan vouchers;  // unexpired
  WallTime created_at;
};

struct Key {
  std::string id;
  std::string name;
  WallTime created_at;
  std::optional<WallTime> expires_at;
};

struct NewKey {
  Key key;
  std::string secret;  // shown once
};

struct AccountToken {  // of the account's own, for reading what is its own in the admin API
  std::string id;
  std::string name;
  std::string prefix;  // the first characters of the token
  WallTime created_at;
  std::optional<WallTime> expires_at;
};

struct NewAccountToken {
  AccountToken token;
  std::string secret;  // shown once
};

enum class DepositKind { cash, voucher };

struct QpsPack {
  std::string id;
  std::int32_t qps = 0;
  bool unlimited = false;
  WallTime starts_at;
  WallTime ends_at;
  MicroYuan price;
  WallTime bought_at;
};

struct Package {  // prepaid points of one subscription
  std::string id;
  Points points;
  Points points_left;
  MicroYuan price;
  WallTime bought_at;
  WallTime expires_at;
};

struct CountPack {  // prepaid calls of one subscription (older plans); it does not expire
  std::string id;
  std::int64_t calls = 0;
  std::int64_t calls_left = 0;
  MicroYuan price;
  WallTime bought_at;
};

struct Migration {  // of a subscription to another plan
  std::string plan;
  Hour from;  // the first hour that is charged by `plan`
};

struct Subscription {
  std::uint32_t number = 0;
  std::string account;
  std::string service;
  SubscriptionState state = SubscriptionState::free;
  bool paid = false;  // as the operator set it, whatever the account's state
  std::string plan;
  std::int32_t guarantee = 0;          // now; 0 unless paid
  Points free_points_left;             // never below 0
  Points month_points;                 // tier position of the current month
  std::vector<Package> packages;       // those not expired, in the order in which they are used
  std::vector<CountPack> count_packs;  // those with calls left, in the order in which they are used
  std::vector<QpsPack> qps_packs;      // those not ended yet
  std::optional<Migration> migration;  // asked for and not yet effective
  WallTime created_at;
};

struct UsageRow {
  std::string service;
  Hour hour;
  meter::UsageTotals totals;  // summed over gateways and epochs
  Points settled;             // billable points already settled
};

struct Transfer {  // a row of the ledger, both its sides at once; immutable
  std::int64_t id = 0;
  WallTime at;
  std::string debit;      // ledger account, e.g. "external:deposits"
  std::string credit;     // ledger account, e.g. "cash:acme"; a customer's balance is its credits less its debits
  MicroYuan amount;       // always > 0
  std::string reason;     // deposit, qps_pack, ...
  std::string reference;  // id of what caused it
};

// What a settlement or a purchase put on the bill of a month. Tier, package and count pack lines are sums over the
// hours of the month; an adjustment (usage that was settled later than at the end of its hour) has its hour.
enum class BillLineKind { tier, package, count_pack, purchase, adjustment };

// What the points or calls of a line were paid from; for a purchase, what was bought.
enum class PaidFrom { tier, call, package, count_pack, qps_pack };

struct BillLine {
  std::string id;  // for explain_line(); stable for as long as the bill's month has the line
  std::string service;
  BillLineKind kind = BillLineKind::tier;
  PaidFrom paid_from = PaidFrom::tier;
  std::string item;  // id of the package, count pack or QPS pack; empty for pay-as-you-go
  Points points;
  std::int64_t calls = 0;  // calls charged or covered, where the plan or pack counts calls
  MicroYuan unit_price;    // per point, or per call; of a purchase, its price; 0 when prepaid
  MicroYuan amount;
  std::optional<Hour> hour;             // adjustments only
  std::vector<std::int64_t> transfers;  // ids of the ledger rows that paid for it, with the rest of their settlements
};

struct Bill {
  std::string account;
  Month month;
  std::vector<BillLine> lines;  // by service, kind, price; then by hour
  MicroYuan total;
};

// One settlement: what (subscription, hour, revision) cost and why, down to who reported the usage.
struct ReportedUsage {  // as merged by now; a settlement's revision settled what had come in until then
  std::string gateway;
  std::uint32_t epoch = 0;
  meter::UsageTotals totals;
};
struct SettlementPart {
  PaidFrom paid_from = PaidFrom::tier;
  std::string item;
  Points points;
  std::int64_t calls = 0;
  MicroYuan unit_price;
  MicroYuan amount;
};
struct Settlement {
  std::string reference;  // "<subscription>/<hour>/<revision>", the reference of its transfers
  std::string account;
  std::string service;
  Hour hour;
  std::int32_t revision = 0;  // from 1; each later one settles what came in since
  WallTime at;                // the hour boundary at which it was settled
  std::string plan;
  Points free_points;  // what this revision settled, by kind
  Points billable_points;
  std::int64_t calls_unmetered = 0;
  Points unmetered_points;     // that those calls would have cost, and did not
  Points month_points_before;  // the tier position of the hour's month
  Points month_points_after;
  MicroYuan amount;
  std::vector<SettlementPart> parts;
  std::vector<Transfer> transfers;
  std::vector<ReportedUsage> reported;
};
struct Explanation {
  std::optional<Transfer> transfer;     // that was asked for
  std::vector<Settlement> settlements;  // empty for what is no usage: a deposit, a purchase
};

struct QuoteLine {
  Points points;
  std::int64_t calls = 0;  // by-the-call plans only
  MicroYuan unit_price;
  MicroYuan amount;
};
struct Quote {
  std::string model;
  std::string plan;
  Points points;
  Points month_points;  // before
  std::vector<QuoteLine> lines;
  MicroYuan total;
};

enum class NotificationKind { reminder_72h, reminder_48h, reminder_24h, arrears_notice };
enum class NotificationState { pending, delivered, failed };  // failed: given up after kNotificationAttemptsMax

struct Notification {
  std::int64_t number = 0;  // rises with age
  std::string id;           // "notification-<number>": what a receiver recognises a repetition by
  NotificationKind kind = NotificationKind::arrears_notice;
  std::string account;
  WallTime created_at;
  std::string payload;  // a JSON object: id, kind, account, created_at, cash, vouchers; of reminders hours_left, whole
  NotificationState state = NotificationState::pending;
  std::int32_t attempts = 0;
  WallTime next_attempt_at;
  std::optional<WallTime> delivered_at;
  std::string last_error;
};
[[nodiscard]] std::string_view name_of(NotificationKind kind) noexcept;  // "reminder_72h", ...
[[nodiscard]] std::string_view name_of(NotificationState state) noexcept;
[[nodiscard]] std::string_view name_of(BillLineKind kind) noexcept;
[[nodiscard]] std::string_view name_of(PaidFrom paid_from) noexcept;

// What run_due() did.
struct DueRun {
  std::int64_t hours = 0;  // hour boundaries at which there was something to do
  std::int64_t settlements = 0;
  std::int64_t failures = 0;  // hours of subscriptions that a fault put off; they are tried again at the next boundary
  std::string failure;        // the last of them, for the log
};
struct SettlementStatus {
  std::optional<WallTime> settled_through;  // the last boundary that was run; none before the first
  std::int64_t lag_hours = 0;               // ended hours up to now, from the oldest with unsettled usage
};

struct Invariant {
  std::string name;
  std::int64_t left = 0;  // the two sums that must agree
  std::int64_t right = 0;
  bool ok = false;
};

// A usage line of a report that names its subscription, as it comes in over the API.
struct NamedUsage {
  std::string account;
  std::string service;
  Hour hour;
  meter::UsageTotals totals;
};

struct StoredAnswer {
  int status = 0;
  std::string body;
};

}  // namespace tollgate::billing
