// The real-time guard: with a plan whose arrears_check is realtime, an account is treated as in arrears as soon as what
// is metered and not settled would take it below 0. It posts nothing; the hour's settlement does, as ever.
#include <algorithm>
#include <limits>

#include "billing/account_books.h"
#include "billing/core.h"
#include "billing/store.h"

namespace tollgate::billing {

bool Core::has_realtime_plan() const noexcept {
  return std::ranges::any_of(plans_, [](const Plan& plan) { return plan.arrears_check == ArrearsCheck::realtime; });
}

// Settles what is open, looks at the balance, and takes all of it back: the guard can never disagree with what the
// settlement will do.
bool Core::over_its_money(std::string_view account) {
  const auto rows = store_.subscriptions(account, "", kPageItemsMax);
  const bool watched = std::ranges::any_of(rows, [&](const SubscriptionRow& row) {
    const Plan* plan = find_plan(row.plan);
    return row.paid && plan != nullptr && plan->arrears_check == ArrearsCheck::realtime;
  });
  if (!watched) return false;
  MicroYuan left;
  (void)run([&]() -> Result<void> {
    Books books = open_books(std::string(account));
    std::int64_t settlements = 0;
    // All of it: the clock may have been set back behind usage, and a late boundary lies behind it anyway.
    const Hour last{std::numeric_limits<std::int32_t>::max()};
    for (auto& usage : open_usage_of(books, last)) (void)settle_hour(std::move(usage), books, settlements);
    left = books.cash;
    return Fault{FaultKind::conflict, "only_looked", "", {}};
  });
  return left < MicroYuan();
}

void Core::check_guard(std::string_view account) {
  if (!has_realtime_plan()) return;
  const bool over = over_its_money(account);
  if (over == guarded_.contains(account)) return;
  guard(std::string(account), over);
  guard_changes_.emplace_back(account, over);
  publish_subscriptions_of(account);
}

void Core::guard(const std::string& account, bool over) {
  if (over) {
    guarded_.insert(account);
  } else {
    guarded_.erase(account);
  }
}

void Core::take_back_guards(std::size_t since) {
  for (; guard_changes_.size() > since; guard_changes_.pop_back()) {
    const auto& [account, over] = guard_changes_.back();
    guard(account, !over);
  }
}

void Core::check_guards(const std::unordered_set<std::uint32_t>& subscriptions) {
  if (!has_realtime_plan()) return;
  std::set<std::string> accounts;
  for (const auto number : subscriptions) {
    if (const auto row = store_.find_subscription(number)) accounts.insert(row->account);
  }
  for (const auto& account : accounts) check_guard(account);
}

}  // namespace tollgate::billing
