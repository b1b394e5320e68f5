// Money: deposits, purchases of QPS packs, and the list of transfers. A customer's ledger accounts are
// cash:<account> and one voucher:<deposit> for each voucher, so that what is left of each is known by itself.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "billing/core.h"
#include "billing/page.h"
#include "billing/store.h"

namespace tollgate::billing {
namespace {
constexpr std::chrono::hours kDay{24};
constexpr const char* kDeposits = "external:deposits";
// No sum over balances, in whatever order they are added, is further from 0 than these two together.
static_assert(kDepositsMax.count() <= std::numeric_limits<std::int64_t>::max() - kIncomeMax.count());

// Periods of 24 h that have begun between the two.
std::int64_t started_days(WallTime from, WallTime to) {
  return std::chrono::ceil<std::chrono::days>(to - from).count();
}

Fault conflict(std::string code, std::string message) {
  return {FaultKind::conflict, std::move(code), std::move(message), {}};
}
}  // namespace

Result<Core::Deposited> Core::deposit(std::string_view account, MicroYuan amount, DepositKind kind,
                                      std::optional<WallTime> expires_at) {
  return in_transaction([&]() -> Result<Deposited> {
    auto row = need_account(account);
    if (row.has_error()) return row.error();
    const WallTime now = this->now();
    const bool voucher = kind == DepositKind::voucher;
    if (amount <= MicroYuan() || amount > kDepositMax) {
      return invalid("amount", fmt::format("a deposit is more than 0 and at most {} yuan", format_yuan(kDepositMax)));
    }
    if (expires_at && !voucher) return invalid("expires_at", "only vouchers expire");
    if (expires_at && *expires_at <= now) return invalid("expires_at", "a voucher must expire in the future");
    const std::string cash = "cash:" + row->id;
    const MicroYuan debt = std::max(MicroYuan(), -store_.balance(cash));
    const Account before = shown(*row);
    if (before.cash + before.vouchers > kBalanceMax - amount) {
      return conflict("balance_limit", fmt::format("an account holds at most {} yuan", format_yuan(kBalanceMax)));
    }
    const MicroYuan deposited = -store_.balance(kDeposits);
    if (deposited > kDepositsMax - amount) {
      return conflict("deposits_limit", fmt::format("all deposits together are at most {} yuan and were {} yuan",
                                                    format_yuan(kDepositsMax), format_yuan(deposited)));
    }

    const std::string id = random_id("deposit");
    store_.insert_deposit({id, row->id, kind, amount, expires_at, now});
    const std::string credited = voucher ? "voucher:" + id : cash;
    store_.post(account, {0, now, kDeposits, credited, amount, "deposit", id});
    // A deposit of either kind pays the debt first.
    if (voucher && debt > MicroYuan()) {
      store_.post(account, {0, now, credited, cash, std::min(amount, debt), "debt", id});
    }
    rearm_reminders(account);
    if (debt > MicroYuan() && !in_debt(account)) publish_subscriptions_of(account);
    check_guard(account);
    return Deposited{id, shown(*row)};
  });
}

Result<Page<Transfer>> Core::transfers(std::string_view account, std::optional<std::string> after, int limit) {
  return in_transaction([&]() -> Result<Page<Transfer>> {
    if (auto found = need_account(account); found.has_error()) return found.error();
    std::int64_t last = 0;
    if (after) {
      const char* end = after->data() + after->size();
      const auto [stop, error] = std::from_chars(after->data(), end, last);
      if (error != std::errc() || stop != end) return invalid("after", "not a cursor of this list");
    }
    const auto rows = store_.transfers(account, last, page_limit(limit) + 1);
    return make_page<Transfer>(
        rows, limit, [](const Transfer& row) { return row; },
        [](const Transfer& row) { return std::to_string(row.id); });
  });
}

Result<void> Core::check_pack_window(WallTime starts_at, WallTime ends_at) {
  const WallTime now = this->now();
  if (starts_at < now - kPackStartLateness) {
    return invalid("starts_at",
                   fmt::format("a pack starts in the future, or at most {} minutes ago", kPackStartLateness.count()));
  }
  if (ends_at <= starts_at || ends_at <= now) {
    return invalid("ends_at", "a pack ends after its start and in the future");
  }
  if (ends_at - starts_at > kPackLengthMax) {
    return invalid("ends_at", fmt::format("a pack lasts at most {} days", kPackLengthMax / kDay));
  }
  return {};
}

Result<QpsPack> Core::buy_qps_pack(std::string_view account, std::string_view service, std::int32_t qps, bool unlimited,
                                   WallTime starts_at, WallTime ends_at) {
  return in_transaction([&]() -> Result<QpsPack> {
    if (qps < 1 || qps > kPackQpsMax) return invalid("qps", fmt::format("qps is 1 to {}", kPackQpsMax));
    if (auto checked = check_pack_window(starts_at, ends_at); checked.has_error()) return checked.error();
    auto row = need_subscription(account, service);
    if (row.has_error()) return row.error();
    const auto model = need_service(service);
    if (model.has_error()) return model.error();
    const WallTime now = this->now();
    const Plan* plan = find_plan(row->plan);
    const QpsPackPrice* price = plan == nullptr ? nullptr : plan->qps_pack_price(model->model);
    if (price == nullptr) {
      return conflict("not_sold", fmt::format("plan '{}' sells no QPS pack for '{}'", row->plan, model->model));
    }
    if (!plan->sold_at(now)) {
      return Fault{
          FaultKind::gone, "plan_not_sold", fmt::format("nothing of plan '{}' is sold any more", plan->id), {}};
    }
    const MicroYuan daily = unlimited ? price->unlimited : price->metered;
    const MicroYuan due = daily * qps * started_days(std::max(starts_at, now), ends_at);
    if (auto checked = check_buyer(*row, due); checked.has_error()) return checked.error();
    if (store_.qps_packs(row->number, now).size() >= static_cast<std::size_t>(kPacksMax)) {
      return conflict("too_many_packs", fmt::format("a subscription has at most {} packs not yet ended", kPacksMax));
    }

    const QpsPack pack{random_id("pack"), qps, unlimited, starts_at, ends_at, due, now};
    store_.insert_qps_pack(row->number, pack);
    store_.post(account, {0, now, "cash:" + row->account, "income:qps_packs", due, "qps_pack", pack.id});
    publish([changed = record(*row)](EntitlementSink& sink) { sink.subscription_changed(changed); });
    check_guard(account);
    return pack;
  });
}

}  // namespace tollgate::billing
