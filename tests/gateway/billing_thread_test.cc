#include "gateway/billing_thread.h"

#include <gtest/gtest.h>

#include <boost/asio/use_future.hpp>
#include <optional>
#include <stdexcept>

#include "base/time_slice.h"

namespace tollgate::gateway {
namespace {

struct Seen {
  std::thread::id worked_on;
  std::thread::id resumed_on;
  int result = 0;
};

boost::asio::awaitable<Seen> ask(BillingThread& billing) {
  Seen seen;
  auto work = [&seen] {
    seen.worked_on = std::this_thread::get_id();
    return 7;
  };
  seen.result = co_await billing.run(work);
  seen.resumed_on = std::this_thread::get_id();
  co_return seen;
}

boost::asio::awaitable<int> ask_what_throws(BillingThread& billing) {
  auto work = []() -> int { throw std::runtime_error("broken"); };
  co_return co_await billing.run(work);
}

TEST(BillingThread, RunsTheWorkThereAndResumesTheCallerHere) {
  BillingThread billing;
  boost::asio::io_context here;
  auto answer = boost::asio::co_spawn(here, ask(billing), boost::asio::use_future);
  here.run();
  const Seen seen = answer.get();
  EXPECT_EQ(seen.result, 7);
  EXPECT_EQ(seen.resumed_on, std::this_thread::get_id());
  EXPECT_NE(seen.worked_on, std::this_thread::get_id());
}

TEST(BillingThread, ExceptionsOfWorkReachTheCallerAndEndNothing) {
  BillingThread billing;
  boost::asio::io_context here;
  auto answer = boost::asio::co_spawn(here, ask_what_throws(billing), boost::asio::use_future);
  here.run();
  EXPECT_THROW(answer.get(), std::runtime_error);
  billing.post([] { throw std::runtime_error("nobody waits"); });
  boost::asio::post(billing.context(), [] { throw std::runtime_error("past post()"); });
  bool ran = false;
  billing.post([&] { ran = true; });
  billing.stop();
  EXPECT_TRUE(ran);
}

TEST(BillingThread, StopFinishesWhatWasPosted) {
  int ran = 0;
  {
    BillingThread billing;
    for (int i = 0; i < 1000; ++i) billing.post([&] { ++ran; });
  }
  EXPECT_EQ(ran, 1000);
}

TEST(BillingThread, WhoeverWakesOnItsCoreGoesFirst) {
  const auto others = time_slice();
  if (!others) GTEST_SKIP() << "this kernel has no time slices of a thread's own";
  BillingThread billing;
  std::optional<std::chrono::nanoseconds> its;
  billing.post([&] { its = time_slice(); });
  billing.stop();
  EXPECT_GT(its, others);
}

}  // namespace
}  // namespace tollgate::gateway
