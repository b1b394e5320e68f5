// What reaches a session from outside its coroutine: deadlines, clients that leave, draining. Each sets a word and
// cancels the operation that waits, so that the coroutine itself finds out and cleans up.
#include <algorithm>

#include "gateway/session.h"

namespace tollgate::gateway {

std::int64_t Session::due_ns() const noexcept {
  return std::min({client_read_due_ns_, client_write_due_ns_, upstream_due_ns_});
}

// There is no cancelling one direction of a socket: whoever waits in the other is woken too, and waits on.
void Session::on_due(std::int64_t now_ns) noexcept {
  const bool read_expired = client_read_due_ns_ <= now_ns;
  const bool write_expired = client_write_due_ns_ <= now_ns;
  if (read_expired) {
    client_read_due_ns_ = kNever;
    client_read_expired_ = true;
  }
  if (write_expired) {
    client_write_due_ns_ = kNever;
    client_write_expired_ = true;
  }
  if (read_expired || write_expired) client_.cancel();
  if (upstream_due_ns_ <= now_ns) {
    upstream_due_ns_ = kNever;
    upstream_expired_ = true;
    cancel_upstream();
  }
  worker_.wheel().update(*this);
}

bool Session::waits_for_upstream_since(std::int64_t before_ns) const noexcept {
  return call_ != nullptr && !call_->client_failed && call_->started_ns < before_ns;
}

void Session::client_gone() noexcept {
  if (call_ == nullptr) return;
  call_->client_failed = true;
  cancel_upstream();
}

void Session::close_idle() noexcept { client_.cancel(); }

void Session::abandon() noexcept {
  keep_open_ = false;
  if (call_ != nullptr) call_->cut = true;
  client_gone();
  client_.cancel();
}

void Session::set_read_deadline(std::int64_t after_ms) noexcept {
  client_read_due_ns_ = worker_.coarse_now_ns() + after_ms * 1'000'000;
  worker_.wheel().update(*this);
}

void Session::set_write_deadline(std::int64_t after_ms) noexcept {
  client_write_due_ns_ = worker_.coarse_now_ns() + after_ms * 1'000'000;
  worker_.wheel().update(*this);
}

void Session::set_upstream_deadline(std::int64_t after_ms) noexcept {
  upstream_due_ns_ = worker_.coarse_now_ns() + after_ms * 1'000'000;
  worker_.wheel().update(*this);
}

// While a body goes up and the answer comes back, each side's deadline wakes the other's wait: to be begun again.
bool Session::is_for_the_other_way(const error_code& error, bool expired) const noexcept {
  return error == asio::error::operation_aborted && !expired && call_ != nullptr && !call_->client_failed &&
         !call_->upload_unwanted;
}

// Of TLS what counts is what came in: a record gives no byte of the body before its last one is there.
Task<error_code> Session::read_body_bytes() {
  while (true) {
    client_read_expired_ = false;
    set_read_deadline(body_pace_.wait_ms(worker_.config().timeouts.body_ms));
    const std::int64_t since = worker_.coarse_now_ns();
    const std::uint64_t heard = client_.bytes_heard();
    const auto [error, got] = co_await client_.read_into(in_);
    clear_read_deadline();
    const auto came = client_.is_tls() ? client_.bytes_heard() - heard : got;
    body_pace_.waited(worker_.coarse_now_ns() - since, static_cast<std::int64_t>(came));
    if (is_for_the_other_way(error, client_read_expired_)) continue;
    if (error && client_read_expired_ && came > 0 && body_pace_.left_ns() > 0) continue;
    co_return error;
  }
}

// Under overload a client that was refused is heard again after a pause, which doubles with each in a row. It would
// come back at once, and what its refusals cost is taken from the calls of others. What it sends meanwhile stays in the
// kernel, so it does not count as idle: a close would be a reset, and could destroy the answer on its way. False:
// serve() is to end.
Task<bool> Session::hold_back() {
  constexpr std::int64_t kFirstMs = 50;
  constexpr int kDoublings = 4;  // up to 800 ms: less than any Retry-After
  client_read_expired_ = false;
  set_read_deadline(kFirstMs << pauses_in_a_row_);
  pauses_in_a_row_ = std::min(pauses_in_a_row_ + 1, kDoublings);
  worker_.cells().refused_held_back.add(1);
  const error_code error = co_await client_.wait_for_error();
  clear_read_deadline();
  if (!keep_open_) close_abruptly_ = true;     // abandoned
  if (worker_.draining()) keep_open_ = false;  // what it was told is all it gets, in order
  if (!keep_open_) co_return false;
  // Without an error it reset the connection, which the next read finds out.
  co_return client_read_expired_ || !error;
}

// What upload() has to say goes first, whoever gets to write: two writers must not share the middle of a piece.
Task<error_code> Session::send_to_client(Outgoing& out) {
  error_code error;
  if (!interim_.empty()) return send_rest_to_client(out, error);
  if (!out.empty()) client_.send_some(out, error);
  if (out.empty() || (error && !would_block(error))) return error;
  return send_rest_to_client(out, error);
}

// `error`: how the last try ended, if there was one.
Task<error_code> Session::send_rest_to_client(Outgoing& out, error_code error) {
  while (true) {
    if (would_block(error)) error = co_await wait_for_taker();
    if (error || (interim_.empty() && out.empty())) co_return error;
    client_.send_some(interim_.empty() ? out : interim_, error);
  }
}

// Until the client's socket has room again. What a client takes is what it acknowledges: room shows only when a large
// part of what is queued has gone, so a slow and steady reader would look as if it took nothing.
Task<error_code> Session::wait_for_taker() {
  std::int64_t queued = client_.unacknowledged_bytes();
  for (bool tried = true;; tried = false) {
    client_write_expired_ = false;
    set_write_deadline(answer_pace_.wait_ms(worker_.config().timeouts.write_ms));
    const std::int64_t since = worker_.coarse_now_ns();
    const error_code error = co_await client_.wait_to_send(tried);
    clear_write_deadline();
    const std::int64_t taken = queued - client_.unacknowledged_bytes();
    queued -= taken;
    answer_pace_.waited(worker_.coarse_now_ns() - since, std::max<std::int64_t>(taken, 0));
    if (!error) co_return error;
    const bool is_taking = client_write_expired_ && taken > 0 && answer_pace_.left_ns() > 0;
    if (is_taking || is_for_the_other_way(error, client_write_expired_)) continue;
    // Else the kernel would keep what is queued for it, and out of every count of ours, until it gives up by itself.
    if (client_write_expired_) client_.reset_at_close();
    co_return error;
  }
}

Task<error_code> Session::send_to_upstream(Outgoing& out) {
  error_code error;
  if (!out.empty()) upstream_->stream.send_some(out, error);
  if (out.empty() || (error && !would_block(error))) return error;
  return send_rest_to_upstream(out, error);
}

Task<error_code> Session::send_rest_to_upstream(Outgoing& out, error_code error) {
  while (true) {
    if (would_block(error)) error = co_await upstream_->stream.wait_to_send();
    if (error || out.empty()) co_return error;
    upstream_->stream.send_some(out, error);
  }
}

}  // namespace tollgate::gateway
