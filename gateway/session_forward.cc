// Phase 6 of a call: a connection to an upstream, the head with the first of the body in one write, and the rest of
// the body while the answer may already be coming back.
#include <netinet/tcp.h>

#include "base/clock.h"
#include "gateway/head_writer.h"
#include "gateway/session.h"

namespace tollgate::gateway {
namespace {
constexpr std::size_t kReplayBodyMax = 64 * 1024;
// No descriptor, port or memory for another connection: nothing that an upstream could be blamed for.
bool is_of_this_machine(const error_code& error) noexcept {
  return error == asio::error::no_descriptors || error == boost::system::errc::too_many_files_open_in_system ||
         error == boost::system::errc::address_not_available || error == asio::error::no_buffer_space ||
         error == asio::error::no_memory;
}

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
}  // namespace

Task<void> Session::proxy(Call& call) {
  bool connected = co_await connect(call, false);
  if (connected) co_await exchange(call);
  const bool again = call.retry && rewind(call);
  if (again) {
    connected = co_await connect(call, true);
    if (connected) co_await exchange(call);
  }
  if (call.client_failed) {
    keep_open_ = false;
    close_abruptly_ = true;
  }
  if (!call.answered && !call.client_failed) co_await refuse(call, *call.fault);
}

bool Session::may_be_sent_twice(const Call& call) const noexcept {
  return request_.is_idempotent || call.service->config->definition.retry_unsafe;
}

// While a kept connection may turn out to be dead: what a second try needs. The head is copied, since another takes its
// place in front of the body. A body that came whole stays in the input buffer; of another one what came is copied.
void Session::keep_for_retry(Call& call) {
  call.replayable = upstream_->reused && !call.retried && (call.body_done || may_be_sent_twice(call));
  if (!call.replayable) return;
  head_copy_.assign(request_.method.data(), scanner_.bytes());  // the method is its first word
  call.body_copied = !call.body_done;
  if (!call.body_copied) return;
  call.body_copy = call.first_body;
  call.copied.count_in(worker_.buffer_budget());
  call.copied.set(call.body_copy.capacity());
}

void Session::keep_for_retry(Call& call, std::string_view piece) {
  if (!call.replayable) return;
  call.replayable = call.body_copy.size() + piece.size() <= kReplayBodyMax;
  if (call.replayable) call.body_copy += piece;
  call.copied.set(call.body_copy.capacity());
}

// Back to the begin of the request for the second try. False: it cannot be made any more; the call says why.
bool Session::rewind(Call& call) {
  call.retry = false;
  call.retried = true;
  call.upload_failed = false;
  call.upload_unwanted = false;
  if (!call.replayable && !call.fault) call.fault = Reason::upstream_failed;
  if (call.fault || call.client_failed) return false;
  // As it was the first time, unless a reload has set narrower limits since.
  if (request_.parse(head_copy_, head_limits()) != HeadFault::none) {
    call.fault = Reason::upstream_failed;
    return false;
  }
  if (call.body_copied) call.first_body = call.body_copy;
  return true;
}

// Takes an idle connection or opens one, upstream after upstream until one is reached. A failure leaves the fault.
Task<bool> Session::connect(Call& call, bool fresh) {
  const std::size_t index = choose_connection(call, fresh);
  if (!upstream_) return connect_anew(call, index, fresh);
  count_on_upstream(call);
  return true;
}

// The upstream to try now, with upstream_ if it has an idle connection; kNoUpstream: all were tried.
std::size_t Session::choose_connection(Call& call, bool fresh) {
  WorkerService& service = *call.service;
  const std::size_t index = choose_upstream(*service.config, call.tried, worker_.coarse_now_ns(), service.turn++);
  if (index == kNoUpstream) return index;
  call.upstream_index = index;
  if (!fresh) upstream_ = service.take_idle(index);
  return index;
}

void Session::count_on_upstream(Call& call) noexcept {
  upstream_->upstream->in_flight.fetch_add(1, std::memory_order_relaxed);
  call.service->cells.upstream_connections[0].add(1);
}

Task<bool> Session::connect_anew(Call& call, std::size_t index, bool fresh) {
  WorkerService& service = *call.service;
  while (!upstream_ && !call.client_failed && index != kNoUpstream) {
    call.tried.set(index);
    Upstream& upstream = *service.config->upstreams[index];
    upstream_ = std::make_unique<UpstreamConnection>();
    upstream_->upstream = &upstream;
    upstream_->index = index;
    error_code error = co_await open_connection(service, *upstream_);
    if (is_of_this_machine(error) && worker_.close_idle_upstreams() > 0) {
      error = co_await open_connection(service, *upstream_);
    }
    if (!error) break;
    call.upstream_error = error;
    if (!call.client_failed && !is_of_this_machine(error))
      upstream_failed(upstream, worker_.config().upstreams, steady_ns());
    upstream_.reset();
    if (!call.client_failed) index = choose_connection(call, fresh);
  }
  if (call.client_failed) upstream_.reset();
  if (upstream_) {
    count_on_upstream(call);
    co_return true;
  }
  // Only a retry can come here after forwarding: then the call was made, and it failed.
  if (!call.client_failed) {
    call.fault = call.forwarded_ns == 0 ? Reason::upstream_unreachable : Reason::upstream_failed;
  }
  co_return false;
}

Task<error_code> Session::open_connection(WorkerService& service, UpstreamConnection& connection) {
  const UpstreamAddress& where = connection.upstream->address;
  upstream_expired_ = false;
  set_upstream_deadline(worker_.config().timeouts.upstream_connect_ms);
  Socket& socket = connection.stream.socket();
  error_code error;
  const auto literal = asio::ip::make_address(where.host, error);
  if (!error) {
    error = co_await socket.connect(worker_.loop(), Endpoint(literal, where.port));
  } else {
    net::Lookup lookup(worker_.resolver(), worker_.loop(), where.host, where.port);
    lookup_ = &lookup;
    const auto [resolved, found] = co_await lookup;
    lookup_ = nullptr;
    error = resolved;
    for (const Endpoint& endpoint : found) {
      error = asio::error::operation_aborted;
      if (upstream_expired_ || call_->client_failed) break;  // while we waited: the next wait would have no end
      error = co_await socket.connect(worker_.loop(), endpoint);
      if (!error) break;
    }
  }
  if (!error) socket.set_option(IPPROTO_TCP, TCP_NODELAY, 1);
  if (!error && service.config->tls) error = co_await secure(service, connection);
  clear_upstream_deadline();
  if (upstream_expired_) error = asio::error::timed_out;
  co_return error;
}

// The handshake with an upstream, within the time for connecting. No byte of a call leaves before it is verified.
Task<error_code> Session::secure(WorkerService& service, UpstreamConnection& connection) {
  Stream& stream = connection.stream;
  stream.secure(UpstreamTls::connect(service.config->tls, stream.socket().native_handle(),
                                     connection.upstream->address.host,
                                     service.session_of(connection.index, worker_.coarse_now_ns())));
  const error_code error = co_await stream.handshake();
  if (!error || error == asio::error::operation_aborted) co_return error;
  service.sessions[connection.index] = {};
  worker_.tell_tls_failure(service.config->id, connection.upstream->host, stream.tls()->failure());
  co_return make_error_code(boost::system::errc::protocol_error);
}

// One try: request out, answer back. What became of it is in the call (answered, fault, retry, client_failed).
Task<void> Session::exchange(Call& call) {
  response_chunks_ = {};
  upstream_expired_ = false;
  up_.use(worker_.small_blocks());
  // Taken again: while we connected, the hour may have passed and an unused slot gone to somebody else.
  if (call.forwarded_ns == 0) call.slot = call.recorder->slot(call.subscription->number, hour_of(call.at));
  if (call.slot == nullptr) {
    call.fault = Reason::journal_full;
    keep_or_drop_upstream(call);
    up_.release();
    co_return;
  }
  co_await send_request(call);
  if (call.body_done) {
    co_await respond(call);
  } else {
    net::Both both(or_end_both(call, upload(call)), or_end_both(call, respond(call)));
    co_await both;
  }
  keep_or_drop_upstream(call);
  up_.release();
}

// One that throws (no memory) must not leave the other waiting for it.
Task<void> Session::or_end_both(Call& call, Task<void> half) {
  try {
    co_await half;
  } catch (...) {
    call.client_failed = true;
    client_.cancel();
    cancel_upstream();
    throw;
  }
}

// The head that came stands where the one that goes is put, and is not wanted any more.
void Session::add_in_one_piece(Outgoing& out, std::string_view head, Buffer& buffer, std::string_view body) noexcept {
  const std::string_view whole = buffer.put_before(body, head);
  if (!whole.empty()) return out.add(whole);
  out.add(head);
  out.add(body);
}

Task<void> Session::send_request(Call& call) {
  ForwardedCall forwarded;
  forwarded.upstream_host = upstream_->upstream->host;
  forwarded.account = call.account->id;
  forwarded.service = call.service->config->id;
  forwarded.request_id = call.id();
  forwarded.peer = peer_;
  forwarded.is_tls = client_.is_tls();
  forwarded.trust_forwarded = worker_.config().trust_forwarded;
  out_.clear();
  write_request_head(out_, request_, forwarded);
  keep_for_retry(call);
  count_heads();

  Outgoing out;
  if (request_.body == BodyKind::chunked) {
    out.add(out_);
    if (!call.first_body.empty()) {
      out.add(write_chunk_size(call.size_line, call.first_body.size()));
      out.add(call.first_body);
      out.add(kChunkEnd);
    }
    if (call.body_done) out.add(kLastChunk);
  } else {
    add_in_one_piece(out, out_, in_, call.first_body);
  }

  // Counted before the first byte leaves: a process killed in between must not have served a call unseen.
  call.forward(steady_ns());
  call.nothing_sent = true;
  error_code error;
  call.nothing_sent = upstream_->stream.send_some(out, error) == 0;
  if (!out.empty() && (!error || would_block(error))) return send_rest_of_request(call, out, error);
  // Not final: the upstream may have answered and closed before it took everything. Reading will tell.
  call.upload_failed = static_cast<bool>(error);
  const bool wanted_again = call.replayable && (call.nothing_sent || may_be_sent_twice(call));
  if (!wanted_again) in_.lend();
  return net::Done();
}

Task<void> Session::send_rest_of_request(Call& call, Outgoing out, error_code error) {
  set_upstream_deadline(call.service->config->definition.timeout_ms.value_or(worker_.config().timeouts.upstream_ms));
  call.nothing_sent = false;  // some of it may leave before an error
  error = co_await send_rest_to_upstream(out, error);
  clear_upstream_deadline();
  call.upload_failed = static_cast<bool>(error);
}

// The body beyond what came with the head. Runs beside respond(); ends when the body has ended, when either side
// takes or gives no more, or when respond() is through and cancels it.
Task<void> Session::upload(Call& call) {
  if (request_.expect_continue && call.body_seen == 0) {
    interim_ = {};
    interim_.add(kContinue);
    Outgoing no_more;
    const error_code error = co_await send_to_client(no_more);
    if (error && !call.upload_unwanted) call.client_failed = true;
  }
  if (in_.empty() && in_.capacity() < kLargeBlock) in_.use(worker_.large_blocks());
  const std::int64_t timeout_ms =
      call.service->config->definition.timeout_ms.value_or(worker_.config().timeouts.upstream_ms);
  std::array<char, 20> size_line;
  const bool chunked = request_.body == BodyKind::chunked;
  while (!call.body_done && !call.upload_failed && !call.client_failed) {
    std::string_view piece;
    const bool more = co_await read_body_piece(call, piece);
    if (!more) break;
    keep_for_retry(call, piece);
    Outgoing out;
    if (chunked && !piece.empty()) out.add(write_chunk_size(size_line, piece.size()));
    out.add(piece);
    if (chunked && !piece.empty()) out.add(kChunkEnd);
    if (chunked && call.body_done) out.add(kLastChunk);
    set_upstream_deadline(timeout_ms);
    const error_code error = co_await send_to_upstream(out);
    if (error) call.upload_failed = true;
    // There is one deadline for both directions: it stays when an answer that has begun is being waited for.
    if (!call.answered || !reading_upstream_) clear_upstream_deadline();
  }
  if (call.client_failed || call.fault) {
    cancel_upstream();  // the call cannot be completed: wake respond()
  } else if (reading_upstream_) {
    set_upstream_deadline(timeout_ms);  // from here on it is the upstream's turn
  }
}

// False: no more will come; the call says why, unless respond() has ended it.
Task<bool> Session::read_body_piece(Call& call, std::string_view& piece) {
  if (in_.empty()) {
    const error_code error = co_await read_body_bytes();
    if (error) {
      if (client_read_expired_) {
        call.fault = Reason::request_timeout;
      } else if (error != asio::error::operation_aborted) {
        call.client_failed = true;
      }
      co_return false;
    }
  }
  if (request_.body == BodyKind::length) {
    piece = in_.view().substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(in_.size(), call.body_left)));
    call.body_left -= piece.size();
    call.body_done = call.body_left == 0;
    in_.consume(piece.size());
    co_return true;
  }
  const auto decoded = request_chunks_.decode(in_.bytes());
  in_.consume(decoded.consumed);
  call.body_seen += decoded.data.size();
  if (decoded.bad) {
    call.bad_body = true;
    call.fault = Reason::bad_request;
    co_return false;
  }
  if (call.body_seen > static_cast<std::uint64_t>(worker_.config().limits.body_bytes_max)) {
    call.fault = Reason::body_too_large;
    co_return false;
  }
  call.body_done = decoded.done;
  piece = {decoded.data.data(), decoded.data.size()};
  co_return true;
}

