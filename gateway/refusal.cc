#include "gateway/refusal.h"

#include <fmt/format.h>

#include <array>
#include <iterator>

#include "base/check.h"
#include "base/ids.h"

namespace tollgate::gateway {
namespace {
struct Entry {
  Reason reason;
  std::string_view code;
  int status;
  std::string_view openai_code;
  int openai_status;
  std::string_view openai_type;
  int baidu_code;
  std::int64_t retry_after_s;  // 0: none; by a rate a call passes within 1 s, as no limit is below 1 call/s
  std::string_view detail;
};

constexpr std::string_view kRequestError = "invalid_request_error";
constexpr std::string_view kServerError = "server_error";

// In the order of Reason. Baidu's 18 and 19 are its codes for QPS and daily quota; 282000 is its internal error;
// 336000s do not apply here, so faults of the request itself are its 100 (invalid parameter).
constexpr std::array kEntries = {
    Entry{Reason::invalid_key, "invalid_key", 401, "invalid_api_key", 401, "authentication_error", 110, 0,
          "The API key is missing, unknown, expired or revoked."},
    Entry{Reason::not_subscribed, "not_subscribed", 403, "permission_denied", 403, "permission_error", 6, 0,
          "The account of this key has no subscription to this service."},
    Entry{Reason::unknown_service, "unknown_service", 404, "not_found", 404, kRequestError, 3, 0,
          "No service is published at this address."},
    Entry{Reason::quota_exhausted, "quota_exhausted", 429, "insufficient_quota", 429, "insufficient_quota", 19, 0,
          "The free points of this subscription do not cover the call."},
    Entry{Reason::limit_reached, "limit_reached", 429, "rate_limit_exceeded", 429, "rate_limit_error", 18, 1,
          "The subscription is at its limit of calls; try again when one has ended."},
    Entry{Reason::arrears, "arrears", 402, "insufficient_quota", 429, "insufficient_quota", 17, 0,
          "The account is in arrears and its free points do not cover the call; a deposit ends this at once."},
    Entry{Reason::no_capacity, "no_capacity", 503, kServerError, 503, kServerError, 2, 1,
          "There is no spare capacity for free calls now."},
    Entry{Reason::journal_full, "no_capacity", 503, kServerError, 503, kServerError, 2, 5,
          "Usage cannot be recorded now, so the call was not let in."},
    Entry{Reason::journal_failing, "no_capacity", 503, kServerError, 503, kServerError, 2, 5,
          "Usage cannot be recorded durably now, so the call was not let in."},
    Entry{Reason::draining, "no_capacity", 503, kServerError, 503, kServerError, 2, 1,
          "This gateway is shutting down."},
    Entry{Reason::upstream_unreachable, "upstream_unreachable", 502, kServerError, 502, kServerError, 282000, 0,
          "No upstream of the service could be reached; the call was not made."},
    Entry{Reason::upstream_failed, "upstream_failed", 502, kServerError, 502, kServerError, 282000, 0,
          "The upstream broke off or answered with something that is not HTTP."},
    Entry{Reason::upstream_timeout, "upstream_timeout", 504, kServerError, 504, kServerError, 282000, 0,
          "The upstream did not answer in time."},
    Entry{Reason::bad_request, "bad_request", 400, "bad_request", 400, kRequestError, 100, 0,
          "The request is malformed or could be read in two ways."},
    Entry{Reason::method_not_allowed, "method_not_allowed", 405, "bad_request", 405, kRequestError, 100, 0,
          "CONNECT and TRACE are not served."},
    Entry{Reason::request_timeout, "request_timeout", 408, "bad_request", 408, kRequestError, 100, 0,
          "The request did not arrive in time."},
    Entry{Reason::body_too_large, "body_too_large", 413, "bad_request", 413, kRequestError, 100, 0,
          "The request's body is larger than this gateway takes."},
    Entry{Reason::target_too_long, "target_too_long", 414, "bad_request", 414, kRequestError, 100, 0,
          "The request's target is longer than this gateway takes."},
    Entry{Reason::expectation_failed, "expectation_failed", 417, "bad_request", 417, kRequestError, 100, 0,
          "The only expectation that can be met is 100-continue."},
    Entry{Reason::head_too_large, "head_too_large", 431, "bad_request", 431, kRequestError, 100, 0,
          "The request's head has more bytes or fields than this gateway takes."},
    Entry{Reason::method_unknown, "method_unknown", 501, "bad_request", 501, kRequestError, 100, 0,
          "The method is not one this gateway forwards."},
    Entry{Reason::version_unsupported, "version_unsupported", 505, "bad_request", 505, kRequestError, 100, 0,
          "Only HTTP/1.1 and HTTP/1.0 are served here."},
    Entry{Reason::too_many_failures, "too_many_failures", 429, "rate_limit_exceeded", 429, "rate_limit_error", 18, 60,
          "Too many invalid API keys came from this address; this one is not valid either."},
    Entry{Reason::overloaded, "no_capacity", 503, kServerError, 503, kServerError, 2, 1,
          "This gateway is overloaded; try again later."},
    Entry{Reason::buffers_full, "no_capacity", 503, kServerError, 503, kServerError, 2, 1,
          "This gateway's memory for calls is in use; try again later."},
};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kEntries.size(); ++i) {
    if (static_cast<std::size_t>(kEntries[i].reason) != i) return false;
  }
  return true;
}
static_assert(in_order());

