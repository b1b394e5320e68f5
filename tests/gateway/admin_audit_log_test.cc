// Which requests the audit log tells of, what it keeps of them, and that no secret is in it.
#include "gateway/admin_audit_log.h"

#include <gmock/gmock.h>

#include "tests/gateway/admin_fixture.h"

namespace tollgate::gateway {
namespace {
using testing::HasSubstr;
using testing::Not;

class AdminAuditLog : public AdminTest {
 protected:
  boost::json::array rows() { return call("GET", "/v1/audit-log?limit=1000").json().at("items").as_array(); }
};

std::string recorded(std::string_view body, const std::vector<std::string>& secrets = {}) {
  return recorded_body(boost::json::parse({body.data(), body.size()}), secrets);
}

TEST(RecordedBody, IsCanonicalAndHoldsNoSecret) {
  EXPECT_EQ(recorded(R"({"b": 1, "a": [true, null, "x"]})"), R"({"a":[true,null,"x"],"b":1})");
  EXPECT_EQ(recorded(R"({"key":"k","x":{"webhook_Secret":"s","Token":["t"],"api_key":1,"keys":["a"]}})"),
            R"({"key":"[redacted]","x":{"Token":"[redacted]","api_key":"[redacted]","keys":["a"],)"
            R"("webhook_Secret":"[redacted]"}})");
  EXPECT_EQ(recorded(R"({"name":"of the-admin-token-itself"})", {"the-admin-token-itself"}),
            R"({"name":"of [redacted]"})");
  EXPECT_EQ(recorded(R"({"name":"ab"})", {"ab", ""}), R"({"name":"ab"})") << "too short to be told from other text";
  const auto key = make_api_key();
  EXPECT_THAT(recorded(R"({"a":{"name":"my )" + key + R"(!"}})"), Not(HasSubstr(key.substr(3))));
  EXPECT_EQ(recorded(R"({"a":"tgr_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa tg_short"})"), R"({"a":"[redacted] tg_short"})");
}

TEST(RecordedBody, HoldsNoPrivateKeyWhereverItStands) {
  EXPECT_EQ(recorded(R"({"name":"-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----"})"),
            R"({"name":"[redacted]"})");
}

TEST(RecordedBody, OfALongOneItsHashAndLength) {
  const std::string name(kRecordedBodyBytesMax, 'n');
  const auto kept = boost::json::parse(recorded(R"({"name":")" + name + R"("})"));
  EXPECT_EQ(kept.at("body_bytes"), name.size() + 11);
  EXPECT_EQ(kept.at("body_sha256").as_string().size(), 64U);
}

TEST(IsRecorded, EveryCallThatMayChangeSomethingIs) {
  for (const auto& route : admin_routes()) {
    const auto name = std::string(route.method) + " " + std::string(route.pattern);
    EXPECT_EQ(is_recorded(route), route.method != "GET" && name != "POST /v1/quotes") << name;
  }
}

TEST_F(AdminAuditLog, TellsWhoChangedWhatAndWhatWasMade) {
  make_subscribed_account(true);
  const auto key = call("POST", "/v1/accounts/acme/keys", R"({"name":"laptop"})");
  ASSERT_EQ(call("DELETE", "/v1/accounts/acme/keys/" + key.text("id")).status, 204U);
  const auto found = rows();
  ASSERT_EQ(found.size(), 5U);
  const auto text = [&](std::size_t row, std::string_view field) {
    return boost::json::value_to<std::string>(found[row].at(field));
  };
  EXPECT_EQ(text(1, "method") + " " + text(1, "path"), "PUT /v1/accounts/acme");
  EXPECT_EQ(text(1, "body"), R"({"name":"Acme"})");
  EXPECT_EQ(text(1, "role"), "admin");
  EXPECT_EQ(text(1, "address"), "127.0.0.1");
  EXPECT_EQ(text(1, "at"), "2021-08-20T10:30:00+08:00");
  EXPECT_EQ(text(3, "made"), key.text("id"));
  EXPECT_EQ(text(3, "request_id"), key.headers.at("x-request-id"));
  EXPECT_EQ(found[4].at("status"), 204);
  EXPECT_THAT(boost::json::serialize(found), Not(HasSubstr(key.text("key"))));
}

TEST_F(AdminAuditLog, RefusalsReadingAndRepetitionsLeaveNoRow) {
  make_subscribed_account(true);
  const auto before = rows().size();
  EXPECT_EQ(call("PUT", "/v1/accounts/other", R"({"name":""})").status, 400U);
  EXPECT_EQ(call("DELETE", "/v1/accounts/acme/keys/none").status, 404U);
  EXPECT_EQ(call("POST", "/v1/quotes", R"({"model":"image-segmentation","points":1})").status, 200U);
  EXPECT_EQ(call("GET", "/v1/accounts").status, 200U);
  EXPECT_EQ(pay("/v1/accounts/acme/subscriptions/classify/packages", R"({"points":200000})", "p0").status, 402U);
  EXPECT_EQ(rows().size(), before);
  const auto first = pay("/v1/accounts/acme/deposits", R"({"amount":"5","kind":"cash"})", "d0");
  ASSERT_EQ(first.status, 201U);
  EXPECT_EQ(pay("/v1/accounts/acme/deposits", R"({"amount":"5","kind":"cash"})", "d0").body, first.body);
  ASSERT_EQ(rows().size(), before + 1);
  EXPECT_EQ(rows().back().at("made"), first.json().at("id"));
}

TEST_F(AdminAuditLog, AMoveOfTheClockIsRecordedAfterIt) {
  ASSERT_EQ(call("POST", "/v1/clock", R"({"now":"2021-08-20T12:00:00+08:00"})").status, 200U);
  const auto found = rows();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].at("at"), "2021-08-20T12:00:00+08:00");
}

