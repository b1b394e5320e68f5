#include "gateway/session.h"

#include <spdlog/spdlog.h>

#include <charconv>

#include "base/clock.h"
#include "base/ids.h"
#include "gateway/head_writer.h"
#include "gateway/trace_context.h"

namespace tollgate::gateway {
namespace {
constexpr std::size_t kHeadCopyKept = 1024;       // by a connection that idles: room for a usual head
constexpr std::uint64_t kDiscardMax = 64 * 1024;  // a refused body up to this size is read past; beyond, we close
// A client that is still sending its body hears us only when it has sent it, so the bound is time, not size.
constexpr std::int64_t kLingerSilenceMs = 2'000;
constexpr std::int64_t kLingerNs = 30'000'000'000;

bool closes_connection(Reason reason) noexcept {
  switch (reason) {  // faults of the head or the framing: what follows cannot be trusted to be a request
    case Reason::bad_request:
    case Reason::method_not_allowed:
    case Reason::method_unknown:
    case Reason::version_unsupported:
    case Reason::request_timeout:
    case Reason::target_too_long:
    case Reason::head_too_large:
    case Reason::expectation_failed:
    case Reason::too_many_failures:  // the next guess costs its sender a connection
    case Reason::draining: return true;
    default: return false;
  }
}
}  // namespace

Session::Session(Worker& worker, Stream client, const asio::ip::address& peer)
    : worker_(worker),
      client_(std::move(client)),
      peer_(peer.to_string()),
      address_(client_address(peer)),
      in_(worker.buffer_budget(), kSmallBlock),
      up_(worker.buffer_budget()) {
  heads_held_.count_in(worker_.buffer_budget());
  worker_.enlist(*this);
  worker_.cells().client_connections.add(1);
}

Session::~Session() {
  worker_.cells().client_connections.add(-1);
  worker_.connection_ended();
}

// The life of a connection: phases 2 to 8 of each call, one after the other.
Task<void> Session::serve() {
  std::optional<Reason> fault;
  const bool shaken = co_await shake_hands();
  while (shaken) {
    if (refused_ && worker_.overload().holds_back_refused() && !worker_.draining()) {
      const bool go_on = co_await hold_back();
      if (!go_on) break;
    } else {
      pauses_in_a_row_ = 0;
    }
    const bool open = co_await read_head(fault);
    if (!open) break;
    Call call;
    begin(call);
    if (!fault) {
      take_first_body(call);
      fault = decide(call);
    }
    refused_ = fault.has_value();
    if (fault) {
      co_await refuse(call, *fault);
    } else {
      call_ = &call;
      co_await proxy(call);
      call_ = nullptr;
    }
    answered_ = call.status != 0;
    settle(call);
    if (!keep_open_) break;
    // The next request is here already: whoever else is ready has its turn first, so that a client with many requests
    // in one packet does not make the others wait for all of them.
    if (!in_.empty()) co_await worker_.loop().yield();
  }
  if (!shaken || close_abruptly_) co_return;
  // Nothing was answered when read_head() ended the loop; then there is nothing to wait for either.
  if (!keep_open_ && answered_) co_await linger();
  if (client_.is_tls()) client_.shutdown_send();
}

// ---- phase 1, where it is TLS ----

// As long for it as for a head: neither has cost us anything that we would want to wait for. False: close.
Task<bool> Session::shake_hands() {
  if (!client_.is_tls()) co_return true;
  set_read_deadline(worker_.config().timeouts.head_ms);
  worker_.becomes_idle(*this);  // nothing is lost if it has to make room
  const error_code error = co_await client_.handshake();
  worker_.becomes_busy(*this);
  clear_read_deadline();
  auto& cells = worker_.cells();
  auto& ended_well = client_.tls()->is_resumed() ? cells.tls_handshakes_resumed : cells.tls_handshakes;
  (error ? cells.tls_handshakes_failed : ended_well).add(1);
  co_return !error;
}

// ---- phase 2: a whole, strict, bounded head ----

// False: the connection is to be closed without an answer. With `fault` set the head is refused.
Task<bool> Session::read_head(std::optional<Reason>& fault) {
  fault.reset();
  scanner_.reset();
  client_read_expired_ = false;
  answered_ = false;
  request_.is_head = false;  // until a request line says so
  if (in_.empty() && in_.capacity() != kSmallBlock) in_.use(worker_.small_blocks());
  if (++requests_ >= worker_.config().limits.requests_per_connection_max) keep_open_ = false;
  const auto& timeouts = worker_.config().timeouts;
  set_read_deadline(in_.empty() && requests_ > 1 ? timeouts.idle_ms : timeouts.head_ms);
  while (true) {
    skip_blank_line();
    const auto scanned = scanner_.scan(in_.view());
    const auto bytes_max = static_cast<std::size_t>(worker_.config().limits.head_bytes_max);
    if (scanned != HeadScanner::Result::incomplete || in_.size() > bytes_max) {
      clear_read_deadline();
      fault = parse_head(scanned);
      co_return true;
    }
    if (in_.empty() && worker_.draining()) co_return false;
    const bool has_room = make_room_for_head();
    if (!has_room) {
      clear_read_deadline();
      keep_open_ = false;
      fault = Reason::buffers_full;
      co_return true;
    }
    const bool idle = in_.empty();
    if (idle) worker_.becomes_idle(*this);
    const auto [error, got] = co_await client_.read_into(in_);
    if (idle) worker_.becomes_busy(*this);
    if (error) {
      // A head that was begun and never ended deserves an answer; a connection that says nothing does not.
      if (!client_read_expired_ || in_.empty()) co_return false;
      fault = Reason::request_timeout;
      co_return true;
    }
    if (idle) set_read_deadline(worker_.config().timeouts.head_ms);
  }
}

// RFC 9112 2.2: one empty line before a request is ignored.
void Session::skip_blank_line() noexcept {
  if (scanner_.bytes() == 0 && in_.view().starts_with("\r\n")) {
    in_.consume(2);
    scanner_.reset();
  }
}

HeadLimits Session::head_limits() const noexcept {
  const auto& limits = worker_.config().limits;
  return {static_cast<std::size_t>(limits.head_fields_max), static_cast<std::size_t>(limits.target_bytes_max)};
}

// A complete head is parsed; one that is bad or too large gets its reason.
std::optional<Reason> Session::parse_head(HeadScanner::Result scanned) {
  const auto bytes_max = static_cast<std::size_t>(worker_.config().limits.head_bytes_max);
  if (scanned == HeadScanner::Result::bad) return Reason::bad_request;
  if (scanned == HeadScanner::Result::incomplete || scanner_.bytes() > bytes_max) {
    const bool in_first_line = in_.view().substr(0, bytes_max).find("\r\n") == std::string_view::npos;
    return in_first_line ? Reason::target_too_long : Reason::head_too_large;
  }
  const HeadFault fault = request_.parse(in_.view().substr(0, scanner_.bytes()), head_limits());
  if (fault != HeadFault::none) return reason_of(fault);
  // The bytes stay where they are until the next read: the head's views remain good.
  in_.consume(scanner_.bytes());
  return std::nullopt;
}

// False: the head needs a larger block, and there is no memory for it. Whose it is, is not known yet.
bool Session::make_room_for_head() {
  if (in_.has_room()) return true;
  if (in_.size() < in_.capacity()) {
    in_.compact();
    return true;
  }
  if (worker_.buffer_budget().refuses(true)) return false;
  const auto bytes_max = static_cast<std::size_t>(worker_.config().limits.head_bytes_max);
  in_.use_own(std::min(in_.capacity() * 4, bytes_max + kSmallBlock));
  return true;
}

void Session::begin(Call& call) {
  log_method_.clear();  // a head that is bad has none of its own
  log_path_.clear();
  log_trace_.clear();
  const auto& timeouts = worker_.config().timeouts;
  body_pace_ = Pace(timeouts.body_rate_min_bytes_per_s, timeouts.rate_grace_ms);
  answer_pace_ = Pace(timeouts.write_rate_min_bytes_per_s, timeouts.rate_grace_ms);
  call.number = worker_.next_request_number();
  const auto [at, steady] = worker_.heard_at();
  call.at = at;
  call.started_ns = steady;
  const std::string& prefix = worker_.request_prefix();
  std::copy(prefix.begin(), prefix.end(), call.request_id.begin());
  std::uint64_t number = call.number;
  for (std::size_t i = call.request_id.size(); i > prefix.size(); number >>= 4) {
    call.request_id[--i] = "0123456789abcdef"[number & 15];
  }
}

void Session::take_first_body(Call& call) {
  if (worker_.plane().access_log != nullptr) {
    log_method_ = request_.method;
    log_path_ = request_.target.path;
    log_trace_ = trace_id_of(request_.fields);
  }
  request_chunks_ = {};
  switch (request_.body) {
    case BodyKind::length: {
      const auto here = static_cast<std::size_t>(std::min<std::uint64_t>(in_.size(), request_.content_length));
      call.first_body = in_.view().substr(0, here);
      call.body_left = request_.content_length - here;
      call.body_done = call.body_left == 0;
      in_.consume(here);
      break;
    }
    case BodyKind::chunked: {
      const auto piece = request_chunks_.decode(in_.bytes());
      call.first_body = {piece.data.data(), piece.data.size()};
      call.body_done = piece.done;
      call.bad_body = piece.bad;
      in_.consume(piece.consumed);
      break;
    }
    default: call.body_done = true;
  }
  call.body_seen = call.first_body.size();
}

// Answers a call that the gateway answers itself: refused, or failed upstream before any head came back.
Task<void> Session::refuse(Call& call, Reason reason) {
  call.fault = reason;
  const bool body_unread = !call.body_done;
  const bool readable = request_.body == BodyKind::length && call.body_left <= kDiscardMax && !request_.expect_continue;
  if (closes_connection(reason) || call.bad_body || !request_.keep_alive || (body_unread && !readable)) {
    keep_open_ = false;
  }
  RefusalAnswer answer;
  answer.reason = reason;
  if (call.service) answer.dialect = call.service->config->definition.error_dialect;
  answer.request_id = call.id();
  answer.date = worker_.http_date();
  answer.log_id = worker_.log_id(call.number);
  answer.rate_limit = call.rate_limit_or_null();
  answer.keep_alive = keep_open_;
  answer.without_body = request_.is_head;
  out_.clear();
  write_refusal(out_, answer);

  auto& cells = call.service ? call.service->cells : worker_.unrouted_cells();
  call.status = status_of(reason, answer.dialect);
  cells.answers[static_cast<std::size_t>(call.status)].add(1);
  cells.refusals[static_cast<std::size_t>(reason)].add(1);
  call.end(meter::Outcome::failed);
  call.release();
  Outgoing out;
  out.add(out_);
  const error_code error = co_await send_to_client(out);
  if (error) {
    keep_open_ = false;
    close_abruptly_ = true;
  } else if (keep_open_ && body_unread) {
    co_await discard_body(call);
  }
}

// Reads past the rest of a small body, so that the connection can be kept and the body is never taken for a request.
Task<void> Session::discard_body(Call& call) {
  while (call.body_left > 0) {
    if (in_.empty()) {
      const error_code error = co_await read_body_bytes();
      if (error) {
        keep_open_ = false;
        co_return;
      }
    }
    const auto here = static_cast<std::size_t>(std::min<std::uint64_t>(in_.size(), call.body_left));
    in_.consume(here);
    call.body_left -= here;
  }
}

// ---- phase 8 ----

void Session::settle(Call& call) {
  call.end(meter::Outcome::failed);  // unless the outcome is counted already
  call.release();
  const std::int64_t now = steady_ns();
  if (call.service) {
    auto& cells = call.service->cells;
    cells.request.observe(now - call.started_ns);
    if (call.forwarded_ns != 0) {
      const std::int64_t upstream = (call.upstream_done_ns != 0 ? call.upstream_done_ns : now) - call.forwarded_ns;
      cells.upstream.observe(upstream);
      cells.overhead.observe(now - call.started_ns - upstream);
    }
  }
  if (call.fault && is_of_upstream(*call.fault)) [[unlikely]]
    log_upstream_fault(call);
  if (worker_.plane().access_log != nullptr) write_access_line(call);
  if (out_.capacity() > kSmallBlock) std::string().swap(out_);
  if (head_copy_.capacity() > kHeadCopyKept) std::string().swap(head_copy_);
  count_heads();
}

void Session::write_access_line(Call& call) {
  // Only lines that cost their sender nothing are left out: a call that was forwarded, or could not be, has its line.
  const std::int64_t refusals_max = worker_.config().log.access_log_refusals_per_s_max;
  const bool refused = call.forwarded_ns == 0 && !(call.fault && is_of_upstream(*call.fault));
  if (refused && !worker_.refusal_lines(call.subscription != nullptr).take(worker_.coarse_now_ns(), refusals_max)) {
    worker_.cells().access_log_left_out.add(1);
    return;
  }
  AccessLine line;
  line.at = call.at;
  line.request_id = call.id();
  line.peer = peer_;
  line.method = log_method_;
  line.path = log_path_;
  line.trace_id = log_trace_;
  if (call.service) line.service = call.service->config->id;
  if (call.account != nullptr) line.account = call.account->id;
  if (call.service && call.upstream_index != kNoUpstream) {
    line.upstream = call.service->config->upstreams[call.upstream_index]->host;
  }
  line.status = call.status;
  if (call.forwarded_ns == 0) {
    line.outcome = call.fault ? code_of(*call.fault) : "client_gone";
  } else {
    line.outcome = call.outcome == meter::Outcome::succeeded ? "succeeded" : "failed";
    line.free_points = call.admission.hold.points().count();
    line.billable_points = call.billable.count();
  }
  line.duration_us = (steady_ns() - call.started_ns) / 1000;
  if (!worker_.plane().access_log->write(worker_.index(), line)) worker_.cells().access_log_dropped.add(1);
}

// Whoever looks into a 502 or 504 finds it here by its request id. Names come from configuration, never from a client.
void Session::log_upstream_fault(const Call& call) {
  if (!worker_.may_log_trouble()) return;
  const auto& service = *call.service->config;
  const std::string_view upstream =
      call.upstream_index != kNoUpstream ? std::string_view(service.upstreams[call.upstream_index]->host) : "none";
  std::string cause = "what it sent is not an HTTP answer";
  if (*call.fault == Reason::upstream_timeout) {
    cause = "it was silent for too long";
  } else if (call.upstream_error == asio::error::eof) {
    cause = "it closed the connection";
  } else if (call.upstream_error) {
    cause = call.upstream_error.message();
  }
  spdlog::warn("request {} of service {}: {} at {}: {}{}", call.id(), service.id, code_of(*call.fault), upstream, cause,
               call.answered ? " in the middle of its answer" : "");
}

// A close with unread input makes the kernel send a reset, which can destroy the answer on its way. So: half-close,
// then read and drop for a bounded time and amount (RFC 9112 9.6).
Task<void> Session::linger() {
  client_.shutdown_send();
  const std::int64_t until = steady_ns() + kLingerNs;
  while (steady_ns() < until) {
    set_read_deadline(kLingerSilenceMs);
    in_.clear();
    const auto [error, got] = co_await client_.read_into(in_);
    if (error || got == 0) break;
  }
  clear_read_deadline();
}

}  // namespace tollgate::gateway
