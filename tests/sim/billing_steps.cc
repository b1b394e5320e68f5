// What accounts and operators do, and settlement: each with the outcome that the rules of the price page give it.
#include <algorithm>
#include <optional>

#include "tests/sim/simulation.h"

namespace tollgate::sim {
namespace {
constexpr std::int64_t kHourUs = 3'600'000'000;
constexpr ModelFacts kModels[] = {
    {"object-detection/high-performance", 5, 4},
    {"image-classification/high-performance", 4, 10},
    {"object-detection/ultra-accuracy", 60, 4},
    {"image-classification/autodl", 6, 4},
};

struct Offer {
  std::int64_t points;
  std::int64_t yuan;
};
constexpr Offer kPackages[] = {{200'000, 180}, {500'000, 430}, {1'000'000, 800}};

WallTime instant(std::int64_t us) { return WallTime(std::chrono::microseconds(us)); }
}  // namespace

// True: done, and the book is to follow. False: refused for the expected reason, or broken by the saboteur.
template <class T>
bool Simulation::succeeded(const Result<T>& result, const std::string& expected_code, const char* what) {
  note(what, {result.has_value() ? 1 : 0});
  store_changed_ = true;
  if (result.has_value()) {
    if (!expected_code.empty()) broken(std::string(what) + " was done, and was to be refused with " + expected_code);
    return true;
  }
  if (!sabotaged() && result.error().code != expected_code) {
    broken(std::string(what) + " was refused with " + result.error().code + ": " + result.error().message +
           (expected_code.empty() ? "" : "; expected was " + expected_code));
  }
  return false;
}

bool Simulation::put_service(std::size_t index) {
  SimService& service = services_[index];
  const std::string model = service.model.name;
  std::string definition =
      R"({"model":")" + model + R"(","upstreams":["10.0.0.1:9000"],"route":{"path_prefix":"/)" + service.id + "\"}";
  if (service.capacity > 0) {
    definition += R"(,"capacity":)" + std::to_string(service.capacity) + R"(,"paid_reserve_percent":)" +
                  std::to_string(service.reserve_percent);
  }
  return succeeded(process_->core().put_service(service.id, model, definition + "}"), "", "a service is put");
}

void Simulation::change_service() {
  const std::size_t index = random_.index(services_.size());
  const SimService before = services_[index];
  SimService& service = services_[index];
  if (service.exists && random_.percent(20)) {
    if (succeeded(process_->core().delete_service(service.id), "", "a service is removed")) service.exists = false;
    return;
  }
  if (random_.percent(20)) service.model = kModels[random_.index(std::size(kModels))];
  service.capacity = random_.one_of({0, 0, 3, 6, 20});
  service.reserve_percent = random_.one_of({0, 10, 50, 100});
  service.exists = true;
  if (!put_service(index)) service = before;
}

void Simulation::add_subscription() {
  SimSubscription fresh;
  fresh.account = random_.index(accounts_.size());
  fresh.service = random_.index(services_.size());
  const bool known = std::ranges::any_of(subscriptions_, [&](const SimSubscription& each) {
    return each.account == fresh.account && each.service == fresh.service;
  });
  if (known) return;
  fresh.paid = random_.percent(65);
  const SimService& service = services_[fresh.service];
  const auto put = process_->core().put_subscription(accounts_[fresh.account].id, service.id, fresh.paid, std::nullopt);
  if (!succeeded(put, service.exists ? "" : "service_not_found", "a subscription is made")) return;
  fresh.number = put->subscription.number;
  subscriptions_.push_back(fresh);
}

void Simulation::switch_paid() {
  SimSubscription& subscription = subscriptions_[random_.index(subscriptions_.size())];
  const SimService& service = services_[subscription.service];
  const bool paid = random_.percent(70);
  const auto put =
      process_->core().put_subscription(accounts_[subscription.account].id, service.id, paid, std::nullopt);
  if (succeeded(put, service.exists ? "" : "service_not_found", paid ? "paid" : "no longer paid")) {
    subscription.paid = paid;
  }
}

void Simulation::change_key() {
  SimAccount& account = accounts_[random_.index(accounts_.size())];
  if (account.keys.size() < 2 || random_.percent(50)) {
    const auto key = process_->core().create_key(account.id, "a key", std::nullopt);
    if (succeeded(key, "", "a key is made")) account.keys.push_back({key->key.id, key->secret});
    return;
  }
  const std::size_t index = random_.index(account.keys.size());
  if (!succeeded(process_->core().revoke_key(account.id, account.keys[index].id), "", "a key is revoked")) return;
  account.revoked.push_back(account.keys[index].secret);
  account.keys.erase(account.keys.begin() + static_cast<std::ptrdiff_t>(index));
}

