// What the gateway would send on for a message of a peer: head and body read and written anew by the code that
// sessions use, with the sockets left out. It checks nothing; the targets do.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/head_writer.h"
#include "gateway/http_chunks.h"
#include "gateway/http_head.h"

namespace tollgate::fuzz {

inline constexpr gateway::HeadLimits kLimits{100, 8192};
// What is written has fields of ours besides the peer's.
inline constexpr gateway::HeadLimits kWrittenLimits{120, 8192};

inline constexpr std::string_view kUpstreamHost = "model:8081";
inline constexpr std::string_view kDate = "Sun, 06 Nov 1994 08:49:37 GMT";  // of our clock, for answers that have none

using FieldLines = std::vector<std::pair<std::string_view, std::string_view>>;

// The head at the front of `bytes`, scanned whole; empty: there is none, or a bad one.
std::string_view head_at_front(std::string_view bytes);

gateway::ForwardedCall call_of_ours(bool trust_forwarded);

struct Forwarded {
  std::string bytes;  // head and body as they leave
  std::size_t head_bytes = 0;
  std::string body;  // without its framing
};

// nullopt: refused, or not whole.
std::optional<Forwarded> forward_request(std::string_view bytes, bool trust_forwarded);

struct Asked {
  bool head = false;      // the request was HEAD
  bool http_1_0 = false;  // the client speaks 1.0
};
// The same of an upstream's answer. A body without a length ends with `bytes`.
std::optional<Forwarded> forward_response(std::string_view bytes, Asked asked);

}  // namespace tollgate::fuzz
