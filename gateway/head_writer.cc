#include "gateway/head_writer.h"

#include <array>

#include "base/check.h"

namespace tollgate::gateway {
namespace {
constexpr std::string_view kTokenParameter = "access_token=";
constexpr std::string_view kVia = "Via: 1.1 tollgate\r\n";
constexpr std::string_view kLineEnd = "\r\n";
// Of everything in a head that is neither another's nor a name of this call: names of our fields, numbers, line ends.
// The longest is some 230.
constexpr std::size_t kOwnBytesMax = 320;

// A head being written at the end of a string: the room for all of it is made first, so a piece costs its copy alone.
class HeadText {
 public:
  HeadText(std::string& out, std::size_t bytes_max) : out_(out) {
    const std::size_t begin = out.size();
    out.resize(begin + bytes_max);
    at_ = out.data() + begin;
  }
  ~HeadText() { end(); }
  HeadText(const HeadText&) = delete;
  HeadText& operator=(const HeadText&) = delete;

  HeadText& add(std::string_view piece) noexcept {
    at_ += piece.copy(at_, piece.size());
    return *this;
  }
  HeadText& add(char c) noexcept {
    *at_++ = c;
    return *this;
  }
  HeadText& add(std::uint64_t number) noexcept {
    std::array<char, 20> digits;
    char* const end = digits.data() + digits.size();
    char* first = end;
    do {
      *--first = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number > 0);
    return add(std::string_view(first, static_cast<std::size_t>(end - first)));
  }
  void add_field(std::string_view name, std::string_view value) noexcept {
    add(name).add(": ").add(value).add(kLineEnd);
  }
  // The string is as long as what was written. Nothing is added afterwards.
  void end() {
    if (at_ == nullptr) return;
    TOLLGATE_CHECK(at_ <= out_.data() + out_.size());
    out_.resize(static_cast<std::size_t>(at_ - out_.data()));
    at_ = nullptr;
  }

 private:
  std::string& out_;
  char* at_ = nullptr;
};

// At most what these fields take, written in whatever way.
std::size_t bytes_of(const std::vector<Field>& fields) noexcept {
  std::size_t bytes = 0;
  for (const Field& field : fields) bytes += field.name.size() + field.value.size() + 4;
  return bytes;
}

// Fields on their way from one head into another. One that came as we would write it is copied as it came, and together
// with those of its kind before it: most did.
class PassedFields {
 public:
  explicit PassedFields(HeadText& out) noexcept : out_(out) {}
  // Its text stands in a head, which goes on behind it.
  void add(const Field& field) noexcept {
    const char* const name = field.name.data();
    const char* const name_end = name + field.name.size();
    const char* const value_end = field.value.data() + field.value.size();
    const bool as_it_came = name_end[0] == ':' && name_end[1] == ' ' && name_end + 2 == field.value.data() &&
                            value_end[0] == '\r' && value_end[1] == '\n';
    if (!as_it_came || name != end_) end();
    if (!as_it_came) return out_.add_field(field.name, field.value);
    if (begin_ == nullptr) begin_ = name;
    end_ = value_end + 2;
  }
  void end() noexcept {
    if (begin_ != nullptr) out_.add(std::string_view(begin_, static_cast<std::size_t>(end_ - begin_)));
    begin_ = end_ = nullptr;
  }

 private:
  HeadText& out_;
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

void add_target(HeadText& out, const Target& target) {
  out.add(target.path);
  if (!target.has_query) return;
  if (target.query.find(kTokenParameter) == std::string_view::npos) {
    out.add('?').add(target.query);
    return;
  }
  char separator = '?';
  for_each_parameter(target.query, [&](std::string_view parameter) {
    if (parameter.starts_with(kTokenParameter)) return;
    out.add(separator).add(parameter);
    separator = '&';
  });
}

// X-Forwarded-*, extended where the client's own are trusted, else replaced.
void add_forwarded(HeadText& out, const RequestHead& request, const ForwardedCall& call) {
  std::string_view proto = call.is_tls ? "https" : "http";
  std::string_view host = request.host;
  out.add("X-Forwarded-For: ");
  if (call.trust_forwarded) {
    for (const Field& field : request.fields) {
      if (field.id == FieldId::forwarded_for && !field.value.empty()) out.add(field.value).add(", ");
      if (field.id == FieldId::forwarded_proto) proto = field.value;
      if (field.id == FieldId::forwarded_host) host = field.value;
    }
  }
  out.add(call.peer).add(kLineEnd);
  out.add_field("X-Forwarded-Proto", proto);
  if (!host.empty()) out.add_field("X-Forwarded-Host", host);
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
  const std::size_t bytes_max = kOwnBytesMax + request.method.size() + request.target.path.size() +
                                request.target.query.size() + call.upstream_host.size() + bytes_of(request.fields) +
                                call.account.size() + call.service.size() + call.request_id.size() + call.peer.size() +
                                request.host.size();
  HeadText text(out, bytes_max);
  text.add(request.method).add(' ');
  add_target(text, request.target);
  text.add(" HTTP/1.1\r\nHost: ").add(call.upstream_host).add(kLineEnd);
  // Names in Connection are rare: ask only when the field is there at all.
  bool has_connection = false;
  for (const Field& field : request.fields) has_connection = has_connection || field.id == FieldId::connection;
  PassedFields passed(text);
  for (const Field& field : request.fields) {
    if (!is_passed_to_upstream(field)) continue;
    if (has_connection && named_by_connection(request.fields, field.name)) continue;
    passed.add(field);
  }
  passed.end();
  text.add("X-Account: ").add(call.account);
  text.add("\r\nX-Service: ").add(call.service);
  text.add("\r\nX-Request-Id: ").add(call.request_id).add(kLineEnd);
  add_forwarded(text, request, call);
  text.add(kVia);
  if (request.body == BodyKind::chunked) {
    text.add("Transfer-Encoding: chunked\r\n");
  } else if (request.body == BodyKind::length) {
    text.add("Content-Length: ").add(request.content_length).add(kLineEnd);
  }
  text.add(kLineEnd);
}

void write_response_head(std::string& out, const ResponseHead& response, const AnswerHead& answer) {
  HeadText text(out, kOwnBytesMax + response.reason.size() + bytes_of(response.fields) + answer.request_id.size() +
                         answer.date.size());
  text.add("HTTP/1.1 ").add(static_cast<std::uint64_t>(response.status));
  text.add(' ').add(response.reason).add(kLineEnd);
  bool has_connection = false;
  bool has_date = false;
  for (const Field& field : response.fields) has_connection = has_connection || field.id == FieldId::connection;
  PassedFields passed(text);
  for (const Field& field : response.fields) {
    if (!is_passed_to_client(field, answer)) continue;
    if (has_connection && named_by_connection(response.fields, field.name)) continue;
    has_date = has_date || field.id == FieldId::date;
    passed.add(field);
  }
  passed.end();
  text.add_field("X-Request-Id", answer.request_id);
  text.add(kVia);
  if (response.status >= 200) {
    if (!has_date && !answer.date.empty()) text.add_field("Date", answer.date);
    if (response.status == 204) {
      // RFC 9110 8.6: no framing at all
    } else if (answer.framing == BodyKind::chunked) {
      text.add("Transfer-Encoding: chunked\r\n");
    } else if (response.has_content_length) {
      text.add("Content-Length: ").add(response.content_length).add(kLineEnd);
    }
    text.add(answer.keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
  }
  text.end();
  if (answer.rate_limit != nullptr) write_rate_limit_fields(out, *answer.rate_limit);
  out += kLineEnd;
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
