// One connection's bytes, plain or through TLS, with the same words for both: read some, send some, wait, close.
// It holds no protocol and no deadline; whoever waits cancels the socket.
#pragma once

#include <array>
#include <memory>
#include <tuple>
#include <utility>

#include "gateway/net.h"
#include "gateway/tls_connection.h"

namespace tollgate::gateway {

class Stream {
 public:
  explicit Stream(Socket socket) : socket_(std::move(socket)) {}

  [[nodiscard]] Socket& socket() noexcept { return socket_; }
  [[nodiscard]] bool is_tls() const noexcept { return tls_ != nullptr; }

  // From here on through `tls`, which was made for this socket. handshake() comes first.
  void secure(std::unique_ptr<TlsConnection> tls) noexcept { tls_ = std::move(tls); }
  Task<error_code> handshake();
  [[nodiscard]] const TlsConnection* tls() const noexcept { return tls_.get(); }  // nullptr: plain

  // The peer has neither closed nor sent a byte: one system call.
  [[nodiscard]] bool is_open_and_silent() noexcept;
  // What came in by TLS, whole records or not; 0 without it.
  [[nodiscard]] std::uint64_t bytes_heard() const noexcept { return tls_ == nullptr ? 0 : tls_->bytes_heard(); }
  // What was sent and the peer has not acknowledged: in the kernel's queue or on its way.
  [[nodiscard]] std::int64_t unacknowledged_bytes() noexcept;

  // Waits for bytes: {error, how many}. Plain sockets pay nothing for the choice: this is no coroutine.
  Task<std::tuple<error_code, std::size_t>> read_some(std::span<char> into) {
    if (tls_ == nullptr) return socket_.async_read_some(asio::buffer(into.data(), into.size()), kAwait);
    return read_tls(into);
  }

  // Sends without waiting; 0 and would_block when the socket must be waited for first, by wait_to_send().
  std::size_t send_some(Outgoing& out, error_code& error) noexcept {
    return tls_ == nullptr ? out.send_some(socket_.native_handle(), error) : send_tls(out, error);
  }
  Task<std::tuple<error_code>> wait_to_send() {
    return socket_.async_wait(sends_after_reading_ ? Socket::wait_read : Socket::wait_write, kAwait);
  }
  // Until the peer resets the connection or somebody cancels; what it sends is left where it is.
  Task<std::tuple<error_code>> wait_for_error() { return socket_.async_wait(Socket::wait_error, kAwait); }

  // No more bytes from here; what the peer still sends can be read. Without it a TLS peer sees that it was cut.
  void shutdown_send() noexcept {
    error_code ignored;
    if (tls_ != nullptr) tls_->close_notify();
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  }
  // The close drops what is queued, and the peer sees a reset.
  void reset_at_close() noexcept;
  void cancel() noexcept {
    error_code ignored;
    cancelled_ = true;
    socket_.cancel(ignored);
  }

 private:
  Task<std::tuple<error_code, std::size_t>> read_tls(std::span<char> into);
  std::size_t send_tls(Outgoing& out, error_code& error) noexcept;

  Socket socket_;
  std::unique_ptr<TlsConnection> tls_;
  int reads_in_a_row_ = 0;            // without a wait
  bool cancelled_ = false;            // since the read or handshake began that is under way
  bool sends_after_reading_ = false;  // TLS may have to hear something before it can go on
};

}  // namespace tollgate::gateway
