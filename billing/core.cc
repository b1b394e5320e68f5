// Transactions with publication, the start, and what the other core_*.cc share; each of those is one subject.
#include "billing/core.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "billing/store.h"

namespace tollgate::billing {

Core::Core(Store& store, const Catalog& catalog, const std::vector<Plan>& plans, const Clock& clock,
           EntitlementSink& sink)
    : store_(store), catalog_(catalog), plans_(plans), clock_(clock), sink_(sink) {
  TOLLGATE_CHECK(!plans_.empty());  // check_plans
}

Core::~Core() = default;

const Durability Core::kAtOnce = Durability::at_once;

Result<void> Core::run(const std::function<Result<void>()>& body) { return run(body, Durability::at_once); }

Result<void> Core::run(const std::function<Result<void>()>& body, Durability durability) {
  // Events leave only after the outermost commit; those of a part that was taken back never do, and neither do guards.
  struct Scope {
    Core& core;
    std::size_t events_before = core.events_.size();
    std::size_t guards_before = core.guard_changes_.size();
    bool committed = false;
    explicit Scope(Core& of) : core(of) { ++core.depth_; }
    ~Scope() {
      --core.depth_;
      if (committed) return;
      core.events_.resize(events_before);
      core.take_back_guards(guards_before);
    }
  };
  Result<void> outcome;
  {
    Scope scope(*this);
    outcome = store_.transaction(body, durability);
    scope.committed = outcome.has_value();
  }
  if (depth_ > 0) return outcome;
  guard_changes_.clear();
  const std::vector<Event> events = std::exchange(events_, {});
  for (const auto& event : events) event(sink_);
  return outcome;
}

Result<void> Core::publish_all() {
  return run([&]() -> Result<void> {
    std::vector<ServiceRecord> services;
    for (std::string after;;) {
      const auto rows = store_.services(after, kPageItemsMax);
      if (rows.empty()) break;
      for (const auto& row : rows) {
        auto published = record(row);
        if (published.has_error()) return published.error();
        services.push_back(*std::move(published));
      }
      after = rows.back().id;
    }
    if (auto checked = check_pinned_plans(); checked.has_error()) return checked;
    // Told at once, not after the commit: nothing is written here, and kept until then it would be as much memory
    // again.
    for (const auto& service : services) sink_.service_changed(service);
    store_.each_key([&](const KeyRow& row) { sink_.key_added({row.hash, row.account, row.expires_at}); });
    for (const auto& row : store_.all_account_tokens()) token_holders_.add(row.hash, row.account, row.expires_at);
    if (has_realtime_plan()) {  // before the states are told
      std::set<std::string> accounts;
      store_.each_subscription([&](const SubscriptionRow& row) { accounts.insert(row.account); });
      for (const auto& account : accounts) {
        if (over_its_money(account)) guarded_.insert(account);
      }
    }
    tell_all_subscriptions();
    return {};
  });
}

Result<AccountRow> Core::need_account(std::string_view id) {
  if (!is_valid_id(id)) return invalid("account", "an account's id is 1 to 63 of a-z, 0-9 and '-'");
  auto row = store_.find_account(id);
  if (!row) return Fault{FaultKind::not_found, "account_not_found", fmt::format("there is no account '{}'", id), {}};
  return *std::move(row);
}

Result<ServiceRow> Core::need_service(std::string_view id) {
  if (!is_valid_id(id)) return invalid("service", "a service's id is 1 to 63 of a-z, 0-9 and '-'");
  auto row = store_.find_service(id);
  if (!row || row->removed_at) {
    return Fault{FaultKind::not_found, "service_not_found", fmt::format("there is no service '{}'", id), {}};
  }
  return *std::move(row);
}

Result<SubscriptionRow> Core::need_subscription(std::string_view account, std::string_view service) {
  if (auto found = need_account(account); found.has_error()) return found.error();
  if (auto found = need_service(service); found.has_error()) return found.error();
  auto row = store_.find_subscription(account, service);
  if (!row) {
    return Fault{FaultKind::not_found,
                 "subscription_not_found",
                 fmt::format("account '{}' has no subscription to '{}'", account, service),
                 {}};
  }
  return *std::move(row);
}

const Plan* Core::find_plan(std::string_view id) const noexcept {
  const auto found = std::ranges::find(plans_, id, &Plan::id);
  return found == plans_.end() ? nullptr : &*found;
}

Result<StoredAnswer> Core::once(std::string_view key, std::string_view fingerprint,
                                const std::function<StoredAnswer()>& work) {
  if (key.empty() || key.size() > kIdempotencyKeyBytesMax ||
      !std::ranges::all_of(key, [](char c) { return c > ' ' && c <= '~'; })) {
    return invalid("Idempotency-Key", "an idempotency key is 1 to 255 visible ASCII characters");
  }
  // Stored as a hash: a fingerprint may be a whole request body.
  const Sha256 digest = sha256(fingerprint);
  const std::string print = to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
  return in_transaction([&]() -> Result<StoredAnswer> {
    if (auto first = store_.find_answer(key)) {
      if (first->fingerprint == print) return std::move(first->answer);
      return Fault{FaultKind::unprocessable, "idempotency_key_reused",
                   "this idempotency key was used before, with another request", "Idempotency-Key"};
    }
    StoredAnswer answer;
    const Result<void> kept = run([&]() -> Result<void> {
      answer = work();
      if (answer.status < 400) return {};
      return Fault{FaultKind::conflict, "refused", "", {}};  // takes back what `work` wrote; never leaves this function
    });
    const bool decision = answer.status == 402 || answer.status == 409 || answer.status == 410;
    if (kept.has_value() || decision) store_.insert_answer({std::string(key), print, answer, now()});
    return answer;
  });
}

std::vector<Invariant> Core::audit() {
  std::vector<std::string> granted_once;
  for (const auto& plan : plans_) {
    if (plan.free_quota_period == FreeQuotaPeriod::once) granted_once.push_back(plan.id);
  }
  std::vector<Invariant> invariants;
  const Result<void> outcome = run([&]() -> Result<void> {
    invariants = store_.audit(granted_once);
    return {};
  });
  if (outcome.has_error()) return {{"store_readable", 0, 1, false}};
  return invariants;
}

}  // namespace tollgate::billing
