// The invariants: what the real parts hold, against the book of what truly happened.
#include <algorithm>

#include "tests/sim/simulation.h"

namespace tollgate::sim {
namespace {
// The simulation's own looks at the store are not broken.
struct Pause {
  explicit Pause(Saboteur& saboteur) : saboteur_(saboteur) { saboteur_.paused = true; }
  ~Pause() { saboteur_.paused = false; }
  Saboteur& saboteur_;
};

std::string place(std::uint32_t subscription, std::int64_t hour) {
  return "subscription " + std::to_string(subscription) + ", hour " + std::to_string(hour) + ": ";
}
}  // namespace

void Simulation::check_step() {
  check_permits();
  check_free_points();
  check_journal();
  if (!store_changed_) return;
  check_stored();
  check_money();
  store_changed_ = false;
}

void Simulation::check_permits() {
  std::vector<std::int32_t> open(subscriptions_.size());
  for (const auto& call : calls_) ++open[call.subscription];
  for (std::size_t i = 0; i < subscriptions_.size(); ++i) {
    const auto* known = process_->directory().by_number(subscriptions_[i].number);
    const std::int32_t permits = known == nullptr ? 0 : known->in_flight.load();
    if (permits != open[i]) {
      broken("subscription " + std::to_string(subscriptions_[i].number) + " has " + std::to_string(permits) +
             " permits in flight and " + std::to_string(open[i]) + " open calls");
    }
    if (known == nullptr) continue;
    const std::int32_t in_service = known->service->in_flight.load();
    require(in_service == services_[subscriptions_[i].service].in_flight, "a service's calls in flight are off");
  }
}

void Simulation::check_free_points() {
  for (const auto& subscription : subscriptions_) {
    require(subscription.free_used_here + subscription.free_held <= free_grant_,
            "free points were used above the grant");
    const auto* known = process_->directory().by_number(subscription.number);
    if (known == nullptr) continue;
    const std::int64_t left = std::max<std::int64_t>(known->free_left.load(), 0);
    const std::int64_t wanted = std::max<std::int64_t>(free_left(subscription), 0);
    if (left != wanted) {
      broken("subscription " + std::to_string(subscription.number) + " has " + std::to_string(left) +
             " free points left, and the model says " + std::to_string(wanted));
    }
  }
}

// Journal and store together never hold less than the truth.
void Simulation::check_journal() {
  const auto counted = process_->journal_counts();
  for (const auto& [source, truth] : truth_) {
    if (!source.own) continue;
    Counts held = merged_.at(source);
    if (truth.within(held)) continue;
    if (const auto found = counted.find(source); found != counted.end()) held = held.larger(found->second);
    if (truth.within(held)) continue;
    broken(place(source.subscription, source.hour) + "usage was lost: journal and store hold " + held.text() +
           "; the upstreams saw " + truth.text());
  }
}

std::vector<Simulation::StoredUsage> Simulation::stored_usage() {
  constexpr WallTime kFarFuture{std::chrono::hours(1'000'000)};
  std::vector<StoredUsage> rows;
  for (std::size_t account = 0; account < accounts_.size(); ++account) {
    const auto page = process_->core().usage(accounts_[account].id, std::nullopt, WallTime(), kFarFuture, std::nullopt,
                                             billing::kPageItemsMax);
    require(page.has_value() && !page->next, "usage cannot be read");
    for (const auto& row : page->items) {
      const auto found = std::find_if(subscriptions_.begin(), subscriptions_.end(), [&](const SimSubscription& each) {
        return each.account == account && services_[each.service].id == row.service;
      });
      require(found != subscriptions_.end(), "there is usage of a subscription that is not there");
      rows.push_back({static_cast<std::size_t>(found - subscriptions_.begin()), row.hour.since_epoch,
                      counts_of(row.totals), row.settled.count()});
    }
  }
  return rows;
}

void Simulation::check_stored() {
  const Pause pause(process_->saboteur());
  UsageBook::Hours truth;
  for (const auto& [source, counts] : truth_) truth[{source.subscription, source.hour}].add(counts);
  UsageBook::Hours missing = merged_.hours();
  for (const auto& row : stored_usage()) {
    const std::pair key(subscriptions_[row.subscription].number, row.hour);
    const Counts merged = merged_.hour(key.first, key.second);
    missing.erase(key);
    if (!row.counts.within(truth[key])) {
      broken(place(key.first, key.second) + "usage was counted twice: stored are " + row.counts.text() +
             "; the upstreams saw " + truth[key].text());
    }
    if (row.counts != merged) {
      broken(place(key.first, key.second) + (row.counts.within(merged) ? "usage was lost" : "usage is off") +
             ": stored are " + row.counts.text() + "; merged were " + merged.text());
    }
  }
  for (const auto& [key, counts] : missing) {
    if (counts != Counts()) broken(place(key.first, key.second) + "usage was lost: merged were " + counts.text());
  }
}

void Simulation::check_stored_is_truth() {
  check_stored();
  for (const auto& [source, truth] : truth_) {
    if (!source.own) continue;
    const Counts merged = merged_.at(source);
    if (merged == truth) continue;
    broken(place(source.subscription, source.hour) + (merged.within(truth) ? "usage was lost" : "usage is off") +
           " in a collection: merged are " + merged.text() + "; the upstreams saw " + truth.text());
  }
}

void Simulation::check_money() {
  const Pause pause(process_->saboteur());
  for (std::size_t i = 0; i < accounts_.size(); ++i) {
    const SimAccount& account = accounts_[i];
    const auto shown = process_->core().account(account.id);
    require(shown.has_value(), "an account cannot be read");
    if (shown->cash.count() != account.money.cash || shown->vouchers.count() != account.money.vouchers) {
      broken("account " + account.id + " holds " + format_yuan(shown->cash) + " yuan and vouchers of " +
             format_yuan(shown->vouchers) + "; it should be " + format_yuan(MicroYuan(account.money.cash)) + " and " +
             format_yuan(MicroYuan(account.money.vouchers)));
    }
    if (!arrears_are_certain(i)) continue;
    if (shown->in_arrears != in_arrears(i)) {
      broken("account " + account.id + " is " + (shown->in_arrears ? "" : "not ") +
             "in arrears, and the model says otherwise");
    }
  }
}

// What a piece of settlement settled is paid for in the book as well.
void Simulation::take_over_settled() {
  const Pause pause(process_->saboteur());
  for (const auto& row : stored_usage()) {
    SimSubscription& subscription = subscriptions_[row.subscription];
    const std::int64_t more = row.settled - subscription.points.settled[row.hour];
    require(more >= 0, "a settlement was taken back");
    if (more > 0) subscription.points.settle(row.hour, more, accounts_[subscription.account].money);
  }
}

// All that was merged of hours before `hour` is settled.
void Simulation::check_settled_up_to(std::int64_t hour) {
  for (auto& subscription : subscriptions_) {
    for (const auto& [key, counts] : merged_.hours()) {
      if (key.first != subscription.number || key.second >= hour) continue;
      if (subscription.points.settled[key.second] == counts[kBillable]) continue;
      broken(place(key.first, key.second) + "settled are " + std::to_string(subscription.points.settled[key.second]) +
             " points of " + std::to_string(counts[kBillable]));
    }
  }
  check_points();
}

void Simulation::check_points() {
  const Pause pause(process_->saboteur());
  for (auto& subscription : subscriptions_) {
    if (!services_[subscription.service].exists) continue;
    const auto shown =
        process_->core().subscription(accounts_[subscription.account].id, services_[subscription.service].id);
    require(shown.has_value(), "a subscription cannot be read");
    std::int64_t packages = 0;
    for (const auto& package : shown->packages) packages += package.points_left.count();
    std::int64_t free = free_grant_;
    for (const auto& [key, counts] : merged_.hours()) {
      if (key.first == subscription.number) free -= counts[kFree];
    }
    require(shown->month_points.count() == subscription.points.charged[month_of_hour(now_hour())],
            "a tier position is off");
    require(packages == subscription.points.package_points_left(now_us()), "what is left of packages is off");
    require(shown->free_points_left.count() == std::max<std::int64_t>(free, 0), "the free points shown are off");
  }
}

void Simulation::check_audit() {
  const Pause pause(process_->saboteur());
  for (const auto& invariant : process_->core().audit()) {
    if (invariant.ok) continue;
    broken("the audit: " + invariant.name + ": " + std::to_string(invariant.left) + " and " +
           std::to_string(invariant.right));
  }
}

// Each month's bill is what its hours were charged and what was bought in it.
void Simulation::check_bills() {
  const Pause pause(process_->saboteur());
  for (auto& account : accounts_) {
    std::map<std::int64_t, std::int64_t> months = account.money.charged;
    for (const auto& [month, amount] : account.money.invested) months[month] += amount;
    for (const auto& [month, amount] : months) {
      const auto bill = process_->core().bill(
          account.id, {static_cast<std::int32_t>(month / 12), static_cast<std::int32_t>(month % 12 + 1)});
      require(bill.has_value(), "a bill cannot be read");
      if (bill->total.count() != amount) {
        broken("the bill of account " + account.id + " is " + format_yuan(bill->total) + " yuan; it should be " +
               format_yuan(MicroYuan(amount)));
      }
    }
  }
}

}  // namespace tollgate::sim
