#include "net/loop.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <cerrno>
#include <memory>
#include <new>
#include <system_error>

#include "base/clock.h"

namespace tollgate::net {
namespace {
constexpr std::uint32_t kReadEvents = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t kWriteEvents = EPOLLOUT | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t kBrokenEvents = EPOLLHUP | EPOLLERR;
constexpr std::int64_t kSecondNs = 1'000'000'000;

int or_throw(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::system_category(), what);
  return result;
}
}  // namespace

void Watch::wait(Waiter& waiter, Direction direction, std::coroutine_handle<> who) noexcept {
  waiter.who_ = who;
  waiter.watch_ = this;
  waiter.direction_ = direction;
  Waiter** last = &waiters[direction];
  while (*last != nullptr) last = &(*last)->behind_;
  *last = &waiter;
}

void Watch::wait_turn(Waiter& waiter, Direction direction, std::coroutine_handle<> who) noexcept {
  wait(waiter, direction, who);
  loop.enqueue(waiter);
}

void Watch::cancel() noexcept {
  for (Waiter*& first : waiters) {
    for (Waiter* waiter = std::exchange(first, nullptr); waiter != nullptr;) {
      Waiter* const behind = std::exchange(waiter->behind_, nullptr);
      waiter->watch_ = nullptr;
      waiter->cancelled_ = boost::asio::error::operation_aborted;
      loop.enqueue(*waiter);
      waiter = behind;
    }
  }
}

struct Loop::Root {
  struct promise_type : RootLink, FrameAllocation {
    promise_type(Loop& loop, const Task<void>&, const std::function<void(const std::exception_ptr&)>&) {
      self = std::coroutine_handle<promise_type>::from_promise(*this);
      loop.roots_.push_back(*this);
    }
    [[nodiscard]] Root get_return_object() const noexcept { return {}; }
    [[nodiscard]] std::suspend_never initial_suspend() const noexcept { return {}; }
    [[nodiscard]] std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
  };
};

Loop::Root Loop::run_root(Loop& /*in*/, Task<void> task, std::function<void(const std::exception_ptr&)> at_end) {
  std::exception_ptr failure;
  try {
    co_await task;
  } catch (...) {
    failure = std::current_exception();
  }
  at_end(failure);
}

