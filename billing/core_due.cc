// What falls due with time, hour boundary by hour boundary: which boundary is next, and what is done there in which
// order. How one account is settled is in core_settle.cc.
#include <algorithm>

#include "billing/core.h"
#include "billing/store.h"

namespace tollgate::billing {
namespace {
constexpr std::size_t kHoursAPiece = 500;  // of usage; a piece ends with the account in which it is reached
}

Result<DueRun> Core::run_due(WallTime now) {
  DueRun run;
  for (;;) {
    const auto more = run_due_piece(now, run);
    if (more.has_error()) return more.error();
    if (!*more) return run;
  }
}

Result<bool> Core::run_due_piece(WallTime now, DueRun& run) {
  DueRun done = run;  // counted when it is committed
  const auto more = in_transaction([&]() -> Result<bool> { return run_piece(now, done); });
  running_at_.reset();
  if (more.has_error()) {
    due_.reset();  // what was done since the last commit is undone; the store knows what is open
  } else {
    run = done;
  }
  return more;
}

Result<bool> Core::run_piece(WallTime now, DueRun& run) {
  if (!due_) {
    const auto at = next_boundary(now);
    if (!at) return false;
    due_ = std::make_unique<DueWork>();
    due_->at = *at;
    due_->open = store_.open_usage(hour_of(*at));
    ++run.hours;
  }
  running_at_ = due_->at;
  for (const std::size_t first = due_->next; due_->next < due_->open.size() && due_->next - first < kHoursAPiece;) {
    const OpenUsage* begin = due_->open.data() + due_->next;
    const OpenUsage* end = std::find_if(begin, static_cast<const OpenUsage*>(due_->open.data() + due_->open.size()),
                                        [&](const OpenUsage& usage) { return usage.account != begin->account; });
    if (auto settled = settle_account(begin, end, run); settled.has_error()) return settled.error();
    due_->next += static_cast<std::size_t>(end - begin);
  }
  if (due_->next == due_->open.size()) {
    finish_boundary(due_->at);
    due_.reset();
  }
  return true;
}

std::optional<WallTime> Core::next_boundary(WallTime now) {
  const WallTime newest = begin_of(hour_of(now));
  auto through = store_.due_through();
  // The first run; or a test clock that was set back before anything happened.
  if (!through || (newest < *through && !store_.has_history())) {
    through = begin_of(hour_of(std::min(store_.first_account_at().value_or(now), now)));
    store_.set_due_through(*through);
  }
  std::optional<WallTime> next;
  const auto consider = [&](WallTime at) {
    const WallTime boundary = std::max(at, *through + std::chrono::hours(1));
    if (!next || boundary < *next) next = boundary;
  };
  if (const auto hour = store_.oldest_open_hour()) consider(begin_of(hour->next()));
  if (const auto hour = store_.first_open_migration()) consider(begin_of(*hour));
  if (const auto begin = next_quota_period(*through)) consider(*begin);
  if (next && *next <= now) return next;
  if (newest > *through) store_.set_due_through(newest);  // nothing is due up to here
  return std::nullopt;
}

void Core::finish_boundary(WallTime at) {
  for (const auto& migration : store_.open_migrations(hour_of(at))) apply(migration);
  for (const auto& plan : plans_) {
    const bool begins = (plan.free_quota_period == FreeQuotaPeriod::day && begin_of_day(at) == at) ||
                        (plan.free_quota_period == FreeQuotaPeriod::month && begin_of(month_of(at)) == at);
    if (!begins) continue;
    for (const auto& row : store_.subscriptions_of_plan(plan.id)) begin_free_quota_period(row);
  }
  store_.set_due_through(at);
}

Result<SettlementStatus> Core::settlement_status() {
  return in_transaction([&]() -> Result<SettlementStatus> {
    SettlementStatus status;
    status.settled_through = store_.due_through();
    if (const auto oldest = store_.oldest_open_hour()) {
      status.lag_hours = std::max(0, hour_of(now()).since_epoch - oldest->since_epoch);
    }
    return status;
  });
}

}  // namespace tollgate::billing
