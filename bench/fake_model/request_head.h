// A strict reading of one complete HTTP/1.1 request head, in place. It is deliberately stricter than RFC 9112 allows:
// whatever two parsers could read differently is a fault here, because that is what a gateway must never send.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bench/fake_model/controls.h"

namespace tollgate::bench {

struct RequestHead {
  std::string_view method;  // views into the text that was parsed
  std::string_view target;
  std::string_view fields;  // the field lines, each ended by CRLF
  bool http_1_0 = false;
  bool keep_alive = true;
  bool expect_continue = false;
  bool chunked = false;
  std::int64_t content_length = 0;
};

// `text` ends with the blank line. Returns nullptr, or what is wrong with it. `controls` is filled from the fields and
// the query.
const char* parse_head(std::string_view text, RequestHead& head, Controls& controls);

// Takes the next line's name and value off `fields`. false: none left. Only for fields that were parsed before.
bool next_field(std::string_view& fields, std::string_view& name, std::string_view& value);

[[nodiscard]] bool equal_ignoring_case(std::string_view a, std::string_view lower_case);

}  // namespace tollgate::bench
