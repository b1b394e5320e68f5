#include "gateway/stream.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <array>
#include <new>

namespace tollgate::gateway {
namespace {
constexpr int kReadsInARowMax = 4;
constexpr std::size_t kRecordBytesMax = 16 * 1024;  // of one TLS record (RFC 8446 5.1)

error_code error_of(TlsStep step) noexcept {
  return step == TlsStep::ended ? error_code(asio::error::eof) : error_code(asio::error::connection_reset);
}

net::Watch::Direction direction_of(TlsStep step) noexcept {
  return step == TlsStep::wants_read ? net::Watch::kRead : net::Watch::kWrite;
}
}  // namespace

// A cancellation finds nothing to cancel while a wait has ended and its coroutine has not gone on: so it is looked for
// before each wait.
Task<error_code> Stream::handshake() {
  cancelled_ = false;
  while (true) {
    const TlsStep step = tls_->handshake();
    if (step == TlsStep::done) co_return error_code();
    if (step == TlsStep::ended || step == TlsStep::failed) co_return error_of(step);
    if (cancelled_) co_return asio::error::operation_aborted;
    const error_code waited = co_await socket_.wait_until(direction_of(step), tls_->has_emptied_socket());
    if (waited) co_return waited;
  }
}

bool Stream::is_open_and_silent() noexcept {
  if (tls_ == nullptr) return socket_.is_open_and_silent();
  return !socket_.peer_has_left() && (!socket_.may_be_readable() || look_if_open_and_silent());
}

bool Stream::look_if_open_and_silent() noexcept {
  if (tls_ == nullptr) return socket_.look_if_open_and_silent();
  const bool silent = tls_->is_open_and_silent();
  if (silent && tls_->has_emptied_socket()) socket_.was_emptied();
  return silent;
}

void Stream::reset_at_close() noexcept {
  constexpr linger kAtOnce{1, 0};
  (void)::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_LINGER, &kAtOnce, sizeof kAtOnce);
}

std::int64_t Stream::unacknowledged_bytes() noexcept {
  int bytes = 0;
  return ::ioctl(socket_.native_handle(), SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

// A block is borrowed only for the read: where there is nothing to read, another one has it.
bool Stream::ReadInto::Plain::perform() noexcept {
  try {
    read_into(into_.space());
  } catch (const std::bad_alloc&) {
    fail(asio::error::no_memory);
    return true;
  }
  const bool performed = ReadSome::perform();
  if (!performed) into_.lend();
  return performed;
}

Task<Stream::ReadResult> Stream::read_tls(Buffer& into) {
  cancelled_ = false;
  // What has come is read without waiting; a peer that is fast enough would keep this thread from all others.
  if (++reads_in_a_row_ >= kReadsInARowMax) {
    reads_in_a_row_ = 0;
    co_await socket_.loop().yield();
  }
  while (true) {
    std::size_t got = 0;
    const TlsStep step = tls_->read(into.space(), got);
    into.append(got);
    if (step == TlsStep::done) co_return ReadResult(error_code(), got);
    if (step == TlsStep::ended || step == TlsStep::failed) co_return ReadResult(error_of(step), 0);
    if (cancelled_) co_return ReadResult(asio::error::operation_aborted, 0);
    reads_in_a_row_ = 0;
    into.lend();
    const error_code waited = co_await socket_.wait_until(direction_of(step), tls_->has_emptied_socket());
    if (waited) co_return ReadResult(waited, 0);
  }
}

// Small pieces (a head and a short body) leave in one record: each costs both sides a system call and a key's work.
std::size_t Stream::send_tls(Outgoing& out, error_code& error) noexcept {
  thread_local std::array<char, kRecordBytesMax> record;
  const std::string_view bytes = out.gather(record);
  std::size_t sent = 0;
  const TlsStep step = tls_->write(bytes, sent);
  if (step == TlsStep::done) {
    error = {};
    out.advance(sent);
    return sent;
  }
  sends_after_reading_ = step == TlsStep::wants_read;
  const bool waits = step == TlsStep::wants_read || step == TlsStep::wants_write;
  error = waits ? error_code(asio::error::would_block) : error_of(step);
  return 0;
}

}  // namespace tollgate::gateway
