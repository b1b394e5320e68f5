#include "bench/fake_model/request_head.h"

namespace tollgate::bench {
namespace {

constexpr std::int64_t kLengthMax = std::int64_t{1} << 50;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_token_char(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_token(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (!is_token_char(c)) return false;
  }
  return true;
}

bool has_control(std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7f) return true;
  }
  return false;
}

bool read_length(std::string_view text, std::int64_t& out) {
  if (text.empty() || text.size() > 16) return false;
  std::int64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + (c - '0');
  }
  out = value;
  return value <= kLengthMax;
}

const char* parse_request_line(std::string_view line, RequestHead& head) {
  const std::size_t first = line.find(' ');
  const std::size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
  if (second == std::string_view::npos) return "request line";
  head.method = line.substr(0, first);
  head.target = line.substr(first + 1, second - first - 1);
  const std::string_view version = line.substr(second + 1);
  if (!is_token(head.method)) return "method";
  if (head.target.empty() || head.target[0] != '/' || has_control(head.target)) return "target";
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return "version";
  head.http_1_0 = version == "HTTP/1.0";
  head.keep_alive = !head.http_1_0;
  return nullptr;
}

struct Seen {
  int lengths = 0;
  int encodings = 0;
  int hosts = 0;
};

const char* take_field(std::string_view name, std::string_view value, RequestHead& head, Controls& controls,
                       Seen& seen) {
  switch (lower(name[0])) {
    case 'x':
      if (name.size() > 7 && equal_ignoring_case(name.substr(0, 7), "x-fake-") && !controls.set(name.substr(7), value))
        return "unusable X-Fake field";
      break;
    case 'h':
      if (equal_ignoring_case(name, "host")) ++seen.hosts;
      break;
    case 'c':
      if (equal_ignoring_case(name, "content-length")) {
        ++seen.lengths;
        if (!read_length(value, head.content_length)) return "Content-Length";
      } else if (equal_ignoring_case(name, "connection")) {
        if (equal_ignoring_case(value, "close")) head.keep_alive = false;
        else if (equal_ignoring_case(value, "keep-alive")) head.keep_alive = true;
      }
      break;
    case 't':
      if (equal_ignoring_case(name, "transfer-encoding")) {
        ++seen.encodings;
        head.chunked = true;
        if (!equal_ignoring_case(value, "chunked")) return "Transfer-Encoding";
      }
      break;
    case 'e':
      if (equal_ignoring_case(name, "expect")) head.expect_continue = equal_ignoring_case(value, "100-continue");
      break;
    default: break;
  }
  return nullptr;
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view lower_case) {
  if (a.size() != lower_case.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower_case[i]) return false;
  }
  return true;
}

bool next_field(std::string_view& fields, std::string_view& name, std::string_view& value) {
  const std::size_t end = fields.find("\r\n");
  if (end == std::string_view::npos || end == 0) return false;
  const std::string_view line = fields.substr(0, end);
  fields.remove_prefix(end + 2);
  const std::size_t colon = line.find(':');
  name = line.substr(0, colon);
  value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  return true;
}

const char* parse_head(std::string_view text, RequestHead& head, Controls& controls) {
  head = RequestHead();
  controls.clear();
  const std::size_t line_end = text.find("\r\n");
  if (line_end == std::string_view::npos) return "request line";
  if (const char* fault = parse_request_line(text.substr(0, line_end), head)) return fault;
  head.fields = text.substr(line_end + 2, text.size() - line_end - 4);

  Seen seen;
  std::string_view rest = head.fields;
  std::string_view name;
  std::string_view value;
  while (next_field(rest, name, value)) {
    if (!is_token(name)) return "field name";
    if (has_control(value)) return "field value";
    if (const char* fault = take_field(name, value, head, controls, seen)) return fault;
  }
  if (seen.lengths > 1) return "two Content-Length";
  if (seen.encodings > 1) return "two Transfer-Encoding";
  if (seen.lengths > 0 && seen.encodings > 0) return "Content-Length with Transfer-Encoding";
  if (seen.encodings > 0 && head.http_1_0) return "Transfer-Encoding in HTTP/1.0";
  if (seen.hosts != 1 && !head.http_1_0) return "Host";
  if (!apply_query(head.target, controls)) return "unusable fake_ parameter";
  return nullptr;
}

}  // namespace tollgate::bench
