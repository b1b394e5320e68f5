// Accounts' own read-only tokens: every call of the admin API asked with one, from the table of routes itself.
#include <gmock/gmock.h>

#include "gateway/admin_routes.h"
#include "tests/gateway/admin_fixture.h"

namespace tollgate::gateway {
namespace {
using testing::HasSubstr;
using testing::Not;

// Two accounts that differ in nothing but their names, each subscribed to a service of its own.
class AdminAccountTokens : public AdminTest {
 protected:
  void SetUp() override {
    AdminTest::SetUp();
    for (const std::string account : {"acme", "other"}) {
      const std::string service =
          R"({"model":"image-segmentation","upstreams":["127.0.0.1:1"],"route":{"path_prefix":"/)" + account + R"("}})";
      ASSERT_EQ(call("PUT", "/v1/services/of-" + account, service).status, 200U);
      ASSERT_EQ(call("PUT", "/v1/accounts/" + account, R"({"name":"of )" + account + R"("})").status, 200U);
      ASSERT_EQ(call("PUT", "/v1/accounts/" + account + "/subscriptions/of-" + account, R"({"paid":true})").status,
                200U);
      ASSERT_EQ(pay("/v1/accounts/" + account + "/deposits", R"({"amount":"7","kind":"cash"})", account).status, 201U);
    }
    const auto made = call("POST", "/v1/accounts/acme/tokens", R"({"name":"console"})");
    ASSERT_EQ(made.status, 201U) << made.body;
    id_ = made.text("id");
    token_ = made.text("token");
  }

  Answer as(std::string_view token, std::string_view method, std::string_view target, std::string_view body = {}) {
    Client client(server_->port());
    client.send(request_text(method, target, body, "Authorization: Bearer " + std::string(token) + "\r\n", false));
    return client.receive();
  }
  Answer own(std::string_view target) { return as(token_, "GET", target); }

