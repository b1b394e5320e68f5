#include "net/socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace tollgate::net {
namespace {
constexpr int kInARowMax = 4;  // operations of one descriptor without a wait

// False: it has had its turns, although there may be more.
bool has_turn(Watch& watch) noexcept { return watch.readable && ++watch.performed_in_a_row <= kInARowMax; }

void wait_or_line_up(Watch& watch, Waiter& waiter, std::coroutine_handle<> who) noexcept {
  watch.performed_in_a_row = 0;
  watch.readable ? watch.wait_turn(waiter, Watch::kRead, who) : watch.wait(waiter, Watch::kRead, who);
}
}  // namespace

error_code last_error() noexcept { return {errno, boost::system::system_category()}; }

bool ReadSome::await_ready() noexcept { return has_turn(*from_) && perform(); }
void ReadSome::await_suspend(std::coroutine_handle<> who) noexcept { wait_or_line_up(*from_, *this, who); }

// A read that did not fill its space has emptied the socket (or stopped at urgent data, which nobody here uses), and
// what comes later makes a new event. An end that came together with the last bytes makes none: the loop has seen it
// then (hung_up), and the socket stays readable.
bool ReadSome::perform() noexcept {
  if (into_.empty()) return true;
  ssize_t got = 0;
  do {
    got = ::recv(from_->fd, into_.data(), into_.size(), 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    from_->readable = false;
    return false;
  }
  if (got < 0) {
    error_ = last_error();
  } else if (got == 0) {
    error_ = asio::error::eof;
  } else {
    got_ = static_cast<std::size_t>(got);
    if (got_ < into_.size() && !from_->hung_up && !from_->broken) from_->readable = false;
  }
  return true;
}

error_code Descriptor::open(Loop& loop, int fd) noexcept {
  close();
  watch_ = loop.watch(fd);
  if (watch_ != nullptr) return {};
  const error_code error = last_error();
  ::close(fd);
  return error;
}

Task<error_code> Socket::connect(Loop& loop, Endpoint to) {
  close();
  const int fd = ::socket(to.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) co_return last_error();
  const bool connected = ::connect(fd, to.data(), static_cast<socklen_t>(to.size())) == 0;
  if (!connected && errno != EINPROGRESS) {
    const error_code error = last_error();
    ::close(fd);
    co_return error;
  }
  error_code error = open(loop, fd);
  if (error || connected) co_return error;
  error = co_await wait_until(Watch::kWrite);
  if (error) co_return error;
  int failure = 0;
  socklen_t size = sizeof failure;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) != 0) co_return last_error();
  co_return error_code(failure, boost::system::system_category());
}

void Socket::set_option(int level, int name, int value) noexcept {
  (void)::setsockopt(native_handle(), level, name, &value, sizeof value);
}

bool Socket::look_if_open_and_silent() noexcept {
  char byte = 0;
  const ssize_t got = ::recv(watch_->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  const bool silent = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
  if (silent) watch_->readable = false;
  return silent;
}

bool Listener::Accept::await_ready() noexcept { return has_turn(*from_) && perform(); }
void Listener::Accept::await_suspend(std::coroutine_handle<> who) noexcept { wait_or_line_up(*from_, *this, who); }

bool Listener::Accept::perform() noexcept {
  auto size = static_cast<socklen_t>(peer_.capacity());
  int fd = -1;
  do {
    fd = ::accept4(from_->fd, peer_.data(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
  if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    from_->readable = false;
    return false;
  }
  if (fd < 0) {
    error_ = last_error();
  } else {
    peer_.resize(size);
    error_ = accepted_.open(from_->loop, fd);
  }
  return true;
}

error_code Listener::listen(Loop& loop, const Endpoint& endpoint, int backlog, int bound) {
  close();
  const int fd = bound >= 0 ? bound : ::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return last_error();
  const int on = 1;
  const bool is_bound = bound >= 0 || (::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                                       ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
                                       ::bind(fd, endpoint.data(), static_cast<socklen_t>(endpoint.size())) == 0);
  if (is_bound && ::listen(fd, backlog) == 0 && ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK) == 0) {
    return open(loop, fd);
  }
  const error_code error = last_error();
  ::close(fd);
  return error;
}

Endpoint Listener::local_endpoint() const noexcept {
  Endpoint endpoint;
  auto size = static_cast<socklen_t>(endpoint.capacity());
  if (::getsockname(native_handle(), endpoint.data(), &size) == 0) endpoint.resize(size);
  return endpoint;
}

}  // namespace tollgate::net
