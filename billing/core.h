// The billing core: accounts, keys, services, subscriptions, money and usage, over one store. Every method runs
// on the billing thread, does all its checks before its first write, and commits in one transaction; what it
// changes for the traffic leaves through EntitlementSink. It knows neither HTTP nor the data path.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/amount.h"
#include "base/calendar.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/ids.h"
#include "billing/catalog.h"
#include "billing/plan.h"
#include "meter/report.h"

namespace tollgate::billing {

class Store;

// ---- What the traffic needs to know (published after each commit, and all of it at start) ----

enum class SubscriptionState { free, paid, arrears };  // domain.md sections 1, 4 and 7

struct PackWindow {  // a QPS pack as the limiter sees it: active for starts_at <= now < ends_at
  WallTime starts_at;
  WallTime ends_at;
  std::int32_t qps = 0;  // at least 1
  bool unlimited = false;
};

struct ServiceRecord {
  std::string id;
  std::string model;       // a model of the catalogue
  Points cost;             // points per call, from the catalogue
  std::int32_t base = 0;   // base guarantee of the model's class, 10 or 4
  std::string definition;  // the JSON object the operator put; the gateway reads routes and upstreams from it
};

struct KeyRecord {
  Sha256 hash{};
  std::string account;
  std::optional<WallTime> expires_at;
};

struct SubscriptionRecord {
  std::uint32_t number = 0;  // never reused
  std::string account;
  std::string service;
  SubscriptionState state = SubscriptionState::free;
  std::vector<PackWindow> packs;  // those not ended yet, of a paid subscription
  Points free_points_left;        // by the reports merged so far; at start, the true figure
};

// Implemented by the wiring; called on the billing thread, must not throw or block.
class EntitlementSink {
 public:
  virtual ~EntitlementSink() = default;
  virtual void service_changed(const ServiceRecord&) = 0;
  virtual void service_removed(std::string_view service) = 0;
  virtual void key_added(const KeyRecord&) = 0;
  virtual void key_revoked(const Sha256& hash) = 0;
  virtual void subscription_changed(const SubscriptionRecord&) = 0;
  // Free points used according to another gateway or an import: take them from what is left here.
  virtual void free_points_used_elsewhere(std::uint32_t subscription, Points points) = 0;
};

// ---- What the admin API shows ----

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

struct Subscription {
  std::uint32_t number = 0;
  std::string account;
  std::string service;
  SubscriptionState state = SubscriptionState::free;
  bool paid = false;  // as the operator set it, whatever the account's state
  std::string plan;
  std::int32_t guarantee = 0;  // now; 0 unless paid
  Points free_points_left;     // never below 0
  Points month_points;         // tier position of the current month
  std::vector<QpsPack> qps_packs;  // those not ended yet
  WallTime created_at;
};

struct UsageRow {
  std::string service;
  Hour hour;
  meter::UsageTotals totals;  // summed over gateways and epochs
  Points settled;             // billable points already settled
};

struct Transfer {  // a row of the ledger: double entry, immutable
  std::int64_t id = 0;
  WallTime at;
  std::string debit;   // ledger account, e.g. "cash:acme"
  std::string credit;  // ledger account, e.g. "external:deposits"
  MicroYuan amount;    // always > 0
  std::string reason;  // deposit, qps_pack, ...
  std::string reference;  // id of what caused it
};

struct Invariant {
  std::string name;
  std::int64_t left = 0;   // the two sums that must agree
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

template <class T>
struct Page {
  std::vector<T> items;
  std::optional<std::string> next;  // cursor for the following page
};

inline constexpr int kPageItemsDefault = 100;
inline constexpr int kPageItemsMax = 1000;

class Core {
 public:
  // `clock` is the wall clock of all decisions; `sink` hears of every change. All must outlive the core.
  Core(Store& store, const Catalog& catalog, const std::vector<Plan>& plans, const Clock& clock, EntitlementSink& sink);

  // Tells the sink everything there is. To be called once, before traffic.
  void publish_all();

  [[nodiscard]] const Catalog& catalog() const noexcept { return catalog_; }
  [[nodiscard]] const std::vector<Plan>& plans() const noexcept { return plans_; }

  // -- services. `definition` is the operator's JSON, already validated by the gateway.
  Result<ServiceRecord> put_service(std::string_view id, std::string_view model, std::string_view definition);
  Result<ServiceRecord> service(std::string_view id);
  Result<Page<ServiceRecord>> services(std::optional<std::string> after, int limit);
  Result<void> delete_service(std::string_view id);

  // -- accounts and keys
  struct PutAccount { Account account; bool created = false; };
  Result<PutAccount> put_account(std::string_view id, std::string_view name);
  Result<Account> account(std::string_view id);
  Result<Page<Account>> accounts(std::optional<std::string> after, int limit);
  Result<NewKey> create_key(std::string_view account, std::string_view name, std::optional<WallTime> expires_at);
  Result<Page<Key>> keys(std::string_view account, std::optional<std::string> after, int limit);
  Result<void> revoke_key(std::string_view account, std::string_view key_id);

  // -- money. `expires_at` only for vouchers.
  struct Deposited { std::string id; Account account; };
  Result<Deposited> deposit(std::string_view account, MicroYuan amount, DepositKind kind,
                            std::optional<WallTime> expires_at);
  Result<Page<Transfer>> transfers(std::string_view account, std::optional<std::string> after, int limit);

  // -- subscriptions
  struct PutSubscription { Subscription subscription; bool created = false; };
  Result<PutSubscription> put_subscription(std::string_view account, std::string_view service, bool paid,
                                           std::optional<std::string> plan);
  Result<Subscription> subscription(std::string_view account, std::string_view service);
  Result<Page<Subscription>> subscriptions(std::string_view account, std::optional<std::string> after, int limit);
  Result<QpsPack> buy_qps_pack(std::string_view account, std::string_view service, std::int32_t qps, bool unlimited,
                               WallTime starts_at, WallTime ends_at);

  // -- usage
  std::uint32_t open_epoch(std::string_view gateway);             // larger than any given out before
  Result<void> merge(const meter::UsageReport& report);           // from this process's own journal
  Result<void> merge(std::string_view gateway, std::int64_t epoch, const std::vector<NamedUsage>& totals);
  Result<Page<UsageRow>> usage(std::string_view account, std::optional<std::string> service, WallTime from,
                               WallTime to, std::optional<std::string> after, int limit);

  // -- idempotency: runs `work` once for `key`, whatever is repeated; its writes and its answer commit together.
  // Same key and fingerprint: the first answer again. Same key, another fingerprint: unprocessable.
  Result<StoredAnswer> once(std::string_view key, std::string_view fingerprint,
                            const std::function<StoredAnswer()>& work);

  std::vector<Invariant> audit();

  struct AccountCounts { std::int64_t active = 0; std::int64_t arrears = 0; };
  AccountCounts account_counts();

 private:
  Store& store_;
  const Catalog& catalog_;
  const std::vector<Plan>& plans_;
  const Clock& clock_;
  EntitlementSink& sink_;
};

}  // namespace tollgate::billing