  std::string id_;
  std::string token_;
};

// The path of a route about `account`, with a query that the call takes.
std::string target_of(const AdminRoute& route, const std::string& account) {
  std::string path(route.pattern);
  const std::map<std::string, std::string> parts = {
      {"{account}", account}, {"{service}", "of-" + account}, {"{transfer}", account == "acme" ? "1" : "2"}};
  for (std::size_t begin = 0; (begin = path.find('{')) != std::string::npos;) {
    const auto end = path.find('}', begin) + 1;
    const auto part = parts.find(path.substr(begin, end - begin));
    path.replace(begin, end - begin, part == parts.end() ? "1" : part->second);
  }
  if (path.ends_with("/usage")) path += "?from=2021-08-20T00:00:00Z&to=2021-08-21T00:00:00Z";
  if (path.ends_with("/bills")) path += "?month=2021-08";
  return path;
}

TEST_F(AdminAccountTokens, ItReadsWhatIsItsOwnAndNothingElseAndChangesNothing) {
  int read = 0;
  for (const auto& route : admin_routes()) {
    SCOPED_TRACE(std::string(route.method) + " " + std::string(route.pattern));
    if (!route.pattern.starts_with("/v1/")) continue;
    const bool may = route.access == AdminAccess::own;
    EXPECT_FALSE(may && route.method != "GET") << "an account's token changes nothing";
    for (const std::string account : {"acme", "other", "nobody"}) {
      SCOPED_TRACE(account);
      const auto answer = as(token_, route.method, target_of(route, account));
      if (may && account == "acme") {
        const bool needs_line = route.pattern.ends_with("/bills/explain");
        EXPECT_EQ(answer.status, needs_line ? 400U : 200U) << answer.body;
        EXPECT_THAT(answer.body, Not(HasSubstr("other")));
        ++read;
      } else {
        EXPECT_EQ(answer.status, 403U) << answer.body;
        EXPECT_EQ(answer.text("code"), "not_allowed");
      }
    }
  }
  EXPECT_EQ(read, 10);
}

TEST_F(AdminAccountTokens, WhatIsOfOthersIsAsIfItWereNotThere) {
  const auto refusal = [&](const std::string& target) {
    const auto answer = own(target);
    return std::to_string(answer.status) + answer.body;
  };
  const std::string nothing = refusal("/v1/accounts/acme/subscriptions/no-such");
  EXPECT_THAT(nothing, HasSubstr("404"));
  EXPECT_EQ(refusal("/v1/accounts/acme/subscriptions/of-other"), nothing);
  EXPECT_EQ(refusal("/v1/accounts/acme/transfers/2/explain"), nothing);
  EXPECT_EQ(refusal("/v1/accounts/acme/transfers/99/explain"), nothing);
  const std::string usage = "/v1/accounts/acme/usage?from=2021-08-20T00:00:00Z&to=2021-08-21T00:00:00Z&service=";
  EXPECT_EQ(refusal(usage + "of-other"), nothing);
  EXPECT_EQ(refusal(usage + "no-such"), nothing);
  EXPECT_EQ(own(usage + "of-acme").status, 200U);
  EXPECT_EQ(refusal("/v1/accounts/other"), refusal("/v1/accounts/no-such"));
}

TEST_F(AdminAccountTokens, ItIsShownOnceAndListedWithoutIt) {
  EXPECT_EQ(token_.substr(0, 4), "tgr_");
  EXPECT_EQ(token_.size(), 40U);
  const auto listed = call("GET", "/v1/accounts/acme/tokens");
  EXPECT_THAT(listed.body, Not(HasSubstr(token_)));
  const auto item = listed.json().at("items").as_array().at(0).as_object();
  EXPECT_EQ(item.at("id"), boost::json::value(id_));
  EXPECT_EQ(item.at("name"), "console");
  EXPECT_EQ(item.at("prefix"), boost::json::value(token_.substr(0, 8)));
  EXPECT_EQ(item.at("expires_at"), nullptr);
  EXPECT_THAT(call("GET", "/v1/audit-log?limit=1000").body, Not(HasSubstr(token_)));
  EXPECT_EQ(call("GET", "/v1/accounts/other/tokens").json().at("items").as_array().size(), 0U);
}

TEST_F(AdminAccountTokens, ARevokedAndAnExpiredOneAreNobodys) {
  EXPECT_EQ(own("/v1/accounts/acme").status, 200U);
  EXPECT_EQ(call("DELETE", "/v1/accounts/other/tokens/" + id_).status, 404U);
  EXPECT_EQ(own("/v1/accounts/acme").status, 200U);
  EXPECT_EQ(call("DELETE", "/v1/accounts/acme/tokens/" + id_).status, 204U);
  EXPECT_EQ(own("/v1/accounts/acme").status, 401U);
  EXPECT_EQ(call("DELETE", "/v1/accounts/acme/tokens/" + id_).status, 404U);
  const auto made = call("POST", "/v1/accounts/acme/tokens", R"({"expires_at":"2021-08-20T11:00:00+08:00"})");
  EXPECT_EQ(as(made.text("token"), "GET", "/v1/accounts/acme").status, 200U);
  clock_.set(*parse_time("2021-08-20T11:00:00+08:00"));
  EXPECT_EQ(as(made.text("token"), "GET", "/v1/accounts/acme").status, 401U);
  EXPECT_EQ(call("POST", "/v1/accounts/acme/tokens", R"({"expires_at":"2021-08-20T11:00:00+08:00"})").text("field"),
            "expires_at");
}

TEST_F(AdminAccountTokens, ThereAreNotMoreThanTheyMayBe) {
  for (int i = 1; i < billing::kAccountTokensMax; ++i) {
    ASSERT_EQ(call("POST", "/v1/accounts/acme/tokens").status, 201U);
  }
  EXPECT_EQ(call("POST", "/v1/accounts/acme/tokens").text("code"), "too_many_tokens");
  EXPECT_EQ(call("POST", "/v1/accounts/other/tokens").status, 201U);
  EXPECT_EQ(call("DELETE", "/v1/accounts/acme/tokens/" + id_).status, 204U);
  EXPECT_EQ(call("POST", "/v1/accounts/acme/tokens").status, 201U);
}

TEST_F(AdminAccountTokens, ItIsKnownAfterARestart) {
  server_.reset();
  core_ =
      std::make_unique<billing::Core>(*store_, billing::Catalog::built_in(), billing::built_in_plans(), clock_, sink_);
  ASSERT_TRUE(core_->publish_all().has_value());
  serve();
  EXPECT_EQ(own("/v1/accounts/acme").status, 200U);
}

TEST_F(AdminAccountTokens, ItsNotificationsAreItsOwnAndTellNothingOfTheWebhook) {
  const auto owe = [&](const std::string& account) {
    const auto epoch = call("POST", "/v1/gateways/gw-7/epochs").json().at("epoch").as_int64();
    const std::string body = R"({"gateway":"gw-7","epoch":)" + std::to_string(epoch) + R"(,"totals":[{"account":")" +
                             account + R"(","service":"of-)" + account +
                             R"(","hour":"2021-08-20T10:00:00+08:00","calls_succeeded":1,"calls_failed":0,)"
                             R"("calls_unmetered":0,"free_points":0,"billable_points":1000000}]})";
    ASSERT_EQ(call("POST", "/v1/usage", body).status, 204U);
  };
  owe("acme");
  owe("other");
  ASSERT_EQ(call("POST", "/v1/clock", R"({"now":"2021-08-20T12:00:00+08:00"})").status, 200U);
  ASSERT_EQ(call("GET", "/v1/notifications").json().at("items").as_array().size(), 2U);
  const auto listed = own("/v1/accounts/acme/notifications");
  const auto items = listed.json().at("items").as_array();
  ASSERT_EQ(items.size(), 1U);
  EXPECT_EQ(items[0].at("account"), "acme");
  EXPECT_EQ(items[0].at("kind"), "arrears_notice");
  EXPECT_FALSE(items[0].as_object().contains("last_error"));
}

}  // namespace
}  // namespace tollgate::gateway