const Entry& entry(Reason reason) noexcept { return kEntries[static_cast<std::size_t>(reason)]; }

// All of an answer that does not differ from one to the next, so that a flood of refusals costs copies only.
struct Fixed {
  std::string head;        // up to the value of Date
  std::string body_front;  // up to the request's id or number
  std::string body_back;
};

constexpr std::size_t kDialects = 3;

Fixed fixed_parts(const Entry& e, ErrorDialect dialect) {
  const int status = dialect == ErrorDialect::openai ? e.openai_status : e.status;
  Fixed fixed;
  fixed.head =
      fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\nCache-Control: no-store\r\n", status, reason_phrase(status),
                  dialect == ErrorDialect::problem ? "application/problem+json" : "application/json");
  if (e.retry_after_s > 0) fixed.head += fmt::format("Retry-After: {}\r\n", e.retry_after_s);
  if (e.reason == Reason::invalid_key) fixed.head += "WWW-Authenticate: Bearer\r\n";
  if (e.reason == Reason::method_not_allowed) fixed.head += "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";
  fixed.head += "Date: ";
  switch (dialect) {
    case ErrorDialect::problem:
      fixed.body_front =
          fmt::format(R"({{"type":"about:blank","title":"{}","status":{},"detail":"{}","code":"{}","request_id":")",
                      reason_phrase(status), status, e.detail, e.code);
      fixed.body_back = "\"}";
      break;
    case ErrorDialect::openai:
      fixed.body_front = fmt::format(R"({{"error":{{"message":"{}","type":"{}","param":null,"code":"{}"}}}})", e.detail,
                                     e.openai_type, e.openai_code);
      break;
    case ErrorDialect::baidu:
      fixed.body_front = fmt::format(R"({{"error_code":{},"error_msg":"{}","log_id":)", e.baidu_code, e.detail);
      fixed.body_back = "}";
      break;
  }
  return fixed;
}

const Fixed& fixed_of(Reason reason, ErrorDialect dialect) {
  using Table = std::array<std::array<Fixed, kDialects>, kEntries.size()>;
  static const Table table = [] {
    Table made;
    for (std::size_t i = 0; i < kEntries.size(); ++i) {
      for (std::size_t d = 0; d < kDialects; ++d) made[i][d] = fixed_parts(kEntries[i], static_cast<ErrorDialect>(d));
    }
    return made;
  }();
  return table[static_cast<std::size_t>(reason)][static_cast<std::size_t>(dialect)];
}
}  // namespace

Reason reason_of(limiter::Refusal refusal) noexcept {
  switch (refusal) {
    case limiter::Refusal::quota_exhausted: return Reason::quota_exhausted;
    case limiter::Refusal::arrears: return Reason::arrears;
    case limiter::Refusal::limit_reached: return Reason::limit_reached;
    case limiter::Refusal::no_capacity: return Reason::no_capacity;
  }
  TOLLGATE_CHECK(false);
}