Loop::Loop()
    : epoll_(or_throw(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      wakeup_(or_throw(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd")),
      timer_(or_throw(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), "timerfd_create")) {
  const bool added = add(wakeup_, EPOLLIN | EPOLLET, &wakeup_) && add(timer_, EPOLLIN | EPOLLET, &timer_);
  or_throw(added ? 0 : -1, "epoll_ctl");
}

void Loop::destroy_coroutines() noexcept {
  ending_ = true;  // what waits is destroyed where it is, not woken
  while (!roots_.empty()) roots_.front().self.destroy();
}

Loop::~Loop() {
  destroy_coroutines();
  for (Watch* watch : closed_) delete watch;
  ::close(timer_);
  ::close(wakeup_);
  ::close(epoll_);
}

// Nobody cancels this thread. Where a cancellation would be taken at any time, glibc (2.36) leaves out the two locked
// instructions around each system call that mark it as a place for one.
void Loop::run() {
  (void)::pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
  while (!stopped_) turn(true);
  destroy_coroutines();  // here, since their descriptors may be this thread's own
}

void Loop::turn(bool wait) {
  const std::size_t count = look(wait && queue_.empty() ? -1 : 0);
  for (std::size_t i = 0; i < count; ++i) serve(events_[i]);
  run_queued();
  for (Watch* watch : closed_) delete watch;
  closed_.clear();
}

// All of it is noted before anybody goes on: who does may ask about a descriptor whose event stands behind his own.
std::size_t Loop::look(int timeout_ms) {
  const int heard = ::epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), timeout_ms);
  looked_at_ns_ = 0;
  if (heard < 0) return 0;  // a signal
  const auto count = static_cast<std::size_t>(heard);
  for (std::size_t i = 0; i < count; ++i) {
    const epoll_event& event = events_[i];
    if (event.data.ptr == &wakeup_ || event.data.ptr == &timer_) continue;
    Watch& watch = *static_cast<Watch*>(event.data.ptr);
    if ((event.events & kReadEvents) != 0) watch.readable = true;
    if ((event.events & kWriteEvents) != 0) watch.writable = true;
    if ((event.events & (EPOLLRDHUP | EPOLLHUP)) != 0) watch.hung_up = true;
    if ((event.events & kBrokenEvents) != 0) watch.broken = true;
    __builtin_prefetch(watch.waiters[Watch::kRead]);  // it lies in a coroutine's frame, and is resumed next
  }
  if (count < events_.size()) ++looks_;  // else there may be more
  return count;
}

std::int64_t Loop::looked_at_ns() noexcept {
  if (looked_at_ns_ == 0) looked_at_ns_ = steady_ns();
  return looked_at_ns_;
}

void Loop::serve(const epoll_event& event) {
  if (event.data.ptr == &wakeup_) return run_posted();
  if (event.data.ptr == &timer_) return wake_sleepers();
  Watch& watch = *static_cast<Watch*>(event.data.ptr);
  if (watch.fd < 0) return;  // closed by who went on before
  if ((event.events & kReadEvents) != 0) go_on(watch, Watch::kRead);
  if ((event.events & kWriteEvents) != 0) go_on(watch, Watch::kWrite);
  if ((event.events & kBrokenEvents) != 0) go_on(watch, Watch::kBroken);
}

// The first in line only: the next one's turn comes when it is through.
void Loop::go_on(Watch& watch, Watch::Direction direction) {
  Waiter* const first = watch.waiters[direction];
  if (first == nullptr || first->queued_ || !first->perform()) return;
  watch.waiters[direction] = std::exchange(first->behind_, nullptr);
  if (watch.waiters[direction] != nullptr) enqueue(*watch.waiters[direction]);
  first->watch_ = nullptr;
  resume(first->who_);
}

void Loop::enqueue(Waiter& waiter) noexcept {
  if (std::exchange(waiter.queued_, true)) return;
  queue_.push_back(&waiter);
}

// What is queued by those that run now waits until the kernel has been asked again.
void Loop::run_queued() {
  running_.swap(queue_);
  for (Waiter* waiter : running_) {
    waiter->queued_ = false;
    if (waiter->watch_ == nullptr) {
      resume(waiter->who_);
    } else if (waiter->watch_->waiters[waiter->direction_] == waiter) {
      go_on(*waiter->watch_, static_cast<Watch::Direction>(waiter->direction_));
    }
  }
  running_.clear();
}

void Loop::enlist(std::int64_t until, Waiter& sleeper) {
  const auto later =
      std::find_if(sleepers_.begin(), sleepers_.end(), [&](const auto& each) { return each.first > until; });
  const bool is_next = later == sleepers_.begin();
  sleepers_.emplace(later, until, &sleeper);
  if (is_next) set_timer();
}

void Loop::set_timer() noexcept {
  const std::int64_t until = std::max<std::int64_t>(sleepers_.front().first, 1);  // 0 would mean never
  itimerspec at{};
  at.it_value = {until / kSecondNs, until % kSecondNs};
  (void)::timerfd_settime(timer_, TFD_TIMER_ABSTIME, &at, nullptr);
}

void Loop::wake_sleepers() {
  const std::int64_t now = steady_ns();
  const auto still =
      std::find_if(sleepers_.begin(), sleepers_.end(), [&](const auto& each) { return each.first > now; });
  std::for_each(sleepers_.begin(), still, [&](const auto& each) { enqueue(*each.second); });
  sleepers_.erase(sleepers_.begin(), still);
  if (!sleepers_.empty()) set_timer();
}

void Loop::post(std::function<void()> work) {
  const std::lock_guard lock(posted_mutex_);
  posted_.push_back(std::move(work));
  const std::uint64_t one = 1;
  if (posted_.size() == 1) (void)!::write(wakeup_, &one, sizeof one);
}

void Loop::run_posted() {
  std::uint64_t count = 0;
  (void)!::read(wakeup_, &count, sizeof count);
  std::vector<std::function<void()>> all;
  {
    const std::lock_guard lock(posted_mutex_);
    all.swap(posted_);
  }
  for (const auto& work : all) work();
}

void Loop::spawn(Task<void> task, std::function<void(const std::exception_ptr&)> at_end) {
  run_root(*this, std::move(task), std::move(at_end));
}

bool Loop::add(int fd, std::uint32_t events, void* what) noexcept {
  epoll_event event{};
  event.events = events;
  event.data.ptr = what;
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
}

Watch* Loop::watch(int fd) noexcept {
  std::unique_ptr<Watch> watch(new (std::nothrow) Watch{.loop = *this, .fd = fd});
  if (watch == nullptr) errno = ENOMEM;
  if (watch == nullptr || !add(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, watch.get())) return nullptr;
  return watch.release();
}

void Loop::unwatch(Watch* watch) noexcept {
  if (!ending_) watch->cancel();
  ::close(std::exchange(watch->fd, -1));  // which takes it out of the epoll set
  closed_.push_back(watch);
}

}  // namespace tollgate::net
