#include "limiter/directory.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>

namespace tollgate::limiter {
namespace {
std::uint64_t pair_of(std::uint32_t account, std::uint32_t service) noexcept {
  return (static_cast<std::uint64_t>(account) << 32) | service;
}

// Most subscriptions have no pack and nothing prepaid: they share a record for each state, which stays in the caches of
// whoever decides, where a record of their own would be one more miss for each call.
const std::array<Entitlement, 3> kBare{Entitlement{State::free, {}, {}}, Entitlement{State::paid, {}, {}},
                                       Entitlement{State::arrears, {}, {}}};

const Entitlement* shared_record(const Entitlement& entitlement) noexcept {
  if (!entitlement.packs.empty() || entitlement.prepaid_until != WallTime{}) return nullptr;
  const auto found =
      std::find_if(kBare.begin(), kBare.end(), [&](const auto& each) { return each.state == entitlement.state; });
  return found == kBare.end() ? nullptr : &*found;
}

bool is_shared(const Entitlement* record) noexcept {
  return std::any_of(kBare.begin(), kBare.end(), [&](const auto& each) { return &each == record; });
}

void publish(std::atomic<const Entitlement*>& place, Entitlement entitlement, Quiescence& quiescence) {
  const Entitlement* fresh = shared_record(entitlement);
  if (fresh == nullptr) fresh = new Entitlement(std::move(entitlement));
  const Entitlement* old = place.exchange(fresh, std::memory_order_acq_rel);
  if (old != nullptr && !is_shared(old)) quiescence.retire([old] { delete old; });
}

// Swaps a published record and retires the old one.
template <class Record>
void publish(std::atomic<const Record*>& place, Record record, Quiescence& quiescence) {
  const Record* old = place.exchange(new Record(std::move(record)), std::memory_order_acq_rel);
  if (old != nullptr) quiescence.retire([old] { delete old; });
}
}  // namespace

std::uint64_t Directory::KeyTraits::hash(const Key& key) noexcept {
  std::uint64_t value = 0;  // the hash of a key is uniform already: any eight bytes will do
  std::memcpy(&value, key.data(), sizeof value);
  return value;
}

bool Directory::KeyTraits::equal(const KeyEntry& entry, const Key& key) noexcept {
  return equal_in_constant_time(entry.hash, key);
}

std::uint64_t Directory::SubscriptionTraits::hash(Key key) noexcept {
  // The finaliser of SplitMix64 (Steele, Lea, Flood 2014): dense numbers spread over the table.
  key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9U;
  key = (key ^ (key >> 27)) * 0x94d049bb133111ebU;
  return key ^ (key >> 31);
}

std::uint64_t Directory::AccountTraits::hash(Key id) noexcept { return std::hash<std::string_view>{}(id); }

Directory::Directory(Quiescence& quiescence)
    : quiescence_(quiescence), keys_(quiescence), subscriptions_(quiescence), account_by_id_(quiescence) {}

Directory::~Directory() {
  quiescence_.reclaim_all();  // some of it gives its place back to a slab that ends here
  subscriptions_.for_each([](Subscription& subscription) {
    const Entitlement* last = subscription.entitlement.load(std::memory_order_relaxed);
    if (!is_shared(last)) delete last;
  });
  for (auto& service : services_) delete service.terms.load(std::memory_order_relaxed);
}

const Account* Directory::identify(const Sha256& key_hash, WallTime now) const noexcept {
  const KeyEntry* entry = keys_.find(key_hash);
  return entry != nullptr && now < entry->expires_at ? entry->account : nullptr;
}

Subscription* Directory::find(const Account& account, const Service& service) const noexcept {
  return subscriptions_.find(pair_of(account.number, service.number));
}

void Directory::add_key(const Sha256& hash, std::string_view account_id, std::optional<WallTime> expires_at) {
  if (keys_.find(hash) != nullptr) return;
  keys_.insert(key_records_.emplace(hash, &account(account_id), expires_at.value_or(WallTime::max())));
}

void Directory::revoke_key(const Sha256& hash) {
  if (KeyEntry* entry = keys_.erase(hash)) quiescence_.retire([this, entry] { key_records_.erase(*entry); });
}

Service& Directory::set_service(std::string_view id, const ServiceTerms& terms) {
  Service& record = service(id);
  publish(record.terms, terms, quiescence_);
  return record;
}

Subscription& Directory::set_subscription(std::uint32_t number, std::string_view account_id,
                                          std::string_view service_id, Entitlement entitlement, Points free_left) {
  if (Subscription* known = by_number(number)) {
    publish(known->entitlement, std::move(entitlement), quiescence_);
    return *known;
  }
  Subscription& record = records_.emplace();
  record.number = number;
  record.account = &account(account_id);
  record.service = &service(service_id);
  record.pair = pair_of(record.account->number, record.service->number);
  record.free_left.store(free_left.count(), std::memory_order_relaxed);
  publish(record.entitlement, std::move(entitlement), quiescence_);
  if (number >= by_number_.size()) by_number_.resize(std::size_t{number} + 1);
  by_number_[number] = &record;
  subscriptions_.insert(record);  // last: a worker that finds it finds it whole
  return record;
}

Subscription* Directory::by_number(std::uint32_t number) noexcept {
  return number < by_number_.size() ? by_number_[number] : nullptr;
}

Account& Directory::account(std::string_view id) {
  if (Account* known = account_by_id_.find(id)) return *known;
  Account& fresh = accounts_.emplace(std::string(id), static_cast<std::uint32_t>(accounts_.size() + 1));
  account_by_id_.insert(fresh);
  return fresh;
}

Service& Directory::service(std::string_view id) {
  auto& place = service_by_id_[std::string(id)];
  if (place == nullptr) {
    place = &services_.emplace_back();
    place->id = id;
    place->number = static_cast<std::uint32_t>(services_.size());
  }
  return *place;
}

}  // namespace tollgate::limiter
