// Purchases, settlement by the clock, bills, what explains them, quotes, migration and the outbox, through the admin
// API and against the real core.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "gateway/app_outbox.h"
#include "tests/gateway/admin_fixture.h"

namespace tollgate::gateway {
namespace {
using testing::HasSubstr;

class AdminBilling : public AdminTest {
 protected:
  static constexpr auto kSubscription = "/v1/accounts/acme/subscriptions/classify";

  void SetUp() override {
    AdminTest::SetUp();
    make_subscribed_account(true);
    epoch_ = call("POST", "/v1/gateways/gw-7/epochs").json().at("epoch").as_int64();
  }
  void deposit(std::string_view amount) {
    const auto body = fmt::format(R"({{"amount":"{}","kind":"cash"}})", amount);
    ASSERT_EQ(pay("/v1/accounts/acme/deposits", body, random_id("d")).status, 201U);
  }
  void use(std::string_view hour, std::int64_t points) {
    const auto body = fmt::format(
        R"({{"gateway":"gw-7","epoch":{},"totals":[{{"account":"acme","service":"classify","hour":"{}",)"
        R"("calls_succeeded":1,"calls_failed":0,"calls_unmetered":0,"free_points":0,"billable_points":{}}}]}})",
        epoch_, hour, points);
    ASSERT_EQ(call("POST", "/v1/usage", body).status, 204U);
  }
  void move_to(std::string_view now) {
    const auto answer = call("POST", "/v1/clock", fmt::format(R"({{"now":"{}"}})", now));
    ASSERT_EQ(answer.status, 200U) << answer.body;
  }
  std::int64_t epoch_ = 0;
};

TEST_F(AdminBilling, APackageIsBoughtOnceAndShown) {
  const auto path = std::string(kSubscription) + "/packages";
  EXPECT_EQ(pay(path, R"({"points":200000})", "p0").status, 402U);
  deposit("200");
  EXPECT_EQ(call("POST", path, R"({"points":200000})").text("code"), "idempotency_key_required");
  const auto bought = pay(path, R"({"points":200000})", "p1");
  ASSERT_EQ(bought.status, 201U) << bought.body;
  EXPECT_EQ(bought.text("price"), "180.00");
  EXPECT_EQ(bought.json().at("points_left"), 200'000);
  EXPECT_EQ(bought.text("expires_at"), "2022-08-21T00:00:00+08:00");
  EXPECT_EQ(pay(path, R"({"points":200000})", "p1").body, bought.body);
  EXPECT_EQ(call("GET", "/v1/accounts/acme").text("cash"), "20.00");
  const auto packages = call("GET", kSubscription).json().at("packages").as_array();
  ASSERT_EQ(packages.size(), 1U);
  EXPECT_EQ(packages[0].at("id"), bought.json().at("id"));
  EXPECT_EQ(pay(path, R"({"points":"200000"})", "p2").text("field"), "points");
  EXPECT_EQ(pay(path, R"({"points":0})", "p3").text("field"), "points");
}

TEST_F(AdminBilling, APurchaseNeedsAPaidSubscription) {
  deposit("1000");
  call("PUT", kSubscription, R"({"paid":false})");
  EXPECT_EQ(pay(std::string(kSubscription) + "/packages", R"({"points":200000})", "p1").status, 409U);
  EXPECT_EQ(call("GET", "/v1/accounts/acme").text("cash"), "1000.00");
}

TEST_F(AdminBilling, CountPacksAreNotSoldAnyMore) {
  deposit("1000");
  const auto refused = pay(std::string(kSubscription) + "/count-packs", R"({"calls":10000})", "c1");
  EXPECT_EQ(refused.status, 410U) << refused.body;
}

TEST_F(AdminBilling, AnHourIsSettledWhenTheClockReachesItsEnd) {
  deposit("10");
  use("2021-08-20T10:00:00+08:00", 12'000);
  move_to("2021-08-20T10:59:59+08:00");
  EXPECT_EQ(call("GET", "/v1/accounts/acme").text("cash"), "10.00");
  move_to("2021-08-20T11:00:00+08:00");
  const auto account = call("GET", "/v1/accounts/acme");
  EXPECT_EQ(account.text("cash"), "-2.00");
  EXPECT_EQ(account.text("state"), "arrears");
  const auto usage =
      call("GET", "/v1/accounts/acme/usage?from=2021-08-20T10:00:00%2B08:00&to=2021-08-20T11:00:00%2B08:00");
  EXPECT_EQ(usage.json().at("items").at(0).at("settled"), 12'000);
  EXPECT_EQ(call("GET", kSubscription).json().at("month_points"), 12'000);
  EXPECT_EQ(call("GET", "/v1/audit").json().at("ok"), true);
}

TEST_F(AdminBilling, ABillLeadsToItsTransfersAndTheirUsage) {
  deposit("100");
  use("2021-08-20T10:00:00+08:00", 5'000);
  move_to("2021-08-20T11:00:00+08:00");
  const auto bill = call("GET", "/v1/accounts/acme/bills?month=2021-08");
  ASSERT_EQ(bill.status, 200U) << bill.body;
  EXPECT_EQ(bill.text("total"), "5.00");
  const auto line = bill.json().at("lines").at(0);
  EXPECT_EQ(line.at("kind"), "tier");
  EXPECT_EQ(line.at("points"), 5'000);
  EXPECT_EQ(line.at("unit_price"), "0.001");
  const auto transfer = line.at("transfers").at(0).as_int64();
  const auto explained = call("GET", fmt::format("/v1/accounts/acme/transfers/{}/explain", transfer));
  ASSERT_EQ(explained.status, 200U) << explained.body;
  EXPECT_EQ(explained.json().at("transfer").at("id"), transfer);
  const auto settlement = explained.json().at("settlements").at(0);
  EXPECT_EQ(settlement.at("hour"), "2021-08-20T10:00:00+08:00");
  EXPECT_EQ(settlement.at("reported").at(0).at("gateway"), "gw-7");
  const auto line_id = boost::json::value_to<std::string>(line.at("id"));
  const auto of_line = call("GET", "/v1/accounts/acme/bills/explain?month=2021-08&line=" + line_id);
  ASSERT_EQ(of_line.status, 200U) << of_line.body;
  EXPECT_EQ(of_line.json().at("settlements").at(0).at("reference"), settlement.at("reference"));
}

TEST_F(AdminBilling, ABillHasAMonthAndAFormat) {
  const auto path = std::string("/v1/accounts/acme/bills");
  EXPECT_EQ(call("GET", path).text("field"), "month");
  for (const auto* month : {"2021-13", "2021-8", "august", ""}) {
    EXPECT_EQ(call("GET", path + "?month=" + month).text("field"), "month") << month;
  }
  EXPECT_EQ(call("GET", path + "?month=2021-08&format=xml").text("field"), "format");
  EXPECT_EQ(call("GET", "/v1/accounts/nobody/bills?month=2021-08").status, 404U);
  const auto empty = call("GET", path + "?month=2020-02&format=csv");
  EXPECT_EQ(empty.status, 200U);
  EXPECT_TRUE(empty.headers.at("content-type").starts_with("text/csv"));
  EXPECT_THAT(empty.body, HasSubstr(",total,"));
  EXPECT_EQ(call("GET", path + "/explain?month=2021-08").text("field"), "line");
  EXPECT_EQ(call("GET", path + "/explain?month=2021-08&line=none").status, 404U);
  for (const auto* transfer : {"999", "x", "99999999999999999999"}) {
    EXPECT_EQ(call("GET", fmt::format("/v1/accounts/acme/transfers/{}/explain", transfer)).status, 404U) << transfer;
  }
}

TEST_F(AdminBilling, AQuoteIsThePageSOwn) {
  const auto quote = [&](std::string_view body) { return call("POST", "/v1/quotes", body); };
  const auto page = quote(R"({"model":"object-detection/high-performance","points":2000000})");
  ASSERT_EQ(page.status, 200U) << page.body;
  EXPECT_EQ(page.text("total"), "1800.00");
  EXPECT_EQ(page.json().at("lines").as_array().size(), 2U);
  EXPECT_EQ(quote(R"({"model":"object-detection/high-performance","calls":1000})").text("total"), "5.00");
  EXPECT_EQ(quote(R"({"model":"none","points":1})").text("field"), "model");
  EXPECT_EQ(quote(R"({"model":"video-classification"})").text("field"), "points");
  EXPECT_EQ(quote(R"({"model":"video-classification","points":1,"calls":1})").text("field"), "calls");
  EXPECT_EQ(quote(R"({"model":"video-classification","points":1,"month_points":-1})").text("field"), "month_points");
}

TEST_F(AdminBilling, AMigrationNamesAPlanThatIsAnother) {
  const auto path = std::string(kSubscription) + "/migrate";
  EXPECT_EQ(call("POST", path, R"({"plan":"points-2021-08-20"})").status, 409U);
  EXPECT_EQ(call("POST", path, R"({"plan":"none"})").text("field"), "plan");
  EXPECT_EQ(call("POST", path, "{}").text("field"), "plan");
}

// ---- the outbox ----

class OutboxTest : public AdminBilling {
 protected:
  void fall_into_arrears() {
    use("2021-08-20T10:00:00+08:00", 1'000);
    move_to("2021-08-20T11:00:00+08:00");
  }
  boost::json::value notification() { return call("GET", "/v1/notifications").json().at("items").at(0); }
  // Until the attempt is on record.
  void wait_for(std::int64_t attempts, const char* state) {
    boost::json::value shown;
    do {
      shown = notification();
    } while (shown.at("attempts").as_int64() != attempts || shown.at("state").as_string() != state);
  }
};

TEST_F(OutboxTest, WithoutAWebhookTheLogDelivers) {
  Outbox outbox(
      *core_, *billing_, [&] { return clock_.now(); }, nullptr);
  fall_into_arrears();
  EXPECT_EQ(notification().at("state"), "pending");
  billing_->post([&] { outbox.deliver_due(); });
  while (notification().at("state") != "delivered") continue;
  EXPECT_EQ(notification().at("kind"), "arrears_notice");
  EXPECT_EQ(outbox.delivered(billing::NotificationKind::arrears_notice), 1);
  EXPECT_EQ(call("GET", "/v1/notifications?after=nonsense").status, 400U);
}

TEST_F(OutboxTest, AFailureWaitsAndIsTriedAgain) {
  // The address is not public, so no attempt leaves the machine.
  WebhookOptions options{parse_webhook_url("http://127.0.0.1:1/").value(), "secret", false, std::chrono::seconds(30)};
  const SystemClock world;
  Outbox outbox(
      *core_, *billing_, [&] { return clock_.now(); }, std::make_unique<Webhook>(options, world));
  fall_into_arrears();
  billing_->post([&] { outbox.deliver_due(); });
  wait_for(1, "pending");
  EXPECT_THAT(boost::json::value_to<std::string>(notification().at("last_error")), HasSubstr("not public"));
  EXPECT_EQ(outbox.failed(billing::NotificationKind::arrears_notice), 1);
  move_to("2021-08-20T12:00:00+08:00");
  billing_->post([&] { outbox.deliver_due(); });
  wait_for(2, "pending");
  outbox.stop();
}

}  // namespace
}  // namespace tollgate::gateway