void Simulation::deposit() {
  SimAccount& account = accounts_[random_.index(accounts_.size())];
  const std::int64_t amount =
      random_.one_of<std::int64_t>({10'000, 300'000, 5 * kYuan, 190 * kYuan, 900 * kYuan, 2'000 * kYuan});
  const bool voucher = random_.percent(25);
  const auto done =
      process_->core().deposit(account.id, MicroYuan(amount),
                               voucher ? billing::DepositKind::voucher : billing::DepositKind::cash, std::nullopt);
  if (!succeeded(done, "", voucher ? "a voucher" : "a deposit")) return;
  voucher ? account.money.deposit_voucher(amount) : account.money.deposit(amount);
}

std::string Simulation::purchase_refusal(const SimSubscription& subscription, std::int64_t price) const {
  const AccountMoney& money = accounts_[subscription.account].money;
  if (!services_[subscription.service].exists) return "service_not_found";
  if (!subscription.paid) return "not_paid";
  if (in_arrears(subscription.account)) return "arrears";
  return money.cash < price ? "balance_short" : "";
}

void Simulation::buy_package() {
  SimSubscription& subscription = subscriptions_[random_.index(subscriptions_.size())];
  SimAccount& account = accounts_[subscription.account];
  const Offer offer = kPackages[random_.index(std::size(kPackages))];
  const std::string refusal = purchase_refusal(subscription, offer.yuan * kYuan);
  const auto bought =
      process_->core().buy_package(account.id, services_[subscription.service].id, Points(offer.points));
  if (!succeeded(bought, refusal, "a package is bought")) return;
  account.money.buy(offer.yuan * kYuan, now_us());
  subscription.points.buy_package(offer.points, now_us());
}

// 2 yuan (metered) or 20 (unlimited) per point of the model, QPS and started day: the examples of the shipped plan.
void Simulation::buy_pack() {
  SimSubscription& subscription = subscriptions_[random_.index(subscriptions_.size())];
  SimAccount& account = accounts_[subscription.account];
  SimPack pack;
  pack.qps = static_cast<std::int32_t>(random_.between(1, 3));
  pack.unlimited = random_.percent(40);
  pack.starts_us = now_us() + random_.one_of<std::int64_t>({-3, 0, 20, 90}) * kHourUs / 60;
  pack.ends_us = pack.starts_us + random_.one_of<std::int64_t>({30, 60, 24 * 60, 25 * 60}) * kHourUs / 60;
  const std::int64_t charged_us = pack.ends_us - std::max(pack.starts_us, now_us());
  const std::int64_t days = (charged_us + 24 * kHourUs - 1) / (24 * kHourUs);
  const std::int64_t cost = services_[subscription.service].model.cost;
  const std::int64_t price = (pack.unlimited ? 20 : 2) * cost * kYuan * pack.qps * days;
  const std::string refusal = purchase_refusal(subscription, price);
  const auto bought = process_->core().buy_qps_pack(account.id, services_[subscription.service].id, pack.qps,
                                                    pack.unlimited, instant(pack.starts_us), instant(pack.ends_us));
  if (!succeeded(bought, refusal, "a QPS pack is bought")) return;
  account.money.buy(price, now_us());
  subscription.packs.push_back(pack);
}

void Simulation::billing_step() {
  switch (random_.below(14)) {
    case 0:
    case 1:
    case 2: return deposit();
    case 3:
    case 4: return buy_package();
    case 5:
    case 6: return buy_pack();
    case 7:
    case 8: return switch_paid();
    case 9: return change_key();
    case 10: return change_service();
    case 11:
    case 12: return buy_pack();
    default: return add_subscription();
  }
}

// ---- settlement ----

// True while there is more.
bool Simulation::settle_piece() {
  if (!run_under_way_) {
    run_ = {};
    run_is_whole_ = now_hour() > settled_through_;
  }
  settled_through_ = std::max(settled_through_, now_hour());
  const auto more = process_->core().run_due_piece(clock_.now(), run_);
  note("a piece of what is due", {more.has_value() ? 1 : 0, run_.settlements});
  store_changed_ = true;
  if (more.has_error()) {
    if (!sabotaged()) broken("settlement failed: " + more.error().message);
    return false;
  }
  run_under_way_ = *more;
  if (run_.failures > 0) broken("an hour was put off: " + run_.failure);
  take_over_settled();
  if (!*more && run_is_whole_) check_settled_up_to(now_hour());
  return *more;
}

void Simulation::settle_all() {
  collect_somehow();
  if (process_->saboteur().died()) return;
  while (settle_piece()) {
  }
}

void Simulation::settle_some() {
  for (std::int64_t pieces = random_.between(1, 4); pieces > 0 && settle_piece(); --pieces) {
  }
}

}  // namespace tollgate::sim
