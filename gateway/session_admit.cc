// Phases 3 to 5 of a call: who calls, what, and whether the call is let in. Nothing here waits, reads or writes.
#include "base/ids.h"
#include "gateway/head_writer.h"
#include "gateway/session.h"

namespace tollgate::gateway {
namespace {
constexpr std::size_t kKeyBytesMax = 256;
}  // namespace

std::optional<Reason> Session::decide(Call& call) {
  if (const auto reason = identify_and_route(call)) return reason;
  const auto body_max = static_cast<std::uint64_t>(worker_.config().limits.body_bytes_max);
  if (call.body_seen > body_max || call.body_left > body_max - call.body_seen) return Reason::body_too_large;
  if (worker_.draining()) return Reason::draining;
  if (worker_.overload().refuses(limiter::is_paid(*call.subscription))) [[unlikely]]
    return Reason::overloaded;
  if (worker_.buffer_budget().refuses(limiter::is_paid(*call.subscription))) [[unlikely]]
    return Reason::buffers_full;
  call.recorder = &worker_.recorder();
  call.slot = call.recorder->slot(call.subscription->number, hour_of(call.at));
  if (call.slot == nullptr) return Reason::journal_full;
  auto decision = limiter::admit(*call.subscription, call.at, call.started_ns);
  const auto* refusal = std::get_if<limiter::Refusal>(&decision);
  if (call.service->config->definition.rate_limit_headers) {
    const auto [limit, remaining] = limiter::room_now(*call.subscription, call.at, call.started_ns);
    call.has_rate_limit = true;
    call.rate_limit = {limit, refusal != nullptr ? 0 : remaining, 1};
  }
  if (refusal != nullptr) {
    // The fields speak of the limit; of a spent quota they would promise what no second brings.
    call.has_rate_limit = call.has_rate_limit && *refusal == limiter::Refusal::limit_reached;
    return reason_of(*refusal);
  }
  call.admission = std::get<limiter::Admission>(std::move(decision));
  if (!worker_.plane().keeper.is_durable() && !may_go_uncounted(call.admission)) [[unlikely]] {
    call.admission = {};
    return Reason::journal_failing;
  }
  call.admitted = true;
  call.service->cells.in_flight[call.admission.paid ? 0 : 1].add(1);
  return std::nullopt;
}

// While a power cut could take what is counted: nobody gets for free, or again, what has a count of its own; whoever is
// charged afterwards goes on within the allowance, and under an unlimited pack there is nothing to lose.
bool Session::may_go_uncounted(const limiter::Admission& admission) {
  if (admission.unmetered) return true;
  if (!admission.paid || admission.prepaid || admission.hold.points() > Points()) return false;
  return worker_.plane().keeper.take_allowance(admission.cost);
}

std::optional<Reason> Session::identify_and_route(Call& call) {
  // The route is looked up first, but only for the dialect of a refusal: an unknown key is refused before it.
  call.service = worker_.routes().find(host_of(request_.host), request_.target.path);
  if (call.bad_body) return Reason::bad_request;
  const PresentedKey presented = presented_key(request_);
  if (presented.conflict || presented.key.empty() || presented.key.size() > kKeyBytesMax) return invalid_key();
  const auto& directory = worker_.plane().directory;
  call.account = directory.identify(sha256(presented.key), call.at);
  if (call.account == nullptr) return invalid_key();
  if (!call.service) return Reason::unknown_service;
  call.subscription = directory.find(*call.account, *call.service->config->limits);
  if (call.subscription == nullptr) return Reason::not_subscribed;
  return std::nullopt;
}

// Keys are looked up before failures are: behind a shared address a valid key works whatever its neighbours send.
Reason Session::invalid_key() noexcept {
  worker_.cells().key_failures.add(1);
  const std::int64_t max = worker_.config().limits.key_failures_per_address_max;
  if (max == 0) return Reason::invalid_key;
  const std::int64_t failures = worker_.plane().key_failures.count(address_, worker_.coarse_now_ns());
  return failures > max ? Reason::too_many_failures : Reason::invalid_key;
}

}  // namespace tollgate::gateway
