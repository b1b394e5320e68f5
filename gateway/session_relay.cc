// Phase 7 of a call: the answer's head and body on their way back, a buffer at a time, with the permit still held.
#include "base/clock.h"
#include "gateway/head_writer.h"
#include "gateway/session.h"

namespace tollgate::gateway {
namespace {
constexpr int kInterimMax = 16;  // interim answers to one call; beyond, the upstream is broken
// The permit ends with the write that carries the answer's last byte. Given back just before that write, a client
// that has its whole answer never finds its own place still taken; up to this size the write cannot stay open long.
constexpr std::size_t kReleaseBeforeWriteMax = 16 * 1024;

// How a body goes to the client: as it came, but a body without a length is chunked for HTTP/1.1 and ends with the
// connection for 1.0.
BodyKind framing_to_client(const ResponseHead& response, bool client_1_0) noexcept {
  if (response.body == BodyKind::none || response.body == BodyKind::length) return response.body;
  return client_1_0 ? BodyKind::until_close : BodyKind::chunked;
}
}  // namespace

Task<void> Session::respond(Call& call) {
  const bool has_head = co_await read_response_head(call);
  if (has_head) {
    upstream_succeeded(*upstream_->upstream);
    co_await relay(call);
  }
  if (!call.body_done) {
    // Answered (or broken) before the request's body had ended: the rest is not wanted and cannot be told from a
    // next request once we stop reading it, so this connection ends. A second try reads on where this one stopped.
    if (!call.retry) keep_open_ = false;
    call.upload_unwanted = true;
    client_.cancel();
    cancel_upstream();
  }
}

// False: there is no final head; the call says why.
Task<bool> Session::read_response_head(Call& call) {
  const HeadLimits limits = head_limits();
  const auto bytes_max = static_cast<std::size_t>(worker_.config().limits.head_bytes_max);
  for (int interim = 0; interim <= kInterimMax; ++interim) {
    HeadScanner scanner;
    auto result = scanner.scan(up_.view());
    while (result == HeadScanner::Result::incomplete && up_.size() <= bytes_max) {
      if (!up_.has_room()) up_.use_own(std::min(up_.capacity() * 4, bytes_max + kSmallBlock));
      const bool more = co_await read_upstream(call);
      if (!more) {
        // Once, on a connection that had idled and before any byte came back: it was closed under our hands.
        call.retry = call.replayable && up_.empty() && !upstream_expired_ && !call.client_failed && !call.fault &&
                     (may_be_sent_twice(call) || call.nothing_sent);
        if (!call.retry) upstream_broke(call, upstream_expired_ ? Reason::upstream_timeout : Reason::upstream_failed);
        co_return false;
      }
      result = scanner.scan(up_.view());
    }
    const bool complete = result == HeadScanner::Result::complete && scanner.bytes() <= bytes_max;
    if (!complete || !response_.parse(up_.view().substr(0, scanner.bytes()), request_.is_head, limits) ||
        response_.status == 101) {  // nothing asked for another protocol
      break;
    }
    up_.consume(scanner.bytes());  // its views stay good until the next read
    if (response_.status >= 200) co_return true;
    if (response_.status != 100 && !request_.http_1_0) co_await pass_interim(call);
  }
  upstream_broke(call, Reason::upstream_failed);
  co_return false;
}

// False: nobody waits for an answer any more.
bool Session::begin_read(const Call& call) noexcept {
  if (call.client_failed || call.fault) return false;
  if (call.body_done || call.answered) {
    set_upstream_deadline(call.service->config->definition.timeout_ms.value_or(worker_.config().timeouts.upstream_ms));
  }
  reading_upstream_ = true;
  return true;
}

bool Session::end_read(Call& call, const error_code& error) noexcept {
  reading_upstream_ = false;
  clear_upstream_deadline();
  call.upstream_ended = error == asio::error::eof;
  call.upstream_error = error;
  return !error;
}

Task<void> Session::pass_interim(Call& call) {
  out_.clear();
  AnswerHead answer;
  answer.request_id = call.id();
  write_response_head(out_, response_, answer);
  Outgoing out;
  out.add(out_);
  const error_code error = co_await send_to_client(out);
  if (error) call.client_failed = true;
}

Task<void> Session::relay(Call& call) {
  const ServiceConfig& service = *call.service->config;
  const bool failing = response_.outcome_failed || service.failure_statuses[static_cast<std::size_t>(response_.status)];
  const auto outcome = failing ? meter::Outcome::failed : meter::Outcome::succeeded;
  const BodyKind framing = framing_to_client(response_, request_.http_1_0);
  if (!request_.keep_alive || framing == BodyKind::until_close || !call.body_done || worker_.draining()) {
    keep_open_ = false;
  }
  AnswerHead answer;
  answer.request_id = call.id();
  answer.framing = framing;
  answer.keep_alive = keep_open_;
  answer.rate_limit = call.rate_limit_or_null();
  answer.date = worker_.http_date();
  out_.clear();
  write_response_head(out_, response_, answer);
  count_heads();
  call.status = response_.status;
  call.service->cells.answers[static_cast<std::size_t>(response_.status)].add(1);
  call.answered = true;

  std::string_view head = out_;
  std::uint64_t left = response_.content_length;
  bool whole = response_.body == BodyKind::none;
  std::array<char, 20> size_line;
  while (true) {
    std::string_view data;
    if (response_.body == BodyKind::chunked) {
      const auto piece = response_chunks_.decode(up_.bytes());
      data = {piece.data.data(), piece.data.size()};
      up_.consume(piece.consumed);
      whole = piece.done;
      if (piece.bad) upstream_broke(call, Reason::upstream_failed);
    } else if (response_.body != BodyKind::none) {
      const bool by_length = response_.body == BodyKind::length;
      data = by_length ? up_.view().substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(up_.size(), left)))
                       : up_.view();
      left -= by_length ? data.size() : 0;
      whole = by_length ? left == 0 : call.upstream_ended;
      up_.consume(data.size());
    }
    if (whole) {  // the outcome is known: it is counted before the client can see the end of its answer
      call.upstream_done_ns = std::max(worker_.loop().looked_at_ns(), call.forwarded_ns);
      call.upstream_whole = true;
      call.end(outcome);
      if (head.size() + data.size() <= kReleaseBeforeWriteMax) call.release();
    }
    Outgoing out;
    if (framing == BodyKind::chunked) {
      out.add(head);
      if (!data.empty()) {
        out.add(write_chunk_size(size_line, data.size()));
        out.add(data);
        out.add(kChunkEnd);
      }
      if (whole) out.add(kLastChunk);
    } else {
      add_in_one_piece(out, head, up_, data);
    }
    const error_code error = co_await send_to_client(out);
    if (error) call.client_failed = true;
    head = {};
    if (whole || call.client_failed || call.fault) break;
    // A full buffer means a long body: fewer, larger reads from here on.
    if (up_.capacity() < kLargeBlock && data.size() + 1024 > up_.capacity()) up_.use(worker_.large_blocks());
    const bool more = co_await read_upstream(call);
    if (!more && !(call.upstream_ended && response_.body == BodyKind::until_close)) break;
  }
  if (whole && !call.client_failed) co_return;
  // Cut short. If only the client's side failed, the call is what its head said; otherwise it failed.
  keep_open_ = false;
  if (!whole && !call.client_failed) {
    upstream_broke(call, upstream_expired_ ? Reason::upstream_timeout : Reason::upstream_failed);
    // Without this the client of a close-delimited body could take a cut for the end.
    if (framing == BodyKind::until_close) client_.reset_at_close();
    close_abruptly_ = true;
  }
  call.upstream_done_ns = steady_ns();
  call.end(call.client_failed && !call.cut ? outcome : meter::Outcome::failed);
}

}  // namespace tollgate::gateway
