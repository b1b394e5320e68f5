#include "gateway/head_writer.h"

#include <array>

namespace tollgate::gateway {
namespace {
constexpr std::string_view kTokenParameter = "access_token=";
constexpr std::string_view kVia = "Via: 1.1 tollgate\r\n";

void append_number(std::string& out, std::uint64_t number) {
  std::array<char, 20> digits;
  char* const end = digits.data() + digits.size();
  char* first = end;
  do {
    *--first = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number > 0);
  out.append(first, end);
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

// Fields on their way from one head into another. One that came as we would write it is copied as it came, and together
// with those of its kind before it: most did.
class PassedFields {
 public:
  explicit PassedFields(std::string& out) noexcept : out_(out) {}
  // Its text stands in a head, which goes on behind it.
  void add(const Field& field) {
    const char* const name = field.name.data();
    const char* const name_end = name + field.name.size();
    const char* const value_end = field.value.data() + field.value.size();
    const bool as_it_came = name_end[0] == ':' && name_end[1] == ' ' && name_end + 2 == field.value.data() &&
                            value_end[0] == '\r' && value_end[1] == '\n';
    if (!as_it_came || name != end_) end();
    if (!as_it_came) return append_field(out_, field.name, field.value);
    if (begin_ == nullptr) begin_ = name;
    end_ = value_end + 2;
  }
  void end() {
    if (begin_ != nullptr) out_.append(begin_, end_);
    begin_ = end_ = nullptr;
  }

 private:
  std::string& out_;
  const char* begin_ = nullptr;  // of those that stand side by side and are not copied yet
  const char* end_ = nullptr;
};

// Calls `visit` with each parameter of a query ("a=b").
template <class Visit>
void for_each_parameter(std::string_view query, Visit visit) {
  while (true) {
    const auto end = query.find('&');
    visit(query.substr(0, end));
    if (end == std::string_view::npos) return;
    query.remove_prefix(end + 1);
  }
}

std::string_view bearer_token(std::string_view authorization) noexcept {
  constexpr std::size_t kSchemeSize = 7;  // "Bearer "
  if (authorization.size() <= kSchemeSize || !equals_ignoring_case(authorization.substr(0, kSchemeSize), "bearer ")) {
    return {};
  }
  authorization.remove_prefix(kSchemeSize);
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  return authorization;
}

void append_target(std::string& out, const Target& target) {
  out.append(target.path);
  if (!target.has_query) return;
  if (target.query.find(kTokenParameter) == std::string_view::npos) {
    out.append(1, '?').append(target.query);
    return;
  }
  char separator = '?';
  for_each_parameter(target.query, [&](std::string_view parameter) {
    if (parameter.starts_with(kTokenParameter)) return;
    out.append(1, separator).append(parameter);
    separator = '&';
  });
}

// X-Forwarded-*, extended where the client's own are trusted, else replaced.
void append_forwarded(std::string& out, const RequestHead& request, const ForwardedCall& call) {
  std::string_view proto = call.is_tls ? "https" : "http";
  std::string_view host = request.host;
  out.append("X-Forwarded-For: ");
  if (call.trust_forwarded) {
    for (const Field& field : request.fields) {
      if (field.id == FieldId::forwarded_for && !field.value.empty()) out.append(field.value).append(", ");
      if (field.id == FieldId::forwarded_proto) proto = field.value;
      if (field.id == FieldId::forwarded_host) host = field.value;
    }
  }
  out.append(call.peer).append("\r\n");
  append_field(out, "X-Forwarded-Proto", proto);
  if (!host.empty()) append_field(out, "X-Forwarded-Host", host);
}

bool is_passed_to_upstream(const Field& field) noexcept {
  if (field.id == FieldId::authorization) return bearer_token(field.value).empty();  // not a key of ours
  return field.id == FieldId::other || field.id == FieldId::date || field.id == FieldId::via ||
         field.id == FieldId::rate_limit;
}

bool is_passed_to_client(const Field& field, const AnswerHead& answer) noexcept {
  switch (field.id) {
    case FieldId::connection:
    case FieldId::content_length:
    case FieldId::transfer_encoding:
    case FieldId::hop_by_hop:
    case FieldId::call_outcome: return false;
    case FieldId::rate_limit: return answer.rate_limit == nullptr;
    default: return !equals_ignoring_case(field.name, "x-request-id");  // ours is added
  }
}
}  // namespace

void write_request_head(std::string& out, const RequestHead& request, const ForwardedCall& call) {
  out.append(request.method).append(1, ' ');
  append_target(out, request.target);
  out.append(" HTTP/1.1\r\n");
  append_field(out, "Host", call.upstream_host);
  // Names in Connection are rare: ask only when the field is there at all.
  bool has_connection = false;
  for (const Field& field : request.fields) has_connection = has_connection || field.id == FieldId::connection;
  PassedFields passed(out);
  for (const Field& field : request.fields) {
    if (!is_passed_to_upstream(field)) continue;
    if (has_connection && named_by_connection(request.fields, field.name)) continue;
    passed.add(field);
  }
  passed.end();
  out.append("X-Account: ").append(call.account);
  out.append("\r\nX-Service: ").append(call.service);
  out.append("\r\nX-Request-Id: ").append(call.request_id).append("\r\n");
  append_forwarded(out, request, call);
  out.append(kVia);
  if (request.body == BodyKind::chunked) {
    out.append("Transfer-Encoding: chunked\r\n");
  } else if (request.body == BodyKind::length) {
    out.append("Content-Length: ");
    append_number(out, request.content_length);
    out.append("\r\n");
  }
  out.append("\r\n");
}

void write_response_head(std::string& out, const ResponseHead& response, const AnswerHead& answer) {
  out.append("HTTP/1.1 ");
  append_number(out, static_cast<std::uint64_t>(response.status));
  out.append(1, ' ').append(response.reason).append("\r\n");
  bool has_connection = false;
  bool has_date = false;
  for (const Field& field : response.fields) has_connection = has_connection || field.id == FieldId::connection;
  PassedFields passed(out);
  for (const Field& field : response.fields) {
    if (!is_passed_to_client(field, answer)) continue;
    if (has_connection && named_by_connection(response.fields, field.name)) continue;
    has_date = has_date || field.id == FieldId::date;
    passed.add(field);
  }
  passed.end();
  append_field(out, "X-Request-Id", answer.request_id);
  out.append(kVia);
  if (response.status >= 200) {
    if (!has_date && !answer.date.empty()) append_field(out, "Date", answer.date);
    if (response.status == 204) {
      // RFC 9110 8.6: no framing at all
    } else if (answer.framing == BodyKind::chunked) {
      out.append("Transfer-Encoding: chunked\r\n");
    } else if (response.has_content_length) {
      out.append("Content-Length: ");
      append_number(out, response.content_length);
      out.append("\r\n");
    }
    out.append(answer.keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
  }
  if (answer.rate_limit != nullptr) write_rate_limit_fields(out, *answer.rate_limit);
  out.append("\r\n");
}

PresentedKey presented_key(const RequestHead& request) noexcept {
  PresentedKey presented;
  const auto present = [&](std::string_view key) {
    if (key.empty()) return;
    if (!presented.key.empty() && presented.key != key) presented.conflict = true;
    presented.key = key;
  };
  for (const Field& field : request.fields) {
    if (field.id == FieldId::authorization) present(bearer_token(field.value));
    if (field.id == FieldId::api_key) present(field.value);
  }
  if (request.target.has_query && request.target.query.find(kTokenParameter) != std::string_view::npos) {
    for_each_parameter(request.target.query, [&](std::string_view parameter) {
      if (parameter.starts_with(kTokenParameter)) present(parameter.substr(kTokenParameter.size()));
    });
  }
  return presented;
}

}  // namespace tollgate::gateway