void Session::cancel_upstream() noexcept {
  if (upstream_) upstream_->stream.cancel();
  if (lookup_ != nullptr) lookup_->cancel();
}

// The upstream is done with this call: its connection goes back to the pool if nothing about it is in doubt.
void Session::keep_or_drop_upstream(Call& call) {
  if (!upstream_) return;
  upstream_->upstream->in_flight.fetch_sub(1, std::memory_order_relaxed);
  call.service->cells.upstream_connections[0].add(-1);
  const bool clean = call.answered && !call.fault && !call.upload_failed && call.body_done && response_.keep_alive &&
                     call.upstream_whole && up_.empty();
  auto connection = std::move(upstream_);
  if (call.answered) call.service->keep_session(*connection, worker_.coarse_now_ns());
  if (!clean || worker_.draining()) return;
  const auto idle_max = static_cast<std::size_t>(worker_.config().upstreams.idle_connections_max);
  call.service->give_idle(std::move(connection), idle_max, worker_.coarse_now_ns());
}

// A fault of the upstream's: remembered for its health and, if nothing was answered yet, for the client.
void Session::upstream_broke(Call& call, Reason reason) {
  if (call.client_failed || call.fault) return;  // it is not the upstream's doing
  call.fault = reason;
  upstream_failed(*upstream_->upstream, worker_.config().upstreams, steady_ns());
}

}  // namespace tollgate::gateway
