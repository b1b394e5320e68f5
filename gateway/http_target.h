// The request target in its one canonical reading: what could be read in two ways is refused, so the path that
// routes and bills is byte for byte the path that is forwarded. It knows no routes.
#pragma once

#include <string_view>

namespace tollgate::gateway {

struct Target {
  std::string_view authority;  // of the absolute form; empty in origin form
  std::string_view path;       // begins with '/'
  std::string_view query;      // without '?'; may be empty
  bool has_query = false;
  bool is_https = false;  // by the scheme of the absolute form
};

// False: 400, and `target` means nothing. Refused are controls, blanks, non-ASCII bytes, '#', '\\', a bad %-escape,
// "//", dot segments (also as %2e), ';', and %-escapes of controls, '/', '\\' and of characters that need none
// (letters, digits, - . _ ~). Absolute form: http and https only, without userinfo.
[[nodiscard]] bool parse_target(std::string_view text, Target& target) noexcept;

// Host, or the authority of an absolute target: a name, IPv4 or [IPv6], and at most one port up to 65535.
[[nodiscard]] bool is_valid_authority(std::string_view text) noexcept;

// "Example.com:8080" -> "Example.com", "[::1]:80" -> "[::1]". The argument must be a valid authority.
[[nodiscard]] std::string_view host_of(std::string_view authority) noexcept;

}  // namespace tollgate::gateway
