// Who may call what: keys, accounts, services and subscriptions as the data path looks them up, without a lock.
// One thread writes (billing); workers read between two of their quiescent points. It decides nothing: admission.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "limiter/concurrency.h"
#include "limiter/entitlement.h"
#include "limiter/free_points.h"
#include "limiter/published_map.h"
#include "limiter/quiescence.h"
#include "limiter/rate_limit.h"
#include "limiter/slab.h"

namespace tollgate::limiter {

struct Account {
  std::string id;
  std::uint32_t number = 0;
};

struct Service {
  std::string id;
  std::uint32_t number = 0;
  // Written by the billing thread, swapped whole; release/acquire publishes the record's contents.
  std::atomic<const ServiceTerms*> terms{nullptr};
  InFlight in_flight{0};  // counted only while a capacity is declared
};

// One cache line: everything that looking up and admission read and write of a subscription. Records are never freed,
// so a permit may point into one for as long as its call lasts.
struct alignas(64) Subscription {
  // Written by the billing thread, swapped whole; release/acquire publishes the record's contents.
  std::atomic<const Entitlement*> entitlement{nullptr};
  FreePointsLeft free_left{0};
  ArrivalTime arrival{0};
  Service* service = nullptr;
  const Account* account = nullptr;
  std::uint64_t pair = 0;  // account and service, by their numbers: what it is found by
  InFlight in_flight{0};
  std::uint32_t number = 0;
};
static_assert(sizeof(Subscription) == 64);

class Directory {
 public:
  explicit Directory(Quiescence& quiescence);
  ~Directory();

  // ---- data path: any worker; pointers to accounts, services and subscriptions stay valid for good ----
  [[nodiscard]] const Account* identify(const Sha256& key_hash, WallTime now) const noexcept;
  [[nodiscard]] Subscription* find(const Account& account, const Service& service) const noexcept;

  // ---- billing thread ----
  void add_key(const Sha256& hash, std::string_view account, std::optional<WallTime> expires_at);
  void revoke_key(const Sha256& hash);
  Service& set_service(std::string_view id, const ServiceTerms& terms);
  // `free_left` counts only when the subscription is new here: afterwards the holds are the truth.
  Subscription& set_subscription(std::uint32_t number, std::string_view account, std::string_view service,
                                 Entitlement entitlement, Points free_left);
  [[nodiscard]] Subscription* by_number(std::uint32_t number) noexcept;  // nullptr: unknown

 private:
  struct alignas(64) KeyEntry {  // one cache line
    Sha256 hash{};
    const Account* account = nullptr;
    WallTime expires_at = WallTime::max();
  };
  struct KeyTraits {
    using Key = Sha256;
    static std::uint64_t hash(const Key& key) noexcept;
    static bool equal(const KeyEntry& entry, const Key& key) noexcept;
    static Key key(const KeyEntry& entry) noexcept { return entry.hash; }
  };
  struct SubscriptionTraits {
    using Key = std::uint64_t;  // account number, service number
    static std::uint64_t hash(Key key) noexcept;
    static bool equal(const Subscription& subscription, Key key) noexcept { return subscription.pair == key; }
    static Key key(const Subscription& subscription) noexcept { return subscription.pair; }
  };
  struct AccountTraits {
    using Key = std::string_view;
    static std::uint64_t hash(Key id) noexcept;
    static bool equal(const Account& account, Key id) noexcept { return account.id == id; }
    static Key key(const Account& account) noexcept { return account.id; }
  };

  Account& account(std::string_view id);
  Service& service(std::string_view id);

  Quiescence& quiescence_;
  PublishedMap<KeyEntry, KeyTraits> keys_;
  PublishedMap<Subscription, SubscriptionTraits> subscriptions_;
  // Where the records live. There may be millions of all but services.
  Slab<KeyEntry> key_records_;
  Slab<Account> accounts_;
  Slab<Subscription> records_;
  std::deque<Service> services_;
  // The writer's own books.
  PublishedMap<Account, AccountTraits> account_by_id_;
  std::unordered_map<std::string, Service*> service_by_id_;
  std::vector<Subscription*> by_number_;  // the billing core gives the numbers out one after the other
};

}  // namespace tollgate::limiter
