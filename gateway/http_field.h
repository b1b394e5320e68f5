// Field names the gateway knows, and the character classes of heads. It classifies; it does not parse or decide.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tollgate::gateway {

enum class FieldId : std::uint8_t {
  other,  // passed on unless Connection names it
  date,   // the same, and added to an answer that has none
  // framing and connection: read by us, written anew, never copied
  connection,
  content_length,
  expect,
  host,
  transfer_encoding,
  hop_by_hop,  // Keep-Alive, Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Trailer, Upgrade,
               // HTTP2-Settings
  // credentials of ours
  authorization,
  api_key,
  // names the gateway owns towards upstreams: a client's own are dropped or extended
  owned,  // X-Account, X-Service, X-Request-Id, X-Real-IP, Forwarded, and twins with underscores
  forwarded_for,
  forwarded_proto,
  forwarded_host,
  via,
  // names an upstream speaks to the gateway
  call_outcome,
  rate_limit,  // passed on unless the gateway says its own
};

// Of a token. Case-insensitive. A twin that differs only by '_' for '-' from a name the gateway reads or owns is
// `owned`: servers that fold both into one variable must never see the client's.
[[nodiscard]] FieldId classify_field(std::string_view name) noexcept;

[[nodiscard]] bool equals_ignoring_case(std::string_view a, std::string_view lower_case) noexcept;

[[nodiscard]] bool is_token(std::string_view text) noexcept;           // RFC 9110 5.6.2; false for ""
[[nodiscard]] std::size_t token_size(std::string_view text) noexcept;  // of the token that it begins with, or 0
[[nodiscard]] bool is_field_value(std::string_view text) noexcept;     // no controls but HTAB, no DEL

// Calls `visit(token)` for each non-empty element of a comma-separated list, blanks trimmed.
template <class Visit>
void for_each_element(std::string_view list, Visit visit) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    std::string_view element = list.substr(0, comma);
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    while (!element.empty() && (element.front() == ' ' || element.front() == '\t')) element.remove_prefix(1);
    while (!element.empty() && (element.back() == ' ' || element.back() == '\t')) element.remove_suffix(1);
    if (!element.empty()) visit(element);
  }
}

}  // namespace tollgate::gateway
