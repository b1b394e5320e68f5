// Calls: what the limiter has to decide by a model of its own, and how each call ends.
#include <algorithm>

#include "tests/sim/simulation.h"

namespace tollgate::sim {
namespace {
struct Ending {
  const char* name;
  bool succeeded;
};
constexpr Ending kEndings[] = {
    {"2xx, whole", true},
    {"2xx, whole, though the client left after its head", true},
    {"2xx, only the client's side failed", true},
    {"4xx", false},
    {"5xx", false},
    {"upstream timed out", false},
    {"upstream reset", false},
    {"body cut short", false},
    {"client left before the head", false},
    {"X-Call-Outcome: failed", false},
};
}  // namespace

std::int64_t Simulation::free_left(const SimSubscription& subscription) const {
  return free_grant_ - subscription.free_used_here - subscription.free_used_elsewhere - subscription.free_held;
}

std::int32_t Simulation::guarantee(const SimSubscription& subscription) const {
  std::int32_t number = services_[subscription.service].model.base;
  for (const auto& pack : subscription.packs) {
    if (pack.starts_us <= now_us() && now_us() < pack.ends_us) number += pack.qps;
  }
  return number;
}

// The clock went back behind the end of a pack: whether the traffic still knows the pack depends on when its record was
// last published, and nothing is promised.
bool Simulation::packs_are_uncertain(const SimSubscription& subscription) const {
  return std::ranges::any_of(subscription.packs, [&](const SimPack& pack) {
    return pack.starts_us <= now_us() && now_us() < pack.ends_us && pack.ends_us <= latest_us_;
  });
}

// In debt; or, where the plan says realtime, what is merged and not settled would bring it there.
bool Simulation::in_arrears(std::size_t account) const {
  AccountMoney money = accounts_[account].money;
  if (!guards_ || money.in_arrears()) return money.in_arrears();
  for (const auto& subscription : subscriptions_) {
    if (subscription.account != account) continue;
    SubscriptionPoints points = subscription.points;
    for (const auto& [key, counts] : merged_.hours()) {
      if (key.first != subscription.number) continue;
      const std::int64_t open = counts[kBillable] - points.settled[key.second];
      if (open > 0) points.settle(key.second, open, money);
    }
  }
  return money.in_arrears();
}

// The guard watches accounts with a paid subscription; of others nothing is promised before they have one.
bool Simulation::arrears_are_certain(std::size_t account) const {
  return !guards_ || accounts_[account].money.in_arrears() ||
         std::ranges::any_of(subscriptions_, [&](const SimSubscription& each) {
           return each.account == account && each.paid && services_[each.service].exists;
         });
}

// domain.md sections 3, 4 and 7.
Simulation::Expected Simulation::expected(const SimSubscription& subscription) const {
  const SimService& service = services_[subscription.service];
  const bool paid = subscription.paid && !in_arrears(subscription.account);
  const std::int64_t cost = service.model.cost;
  const std::int64_t left = std::max<std::int64_t>(free_left(subscription), 0);
  if (!paid) {
    if (left < cost) return {subscription.paid ? "arrears" : "quota_exhausted"};
    if (subscription.in_flight >= service.model.base) return {"limit_reached"};
    if (service.capacity > 0 && service.in_flight >= service.free_ceiling()) return {"no_capacity"};
    return {"", cost, false};
  }
  if (subscription.in_flight >= guarantee(subscription)) return {"limit_reached"};
  const bool unmetered = std::ranges::any_of(subscription.packs, [&](const SimPack& pack) {
    return pack.unlimited && pack.starts_us <= now_us() && now_us() < pack.ends_us;
  });
  return {"", unmetered ? 0 : std::min(left, cost), unmetered};
}

void Simulation::begin_one(std::size_t index, std::size_t worker) {
  SimSubscription& subscription = subscriptions_[index];
  SimService& service = services_[subscription.service];
  SimAccount& account = accounts_[subscription.account];
  worker_hour_[worker] = service.exists ? std::max(worker_hour_[worker], now_hour()) : worker_hour_[worker];
  const Expected wanted = service.exists ? expected(subscription) : Expected{"unknown_service"};
  const bool uncertain = service.exists && packs_are_uncertain(subscription);
  auto begun = process_->begin_call(worker, account.keys[random_.index(account.keys.size())].secret, service.id);
  if (const auto* refusal = std::get_if<std::string>(&begun)) {
    note("refused " + *refusal, {subscription.number, static_cast<std::int64_t>(worker)});
    if (*refusal == "journal_full") return require(process_->journal_is_full(), "refused for a journal that has room");
    if (uncertain && *refusal == "limit_reached") return;
    if (*refusal != wanted.refusal) {
      broken("a call of subscription " + std::to_string(subscription.number) + " was refused with " + *refusal +
             (wanted.refusal.empty() ? ", and was to be admitted" : ", and the reason is " + wanted.refusal));
    }
    return;
  }
  auto& real = std::get<std::unique_ptr<gateway::Call>>(begun);
  SimCall call;
  call.worker = worker;
  call.subscription = index;
  call.hour = now_hour();
  call.cost = service.model.cost;
  call.hold = real->admission.hold.points().count();
  call.unmetered = real->admission.unmetered;
  call.in_service = service.capacity > 0;
  note("admitted", {subscription.number, static_cast<std::int64_t>(worker), call.hold, call.unmetered ? 1 : 0});
  if (!wanted.refusal.empty()) broken("a call was admitted that was to be refused with " + wanted.refusal);
  require(real->admission.cost.count() == call.cost, "a call has another cost than its model");
  if (!uncertain) {
    require(call.unmetered == wanted.unmetered, "a call is unmetered and should not be, or the other way round");
    require(call.hold == wanted.hold, "a call holds another number of free points than the model says");
  }
  call.real = std::move(real);
  subscription.free_held += call.hold;
  ++subscription.in_flight;
  if (call.in_service) ++service.in_flight;
  calls_.push_back(std::move(call));
  if (random_.percent(75)) forward(calls_.back());
}

void Simulation::begin_call() { begin_one(random_.index(subscriptions_.size()), random_.index(kWorkers)); }

void Simulation::begin_burst() {
  const std::size_t subscription = random_.index(subscriptions_.size());
  const std::int64_t calls = random_.between(3, 12);
  for (std::int64_t i = 0; i < calls; ++i) begin_one(subscription, random_.index(kWorkers));
}

void Simulation::call_with_a_bad_key() {
  const SimAccount& account = accounts_[random_.index(accounts_.size())];
  const std::string key = account.revoked.empty() ? "no-key" : account.revoked[random_.index(account.revoked.size())];
  const auto begun = process_->begin_call(random_.index(kWorkers), key, services_[random_.index(services_.size())].id);
  note("a bad key");
  const auto* refusal = std::get_if<std::string>(&begun);
  require(refusal != nullptr && *refusal == "invalid_key", "a revoked or unknown key was let in");
}

void Simulation::call_without_subscription() {
  const std::size_t account = random_.index(accounts_.size());
  const std::size_t service = random_.index(services_.size());
  const bool subscribed = std::ranges::any_of(
      subscriptions_, [&](const SimSubscription& each) { return each.account == account && each.service == service; });
  if (subscribed) return;
  const auto begun =
      process_->begin_call(random_.index(kWorkers), accounts_[account].keys.front().secret, services_[service].id);
  note("no subscription");
  const auto* refusal = std::get_if<std::string>(&begun);
  require(refusal != nullptr && *refusal == (services_[service].exists ? "not_subscribed" : "unknown_service"),
          "a call without a subscription was let in");
}

void Simulation::forward(SimCall& call) {
  SimSubscription& subscription = subscriptions_[call.subscription];
  if (!process_->forward(*call.real, call.worker)) {
    require(process_->journal_is_full(), "refused for a journal that has room");
    note("no room to count", {subscription.number});
    return;  // the call stays, and is dropped or tried again by a later step
  }
  // A worker counts into the hour of the admission, or a later one that it has seen already.
  worker_hour_[call.worker] = std::max(worker_hour_[call.worker], call.hour);
  call.source = {true, process_->epoch(), subscription.number, worker_hour_[call.worker]};
  call.forwarded = true;
  subscription.free_held -= call.hold;
  subscription.free_used_here += call.hold;
  truth_[call.source][kFree] += call.hold;
  note("forwarded", {subscription.number, call.source.hour});
}

void Simulation::forward_call() {
  for (auto& call : calls_) {
    if (!call.forwarded) return forward(call);
  }
}

void Simulation::end(std::size_t index) {
  SimCall& call = calls_[index];
  // Two of three calls succeed.
  const Ending& ending = random_.percent(60) ? kEndings[0] : kEndings[random_.index(std::size(kEndings))];
  Counts& counts = truth_[call.source];
  if (call.unmetered) {
    ++counts[kUnmetered];
  } else if (ending.succeeded) {
    ++counts[kSucceeded];
    counts[kBillable] += call.cost - call.hold;
  } else {
    ++counts[kFailed];
  }
  call.real->end(ending.succeeded ? meter::Outcome::succeeded : meter::Outcome::failed);
  call.real->release();
  note(ending.name, {subscriptions_[call.subscription].number});
  remove_call(index);
}

void Simulation::remove_call(std::size_t index) {
  SimCall& call = calls_[index];
  SimSubscription& subscription = subscriptions_[call.subscription];
  --subscription.in_flight;
  if (!call.forwarded) subscription.free_held -= call.hold;
  if (call.in_service) --services_[subscription.service].in_flight;
  calls_.erase(calls_.begin() + static_cast<std::ptrdiff_t>(index));
}

void Simulation::end_calls() {
  for (std::int64_t left = random_.between(1, 4); left > 0 && !calls_.empty(); --left) {
    const std::size_t index = random_.index(calls_.size());
    if (calls_[index].forwarded) end(index);
  }
}

void Simulation::drop_call() {
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    if (calls_[i].forwarded) continue;
    note("dropped before it was forwarded", {subscriptions_[calls_[i].subscription].number});
    return remove_call(i);
  }
}

// The process is dead: what it had forwarded is a failed call that used its free points, what it had not is no call.
void Simulation::interrupt_calls() {
  for (const auto& call : calls_) {
    if (call.forwarded) ++truth_[call.source][kFailed];
  }
  calls_.clear();
  for (auto& subscription : subscriptions_) {
    subscription.in_flight = 0;
    subscription.free_held = 0;
  }
  for (auto& service : services_) service.in_flight = 0;
  worker_hour_.fill(0);
}

}  // namespace tollgate::sim
