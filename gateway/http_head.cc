#include "gateway/http_head.h"

#include <cstring>
#include <optional>

#include "gateway/http_scan.h"

namespace tollgate::gateway {
namespace {
constexpr std::size_t kContentLengthDigitsMax = 18;  // fits int64 with room
constexpr std::string_view kLineEnd = "\r\n";

// Takes one line off the front; the scanner has made sure that there is no LF without a CR before it, and one at the
// end.
std::string_view take_line(std::string_view& rest) noexcept {
  const std::size_t lf = find_line_end(rest, 0);
  const auto line = rest.substr(0, lf - 1);
  rest.remove_prefix(lf + 1);
  return line;
}

std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Splits the field lines, each looked at once: a name ends at its colon, a value at the CR of its line. A fold (a line
// that begins with a blank) fails as a bad name does. The blank line is there: the scanner has found it.
HeadFault split_fields(std::string_view rest, std::vector<Field>& fields, std::size_t fields_max) {
  fields.clear();
  while (true) {
    if (rest.starts_with(kLineEnd)) return HeadFault::none;
    if (fields.size() == fields_max) return HeadFault::too_many_fields;
    const auto name = rest.substr(0, token_size(rest));
    rest.remove_prefix(name.size());
    if (name.empty() || !rest.starts_with(':')) return HeadFault::bad;
    rest.remove_prefix(1);
    const auto value = rest.substr(0, field_value_size(rest));
    rest.remove_prefix(value.size());
    if (!rest.starts_with(kLineEnd)) return HeadFault::bad;
    rest.remove_prefix(kLineEnd.size());
    fields.push_back({name, trim(value), classify_field(name)});
  }
}

std::optional<std::uint64_t> parse_content_length(std::string_view text) noexcept {
  if (text.empty() || text.size() > kContentLengthDigitsMax) return std::nullopt;
  std::uint64_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

// The framing that the fields state: at most one Content-Length, or exactly one `Transfer-Encoding: chunked`.
struct Framing {
  bool bad = false;
  bool chunked = false;
  std::optional<std::uint64_t> length;
};

Framing framing_of(const std::vector<Field>& fields) noexcept {
  Framing framing;
  for (const Field& field : fields) {
    if (field.id == FieldId::content_length) {
      const auto length = parse_content_length(field.value);
      if (!length || framing.length) framing.bad = true;
      framing.length = length;
    } else if (field.id == FieldId::transfer_encoding) {
      if (framing.chunked || !equals_ignoring_case(field.value, "chunked")) framing.bad = true;
      framing.chunked = true;
    }
  }
  if (framing.chunked && framing.length) framing.bad = true;
  return framing;
}

struct ConnectionOptions {
  bool close = false;
  bool keep_alive = false;
  bool bad = false;
};

// Each name there is looked for among all fields.
constexpr int kConnectionOptionsMax = 64;

ConnectionOptions connection_options(const std::vector<Field>& fields) noexcept {
  ConnectionOptions options;
  int count = 0;
  for (const Field& field : fields) {
    if (field.id != FieldId::connection) continue;
    for_each_element(field.value, [&](std::string_view token) {
      options.bad = options.bad || !is_token(token) || ++count > kConnectionOptionsMax;
      options.close = options.close || equals_ignoring_case(token, "close");
      options.keep_alive = options.keep_alive || equals_ignoring_case(token, "keep-alive");
    });
  }
  return options;
}

HeadFault check_method(std::string_view method, RequestHead& head) noexcept {
  head.is_head = method == "HEAD";
  head.is_idempotent = head.is_head || method == "GET" || method == "PUT" || method == "DELETE" || method == "OPTIONS";
  if (head.is_idempotent || method == "POST" || method == "PATCH") return HeadFault::none;
  if (method == "CONNECT" || method == "TRACE") return HeadFault::method_not_allowed;
  return is_token(method) ? HeadFault::not_implemented : HeadFault::bad;
}

HeadFault check_version(std::string_view version, bool& http_1_0) noexcept {
  http_1_0 = version == "HTTP/1.0";
  if (http_1_0 || version == "HTTP/1.1") return HeadFault::none;
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  const bool well_formed = version.size() == 8 && version.starts_with("HTTP/") && digit(version[5]) &&
                           version[6] == '.' && digit(version[7]);
  return well_formed ? HeadFault::version : HeadFault::bad;
}

HeadFault parse_request_line(std::string_view line, const HeadLimits& limits, RequestHead& head) noexcept {
  const auto first = line.find(' ');
  const auto last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return HeadFault::bad;
  head.method = line.substr(0, first);
  const auto target = line.substr(first + 1, last - first - 1);
  if (!is_token(head.method)) return HeadFault::bad;
  if (const auto fault = check_version(line.substr(last + 1), head.http_1_0); fault != HeadFault::none) return fault;
  if (target.size() > limits.target_bytes_max) return HeadFault::target_too_long;
  if (const auto fault = check_method(head.method, head); fault != HeadFault::none) return fault;
  return parse_target(target, head.target) ? HeadFault::none : HeadFault::bad;
}

// A port that is the scheme's default says what its absence says (RFC 3986 6.2.3). Host has the target's scheme.
bool equal_authority(std::string_view a, std::string_view b, std::string_view default_port) noexcept {
  const auto host_a = host_of(a);
  const auto host_b = host_of(b);
  if (host_a.size() != host_b.size() || ::strncasecmp(host_a.data(), host_b.data(), host_a.size()) != 0) return false;
  const auto port = [&](std::string_view authority, std::size_t host_size) {
    return authority.size() == host_size ? default_port : authority.substr(host_size + 1);
  };
  return port(a, host_a.size()) == port(b, host_b.size());
}

// Exactly one valid Host (none only in HTTP/1.0), in agreement with an absolute target.
bool take_host(RequestHead& head) noexcept {
  std::size_t count = 0;
  for (const Field& field : head.fields) {
    if (field.id != FieldId::host) continue;
    head.host = field.value;
    ++count;
  }
  if (count == 0) {
    head.host = head.target.authority;
    return head.http_1_0;
  }
  if (count > 1 || !is_valid_authority(head.host)) return false;
  return head.target.authority.empty() ||
         equal_authority(head.target.authority, head.host, head.target.is_https ? "443" : "80");
}

HeadFault take_expectation(RequestHead& head) noexcept {
  head.expect_continue = false;
  for (const Field& field : head.fields) {
    if (field.id != FieldId::expect) continue;
    if (!equals_ignoring_case(field.value, "100-continue")) return HeadFault::expectation_failed;
    head.expect_continue = !head.http_1_0;  // RFC 9110 10.1.1: not for 1.0
  }
  return HeadFault::none;
}
}  // namespace

HeadScanner::Result HeadScanner::scan(std::string_view buffer) noexcept {
  while (at_ < buffer.size()) {
    const std::size_t lf = find_line_end(buffer, at_);
    at_ = lf;
    if (lf == buffer.size()) break;
    if (lf == line_begin_ || buffer[lf - 1] != '\r') return Result::bad;
    const bool blank = lf - 1 == line_begin_;
    if (blank && line_begin_ == 0) return Result::bad;  // no start line; a leading CRLF was skipped before
    at_ = line_begin_ = lf + 1;
    if (blank) return Result::complete;
  }
  return Result::incomplete;
}

HeadFault RequestHead::parse(std::string_view head, const HeadLimits& limits) {
  host = {};
  const auto line = take_line(head);
  if (const auto fault = parse_request_line(line, limits, *this); fault != HeadFault::none) return fault;
  if (const auto fault = split_fields(head, fields, limits.fields_max); fault != HeadFault::none) return fault;
  if (!take_host(*this)) return HeadFault::bad;
  const Framing framing = framing_of(fields);
  if (framing.bad || (framing.chunked && http_1_0)) return HeadFault::bad;
  const ConnectionOptions connection = connection_options(fields);
  if (connection.bad) return HeadFault::bad;
  content_length = framing.length.value_or(0);
  body = framing.chunked ? BodyKind::chunked : framing.length ? BodyKind::length : BodyKind::none;
  keep_alive = !connection.close && (!http_1_0 || connection.keep_alive);
  return take_expectation(*this);
}

bool ResponseHead::parse(std::string_view head, bool request_was_head, const HeadLimits& limits) {
  const auto line = take_line(head);
  // "HTTP/1.1 200 OK"; the reason may be empty, and then the blank before it may be missing too.
  if (line.size() < 12 || !(line.starts_with("HTTP/1.1 ") || line.starts_with("HTTP/1.0 "))) return false;
  status = 0;
  for (char c : line.substr(9, 3)) {
    if (c < '0' || c > '9') return false;
    status = status * 10 + (c - '0');
  }
  if (status < 100 || status > 599 || (line.size() > 12 && line[12] != ' ')) return false;
  reason = line.size() > 13 ? line.substr(13) : std::string_view();
  if (!is_field_value(reason)) return false;
  if (split_fields(head, fields, limits.fields_max) != HeadFault::none) return false;

  const bool http_1_0 = line[7] == '0';
  const Framing framing = framing_of(fields);
  const ConnectionOptions connection = connection_options(fields);
  if (framing.bad || connection.bad || (framing.chunked && http_1_0)) return false;
  content_length = framing.length.value_or(0);
  has_content_length = framing.length.has_value();
  keep_alive = !connection.close && !http_1_0;
  if (request_was_head || status < 200 || status == 204 || status == 304) {
    body = BodyKind::none;
  } else if (framing.chunked) {
    body = BodyKind::chunked;
  } else if (framing.length) {
    body = content_length == 0 ? BodyKind::none : BodyKind::length;
  } else {
    body = BodyKind::until_close;
    keep_alive = false;
  }
  outcome_failed = false;
  for (const Field& field : fields) {
    if (field.id == FieldId::call_outcome)
      outcome_failed = outcome_failed || equals_ignoring_case(field.value, "failed");
  }
  return true;
}

bool named_by_connection(const std::vector<Field>& fields, std::string_view name) noexcept {
  bool named = false;
  for (const Field& field : fields) {
    if (field.id != FieldId::connection) continue;
    for_each_element(field.value, [&](std::string_view token) {
      named = named || (token.size() == name.size() && ::strncasecmp(token.data(), name.data(), name.size()) == 0);
    });
  }
  return named;
}

}  // namespace tollgate::gateway
