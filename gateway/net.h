// The Asio types of the data path, on the concrete executor (no type erasure: it costs a third of a call's CPU), and
// sending that tries the socket first. It holds no protocol.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/basic_resolver.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string_view>

namespace tollgate::gateway {

namespace asio = boost::asio;
using boost::system::error_code;
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, Executor>;
using Resolver = asio::ip::basic_resolver<asio::ip::tcp, Executor>;
using Timer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;
template <class T>
using Task = asio::awaitable<T, Executor>;

// Completion as a tuple (error, ...) instead of an exception. What is awaited gets a name before it is tested: g++ 12
// resumes coroutines wrongly that await inside a loop's condition.
inline constexpr asio::as_tuple_t<asio::use_awaitable_t<Executor>> kAwait{};

// Up to five pieces that leave in one write, and how far they have gone.
class Outgoing {
 public:
  void add(std::string_view piece) noexcept {
    if (!piece.empty()) pieces_[count_++] = {const_cast<char*>(piece.data()), piece.size()};
  }
  [[nodiscard]] bool empty() const noexcept { return first_ == count_; }

  // One sendmsg without waiting; 0 with would_block when the socket is full.
  std::size_t send_some(int socket, error_code& error) noexcept {
    msghdr message{};
    message.msg_iov = &pieces_[first_];
    message.msg_iovlen = count_ - first_;
    const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      error = error_code(errno, boost::system::system_category());
      return 0;
    }
    error = {};
    advance(static_cast<std::size_t>(sent));
    return static_cast<std::size_t>(sent);
  }

  // The next bytes in one piece: several small pieces are copied into `space`. Not empty. The same until advance().
  [[nodiscard]] std::string_view gather(std::span<char> space) const noexcept {
    const iovec& next = pieces_[first_];
    if (first_ + 1 == count_ || next.iov_len >= space.size())
      return {static_cast<const char*>(next.iov_base), next.iov_len};
    std::size_t filled = 0;
    for (std::size_t i = first_; i < count_ && filled < space.size(); ++i) {
      const std::size_t taken = std::min(pieces_[i].iov_len, space.size() - filled);
      std::memcpy(space.data() + filled, pieces_[i].iov_base, taken);
      filled += taken;
    }
    return {space.data(), filled};
  }

  void advance(std::size_t sent) noexcept {
    while (sent > 0) {
      iovec& piece = pieces_[first_];
      const std::size_t taken = sent < piece.iov_len ? sent : piece.iov_len;
      piece.iov_base = static_cast<char*>(piece.iov_base) + taken;
      piece.iov_len -= taken;
      sent -= taken;
      if (piece.iov_len == 0) ++first_;
    }
  }

 private:
  std::array<iovec, 5> pieces_{};
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

[[nodiscard]] inline bool would_block(const error_code& error) noexcept {
  return error == asio::error::would_block || error == asio::error::try_again;
}

}  // namespace tollgate::gateway
