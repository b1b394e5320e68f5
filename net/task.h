// A coroutine that one other waits for: lazy, on one thread, its frame from FramePool. Whoever awaits it runs it on the
// spot; where it ends without having waited, nothing is suspended at all. A function that mostly has its result at once
// is no coroutine and returns a Task that is done. It knows no loop and no sockets.
#pragma once

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/frame_pool.h"

namespace tollgate::net {

// Who goes on when the coroutine that runs now has given up the thread: set where one ends, taken by resume(). Ends do
// not call their waiters, so no stack grows with what ends at once and no frame is freed while it is still running.
inline constinit thread_local std::coroutine_handle<> next_to_resume{};

// Runs `who` until it waits or ends, then whoever waited for its end, and so on. Not from within a coroutine, but for
// one that nobody waits for.
inline void resume(std::coroutine_handle<> who) {
  while (who) {
    who.resume();
    who = std::exchange(next_to_resume, {});
  }
}

struct FrameAllocation {
  static void* operator new(std::size_t size) { return FramePool::take(size); }
  static void operator delete(void* frame, std::size_t size) noexcept { FramePool::give_back(frame, size); }
};

class TaskPromise : public FrameAllocation {
 public:
  struct End {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
      const TaskPromise& promise = ended.promise();
      if (promise.others_left_ == nullptr || --*promise.others_left_ == 0) next_to_resume = promise.waiter_;
    }
    void await_resume() const noexcept {}
  };

  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  [[nodiscard]] End final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { failure_ = std::current_exception(); }

  // `others_left`, if any, is counted down at the end, and only who makes it 0 wakes the waiter.
  void is_awaited_by(std::coroutine_handle<> waiter, int* others_left = nullptr) noexcept {
    waiter_ = waiter;
    others_left_ = others_left;
  }

 protected:
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::coroutine_handle<> waiter_;
  int* others_left_ = nullptr;
  std::exception_ptr failure_;
};

template <class T>
class [[nodiscard]] Task;
struct Done {};  // what a Task<void> without a coroutine is made of

template <class T>
class ResultPromise : public TaskPromise {
 public:
  Task<T> get_return_object() noexcept;
  template <class Value>
  void return_value(Value&& value) {
    value_.emplace(std::forward<Value>(value));
  }
  [[nodiscard]] T take() {
    rethrow();
    return *std::move(value_);
  }

 private:
  std::optional<T> value_;
};

template <>
class ResultPromise<void> : public TaskPromise {
 public:
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void take() const { rethrow(); }
};

template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = ResultPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;
  using Value = std::conditional_t<std::is_void_v<T>, Done, T>;

  explicit Task(Handle handle) noexcept : handle_(handle) {}
  Task(Value value) noexcept : value_(std::move(value)) {}  // done already // NOLINT(google-explicit-constructor)
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})), value_(std::move(other.value_)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  // Runs it until it waits. True: it has ended.
  bool start() {
    if (!handle_) return true;
    handle_.resume();
    return handle_.done();
  }
  [[nodiscard]] bool done() const noexcept { return !handle_ || handle_.done(); }
  [[nodiscard]] promise_type& promise() const noexcept { return handle_.promise(); }

  // Awaited once.
  bool await_ready() { return start(); }
  void await_suspend(std::coroutine_handle<> waiter) noexcept { promise().is_awaited_by(waiter); }
  T await_resume() {
    if (handle_) return promise().take();
    if constexpr (!std::is_void_v<T>) return std::move(value_);
  }

 private:
  Handle handle_;  // nullptr: done, with value_
  [[no_unique_address]] Value value_{};
};

template <class T>
Task<T> ResultPromise<T>::get_return_object() noexcept {
  return Task<T>(Task<T>::Handle::from_promise(*this));
}
inline Task<void> ResultPromise<void>::get_return_object() noexcept {
  return Task<void>(Task<void>::Handle::from_promise(*this));
}

// Runs both side by side, the first one first, and ends when both have ended: `Both both(a(), b()); co_await both;`.
class [[nodiscard]] Both {
 public:
  Both(Task<void> first, Task<void> second) noexcept : first_(std::move(first)), second_(std::move(second)) {}

  bool await_ready() {
    const bool first_ended = first_.start();
    const bool second_ended = second_.start();
    return first_ended && second_ended;
  }
  // What the second did may have ended the first meanwhile: never at once, but by the loop.
  void await_suspend(std::coroutine_handle<> waiter) noexcept {
    for (Task<void>* task : {&first_, &second_}) {
      if (task->done()) continue;
      ++left_;
      task->promise().is_awaited_by(waiter, &left_);
    }
  }
  void await_resume() {
    first_.await_resume();
    second_.await_resume();
  }

 private:
  Task<void> first_;
  Task<void> second_;
  int left_ = 0;
};

}  // namespace tollgate::net