// The journal lets go of usage once it is merged: what a refused change takes back must not be that.
TEST_F(AdminAuditLog, ARefusedChangeTakesBackNoUsageThatWasCollectedForIt) {
  make_subscribed_account(true);
  const auto epoch = core_->open_epoch("gw-9");
  const meter::UsageTotals used{1, 0, 0, Points(), Points(4)};
  traffic_.on_flush = [&] {
    EXPECT_TRUE(core_->merge("gw-9", epoch, {{"acme", "classify", hour_of(clock_.now()), used}}).has_value());
    traffic_.on_flush = {};
  };
  const auto put = call("PUT", "/v1/accounts/acme/subscriptions/classify", R"({"paid":true,"plan":"no-such-plan"})");
  EXPECT_GE(put.status, 400U);
  EXPECT_GT(traffic_.flushes, 0);
  const auto usage =
      core_->usage("acme", std::nullopt, clock_.now() - std::chrono::hours(2), clock_.now(), std::nullopt, 10);
  ASSERT_EQ(usage->items.size(), 1U);
}

TEST_F(AdminAuditLog, AVerificationNamesItsHead) {
  make_subscribed_account(false);
  const auto verified = call("GET", "/v1/audit-log/verification").json();
  EXPECT_TRUE(verified.at("ok").as_bool());
  EXPECT_EQ(verified.at("rows"), 3);
  const auto head = boost::json::value_to<std::string>(verified.at("head"));
  EXPECT_TRUE(call("GET", "/v1/audit-log/verification?head=" + head).json().at("ok").as_bool());
  const auto other = call("GET", "/v1/audit-log/verification?head=4" + head.substr(1)).json();
  EXPECT_FALSE(other.at("ok").as_bool());
  EXPECT_EQ(other.at("first_break").at("sequence"), 4);
  EXPECT_EQ(call("GET", "/v1/audit-log/verification?head=4").text("field"), "head");
}

}  // namespace
}  // namespace tollgate::gateway
