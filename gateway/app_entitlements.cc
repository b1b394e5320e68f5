#include "gateway/app_entitlements.h"

#include <spdlog/spdlog.h>

#include "base/check.h"
#include "gateway/service_definition.h"

namespace tollgate::gateway {
namespace {
limiter::State state_of(billing::SubscriptionState state) noexcept {
  switch (state) {
    case billing::SubscriptionState::free: return limiter::State::free;
    case billing::SubscriptionState::paid: return limiter::State::paid;
    case billing::SubscriptionState::arrears: return limiter::State::arrears;
  }
  TOLLGATE_CHECK(false);
}

limiter::ServiceTerms terms_of(const billing::ServiceRecord& record, const ServiceDefinition& definition) noexcept {
  limiter::ServiceTerms terms;
  terms.cost = record.cost;
  terms.base = record.base;
  terms.limit_by = definition.limit_by == LimitBy::qps ? limiter::LimitBy::qps : limiter::LimitBy::concurrency;
  terms.capacity = definition.capacity.value_or(0);
  const std::int64_t reserve = std::int64_t{terms.capacity} * definition.paid_reserve_percent / 100;
  terms.free_ceiling = terms.capacity - static_cast<std::int32_t>(reserve);
  return terms;
}
}  // namespace

Entitlements::Entitlements(limiter::Directory& directory, Publish publish)
    : directory_(directory), publish_(std::move(publish)) {}

void Entitlements::service_changed(const billing::ServiceRecord& record) {
  const auto definition = parse_service_definition(record.definition);
  if (!definition) {  // stored by a version that understood more: said, and not served
    spdlog::error("service {} is not published: its stored definition has a fault in {}: {}", record.id,
                  definition.error().field, definition.error().message);
    service_removed(record.id);
    return;
  }
  limiter::Service& limits = directory_.set_service(record.id, terms_of(record, *definition));
  publish_(record.id, std::make_shared<const ServiceConfig>(record.id, *definition, limits));
}

void Entitlements::service_removed(std::string_view service) { publish_(std::string(service), nullptr); }

void Entitlements::key_added(const billing::KeyRecord& record) {
  directory_.add_key(record.hash, record.account, record.expires_at);
}

void Entitlements::key_revoked(const Sha256& hash) { directory_.revoke_key(hash); }

void Entitlements::subscription_changed(const billing::SubscriptionRecord& record) {
  changed_ = true;
  limiter::Entitlement entitlement;
  entitlement.state = state_of(record.state);
  for (const auto& pack : record.packs) {
    entitlement.packs.push_back({pack.starts_at, pack.ends_at, pack.qps, pack.unlimited});
  }
  entitlement.prepaid_until = record.prepaid_until;
  directory_.set_subscription(record.number, record.account, record.service, std::move(entitlement),
                              record.free_points_left);
}

void Entitlements::free_quota_began(std::uint32_t subscription, Points points) {
  if (limiter::Subscription* known = directory_.by_number(subscription)) {
    known->free_left.store(points.count(), std::memory_order_relaxed);
  }
}

void Entitlements::free_points_used_elsewhere(std::uint32_t subscription, Points points) {
  if (limiter::Subscription* known = directory_.by_number(subscription)) {
    known->free_left.fetch_sub(points.count(), std::memory_order_relaxed);
  }
}

}  // namespace tollgate::gateway
