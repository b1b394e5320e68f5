#include "tests/fuzz/forwarded.h"

namespace tollgate::fuzz {
using namespace tollgate::gateway;

namespace {
// Decoded at once; nullopt: bad or cut off.
std::optional<std::string> decode_chunks(std::string_view bytes) {
  std::string input(bytes);
  ChunkDecoder decoder;
  const auto piece = decoder.decode(input);
  if (!piece.done) return std::nullopt;
  return std::string(piece.data.data(), piece.data.size());
}

void write_body(std::string& out, std::string_view body, bool chunked) {
  if (!chunked) {
    out.append(body);
    return;
  }
  ChunkSizeLine line;
  // Two chunks, so that a boundary is in it.
  for (const auto piece : {body.substr(0, body.size() / 2), body.substr(body.size() / 2)}) {
    if (!piece.empty()) out.append(write_chunk_size(line, piece.size())).append(piece).append(kChunkEnd);
  }
  out.append(kLastChunk);
}

std::optional<std::string> read_body(std::string_view rest, BodyKind kind, std::uint64_t length) {
  switch (kind) {
    case BodyKind::none: return std::string();
    case BodyKind::length:
      if (rest.size() < length) return std::nullopt;
      return std::string(rest.substr(0, static_cast<std::size_t>(length)));
    case BodyKind::chunked: return decode_chunks(rest);
    case BodyKind::until_close: return std::string(rest);
  }
  return std::nullopt;
}
}  // namespace

std::string_view head_at_front(std::string_view bytes) {
  HeadScanner scanner;
  if (scanner.scan(bytes) != HeadScanner::Result::complete) return {};
  return bytes.substr(0, scanner.bytes());
}

ForwardedCall call_of_ours(bool trust_forwarded) {
  return {kUpstreamHost, "acct-1", "svc-1", "0123456789abcdef", "192.0.2.7", trust_forwarded};
}

std::optional<Forwarded> forward_request(std::string_view bytes, bool trust_forwarded) {
  const auto head = head_at_front(bytes);
  RequestHead request;
  if (head.empty() || request.parse(head, kLimits) != HeadFault::none) return std::nullopt;
  auto body = read_body(bytes.substr(head.size()), request.body, request.content_length);
  if (!body) return std::nullopt;
  Forwarded forwarded;
  write_request_head(forwarded.bytes, request, call_of_ours(trust_forwarded));
  forwarded.head_bytes = forwarded.bytes.size();
  write_body(forwarded.bytes, *body, request.body == BodyKind::chunked);
  forwarded.body = *std::move(body);
  return forwarded;
}

std::optional<Forwarded> forward_response(std::string_view bytes, Asked asked) {
  const auto head = head_at_front(bytes);
  ResponseHead response;
  if (head.empty() || !response.parse(head, asked.head, kLimits) || response.status == 101) return std::nullopt;
  auto body = read_body(bytes.substr(head.size()), response.body, response.content_length);
  if (!body) return std::nullopt;
  AnswerHead answer;
  answer.request_id = "0123456789abcdef";
  answer.date = kDate;
  answer.framing = response.body;
  if (response.body == BodyKind::chunked || response.body == BodyKind::until_close) {
    answer.framing = asked.http_1_0 ? BodyKind::until_close : BodyKind::chunked;
  }
  answer.keep_alive = answer.framing != BodyKind::until_close;
  Forwarded forwarded;
  write_response_head(forwarded.bytes, response, answer);
  forwarded.head_bytes = forwarded.bytes.size();
  if (response.body != BodyKind::none) write_body(forwarded.bytes, *body, answer.framing == BodyKind::chunked);
  forwarded.body = *std::move(body);
  return forwarded;
}

}  // namespace tollgate::fuzz
