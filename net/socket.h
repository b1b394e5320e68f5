// TCP on a loop: connections and listeners, non-blocking, closed with their objects. On the loop's thread. What waits
// is awaited at once and ends with an error code; operation_aborted: somebody called cancel() or closed the socket.
#pragma once

#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <span>
#include <tuple>
#include <utility>

#include "net/loop.h"
#include "net/task.h"

namespace tollgate::net {

namespace asio = boost::asio;
using Endpoint = asio::ip::tcp::endpoint;

[[nodiscard]] error_code last_error() noexcept;  // of errno
[[nodiscard]] inline bool would_block(const error_code& error) noexcept {
  return error == asio::error::would_block || error == asio::error::try_again;
}

// Bytes that are there are read without a wait, but one socket does so only a few times in a row: others are ready,
// too.
class ReadSome : public Waiter {
 public:
  using Result = std::tuple<error_code, std::size_t>;

  ReadSome(Watch* watch, std::span<char> into) noexcept : from_(watch), into_(into) {}
  [[nodiscard]] bool await_ready() noexcept;
  void await_suspend(std::coroutine_handle<> who) noexcept;
  [[nodiscard]] Result await_resume() const noexcept {
    return cancelled() ? Result(cancelled(), 0) : Result(error_, got_);
  }

 protected:
  bool perform() noexcept override;
  void read_into(std::span<char> space) noexcept { into_ = space; }
  void fail(error_code error) noexcept { error_ = error; }

 private:
  Watch* from_;
  std::span<char> into_;
  error_code error_;
  std::size_t got_ = 0;
};

// For what was tried and would have blocked. Where nothing was tried since an earlier wait, or a read gave up for
// another reason: with `tried` false, so that what is there already is not waited for.
class WaitUntil final : public Waiter {
 public:
  WaitUntil(Watch* watch, Watch::Direction direction, bool tried = true) noexcept
      : of_(watch), for_(direction), tried_(tried) {}
  [[nodiscard]] bool await_ready() const noexcept { return for_ == Watch::kBroken && of_->broken; }
  void await_suspend(std::coroutine_handle<> who) noexcept {
    bool never = false;
    bool& ready = for_ == Watch::kRead ? of_->readable : for_ == Watch::kWrite ? of_->writable : never;
    if (tried_) ready = false;
    ready ? of_->wait_turn(*this, for_, who) : of_->wait(*this, for_, who);
  }
  [[nodiscard]] error_code await_resume() const noexcept { return cancelled(); }

 private:
  bool perform() noexcept override { return true; }

  Watch* of_;
  Watch::Direction for_;
  bool tried_;
};

class Descriptor {
 public:
  Descriptor() noexcept = default;
  Descriptor(Descriptor&& other) noexcept : watch_(std::exchange(other.watch_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(watch_, other.watch_);
    return *this;
  }
  ~Descriptor() { close(); }

  // Takes `fd` over, which is non-blocking. With an error it is closed.
  [[nodiscard]] error_code open(Loop& loop, int fd) noexcept;
  void close() noexcept {
    Watch* const watch = std::exchange(watch_, nullptr);
    if (watch != nullptr) watch->loop.unwatch(watch);
  }
  [[nodiscard]] bool is_open() const noexcept { return watch_ != nullptr; }
  [[nodiscard]] int native_handle() const noexcept { return watch_ != nullptr ? watch_->fd : -1; }
  void cancel() noexcept {
    if (watch_ != nullptr) watch_->cancel();
  }

 protected:
  Watch* watch_ = nullptr;  // nullptr: closed
};

// All but connect() of an open socket only.
class Socket : public Descriptor {
 public:
  // Also closes what was open before.
  [[nodiscard]] Task<error_code> connect(Loop& loop, Endpoint to);
  ReadSome read_some(std::span<char> into) noexcept { return {watch_, into}; }
  [[nodiscard]] Watch* watch() const noexcept { return watch_; }  // for a read of one's own
  WaitUntil wait_until(Watch::Direction direction, bool tried = true) noexcept { return {watch_, direction, tried}; }
  void set_option(int level, int name, int value) noexcept;  // best effort

  // As of the loop's last look: the peer sends no more (what it sent may still be unread), or has broken off.
  [[nodiscard]] bool peer_has_left() const noexcept { return watch_->hung_up || watch_->broken; }
  // As of the loop's last look the peer has neither closed nor sent a byte that was not read. A system call only where
  // the last read may have left something.
  [[nodiscard]] bool is_open_and_silent() noexcept {
    return !peer_has_left() && (!watch_->readable || look_if_open_and_silent());
  }
  // The same as of now, by a system call.
  [[nodiscard]] bool look_if_open_and_silent() noexcept;
  [[nodiscard]] bool may_be_readable() const noexcept { return watch_->readable; }
  void was_emptied() noexcept { watch_->readable = false; }  // by a read that did not go through here
  [[nodiscard]] Loop& loop() const noexcept { return watch_->loop; }
};

class Listener : public Descriptor {
 public:
  class Accept final : public Waiter {
   public:
    using Result = std::tuple<error_code, Socket, Endpoint>;

    explicit Accept(Watch* watch) noexcept : from_(watch) {}
    [[nodiscard]] bool await_ready() noexcept;
    void await_suspend(std::coroutine_handle<> who) noexcept;
    [[nodiscard]] Result await_resume() noexcept {
      if (cancelled()) return {cancelled(), Socket(), Endpoint()};
      return {error_, std::move(accepted_), peer_};
    }

   private:
    bool perform() noexcept override;

    Watch* from_;
    error_code error_;
    Socket accepted_;
    Endpoint peer_;
  };

  // A listener of its own beside others on the same endpoint (SO_REUSEPORT), or on `bound`, a descriptor that is bound
  // there already.
  [[nodiscard]] error_code listen(Loop& loop, const Endpoint& endpoint, int backlog, int bound = -1);
  [[nodiscard]] Endpoint local_endpoint() const noexcept;
  Accept accept() noexcept { return Accept(watch_); }
};

}  // namespace tollgate::net
