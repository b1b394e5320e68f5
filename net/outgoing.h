// Bytes on their way out: pieces that leave in one write, sent by trying the socket first. It holds no protocol.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>

#include "net/socket.h"

namespace tollgate::net {

// Up to five pieces that leave in one write, and how far they have gone.
class Outgoing {
 public:
  void add(std::string_view piece) noexcept {
    if (!piece.empty()) pieces_[count_++] = {const_cast<char*>(piece.data()), piece.size()};
  }
  [[nodiscard]] bool empty() const noexcept { return first_ == count_; }

  // One system call without waiting; 0 with would_block when the socket is full.
  std::size_t send_some(int socket, error_code& error) noexcept {
    constexpr int kFlags = MSG_NOSIGNAL | MSG_DONTWAIT;
    ssize_t sent = 0;
    std::array<char, kCopiedMax> copy;
    const bool in_one_piece = first_ + 1 == count_ || size() <= copy.size();
    if (in_one_piece) {
      const std::string_view bytes = gather(copy);
      sent = ::send(socket, bytes.data(), bytes.size(), kFlags);
    } else {
      msghdr message{};
      message.msg_iov = &pieces_[first_];
      message.msg_iovlen = count_ - first_;
      sent = ::sendmsg(socket, &message, kFlags);
    }
    if (sent < 0) {
      error = last_error();
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
  // Up to here a copy costs less than several pieces cost the kernel: an event of a streamed answer, say.
  static constexpr std::size_t kCopiedMax = 512;

  [[nodiscard]] std::size_t size() const noexcept {
    std::size_t size = 0;
    for (std::size_t i = first_; i < count_; ++i) size += pieces_[i].iov_len;
    return size;
  }

  std::array<iovec, 5> pieces_{};
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

}  // namespace tollgate::net