Reason reason_of(HeadFault fault) noexcept {
  switch (fault) {
    case HeadFault::bad: return Reason::bad_request;
    case HeadFault::method_not_allowed: return Reason::method_not_allowed;
    case HeadFault::target_too_long: return Reason::target_too_long;
    case HeadFault::too_many_fields: return Reason::head_too_large;
    case HeadFault::expectation_failed: return Reason::expectation_failed;
    case HeadFault::not_implemented: return Reason::method_unknown;
    case HeadFault::version: return Reason::version_unsupported;
    case HeadFault::none: break;
  }
  TOLLGATE_CHECK(false);
}

bool is_of_upstream(Reason reason) noexcept {
  return reason == Reason::upstream_unreachable || reason == Reason::upstream_failed ||
         reason == Reason::upstream_timeout;
}

int status_of(Reason reason, ErrorDialect dialect) noexcept {
  return dialect == ErrorDialect::openai ? entry(reason).openai_status : entry(reason).status;
}

std::string_view code_of(Reason reason) noexcept { return entry(reason).code; }

// Reasons that share the code a client sees are told apart where they are counted.
static std::string_view counted_as(const Entry& entry) noexcept {
  switch (entry.reason) {
    case Reason::journal_full: return "journal_full";
    case Reason::journal_failing: return "journal_failing";
    case Reason::draining: return "draining";
    case Reason::overloaded: return "overloaded";
    case Reason::buffers_full: return "buffers_full";
    default: return entry.code;
  }
}

std::vector<std::string> reason_codes() {
  std::vector<std::string> codes;
  for (const Entry& e : kEntries) {
    codes.emplace_back(counted_as(e));
  }
  return codes;
}

std::string_view reason_phrase(int status) noexcept {
  switch (status) {
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 417: return "Expectation Failed";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Error";
  }
}

void write_rate_limit_fields(std::string& out, const RateLimitState& state) {
  // draft-ietf-httpapi-ratelimit-headers: the policy's quota (q), what remains of it (r), seconds to reset (t).
  fmt::format_to(std::back_inserter(out),
                 "RateLimit-Policy: \"guarantee\";q={0}\r\nRateLimit: \"guarantee\";r={1};t={2}\r\n"
                 "x-ratelimit-limit-requests: {0}\r\nx-ratelimit-remaining-requests: {1}\r\n"
                 "x-ratelimit-reset-requests: {2}s\r\n",
                 state.limit, state.remaining, state.reset_s);
}

std::uint64_t random_log_id_start() { return std::stoull(random_hex(7), nullptr, 16) % kLogIdMax; }

std::uint64_t log_id(std::uint64_t start, std::uint64_t request_number) noexcept {
  return (start + request_number) % kLogIdMax + 1;
}

void write_refusal(std::string& out, const RefusalAnswer& answer) {
  const Fixed& fixed = fixed_of(answer.reason, answer.dialect);
  const fmt::format_int log_id(answer.log_id);
  std::string_view own;  // what only this answer's body has
  if (answer.dialect == ErrorDialect::problem) own = answer.request_id;
  if (answer.dialect == ErrorDialect::baidu) own = {log_id.data(), log_id.size()};
  const fmt::format_int length(fixed.body_front.size() + own.size() + fixed.body_back.size());
  for (const std::string_view part :
       {std::string_view(fixed.head), answer.date, std::string_view("\r\nX-Request-Id: "), answer.request_id,
        std::string_view(answer.keep_alive ? "\r\nConnection: keep-alive\r\nContent-Length: "
                                           : "\r\nConnection: close\r\nContent-Length: "),
        std::string_view(length.data(), length.size()), std::string_view("\r\n")}) {
    out += part;
  }
  if (answer.rate_limit != nullptr) write_rate_limit_fields(out, *answer.rate_limit);
  out += "\r\n";
  if (answer.without_body) return;
  out += fixed.body_front;
  out += own;
  out += fixed.body_back;
}

}  // namespace tollgate::gateway
