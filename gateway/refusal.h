// The one door by which answers of the gateway's own leave: every reason with its status, its code in the three
// dialects and its sentence (architecture.md section 6). It writes bytes; deciding is done elsewhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/http_head.h"
#include "gateway/service_definition.h"
#include "limiter/admission.h"

namespace tollgate::gateway {

enum class Reason : std::uint8_t {
  invalid_key,
  not_subscribed,
  unknown_service,
  quota_exhausted,
  limit_reached,
  arrears,
  no_capacity,
  journal_full,
  journal_failing,
  draining,
  upstream_unreachable,
  upstream_failed,
  upstream_timeout,
  bad_request,
  method_not_allowed,
  request_timeout,
  body_too_large,
  target_too_long,
  expectation_failed,
  head_too_large,
  method_unknown,
  version_unsupported,
  too_many_failures,
  overloaded,
  buffers_full,
};

// What the RateLimit headers tell; only where the service's switch is on.
struct RateLimitState {
  std::int32_t limit = 0;
  std::int32_t remaining = 0;
  std::int64_t reset_s = 0;
};

// The number of a request in the baidu dialect: from 1 to kLogIdMax, so that JSON readers with doubles keep it, and by
// its worker's random `start` different from those of other workers and of earlier processes.
inline constexpr std::uint64_t kLogIdMax = (std::uint64_t{1} << 53) - 1;
[[nodiscard]] std::uint64_t random_log_id_start();
[[nodiscard]] std::uint64_t log_id(std::uint64_t start, std::uint64_t request_number) noexcept;

struct RefusalAnswer {
  Reason reason = Reason::bad_request;
  ErrorDialect dialect = ErrorDialect::problem;
  std::string_view request_id;
  std::string_view date;     // of the Date field
  std::uint64_t log_id = 0;  // the baidu dialect's number for the request
  const RateLimitState* rate_limit = nullptr;
  bool keep_alive = false;
  bool without_body = false;  // the request was HEAD
};

[[nodiscard]] Reason reason_of(limiter::Refusal refusal) noexcept;
[[nodiscard]] Reason reason_of(HeadFault fault) noexcept;  // not for HeadFault::none

[[nodiscard]] bool is_of_upstream(Reason reason) noexcept;  // 502 and 504

[[nodiscard]] int status_of(Reason reason, ErrorDialect dialect) noexcept;
[[nodiscard]] std::string_view code_of(Reason reason) noexcept;
[[nodiscard]] std::vector<std::string> reason_codes();  // by index, for metrics

// Appends the whole answer to `out`.
void write_refusal(std::string& out, const RefusalAnswer& answer);

void write_rate_limit_fields(std::string& out, const RateLimitState& state);

[[nodiscard]] std::string_view reason_phrase(int status) noexcept;

}  // namespace tollgate::gateway
