// What one request asks of the fake model: X-Fake-* header fields, or fake_* query parameters of the same names.
// Only the reading of them; what they do is in answer.cc and connection.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tollgate::bench {

enum class Hang { no, read, head, body };

struct Controls {
  std::int64_t delay_ms = -1;  // before the answer; -1: the server's default
  int status = 200;
  std::int64_t response_bytes = -1;     // a body of so many pseudo bytes instead of the JSON answer
  bool chunked = false;                 // answer with Transfer-Encoding: chunked
  std::int64_t sse = -1;                // answer with so many server-sent events
  std::int64_t interval_ms = 0;         // between events, or between pieces of a body
  std::int64_t piece_bytes = 0;         // size of a piece; 0: as large as it comes
  std::int64_t close_after_bytes = -1;  // cut the answer's body there, then close
  bool reset = false;                   // close with a reset rather than in order
  bool failed = false;                  // answer X-Call-Outcome: failed
  Hang hang = Hang::no;                 // stop for good: reading the body, before the head, or half-way in the body
  bool close = false;                   // Connection: close, and close after the answer
  bool early = false;                   // answer before the request body was read
  int interim = 0;                      // a 1xx status to send before the answer
  std::int64_t interim_count = 1;
  bool no_length = false;  // a body that ends with the connection
  std::string raw;         // percent-encoded bytes to send instead of any answer

  void clear();
  // `name` without "x-fake-" or "fake_", any case, '-' or '_'. false: unknown name or unusable value.
  bool set(std::string_view name, std::string_view value);
};

// Applies the fake_* parameters of a request target. false: one of them is unknown or unusable.
bool apply_query(std::string_view target, Controls& controls);

[[nodiscard]] std::string percent_decode(std::string_view text);

}  // namespace tollgate::bench
