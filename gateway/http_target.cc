#include "gateway/http_target.h"

#include "gateway/http_field.h"

namespace tollgate::gateway {
namespace {
int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// What a server behind us might unescape into a separator, an end of string, or another route's letters: "/v1/%61"
// would be routed as one path and served as another.
bool is_dangerous_escape(int byte) noexcept {
  const bool unreserved = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                          (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' || byte == '~';
  return unreserved || byte < 0x20 || byte == 0x7f || byte == '/' || byte == '\\';
}

bool has_only_target_chars(std::string_view text) noexcept {
  for (char c : text) {
    if (c <= 0x20 || c == 0x7f || c == '#' || c == '\\') return false;  // char is signed: non-ASCII is below 0
  }
  return true;
}

// Both for path and query; `strict` adds what matters in a path only.
bool has_good_escapes(std::string_view text, bool strict) noexcept {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') continue;
    if (i + 2 >= text.size()) return false;
    const int high = hex_value(text[i + 1]);
    const int low = hex_value(text[i + 2]);
    if (high < 0 || low < 0) return false;
    if (strict && is_dangerous_escape(high * 16 + low)) return false;
    i += 2;
  }
  return true;
}

// Escaped dots are refused before; some servers cut a segment at ';', so that has no place in a path at all.
bool is_dot_segment(std::string_view segment) noexcept { return segment == "." || segment == ".."; }

bool is_canonical_path(std::string_view path) noexcept {
  if (!path.starts_with('/') || path.find(';') != std::string_view::npos || !has_good_escapes(path, true)) return false;
  std::size_t begin = 1;
  while (true) {
    const auto end = path.find('/', begin);
    const auto segment = path.substr(begin, end == std::string_view::npos ? end : end - begin);
    if (is_dot_segment(segment)) return false;
    if (end == std::string_view::npos) return true;
    if (segment.empty()) return false;  // "//"
    begin = end + 1;
  }
}

bool is_valid_port(std::string_view port) noexcept {
  if (port.empty() || port.size() > 5) return false;
  int value = 0;
  for (char c : port) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + (c - '0');
  }
  return value <= 65535;
}
}  // namespace

bool parse_target(std::string_view text, Target& target) noexcept {
  if (text.empty() || !has_only_target_chars(text)) return false;
  target = {};
  if (!text.starts_with('/')) {
    const auto scheme_end = text.find("://");
    if (scheme_end == std::string_view::npos) return false;
    const auto scheme = text.substr(0, scheme_end);
    target.is_https = equals_ignoring_case(scheme, "https");
    if (!target.is_https && !equals_ignoring_case(scheme, "http")) return false;
    text.remove_prefix(scheme_end + 3);
    const auto authority_end = text.find_first_of("/?");
    target.authority = text.substr(0, authority_end);
    if (!is_valid_authority(target.authority)) return false;
    text = authority_end == std::string_view::npos ? std::string_view("/") : text.substr(authority_end);
    if (text.starts_with('?')) return false;  // an empty path would have to be rewritten
  }
  const auto question = text.find('?');
  target.path = text.substr(0, question);
  target.has_query = question != std::string_view::npos;
  if (target.has_query) target.query = text.substr(question + 1);
  return is_canonical_path(target.path) && has_good_escapes(target.query, false);
}

bool is_valid_authority(std::string_view text) noexcept {
  std::string_view rest;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos || close < 3) return false;
    for (char c : text.substr(1, close - 1)) {
      if (hex_value(c) < 0 && c != ':' && c != '.') return false;
    }
    rest = text.substr(close + 1);
  } else {
    const auto colon = text.find(':');
    const auto name = text.substr(0, colon);
    if (name.empty() || name.size() > 255) return false;
    for (char c : name) {
      const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                        c == '.' || c == '_';
      if (!good) return false;
    }
    rest = colon == std::string_view::npos ? std::string_view() : text.substr(colon);
  }
  return rest.empty() || (rest.front() == ':' && is_valid_port(rest.substr(1)));
}

std::string_view host_of(std::string_view authority) noexcept {
  if (authority.starts_with('[')) return authority.substr(0, authority.find(']') + 1);
  return authority.substr(0, authority.find(':'));
}

}  // namespace tollgate::gateway
