// What reaches a session from outside its coroutine: deadlines, clients that leave, draining. Each sets a word and
// cancels the operation that waits, so that the coroutine itself finds out and cleans up.
#include <utility>

#include "gateway/session.h"

namespace tollgate::gateway {

std::int64_t Session::due_ns() const noexcept { return std::min(client_due_ns_, upstream_due_ns_); }

void Session::on_due(std::int64_t now_ns) noexcept {
  error_code ignored;
  if (client_due_ns_ <= now_ns) {
    client_due_ns_ = kNever;
    client_expired_ = true;
    client_.cancel(ignored);
  }
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

void Session::close_idle() noexcept {
  error_code ignored;
  client_.cancel(ignored);
}

void Session::abandon() noexcept {
  error_code ignored;
  keep_open_ = false;
  if (call_ != nullptr) call_->cut = true;
  client_gone();
  client_.cancel(ignored);
}

void Session::set_client_deadline(std::int64_t after_ms) noexcept {
  client_due_ns_ = worker_.coarse_now_ns() + after_ms * 1'000'000;
  worker_.wheel().update(*this);
}

void Session::set_upstream_deadline(std::int64_t after_ms) noexcept {
  upstream_due_ns_ = worker_.coarse_now_ns() + after_ms * 1'000'000;
  worker_.wheel().update(*this);
}

Task<error_code> Session::read_body_bytes() {
  client_expired_ = false;
  set_client_deadline(body_pace_.wait_ms(worker_.config().timeouts.body_ms));
  const std::int64_t since = worker_.coarse_now_ns();
  const auto space = in_.space();
  const auto [error, got] = co_await client_.async_read_some(asio::buffer(space.data(), space.size()), kAwait);
  clear_client_deadline();
  body_pace_.waited(worker_.coarse_now_ns() - since, static_cast<std::int64_t>(got));
  if (!error) in_.append(got);
  co_return error;
}

Task<error_code> Session::send_to_client(Outgoing& out) {
  error_code error;
  std::int64_t waited_ns = 0;
  while (!out.empty()) {
    const auto sent = static_cast<std::int64_t>(out.send_some(client_.native_handle(), error));
    if (sent > 0) answer_pace_.waited(std::exchange(waited_ns, 0), sent);
    if (out.empty() || !error) continue;
    if (!would_block(error)) co_return error;
    set_client_deadline(answer_pace_.wait_ms(worker_.config().timeouts.write_ms));
    const std::int64_t since = worker_.coarse_now_ns();
    const auto [waited] = co_await client_.async_wait(Socket::wait_write, kAwait);
    clear_client_deadline();
    if (waited) co_return waited;
    waited_ns += worker_.coarse_now_ns() - since;
  }
  co_return error_code();
}

Task<error_code> Session::send_to_upstream(Outgoing& out) {
  error_code error;
  while (!out.empty()) {
    out.send_some(upstream_->socket.native_handle(), error);
    if (out.empty() || !error) continue;
    if (!would_block(error)) co_return error;
    const auto [waited] = co_await upstream_->socket.async_wait(Socket::wait_write, kAwait);
    if (waited) co_return waited;
  }
  co_return error_code();
}

}  // namespace tollgate::gateway
