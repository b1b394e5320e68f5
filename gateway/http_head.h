// Request and response heads, read strictly: exactly one framing, one Host, no folds, no bare CR, LF or NUL.
// Everything is looked at in place; nothing is copied, and no input or output is done here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "gateway/http_field.h"
#include "gateway/http_target.h"

namespace tollgate::gateway {

// Finds the end of a head in a growing buffer; every byte is looked at once. Lines must end in CRLF: a bare LF is
// seen at once, not waited out.
class HeadScanner {
 public:
  enum class Result : std::uint8_t { incomplete, complete, bad };
  // `buffer` holds all bytes since the head began, the same ones as before and perhaps more.
  Result scan(std::string_view buffer) noexcept;
  [[nodiscard]] std::size_t bytes() const noexcept { return line_begin_; }  // of the complete head, blank line included
  void reset() noexcept { *this = {}; }

 private:
  std::size_t at_ = 0;
  std::size_t line_begin_ = 0;
};

struct Field {
  std::string_view name;
  std::string_view value;  // blanks around it removed
  FieldId id = FieldId::other;
};

enum class BodyKind : std::uint8_t { none, length, chunked, until_close };

// Why a head is refused. Each is one status; the peer's connection is closed after all of them.
enum class HeadFault : std::uint8_t {
  none,
  bad,                 // 400
  method_not_allowed,  // 405: CONNECT, TRACE
  target_too_long,     // 414
  too_many_fields,     // 431
  expectation_failed,  // 417
  not_implemented,     // 501: a method the gateway does not know
  version,             // 505
};

struct HeadLimits {
  std::size_t fields_max = 100;
  std::size_t target_bytes_max = 8192;
};

struct RequestHead {
  std::string_view method;
  Target target;
  std::string_view host;      // valid authority; empty only in HTTP/1.0
  std::vector<Field> fields;  // reused from request to request
  BodyKind body = BodyKind::none;
  std::uint64_t content_length = 0;
  bool http_1_0 = false;
  bool keep_alive = true;
  bool expect_continue = false;
  bool is_head = false;
  bool is_idempotent = false;  // RFC 9110 9.2.2: may be sent again unasked

  // `head` is a complete head as HeadScanner found it. On a fault the record's contents mean nothing.
  HeadFault parse(std::string_view head, const HeadLimits& limits);
};

struct ResponseHead {
  int status = 0;  // 100 to 599
  std::string_view reason;
  std::vector<Field> fields;
  BodyKind body = BodyKind::none;  // as the request's method and the status demand
  std::uint64_t content_length = 0;
  bool has_content_length = false;  // also where no body follows (HEAD, 304)
  bool keep_alive = true;
  bool outcome_failed = false;  // X-Call-Outcome: failed

  // False: malformed or ambiguous; the connection must not be used again.
  [[nodiscard]] bool parse(std::string_view head, bool request_was_head, const HeadLimits& limits);
};

// Whether one of the Connection fields names `name`; such fields are hop-by-hop too.
[[nodiscard]] bool named_by_connection(const std::vector<Field>& fields, std::string_view name) noexcept;

}  // namespace tollgate::gateway
