#include "gateway/billing_thread.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <exception>

#include "base/check.h"
#include "base/time_slice.h"

namespace tollgate::gateway {
BillingThread::BillingThread() : open_(boost::asio::make_work_guard(context_)) {
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "billing");
    take_long_time_slices();  // a settlement or a long report is no reason for a call to wait
    run_context();
  });
}

void BillingThread::run_context() {
  for (;;) {
    try {
      context_.run();
      return;
    } catch (const std::exception& error) {  // of a timer or coroutine on context(); what is queued goes on
      spdlog::error("billing thread: {}", error.what());
    }
  }
}

BillingThread::~BillingThread() { stop(); }

void BillingThread::post(std::function<void()> work) {
  boost::asio::post(context_, [work = std::move(work)] {
    try {
      work();
    } catch (const std::exception& error) {
      spdlog::error("billing thread: {}", error.what());
    }
  });
}

void BillingThread::stop() {
  if (!thread_.joinable()) return;
  TOLLGATE_CHECK(thread_.get_id() != std::this_thread::get_id());
  open_.reset();
  thread_.join();
}

}  // namespace tollgate::gateway
