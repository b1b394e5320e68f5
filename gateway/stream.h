// One connection's bytes, plain or through TLS, with the same words for both: read some, send some, wait, close.
// It holds no protocol and no deadline; whoever waits cancels the socket.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "gateway/buffer.h"
#include "gateway/tls_connection.h"
#include "net/outgoing.h"
#include "net/socket.h"
#include "net/task.h"

namespace tollgate::gateway {

namespace asio = boost::asio;
using boost::system::error_code;
using net::Endpoint;
using net::Outgoing;
using net::Socket;
using net::Task;
using net::would_block;

class Stream {
 public:
  using ReadResult = net::ReadSome::Result;

  // What comes is appended to the buffer, which has no block while this waits. Plain sockets pay nothing for the
  // choice: no coroutine.
  class ReadInto {
   public:
    ReadInto(Socket& socket, Buffer& into) noexcept : plain_(socket.watch(), into) {}
    ReadInto(Socket& socket, Buffer& into, Task<ReadResult> tls) noexcept
        : plain_(socket.watch(), into), tls_(std::move(tls)) {}
    bool await_ready() { return tls_ ? tls_->await_ready() : plain_.await_ready(); }
    void await_suspend(std::coroutine_handle<> who) noexcept {
      tls_ ? tls_->await_suspend(who) : plain_.await_suspend(who);
    }
    ReadResult await_resume() { return tls_ ? tls_->await_resume() : plain_.await_resume(); }

   private:
    class Plain final : public net::ReadSome {
     public:
      Plain(net::Watch* from, Buffer& into) noexcept : ReadSome(from, {}), into_(into) {}
      void await_suspend(std::coroutine_handle<> who) noexcept {
        into_.lend();
        ReadSome::await_suspend(who);
      }
      [[nodiscard]] ReadResult await_resume() const noexcept {
        const ReadResult result = ReadSome::await_resume();
        into_.append(std::get<1>(result));
        return result;
      }

     private:
      bool perform() noexcept override;

      Buffer& into_;
    };

    Plain plain_;
    std::optional<Task<ReadResult>> tls_;
  };

  Stream() noexcept = default;
  explicit Stream(Socket socket) noexcept : socket_(std::move(socket)) {}

  [[nodiscard]] Socket& socket() noexcept { return socket_; }
  [[nodiscard]] bool is_tls() const noexcept { return tls_ != nullptr; }

  // From here on through `tls`, which was made for this socket. handshake() comes first.
  void secure(std::unique_ptr<TlsConnection> tls) noexcept { tls_ = std::move(tls); }
  Task<error_code> handshake();
  [[nodiscard]] const TlsConnection* tls() const noexcept { return tls_.get(); }  // nullptr: plain

  // The peer has neither closed nor sent a byte, as of the loop's last look or as of now.
  [[nodiscard]] bool is_open_and_silent() noexcept;
  [[nodiscard]] bool look_if_open_and_silent() noexcept;  // by a system call
  // What came in by TLS, whole records or not; 0 without it.
  [[nodiscard]] std::uint64_t bytes_heard() const noexcept { return tls_ == nullptr ? 0 : tls_->bytes_heard(); }
  // What was sent and the peer has not acknowledged: in the kernel's queue or on its way.
  [[nodiscard]] std::int64_t unacknowledged_bytes() noexcept;

  // Waits for bytes: {error, how many}. `into` has room.
  ReadInto read_into(Buffer& into) {
    if (tls_ == nullptr) return {socket_, into};
    return {socket_, into, read_tls(into)};
  }

  // Sends without waiting; 0 and would_block when the socket must be waited for first, by wait_to_send().
  std::size_t send_some(Outgoing& out, error_code& error) noexcept {
    return tls_ == nullptr ? out.send_some(socket_.native_handle(), error) : send_tls(out, error);
  }
  // `tried`: send_some() has said would_block since the last wait.
  net::WaitUntil wait_to_send(bool tried = true) noexcept {
    if (!sends_after_reading_) return socket_.wait_until(net::Watch::kWrite, tried);
    return socket_.wait_until(net::Watch::kRead, tried && tls_->has_emptied_socket());
  }
  // Until the peer resets the connection or somebody cancels; what it sends is left where it is.
  net::WaitUntil wait_for_error() noexcept { return socket_.wait_until(net::Watch::kBroken); }

  // No more bytes from here; what the peer still sends can be read. Without it a TLS peer sees that it was cut.
  void shutdown_send() noexcept {
    if (tls_ != nullptr) tls_->close_notify();
    (void)::shutdown(socket_.native_handle(), SHUT_WR);
  }
  // The close drops what is queued, and the peer sees a reset.
  void reset_at_close() noexcept;
  void cancel() noexcept {
    cancelled_ = true;
    socket_.cancel();
  }

 private:
  Task<ReadResult> read_tls(Buffer& into);
  std::size_t send_tls(Outgoing& out, error_code& error) noexcept;

  Socket socket_;
  std::unique_ptr<TlsConnection> tls_;
  int reads_in_a_row_ = 0;            // without a wait
  bool cancelled_ = false;            // since the read or handshake began that is under way
  bool sends_after_reading_ = false;  // TLS may have to hear something before it can go on
};

}  // namespace tollgate::gateway
