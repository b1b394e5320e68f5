// The billing core: accounts, keys, services, subscriptions, money and usage, over one store. Every method runs
// on the billing thread, does all its checks before its first write, and commits in one transaction; what it
// changes for the traffic leaves through EntitlementSink. It knows neither HTTP nor the data path.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/amount.h"
#include "base/calendar.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/ids.h"
#include "billing/account_tokens.h"
#include "billing/audit_log.h"
#include "billing/catalog.h"
#include "billing/entitlement_sink.h"
#include "billing/plan.h"
#include "billing/shown.h"
#include "meter/report.h"

namespace tollgate::billing {

class Store;  // billing/store.h, with the rows that it keeps
struct AccountRow;
struct KeyRow;
struct ServiceRow;
struct SubscriptionRow;
struct HourKey;
enum class Durability : int;
enum class CountedBy : int;
struct OpenUsage;
struct DueWork;
struct MigrationRow;

template <class T>
struct Page {
  std::vector<T> items;
  std::optional<std::string> next;  // cursor for the following page
};

inline constexpr int kPageItemsDefault = 100;
inline constexpr int kPageItemsMax = 1000;

// What bounds a request; one beyond is a fault that names the field.
inline constexpr std::size_t kNameBytesMax = 200;
inline constexpr MicroYuan kDepositMax{1'000'000'000'000'000};       // a billion yuan
inline constexpr MicroYuan kBalanceMax{100'000'000'000'000'000};     // cash and vouchers of one account
inline constexpr MicroYuan kDepositsMax{1'000'000'000'000'000'000};  // all there ever were in a store, vouchers too
inline constexpr std::int32_t kPackQpsMax = 10'000;
inline constexpr int kAccountTokensMax = 100;  // not revoked, of one account
inline constexpr int kPacksMax = 1000;         // not yet ended, of one subscription
inline constexpr std::chrono::hours kPackLengthMax{366 * 24};
inline constexpr std::chrono::minutes kPackStartLateness{5};
inline constexpr std::int64_t kUsageTotalMax = std::int64_t{1} << 53;
inline constexpr std::size_t kIdempotencyKeyBytesMax = 255;
inline constexpr std::int64_t kHourPointsMax = 1'000'000'000'000'000;  // in one settlement: more is settled in several
inline constexpr Points kMeteredMax{4'000'000'000'000'000'000};        // of a whole store, and as much unmetered
inline constexpr MicroYuan kIncomeMax{8'000'000'000'000'000'000};      // of usage, of a whole store: sums fit 64 bits
inline constexpr std::int32_t kNotificationAttemptsMax = 100;          // with the pauses of mark_failed, four days

class Core {
 public:
  // `clock` is the wall clock of all decisions; `sink` hears of every change. All must outlive the core.
  Core(Store& store, const Catalog& catalog, const std::vector<Plan>& plans, const Clock& clock, EntitlementSink& sink);
  ~Core();

  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // Tells the sink everything there is, row by row. To be called once, before traffic. A fault: the store cannot be
  // read (then the sink may have heard a part), or catalogue and plans lack something that a stored service or
  // subscription refers to (codes model_missing and plan_missing), or a plan in use says something else than it did
  // (plan_changed, with the differences). Traffic must not start then.
  Result<void> publish_all();

  [[nodiscard]] const Catalog& catalog() const noexcept { return catalog_; }
  [[nodiscard]] const std::vector<Plan>& plans() const noexcept { return plans_; }

  // In every fault below: `invalid` names the field as the admin API spells it. Lists stand by id (keys by age); the
  // cursor of a page is opaque. `limit` is cut to 1..kPageItemsMax.

  // -- services. `definition` is the operator's JSON, already validated by the gateway. A deleted service is
  // unknown to every call but usage(), and so are its subscriptions; putting it again brings them back. Fault of a
  // put: model_not_priced, a subscription's plan by the call (or the one it moves to) has no price for the new model.
  Result<ServiceRecord> put_service(std::string_view id, std::string_view model, std::string_view definition);
  Result<ServiceRecord> service(std::string_view id);
  Result<Page<ServiceRecord>> services(std::optional<std::string> after, int limit);
  Result<void> delete_service(std::string_view id);

  // -- accounts and keys
  struct PutAccount {
    Account account;
    bool created = false;
  };
  Result<PutAccount> put_account(std::string_view id, std::string_view name);
  Result<Account> account(std::string_view id);
  Result<Page<Account>> accounts(std::optional<std::string> after, int limit);
  Result<NewKey> create_key(std::string_view account, std::string_view name, std::optional<WallTime> expires_at);
  Result<Page<Key>> keys(std::string_view account, std::optional<std::string> after, int limit);
  Result<void> revoke_key(std::string_view account, std::string_view key_id);

  // -- accounts' own read-only tokens for the admin API; at most kAccountTokensMax of one account (too_many_tokens)
  Result<NewAccountToken> create_account_token(std::string_view account, std::string_view name,
                                               std::optional<WallTime> expires_at);
  Result<Page<AccountToken>> account_tokens(std::string_view account, std::optional<std::string> after, int limit);
  Result<void> revoke_account_token(std::string_view account, std::string_view id);
  // Any thread. A token is known, or no longer, when the call that made or revoked it has returned.
  [[nodiscard]] const AccountTokens& token_holders() const noexcept { return token_holders_; }

  // -- money. `expires_at` only for vouchers. Faults beyond the fields: balance_limit (kBalanceMax), deposits_limit
  // (kDepositsMax: what there is beside income from usage fits 64 bits with it).
  struct Deposited {
    std::string id;
    Account account;
  };
  Result<Deposited> deposit(std::string_view account, MicroYuan amount, DepositKind kind,
                            std::optional<WallTime> expires_at);
  Result<Page<Transfer>> transfers(std::string_view account, std::optional<std::string> after, int limit);

  // -- subscriptions. `paid` may change at any time; the plan is pinned when the subscription is made (plan_pinned).
  struct PutSubscription {
    Subscription subscription;
    bool created = false;
  };
  Result<PutSubscription> put_subscription(std::string_view account, std::string_view service, bool paid,
                                           std::optional<std::string> plan);
  Result<Subscription> subscription(std::string_view account, std::string_view service);
  Result<Page<Subscription>> subscriptions(std::string_view account, std::optional<std::string> after, int limit);
  // A start up to kPackStartLateness ago is taken; days are periods of 24 h from the start, or from now if that is
  // later, and a started one counts whole. Paid from cash at once. Faults beyond the fields: not_paid, arrears,
  // too_many_packs, not_sold (no price for the model), plan_not_sold, balance_short.
  Result<QpsPack> buy_qps_pack(std::string_view account, std::string_view service, std::int32_t qps, bool unlimited,
                               WallTime starts_at, WallTime ends_at);

  // Prepaid points or calls, paid from cash at once. Faults beyond the fields, in this order: not_sold or plan_not_sold
  // (gone; for packages not_sold is a conflict), not_paid, arrears and balance_short (payment_required).
  Result<Package> buy_package(std::string_view account, std::string_view service, Points points);
  Result<CountPack> buy_count_pack(std::string_view account, std::string_view service, std::int64_t calls);
  // From the next Beijing hour on, `plan` is what the subscription is charged by. Faults: plan_unchanged,
  // migration_pending (another plan was asked for this hour), plan_not_sold, not_sold. The same again is no fault.
  Result<Migration> migrate(std::string_view account, std::string_view service, std::string_view plan);

  // -- settlement and what falls due
  // Runs what fell due up to `now`, in order: at every Beijing hour boundary the settlements of the hours that ended,
  // arrears and reminders; the migrations and free quota periods that begin there. Decisions read the instant that is
  // being run, never the clock. To be called with usage collected, whenever time has passed; a repetition does nothing.
  // A fault: the store failed, and what is not done yet stays due.
  Result<DueRun> run_due(WallTime now);
  // The same in bounded pieces, so that other work on the thread gets its turn: one boundary, or a part of one with
  // very many accounts. `true` while there is more to do.
  Result<bool> run_due_piece(WallTime now, DueRun& run);
  Result<SettlementStatus> settlement_status();

  // -- bills and quotes
  Result<Bill> bill(std::string_view account, Month month);
  Result<Explanation> explain_transfer(std::string_view account, std::int64_t transfer);
  Result<Explanation> explain_line(std::string_view account, Month month, std::string_view line_id);
  // What `points` or `calls` (exactly one of them) would cost pay-as-you-go, with `month_points` charged before.
  // Without `plan`, by the plan of new subscriptions. Faults name model, points, calls, month_points or plan.
  Result<Quote> quote(std::string_view model, std::optional<Points> points, std::optional<std::int64_t> calls,
                      Points month_points, std::optional<std::string> plan);

  // -- notifications: the durable outbox. Whoever delivers asks for those due, and marks each.
  Result<std::vector<Notification>> due_notifications(WallTime now, int limit);  // pending, by number
  Result<void> mark_delivered(std::int64_t number, WallTime now);
  // The next attempt is after 5 s, doubled with each failure up to an hour; after kNotificationAttemptsMax the
  // state is failed.
  Result<void> mark_failed(std::int64_t number, WallTime now, std::string_view error);
  Result<Page<Notification>> notifications(std::optional<std::string> after, int limit);  // all, oldest first
  Result<Page<Notification>> notifications_of(std::string_view account, std::optional<std::string> after, int limit);

  // -- usage
  // Larger than any given out before and than `above`, and durable. 0, which is never an epoch: `gateway` is no id, or
  // the store refused. `nonce`: a random number above 0 by which a journal knows its epoch again; 0: none.
  std::uint32_t open_epoch(std::string_view gateway);
  Result<std::uint32_t> open_epoch(std::string_view gateway, std::int64_t nonce, std::uint32_t above);
  // The number under which usage is taken that was counted under the epoch with that nonce. It is the number that was
  // given out, unless this store is a restored copy that does not know it: then one of its own, always the same, since
  // what it gave out since may be that number too. `unmarked`, if not 0: the number of an epoch whose nonce was lost.
  struct TakenEpoch {
    std::uint32_t epoch = 0;
    bool given_out_here = false;
  };
  Result<TakenEpoch> take_over_epoch(std::string_view gateway, std::int64_t nonce, std::uint32_t unmarked = 0);
  // There is a subscription of that number, of a removed service too, and it was there before the hour's end.
  Result<bool> may_have_used(std::uint32_t subscription, Hour hour);
  // The epoch under which this very process counts: reports of it from outside are refused (epoch_in_use), since the
  // maximum would swallow what is counted here.
  void own_epoch(std::uint32_t epoch) noexcept { own_epoch_ = epoch; }
  // Keeps the larger of what is stored and what comes in, total by total; a fault takes nothing of the report.
  // usage_too_large: the ledgers could not hold what it would cost. That is asked of the second kind only.
  // The first is for this process's own journal, whose free points the sink already knows.
  Result<void> merge(const meter::UsageReport& report);
  Result<void> merge(std::string_view gateway, std::int64_t epoch, const std::vector<NamedUsage>& totals);
  Result<Page<UsageRow>> usage(std::string_view account, std::optional<std::string> service, WallTime from, WallTime to,
                               std::optional<std::string> after, int limit);

  // -- idempotency: runs `work` once for `key`, whatever is repeated; its writes and its answer commit together,
  // and what it publishes leaves after that commit.
  // Same key and fingerprint: the first answer again. Same key, another fingerprint: unprocessable.
  // An answer below 400 is kept with the writes of `work`. 402, 409 and 410 are kept without any writes: they are
  // decisions on the state. Any other answer is given back and forgotten, so that a corrected request may use the
  // key. Never for answers that hold a secret: they are stored as they are.
  Result<StoredAnswer> once(std::string_view key, std::string_view fingerprint,
                            const std::function<StoredAnswer()>& work);

  // -- the audit log of changes
  // Runs `work` with all that it writes, and when its outcome is below 400 adds the row that tells of it: one
  // transaction, so both are there or neither is. From 400 on nothing stays, and there is no row.
  Result<std::optional<AuditHead>> record_change(const AuditChange& change, const std::function<AuditOutcome()>& work);
  Result<AuditHead> record_after(const AuditChange& change, const AuditOutcome& outcome);  // of what is done already
  Result<Page<AuditRow>> audit_log(std::optional<std::string> after, int limit);
  // Gives the next rows to `verifier`, so that other work on the thread gets its turn; true while there are more.
  Result<bool> verify_audit_log_piece(AuditVerifier& verifier);

  // Every invariant with its sums; a store that cannot be read is one that does not hold ("store_readable").
  std::vector<Invariant> audit();

  // Whether any money has moved or any usage was merged.
  Result<bool> has_history();

  // Debits less credits over all ledger accounts: 0, or the ledger is broken.
  Result<MicroYuan> ledger_imbalance();

  struct AccountCounts {
    std::int64_t active = 0;
    std::int64_t arrears = 0;
  };
  AccountCounts account_counts();

 private:
  using Event = std::function<void(EntitlementSink&)>;
  static const Durability kAtOnce;

  // The instant that is being run by run_due(), or the clock's. Nothing else here asks the clock.
  [[nodiscard]] WallTime now() const noexcept { return running_at_.value_or(clock_.now()); }

  // The one way to the store: every public method does its reading and writing inside. Nested calls join.
  Result<void> run(const std::function<Result<void>()>& body);
  Result<void> run(const std::function<Result<void>()>& body, Durability durability);
  template <class Body>
  std::invoke_result_t<Body&> in_transaction(Body body) {
    return in_transaction(body, kAtOnce);
  }
  template <class Body>
  std::invoke_result_t<Body&> in_transaction(Body body, Durability durability) {
    std::optional<std::invoke_result_t<Body&>> answer;
    const Result<void> outcome = run(
        [&]() -> Result<void> {
          answer.emplace(body());
          if (answer->has_error()) return answer->error();
          return {};
        },
        durability);
    if (outcome.has_error()) return outcome.error();
    return *std::move(answer);
  }
  void publish(Event event) { events_.push_back(std::move(event)); }  // leaves after the outermost commit

  AuditHead append_to_audit_log(const AuditChange& change, const AuditOutcome& outcome);

  // Look-ups that answer with the fault of their subject. Of services, only those that are not deleted.
  Result<AccountRow> need_account(std::string_view id);
  Result<ServiceRow> need_service(std::string_view id);
  Result<SubscriptionRow> need_subscription(std::string_view account, std::string_view service);
  [[nodiscard]] const Plan* find_plan(std::string_view id) const noexcept;

  // From rows to what is shown and published.
  Account shown(const AccountRow& row);
  Subscription shown(const SubscriptionRow& row);
  Result<ServiceRecord> record(const ServiceRow& row);
  SubscriptionRecord record(const SubscriptionRow& row);
  // What is bought is read only when something was.
  SubscriptionRecord record(const SubscriptionRow& row, SubscriptionState state, bool has_purchases);
  void tell_all_subscriptions();
  bool in_debt(std::string_view account);     // cash below 0
  bool in_arrears(std::string_view account);  // in debt, or guarded
  SubscriptionState state(const SubscriptionRow& row);
  Points free_points_left(const SubscriptionRow& row);
  // The hours that count against the free quota now, as [first, second); nullopt: all there are.
  std::optional<std::pair<Hour, Hour>> free_quota_hours(const SubscriptionRow& row);
  void publish_subscriptions_of(std::string_view account);

  // -- plans: core_plans.cc
  Result<void> check_pinned_plans();
  Result<void> check_priced(const ServiceRow& service);  // by all plans of its subscriptions
  void pin(const Plan& plan);
  // `plan` can charge the calls of `service`: it has tiers, or a price per call of the model.
  bool prices(const Plan& plan, const ServiceRow& service) const noexcept;
  void apply(const MigrationRow& migration);
  void begin_free_quota_period(const SubscriptionRow& row);
  void grant_free_points(std::uint32_t subscription, Points points, std::string_view plan);

  // -- purchases: core_purchases.cc
  // The first fault that any purchase of a subscription has, whatever is bought.
  Result<void> check_buyer(const SubscriptionRow& row, MicroYuan price);

  // -- settlement: core_due.cc and core_settle.cc
  std::optional<WallTime> next_boundary(WallTime now);
  std::optional<WallTime> next_quota_period(WallTime after);
  Result<bool> run_piece(WallTime now, DueRun& run);
  void settle_some(DueRun& run);
  void finish_boundary(WallTime at);
  // All ended hours of the account, each by itself: a fault puts off what is left of its own hour. Adds them to
  // `tried`.
  void settle_account(const std::string& account, DueRun& run, std::set<HourKey>& tried);
  struct Books;  // the money of the account that is being settled
  Books open_books(const std::string& account);
  std::vector<OpenUsage> open_usage_of(Books& books, Hour until);
  // All that is open of an hour, in as many settlements as it takes; `settlements` counts them.
  Result<void> settle_hour(OpenUsage usage, Books& books, std::int64_t& settlements);
  Result<Settlement> settlement_of(OpenUsage& usage, const Books& books, const Plan& plan, const Model& model);
  // Who pays for the billable points of `settlement`: fills parts, month points and amount, moves the remainder of
  // calls and the tier position of `usage`. Writes nothing.
  Result<void> pay_from(OpenUsage& usage, const Plan& plan, const Model& model, Settlement& settlement);
  Result<void> pay_by_call(OpenUsage& usage, const CallPrice& price, Points cost, Settlement& settlement);
  Result<void> pay_by_point(const OpenUsage& usage, const Plan& plan, Points cost, Settlement& settlement);
  void post_settlement(const OpenUsage& usage, Settlement settlement, Books& books);
  void publish_if_used_up(std::uint32_t subscription);
  struct Posted {
    std::int64_t first = 0;  // transfer
    std::int64_t count = 0;
  };
  Posted post_money(const Settlement& settlement, Books& books);

  // -- arrears and reminders: core_notifications.cc
  void after_settlement(const Books& books);
  void rearm_reminders(std::string_view account);
  void notify(NotificationKind kind, std::string_view account, std::optional<std::int64_t> hours_left);

  // -- the real-time guard of plans with arrears_check realtime: core_guard.cc
  [[nodiscard]] bool has_realtime_plan() const noexcept;
  bool over_its_money(std::string_view account);
  // Treats the account as in arrears, or no longer, and tells the traffic when that changed. After whatever may
  // change what it owes or holds.
  void check_guard(std::string_view account);
  void guard(const std::string& account, bool over);
  void take_back_guards(std::size_t since);  // the changes after that many of the open transaction
  void check_guards(const std::unordered_set<std::uint32_t>& subscriptions);  // of their accounts

  struct MergeEntry {
    std::uint32_t subscription = 0;
    Hour hour;
    meter::UsageTotals totals;
  };
  Result<void> check_pack_window(WallTime starts_at, WallTime ends_at);
  Result<void> check_epoch(std::string_view gateway, std::int64_t epoch);
  Result<std::vector<MergeEntry>> resolve(const std::vector<NamedUsage>& totals);
  // usage_too_large: the books could not hold what the entry adds to them. Looks only at what is beyond anything that
  // was ever called, so an ordinary report costs nothing.
  Result<void> check_books_hold(const MergeEntry& entry, const meter::UsageTotals& increase, std::size_t index);
  Result<MicroYuan> worth(const SubscriptionRow& row, const Model& model, Hour hour, Points billable);
  // Merges one checked entry; the free points by which it raised what is stored.
  Points merge_entry(std::string_view gateway, std::uint32_t epoch, const MergeEntry& entry, CountedBy counted_by);

  Store& store_;
  const Catalog& catalog_;
  const std::vector<Plan>& plans_;
  const Clock& clock_;
  EntitlementSink& sink_;
  AccountTokens token_holders_;
  std::vector<Event> events_;  // of the open transaction
  std::uint32_t own_epoch_ = 0;
  int depth_ = 0;                               // of nested calls of run()
  std::set<std::string, std::less<>> guarded_;  // accounts treated as in arrears by the guard; from the store at start
  std::vector<std::pair<std::string, bool>> guard_changes_;  // of the open transaction: a rollback takes them back
  std::optional<WallTime> running_at_;
  std::unique_ptr<DueWork> due_;  // between two pieces of one boundary; only a saving, the store knows what is open
};

}  // namespace tollgate::billing
