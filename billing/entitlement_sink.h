// What the traffic needs to know of services, keys and subscriptions: published after each commit, and all of it at the
// start. It is what leaves the billing core; who is let in by it is the limiter's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/amount.h"
#include "base/calendar.h"
#include "base/ids.h"
#include "billing/shown.h"

namespace tollgate::billing {

struct PackWindow {  // a QPS pack as the limiter sees it: active for starts_at <= now < ends_at
  WallTime starts_at;
  WallTime ends_at;
  std::int32_t qps = 0;  // at least 1
  bool unlimited = false;
};

struct ServiceRecord {
  std::string id;
  std::string model;       // a model of the catalogue
  Points cost;             // points per call, from the catalogue
  std::int32_t base = 0;   // base guarantee of the model's class, 10 or 4
  std::string definition;  // the JSON object the operator put; the gateway reads routes and upstreams from it
};

struct KeyRecord {
  Sha256 hash{};
  std::string account;
  std::optional<WallTime> expires_at;
};

struct SubscriptionRecord {
  std::uint32_t number = 0;  // never reused
  std::string account;
  std::string service;
  SubscriptionState state = SubscriptionState::free;
  std::vector<PackWindow> packs;  // those not ended yet, of a paid subscription
  Points free_points_left;        // by the reports merged so far; at start, the true figure
  WallTime prepaid_until{};       // packages or count packs may pay for its calls; a time gone by: there are none
};

// Implemented by the wiring; called on the billing thread, must not throw or block.
class EntitlementSink {
 public:
  virtual ~EntitlementSink() = default;
  virtual void service_changed(const ServiceRecord&) = 0;
  virtual void service_removed(std::string_view service) = 0;
  virtual void key_added(const KeyRecord&) = 0;
  virtual void key_revoked(const Sha256& hash) = 0;
  virtual void subscription_changed(const SubscriptionRecord&) = 0;
  // A period of the subscription's free quota (day, month) began, or a migration changed the quota: what is left now is
  // `points`, whatever was left before.
  virtual void free_quota_began(std::uint32_t subscription, Points points) { (void)subscription, (void)points; }
  // Free points used according to another gateway or an import: take them from what is left here. Only points of
  // the current period of the free quota are told (a plan of `once` has one period).
  virtual void free_points_used_elsewhere(std::uint32_t subscription, Points points) = 0;
};

}  // namespace tollgate::billing
