#include "limiter/admission.h"

#include <algorithm>
#include <limits>

namespace tollgate::limiter {
namespace {
constexpr std::int32_t kNoLimit = std::numeric_limits<std::int32_t>::max();

std::int32_t limit_of(const Entitlement& entitlement, const ServiceTerms& terms, const ActivePacks& packs) noexcept {
  // Free and arrears: the base as a cap, without any guarantee; packs are suspended.
  return entitlement.state == State::paid ? terms.base + packs.qps : terms.base;
}

ActivePacks packs_of(const Entitlement& entitlement, WallTime now) noexcept {
  return entitlement.state == State::paid ? active_packs(entitlement.packs, now) : ActivePacks{};
}
}  // namespace

std::variant<Admission, Refusal> admit(Subscription& subscription, WallTime now, std::int64_t steady_ns) noexcept {
  const Entitlement& entitlement = *subscription.entitlement.load(std::memory_order_acquire);
  Service& service = *subscription.service;
  const ServiceTerms& terms = *service.terms.load(std::memory_order_acquire);
  const bool paid = entitlement.state == State::paid;
  const ActivePacks packs = packs_of(entitlement, now);
  const std::int32_t limit = limit_of(entitlement, terms, packs);
  const Refusal out_of_points = entitlement.state == State::arrears ? Refusal::arrears : Refusal::quota_exhausted;

  // A spent quota is final, a reached limit is not: say the final reason even when both hold.
  if (!paid && subscription.free_left.load(std::memory_order_relaxed) < terms.cost.count()) return out_of_points;

  Admission admission;
  admission.cost = terms.cost;
  admission.paid = paid;
  admission.unmetered = packs.unlimited;
  admission.prepaid = now < entitlement.prepaid_until;

  const bool by_concurrency = terms.limit_by == LimitBy::concurrency;
  auto permit = Permit::try_acquire(subscription.in_flight, by_concurrency ? limit : kNoLimit);
  if (!permit) return Refusal::limit_reached;
  admission.permit = std::move(*permit);

  if (terms.capacity > 0) {
    // Paid calls are counted but never refused here: the guarantee was sold. Free ones take what is spare.
    auto place = Permit::try_acquire(service.in_flight, paid ? kNoLimit : terms.free_ceiling);
    if (!place) return Refusal::no_capacity;
    admission.service_permit = std::move(*place);
  }

  if (paid) {
    if (!packs.unlimited) admission.hold = Hold::up_to(subscription.free_left, terms.cost);
  } else {
    auto hold = Hold::all(subscription.free_left, terms.cost);
    if (!hold) return out_of_points;
    admission.hold = std::move(*hold);
  }

  // The rate comes last: its step cannot be taken back, so nothing may refuse the call after it.
  if (!by_concurrency && try_pass(subscription.arrival, limit, steady_ns)) return Refusal::limit_reached;
  return admission;
}

bool is_paid(const Subscription& subscription) noexcept {
  return subscription.entitlement.load(std::memory_order_acquire)->state == State::paid;
}

Room room_now(const Subscription& subscription, WallTime now, std::int64_t steady_ns) noexcept {
  const std::int32_t limit = limit_now(subscription, now);
  const ServiceTerms& terms = *subscription.service->terms.load(std::memory_order_acquire);
  if (terms.limit_by == LimitBy::qps) return {limit, calls_left(subscription.arrival, limit, steady_ns)};
  return {limit, std::max(0, limit - subscription.in_flight.load(std::memory_order_relaxed))};
}

std::int32_t limit_now(const Subscription& subscription, WallTime now) noexcept {
  const Entitlement& entitlement = *subscription.entitlement.load(std::memory_order_acquire);
  const ServiceTerms& terms = *subscription.service->terms.load(std::memory_order_acquire);
  return limit_of(entitlement, terms, packs_of(entitlement, now));
}

}  // namespace tollgate::limiter
