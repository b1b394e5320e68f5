// The one thread on which everything of the billing core runs, and the ways to it from other threads.
// It does not know what it runs; whoever posts is answerable for the work being short.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <thread>
#include <type_traits>
#include <utility>

namespace tollgate::gateway {

class BillingThread {
 public:
  BillingThread();   // runs at once
  ~BillingThread();  // stop()
  BillingThread(const BillingThread&) = delete;
  BillingThread& operator=(const BillingThread&) = delete;

  // Runs `work` after what was posted before. Any thread. What it throws is logged and goes no further.
  void post(std::function<void()> work);

  // Runs `work` on the billing thread and gives its result back on the caller's executor, where an exception of
  // `work` surfaces too. Its result must be default-constructible. Never after stop(): it would not come back.
  template <class Work>
  boost::asio::awaitable<std::invoke_result_t<Work&>> run(Work work) {
    auto call = calling(std::move(work));
    co_return co_await boost::asio::co_spawn(context_, std::move(call), boost::asio::use_awaitable);
  }

  // For timers and coroutines that live on the billing thread.
  [[nodiscard]] boost::asio::io_context& context() noexcept { return context_; }

  // Finishes what was posted and joins; timers of context() must have been cancelled. Not from the thread itself.
  void stop();

 private:
  template <class Work>
  static boost::asio::awaitable<std::invoke_result_t<Work&>> calling(Work work) {
    co_return work();
  }

  void run_context();

  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> open_;
  std::thread thread_;
};

}  // namespace tollgate::gateway
