#include "bench/fake_model/worker.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>

namespace tollgate::bench {
namespace {

constexpr std::size_t kBufferBytes = 256 * 1024;

void watch(int epoll, int fd, std::uint32_t events, void* pointer) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = pointer;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) throw std::runtime_error("epoll_ctl failed");
}

}  // namespace

Worker::Worker(int listener, const FakeModelOptions& options, Record& record)
    : listener_(listener),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      options_(options),
      record_(record),
      buffer_(kBufferBytes) {
  watch(epoll_, listener_, EPOLLIN, &listener_);
  watch(epoll_, stop_, EPOLLIN, &stop_);
  thread_ = std::thread([this] { run(); });
}

Worker::~Worker() {
  const std::uint64_t one = 1;
  (void)!::write(stop_, &one, sizeof one);
  thread_.join();
  record_.connections_open.fetch_sub(static_cast<std::int64_t>(connections_.size()), std::memory_order_relaxed);
  ::close(listener_);
  ::close(epoll_);
  ::close(stop_);
}

void Worker::run() {
  std::array<epoll_event, 128> events{};
  for (;;) {
    const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout_ms());
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      if (event.data.ptr == &stop_) return;
      if (event.data.ptr == &listener_) accept_all();
      else static_cast<Connection*>(event.data.ptr)->on_events(event.events);
    }
    run_timers();
    gone_.clear();
  }
}

void Worker::accept_all() {
  for (;;) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto connection = std::make_unique<Connection>(fd, *this);
    record_.connections_open.fetch_add(1, std::memory_order_relaxed);
    record_.connections_total.fetch_add(1, std::memory_order_relaxed);
    watch(epoll_, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, connection.get());
    connections_[fd] = std::move(connection);
  }
}

void Worker::arm(Connection& connection, std::int64_t delay_ms) {
  timers_.emplace(std::chrono::steady_clock::now() + std::chrono::milliseconds(delay_ms), &connection);
}

void Worker::run_timers() {
  if (timers_.empty()) return;
  const Time now = std::chrono::steady_clock::now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    Connection* connection = timers_.begin()->second;
    timers_.erase(timers_.begin());
    connection->on_timer();
  }
}

int Worker::timeout_ms() const {
  if (timers_.empty()) return -1;
  const auto left = timers_.begin()->first - std::chrono::steady_clock::now();
  const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<std::int64_t>(rounded, 0, 60'000));
}

void Worker::forget(Connection& connection) {
  std::erase_if(timers_, [&](const auto& timer) { return timer.second == &connection; });
  const auto found = connections_.find(connection.fd());
  gone_.push_back(std::move(found->second));
  connections_.erase(found);
  record_.connections_open.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace tollgate::bench
