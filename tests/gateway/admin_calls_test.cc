// The calls of the admin API, one by one, against the real core.
#include <fmt/format.h>

#include "tests/gateway/admin_fixture.h"

namespace tollgate::gateway {
namespace {

using AdminCalls = AdminTest;

class AdminCallsOnTheSystemClock : public AdminTest {
 protected:
  AdminCallsOnTheSystemClock() : AdminTest(false) {}
};

TEST_F(AdminCalls, AServiceComesBackAsItWasPut) {
  const auto body =
      R"({"model":"video-classification","upstreams":["h:1"],"route":{"path_prefix":"/s/"},"capacity":5})";
  EXPECT_EQ(call("PUT", "/v1/services/stream", body).status, 200U);
  EXPECT_EQ(call("PUT", "/v1/services/stream", body).status, 200U);
  EXPECT_EQ(call("PUT", "/v1/services/other", body).text("code"), "route_taken");
  const auto answer = call("GET", "/v1/services/stream").json();
  EXPECT_EQ(answer.at("id"), "stream");
  EXPECT_EQ(answer.at("route").at("path_prefix"), "/s");
  EXPECT_EQ(answer.at("capacity"), 5);
  EXPECT_EQ(answer.at("limit_by"), "concurrency");
  EXPECT_EQ(call("GET", "/v1/services").json().at("items").as_array().size(), 1U);
  EXPECT_EQ(call("DELETE", "/v1/services/stream").status, 204U);
  EXPECT_EQ(call("GET", "/v1/services/stream").status, 404U);
  EXPECT_EQ(call("PUT", "/v1/services/stream", R"({"model":"none","upstreams":["h:1"],"route":{"path_prefix":"/"}})")
                .text("field"),
            "model");
}

TEST_F(AdminCalls, IdsHaveOneForm) {
  EXPECT_EQ(call("PUT", "/v1/accounts/Acme", R"({"name":"a"})").text("field"), "account");
  EXPECT_EQ(call("PUT", "/v1/accounts/a%20b", R"({"name":"a"})").status, 400U);
  EXPECT_EQ(call("GET", "/v1/accounts/Acme").status, 404U);
  EXPECT_EQ(call("POST", "/v1/gateways/Bad_Name/epochs").text("field"), "gateway");
}

TEST_F(AdminCalls, AccountsListInPages) {
  for (const auto* id : {"a", "b", "c"}) call("PUT", fmt::format("/v1/accounts/{}", id), R"({"name":"文"})");
  const auto first = call("GET", "/v1/accounts?limit=2").json();
  EXPECT_EQ(first.at("items").as_array().size(), 2U);
  const auto next = boost::json::value_to<std::string>(first.at("next"));
  const auto second = call("GET", "/v1/accounts?limit=2&after=" + next).json();
  EXPECT_EQ(second.at("items").at(0).at("id"), "c");
  EXPECT_TRUE(second.at("next").is_null());
  EXPECT_EQ(second.at("items").at(0).at("created_at"), "2021-08-20T10:30:00+08:00");
}

TEST_F(AdminCalls, WhatIsNoCursorIsRefusedByEveryList) {
  make_subscribed_account(true);
  for (const auto* list : {"/v1/services", "/v1/accounts", "/v1/accounts/acme/keys", "/v1/accounts/acme/subscriptions",
                           "/v1/accounts/acme/transfers", "/v1/notifications"}) {
    for (const auto* after : {"ZZ!", ""}) {
      const auto answer = call("GET", fmt::format("{}?after={}", list, after));
      EXPECT_EQ(answer.status, 400U) << list;
      EXPECT_EQ(answer.text("field"), "after") << list;
    }
  }
  EXPECT_EQ(call("GET", "/v1/accounts?after=acme").status, 200U);
}

TEST_F(AdminCalls, NullIsAsGoodAsAbsent) {
  make_subscribed_account(true);
  EXPECT_EQ(call("POST", "/v1/accounts/acme/keys", R"({"name":"laptop","expires_at":null})").status, 201U);
  EXPECT_EQ(pay("/v1/accounts/acme/deposits", R"({"amount":"1.00","kind":"voucher","expires_at":null})", "k").status,
            201U);
  EXPECT_EQ(call("PUT", "/v1/accounts/acme/subscriptions/classify", R"({"paid":true,"plan":null})").status, 200U);
  EXPECT_EQ(call("POST", "/v1/quotes",
                 R"({"model":"image-classification/high-performance","points":5,"calls":null,"plan":null})")
                .status,
            200U);
  EXPECT_EQ(call("PUT", "/v1/accounts/acme", R"({"name":null})").text("field"), "name");
}

TEST_F(AdminCalls, AnEpochOfZeroWasNeverGivenOut) {
  const auto report = [&](std::string_view epoch) {
    return call("POST", "/v1/usage", fmt::format(R"({{"gateway":"gw-2","epoch":{},"totals":[]}})", epoch));
  };
  EXPECT_EQ(report("0").status, 409U);
  EXPECT_EQ(report("0").text("code"), "unknown_epoch");
  for (const auto* epoch : {"-1", "1.5", "\"0\"", "null"}) EXPECT_EQ(report(epoch).text("field"), "epoch") << epoch;
}

TEST_F(AdminCalls, WhoMeasuresTheBooksHearsOfEveryChangeAndAudit) {
  int changes = 0;  // both on the billing thread, before the answer
  std::int64_t broken = -1;
  options_.changed = [&] { ++changes; };
  options_.audited = [&](std::int64_t count) { broken = count; };
  serve();
  EXPECT_EQ(call("PUT", "/v1/accounts/acme", R"({"name":"a"})").status, 200U);
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(pay("/v1/accounts/acme/deposits", R"({"amount":"1.00","kind":"cash"})", "k").status, 201U);
  EXPECT_EQ(changes, 2);
  EXPECT_EQ(pay("/v1/accounts/acme/deposits", R"({"amount":"1.00","kind":"cash"})", "k").status, 201U);
  EXPECT_EQ(call("PUT", "/v1/accounts/acme", R"({"name":5})").status, 400U);
  EXPECT_EQ(call("GET", "/v1/accounts/acme").status, 200U);
  EXPECT_EQ(changes, 2) << "neither by a repetition, nor by a refusal, nor by a look";
  EXPECT_EQ(broken, -1);
  EXPECT_EQ(call("GET", "/v1/audit").status, 200U);
  EXPECT_EQ(broken, 0);
}

TEST_F(AdminCalls, AKeyIsShownOnceAndRevokedOnce) {
  call("PUT", "/v1/accounts/acme", R"({"name":"a"})");
  const auto created =
      call("POST", "/v1/accounts/acme/keys", R"({"name":"laptop","expires_at":"2022-01-01T00:00:00Z"})");
  EXPECT_EQ(created.status, 201U);
  EXPECT_TRUE(looks_like_api_key(created.text("key")));
  EXPECT_EQ(call("POST", "/v1/accounts/acme/keys").status, 201U);
  const auto listed = call("GET", "/v1/accounts/acme/keys");
  EXPECT_EQ(listed.json().at("items").as_array().size(), 2U);
  EXPECT_EQ(listed.body.find(created.text("key")), std::string::npos);
  const auto path = "/v1/accounts/acme/keys/" + created.text("id");
  const auto gone = call("DELETE", path);
  EXPECT_EQ(gone.status, 204U);
  EXPECT_EQ(gone.body, "");
  EXPECT_EQ(call("DELETE", path).status, 404U);
}

TEST_F(AdminCalls, MoneyMovesOncePerIdempotencyKey) {
  call("PUT", "/v1/accounts/acme", R"({"name":"a"})");
  const auto path = "/v1/accounts/acme/deposits";
  const auto first = pay(path, R"({"amount":"12.5","kind":"cash"})", "k1");
  EXPECT_EQ(first.status, 201U);
  EXPECT_EQ(first.json().at("account").at("cash"), "12.50");
  EXPECT_EQ(first.headers.count("idempotency-replayed"), 0U);
  const auto again = pay(path, R"({ "kind" : "cash", "amount" : "12.5" })", "k1");
  EXPECT_EQ(again.body, first.body);
  EXPECT_EQ(again.status, 201U);
  EXPECT_EQ(again.headers.at("idempotency-replayed"), "true");
  EXPECT_EQ(pay(path, R"({"amount":"12.50","kind":"cash"})", "k1").status, 422U);
  EXPECT_EQ(call("GET", "/v1/accounts/acme").text("cash"), "12.50");
  EXPECT_EQ(call("GET", "/v1/accounts/acme/transfers").json().at("items").at(0).at("amount"), "12.50");
}

TEST_F(AdminCalls, MoneyNeedsAnIdempotencyKeyOfTheRightForm) {
  call("PUT", "/v1/accounts/acme", R"({"name":"a"})");
  const auto path = "/v1/accounts/acme/deposits";
  const auto body = R"({"amount":"1","kind":"cash"})";
  for (const auto& more : {std::string(), std::string("Idempotency-Key: \r\n"), std::string("Idempotency-Key: a b\r\n"),
                           std::string("Idempotency-Key: a\r\nIdempotency-Key: b\r\n"),
                           "Idempotency-Key: " + std::string(256, 'k') + "\r\n"}) {
    EXPECT_EQ(call("POST", path, body, more).text("code"), "idempotency_key_required") << more;
  }
  EXPECT_EQ(pay(path, body, std::string(255, 'k')).status, 201U);
}

TEST_F(AdminCalls, AKeyWhoseFirstRequestRunsIsInUse) {
  call("PUT", "/v1/accounts/acme", R"({"name":"a"})");
  std::promise<void> hold;
  billing_->post([&] { hold.get_future().wait(); });
  const auto text =
      request_text("POST", "/v1/accounts/acme/deposits", R"({"amount":"1","kind":"cash"})", "Idempotency-Key: k\r\n");
  const auto send = [&] {
    Client client(server_->port());
    client.send(text);
    return client.receive();
  };
  std::future<Answer> answers[] = {std::async(std::launch::async, send), std::async(std::launch::async, send)};
  // Only the one that came second can be answered while the billing thread is held.
  std::size_t second = 0;
  while (answers[second].wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) second = 1 - second;
  EXPECT_EQ(answers[second].get().text("code"), "idempotency_key_in_use");
  hold.set_value();
  EXPECT_EQ(answers[1 - second].get().status, 201U);
}

TEST_F(AdminCalls, AmountsAreStringsAndCashHasNoExpiry) {
  call("PUT", "/v1/accounts/acme", R"({"name":"a"})");
  const auto path = "/v1/accounts/acme/deposits";
  for (const auto* amount : {"1", "1.5", "null", "\"0\"", "\"-1\"", "\"1.0000001\"", "\"1000000001\""}) {
    const auto answer = pay(path, fmt::format(R"({{"amount":{},"kind":"cash"}})", amount), random_id("k"));
    EXPECT_EQ(answer.status, 400U) << amount;
    EXPECT_EQ(answer.text("field"), "amount") << amount;
  }
  EXPECT_EQ(pay(path, R"({"amount":"1","kind":"cash","expires_at":"2022-01-01T00:00:00Z"})", "k2").text("field"),
            "expires_at");
  EXPECT_EQ(pay(path, R"({"amount":"1"})", "k3").text("field"), "kind");
}

TEST_F(AdminCalls, ASubscriptionShowsWhatItHasNow) {
  make_subscribed_account(true);
  const int flushes = traffic_.flushes;
  const auto shown = call("GET", "/v1/accounts/acme/subscriptions/classify").json();
  EXPECT_GT(traffic_.flushes, flushes);
  EXPECT_EQ(shown.at("state"), "paid");
  EXPECT_EQ(shown.at("guarantee"), 10);
  EXPECT_EQ(shown.at("in_flight"), 3);
  EXPECT_EQ(shown.at("free_points_left"), 10'000);
  EXPECT_TRUE(shown.at("packages").as_array().empty());
  EXPECT_EQ(call("GET", "/v1/accounts/acme/subscriptions").json().at("items").as_array().size(), 1U);
  EXPECT_EQ(call("PUT", "/v1/accounts/acme/subscriptions/none", R"({"paid":true})").status, 404U);
  EXPECT_EQ(call("PUT", "/v1/accounts/acme/subscriptions/classify", R"({"paid":1})").text("field"), "paid");
}

TEST_F(AdminCalls, AQpsPackIsBoughtFromCash) {
  make_subscribed_account(true);
  const auto path = "/v1/accounts/acme/subscriptions/classify/qps-packs";
  const auto body =
      R"({"qps":5,"kind":"unlimited","starts_at":"2021-08-21T00:00:00+08:00","ends_at":"2021-08-22T00:00:00+08:00"})";
  EXPECT_EQ(pay(path, body, "p1").status, 402U);
  EXPECT_EQ(pay("/v1/accounts/acme/deposits", R"({"amount":"100000","kind":"cash"})", "d").status, 201U);
  EXPECT_EQ(pay(path, body, "p1").status, 402U) << "the first answer again";
  const auto bought = pay(path, body, "p2");
  EXPECT_EQ(bought.status, 201U);
  EXPECT_EQ(bought.text("kind"), "unlimited");
  EXPECT_EQ(pay(path, R"({"qps":0,"kind":"metered"})", "p3").text("field"), "qps");
  EXPECT_EQ(call("GET", "/v1/accounts/acme/subscriptions/classify").json().at("qps_packs").at(0).at("id"),
            bought.json().at("id"));
}

TEST_F(AdminCalls, ReportedUsageIsShownByHour) {
  make_subscribed_account(true);
  const auto epoch = call("POST", "/v1/gateways/gw-7/epochs");
  EXPECT_EQ(epoch.status, 201U);
  const auto report = [&](std::string_view hour, std::int64_t number) {
    return fmt::format(R"({{"gateway":"gw-7","epoch":{},"totals":[{{"account":"acme","service":"classify","hour":"{}",)"
                       R"("calls_succeeded":2,)"
                       R"("calls_failed":1,"calls_unmetered":0,"free_points":8,"billable_points":4}}]}})",
                       number, hour);
  };
  const auto number = epoch.json().at("epoch").as_int64();
  EXPECT_EQ(call("POST", "/v1/usage", report("2021-08-20T01:00:00Z", number)).status, 204U);
  EXPECT_EQ(call("POST", "/v1/usage", report("2021-08-20T01:00:00Z", number + 1)).status, 409U);
  EXPECT_EQ(call("POST", "/v1/usage", report("2021-08-20T01:30:00Z", number)).text("field"), "totals[0].hour");
  const auto usage =
      call("GET", "/v1/accounts/acme/usage?from=2021-08-20T00:00:00+08:00&to=2021-08-21T00:00:00%2B08:00").json();
  ASSERT_EQ(usage.at("items").as_array().size(), 1U);
  EXPECT_EQ(usage.at("items").at(0).at("hour"), "2021-08-20T09:00:00+08:00");
  EXPECT_EQ(usage.at("items").at(0).at("billable_points"), 4);
  EXPECT_EQ(call("GET", "/v1/accounts/acme/usage?to=2021-08-21T00:00:00Z").text("field"), "from");
}

TEST_F(AdminCalls, CatalogueAndAuditAreThere) {
  const auto catalog = call("GET", "/v1/catalog").json();
  EXPECT_EQ(catalog.at("models").as_array().size(), billing::Catalog::built_in().models().size());
  EXPECT_EQ(catalog.at("plans").at(0).at("id"), "points-2021-08-20");
  const auto audit = call("GET", "/v1/audit").json();
  EXPECT_EQ(audit.at("ok"), true);
  EXPECT_FALSE(audit.at("invariants").as_array().empty());
}

TEST_F(AdminCalls, TheManualClockGoesForwardAndRunsWhatIsDue) {
  std::string due;
  options_.run_due = [&](WallTime now) -> Result<void> {
    due = format_time(now);
    return {};
  };
  serve();
  EXPECT_EQ(call("GET", "/v1/clock").text("now"), "2021-08-20T10:30:00+08:00");
  EXPECT_EQ(call("POST", "/v1/clock", R"({"now":"2021-08-20T11:00:00+08:00"})").status, 200U);
  EXPECT_EQ(due, "2021-08-20T11:00:00+08:00");
  EXPECT_EQ(clock_.now(), *parse_time("2021-08-20T03:00:00Z"));
  EXPECT_EQ(call("POST", "/v1/clock", R"({"now":"2021-08-20T10:59:59+08:00"})").status, 200U) << "nothing has happened";
  call("PUT", "/v1/accounts/acme", R"({"name":"a"})");
  pay("/v1/accounts/acme/deposits", R"({"amount":"1","kind":"cash"})", "k");
  EXPECT_EQ(call("POST", "/v1/clock", R"({"now":"2021-08-20T10:59:58+08:00"})").text("code"), "clock_backwards");
  EXPECT_EQ(call("POST", "/v1/clock", R"({"now":"soon"})").text("field"), "now");
}

TEST_F(AdminCallsOnTheSystemClock, TheClockIsNotForUse) {
  EXPECT_EQ(call("GET", "/v1/clock").text("code"), "clock_not_manual");
  EXPECT_EQ(call("POST", "/v1/clock", R"({"now":"2021-08-20T11:00:00+08:00"})").text("code"), "clock_not_manual");
  EXPECT_EQ(call("POST", "/v1/clock", R"({"now":"2021-08-20T11:00:00+08:00"})").status, 409U);
}

}  // namespace
}  // namespace tollgate::gateway
