// What falls due with time, hour boundary by hour boundary: which boundary is next, and what is done there in which
// order. How one account is settled is in core_settle.cc.
#include <algorithm>
#include <set>

#include "base/fail_point.h"
#include "billing/core.h"
#include "billing/store.h"

namespace tollgate::billing {
namespace {
// Of usage; a piece ends with the account in which it is reached. So that the thread is free again after some 20 ms.
constexpr std::int64_t kHoursAPiece = 1000;
constexpr int kHoursALook = 1000;
}  // namespace

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
  // The end of the boundary makes all of it durable; until then a power cut takes back what is repeated after it.
  const auto durability = due_ && !due_->settled ? Durability::with_next : Durability::at_once;
  auto more = in_transaction(
      [&]() -> Result<bool> {
        auto piece = run_piece(now, done);
        if (done.settlements > run.settlements) TOLLGATE_FAIL_POINT("settle.commit");
        return piece;
      },
      durability);
  if (done.settlements > run.settlements) TOLLGATE_FAIL_POINT("settle.committed");
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
    ++run.hours;
  }
  running_at_ = due_->at;
  if (!due_->settled) {
    settle_some(run);
  } else {
    finish_boundary(due_->at);
    due_.reset();
  }
  return true;
}

void Core::settle_some(DueRun& run) {
  const std::int64_t begun = run.settlements + run.failures;
  const auto look = store_.open_hours(hour_of(due_->at), due_->after, kHoursALook);
  std::set<HourKey> tried;  // an account is settled whole when the first of its hours comes up
  for (const HourKey& key : look) {
    if (run.settlements + run.failures - begun >= kHoursAPiece) return;
    due_->after = key;
    if (due_->put_off.contains(key) || tried.erase(key) > 0) continue;
    settle_account(store_.account_of(key.subscription), run, tried);
  }
  due_->settled = look.size() < static_cast<std::size_t>(kHoursALook);
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
