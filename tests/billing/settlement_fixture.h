// A core with usage to report and a clock that runs what is due. It holds no test of its own.
#pragma once

#include <string>

#include "tests/billing/core_fixture.h"

namespace tollgate::billing {

class SettlementTest : public CoreTest {
 protected:
  SettlementTest() { epoch = core->open_epoch("gw-1"); }

  // acme's paid subscription to `service`; image-segmentation costs 16 points a call.
  void subscribe(const std::string& service, std::string_view model = "image-segmentation",
                 std::optional<std::string> plan = std::nullopt) {
    ASSERT_TRUE(core->put_account("acme", "Acme").has_value());
    ASSERT_TRUE(core->put_service(service, model, "{}").has_value());
    const auto put = core->put_subscription("acme", service, true, std::move(plan));
    ASSERT_TRUE(put.has_value()) << put.error().message;
  }
  // One gateway's total of an hour.
  void use(std::string_view service, std::string_view hour, std::int64_t billable, std::int64_t calls = 1) {
    const auto merged =
        core->merge("gw-1", epoch, {{"acme", std::string(service), hour_of(at(hour)), totals(calls, 0, 0, billable)}});
    ASSERT_TRUE(merged.has_value()) << merged.error().message;
  }
  void run(std::string_view now) {
    clock.set(at(now));
    const auto done = core->run_due(clock.now());
    ASSERT_TRUE(done.has_value()) << done.error().message;
    ASSERT_EQ(done->failures, 0) << done->failure;
  }
  Subscription subscription(std::string_view service) { return core->subscription("acme", service).value(); }

  std::uint32_t epoch = 0;
};

}  // namespace tollgate::billing
