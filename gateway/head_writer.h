// Heads written anew: what goes to an upstream and what goes back to a client, without hop-by-hop fields, without
// the client's copies of fields the gateway owns, and with one framing of our own. It never sends.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/http_head.h"
#include "gateway/refusal.h"

namespace tollgate::gateway {

struct ForwardedCall {
  std::string_view upstream_host;  // "host:port": the Host the upstream sees; the client's goes to X-Forwarded-Host
  std::string_view account;
  std::string_view service;
  std::string_view request_id;
  std::string_view peer;         // the client's address, without port
  bool trust_forwarded = false;  // extend the client's X-Forwarded-* instead of replacing them
  bool is_tls = false;           // the client's connection
};

// Appends the request head, the key (header or access_token) left out. The body's framing is the request's own.
void write_request_head(std::string& out, const RequestHead& request, const ForwardedCall& call);

struct AnswerHead {
  std::string_view request_id;
  BodyKind framing = BodyKind::none;  // of the body towards the client: length, chunked, until_close or none
  bool keep_alive = true;
  const RateLimitState* rate_limit = nullptr;
  std::string_view date =
      {};  // for a final answer without Date: whoever forwards one adds it (RFC 9110 6.6.1); "": none
};

void write_response_head(std::string& out, const ResponseHead& response, const AnswerHead& answer);

// The keys a request presents. `conflict`: two of them differ, and the request must be refused.
struct PresentedKey {
  std::string_view key;  // empty: none
  bool conflict = false;
};
[[nodiscard]] PresentedKey presented_key(const RequestHead& request) noexcept;

}  // namespace tollgate::gateway
