// What an operator says of a service (api.md, PUT /v1/services/{service}), checked, and its JSON form.
// It is the gateway's reading; the billing core stores the text and looks only at the model.
#pragma once

#include <bitset>
#include <boost/json/fwd.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fault.h"
#include "gateway/upstream_tls.h"

namespace tollgate::gateway {

enum class LimitBy { concurrency, qps };
enum class ErrorDialect { problem, openai, baidu };

struct UpstreamAddress {
  std::string host;  // a name, an IPv4 address, or an IPv6 address without brackets
  std::uint16_t port = 0;
  [[nodiscard]] std::string text() const;  // "host:port", brackets for IPv6
};

// "host:port" or "[IPv6]:port", the port in decimal. Port 0 only where one is to be chosen by the system.
std::optional<UpstreamAddress> parse_upstream_address(std::string_view text, bool port_zero_allowed = false);

struct ServiceDefinition {
  std::string model;                         // required
  std::vector<UpstreamAddress> upstreams;    // required, 1 to 64
  std::string path_prefix;                   // required: begins with '/', matches whole path segments
  std::optional<std::string> host;           // lower case, without port; absent: any host
  std::optional<UpstreamTlsDefinition> tls;  // absent: the upstreams speak plain HTTP
  std::optional<std::int64_t> timeout_ms;    // longest silence of the upstream; 1 to 86,400,000
  std::optional<std::int32_t> capacity;      // calls in flight the upstreams can take; 1 to 1,000,000
  std::int32_t paid_reserve_percent = 10;    // share of `capacity` that free calls leave to paid ones; 0 to 100
  LimitBy limit_by = LimitBy::concurrency;
  std::vector<std::string> failure_statuses = {"4xx", "5xx"};  // "503", "5xx"; statuses counted as failed
  ErrorDialect error_dialect = ErrorDialect::problem;
  bool rate_limit_headers = false;  // RateLimit-Policy, RateLimit and x-ratelimit-* on answers
  bool retry_unsafe = false;        // a POST may be sent again when a reused connection died unanswered

  [[nodiscard]] std::bitset<600> failure_status_set() const;
};

// `json` is one JSON object. Unknown fields, duplicate keys, wrong types and values out of range are faults that
// name the field.
Result<ServiceDefinition> parse_service_definition(std::string_view json);
Result<ServiceDefinition> read_service_definition(const boost::json::value& json);  // the same, parsed already

// The canonical JSON object of a definition: what GET answers (without `id`) and what the store keeps.
std::string to_json(const ServiceDefinition& definition);

}  // namespace tollgate::gateway
