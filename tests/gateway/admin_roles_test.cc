// Every role at every call of the admin API, from the table of routes itself; and wrong tokens, counted by address.
#include <algorithm>
#include <map>

#include "gateway/admin_routes.h"
#include "tests/gateway/admin_fixture.h"

namespace tollgate::gateway {
namespace {

constexpr auto kReader = "the-billing-read-token";

class AdminRolesTest : public AdminTest {
 protected:
  AdminRolesTest() { options_.billing_read_token = kReader; }

  Answer as(std::string_view token, std::string_view method, std::string_view target) {
    Client client(server_->port());
    client.send(request_text(method, target, {}, "Authorization: Bearer " + std::string(token) + "\r\n", false));
    return client.receive();
  }
};

std::string path_of(const AdminRoute& route) {
  std::string path(route.pattern);
  for (std::size_t begin = 0; (begin = path.find('{')) != std::string::npos;) {
    path.replace(begin, path.find('}') - begin + 1, "1");
  }
  return path;
}

// The decisions in words of their own: a route that is missing here fails, and so does one that lets more in.
const std::vector<std::string> kForOwners = {
    "GET /v1/accounts/{account}",
    "GET /v1/accounts/{account}/keys",
    "GET /v1/accounts/{account}/transfers",
    "GET /v1/accounts/{account}/transfers/{transfer}/explain",
    "GET /v1/accounts/{account}/bills",
    "GET /v1/accounts/{account}/bills/explain",
    "GET /v1/accounts/{account}/subscriptions",
    "GET /v1/accounts/{account}/subscriptions/{service}",
    "GET /v1/accounts/{account}/usage",
    "GET /v1/accounts/{account}/notifications",
};

TEST(AdminRoutes, EveryRouteDecidesWhoMayCallIt) {
  const AdminCaller nobody;
  const AdminCaller admin{AdminRole::admin, {}};
  const AdminCaller reader{AdminRole::billing_read, {}};
  const AdminCaller owner{AdminRole::account, "acme"};
  for (const auto& route : admin_routes()) {
    const auto name = std::string(route.method) + " " + std::string(route.pattern);
    SCOPED_TRACE(name);
    EXPECT_NE(route.access, AdminAccess::undecided);
    const bool open = !route.pattern.starts_with("/v1/");
    const bool changes = route.method != "GET" && name != "POST /v1/quotes";
    const bool own = std::find(kForOwners.begin(), kForOwners.end(), name) != kForOwners.end();
    EXPECT_EQ(may_call(route, nobody, {}), open);
    EXPECT_TRUE(may_call(route, admin, "acme"));
    EXPECT_EQ(may_call(route, reader, "acme"), open || !changes);
    EXPECT_EQ(may_call(route, owner, "acme"), open || own);
    EXPECT_EQ(may_call(route, owner, "other"), open);
    EXPECT_EQ(may_call(route, owner, ""), open);
  }
}

TEST(AdminRoutes, ARouteWithoutADecisionIsForNobody) {
  const AdminRoute route{};
  for (const auto role : {AdminRole::nobody, AdminRole::admin, AdminRole::billing_read, AdminRole::account}) {
    EXPECT_FALSE(may_call(route, {role, "acme"}, "acme"));
  }
}

TEST_F(AdminRolesTest, TheReaderIsRefusedWhateverChangesSomethingAndNothingElse) {
  for (const auto& route : admin_routes()) {
    SCOPED_TRACE(std::string(route.method) + " " + std::string(route.pattern));
    const auto answer = as(kReader, route.method, path_of(route));
    if (route.access == AdminAccess::admin) {
      EXPECT_EQ(answer.status, 403U);
      EXPECT_EQ(answer.text("code"), "not_allowed");
    } else {
      EXPECT_NE(answer.status, 401U);
      EXPECT_NE(answer.status, 403U);
    }
    const auto of_admin = as(kToken, route.method, path_of(route));
    EXPECT_NE(of_admin.status, 401U);
    EXPECT_NE(of_admin.status, 403U);
  }
}

TEST_F(AdminRolesTest, NoTokenAndAWrongOneAreRefusedEverywhereUnderV1) {
  for (const auto& route : admin_routes()) {
    if (!route.pattern.starts_with("/v1/")) continue;
    SCOPED_TRACE(route.pattern);
    const auto answer = as("wrong", route.method, path_of(route));
    EXPECT_EQ(answer.status, 401U);
    EXPECT_EQ(answer.text("code"), "invalid_admin_token");
  }
}

TEST_F(AdminRolesTest, AnEmptyReaderTokenMatchesNobody) {
  options_.billing_read_token.clear();
  serve();
  EXPECT_EQ(as("", "GET", "/v1/catalog").status, 401U);
  EXPECT_EQ(as(kReader, "GET", "/v1/catalog").status, 401U);
  EXPECT_EQ(identify_caller({"admin", ""}, "").role, AdminRole::nobody);
}

TEST_F(AdminRolesTest, TooManyWrongTokensAreToldToWaitAndARightOneIsNot) {
  for (std::int64_t i = 0; i < WrongTokens::kMax; ++i) ASSERT_EQ(as("wrong", "GET", "/v1/catalog").status, 401U);
  const auto refused = as("wrong", "GET", "/v1/catalog");
  EXPECT_EQ(refused.status, 429U);
  EXPECT_EQ(refused.text("code"), "too_many_wrong_tokens");
  EXPECT_FALSE(refused.keep_alive) << "each further guess costs a connection";
  EXPECT_GE(std::stoi(refused.headers.at("retry-after")), 1);
  EXPECT_EQ(as(kToken, "GET", "/v1/catalog").status, 200U);
  EXPECT_EQ(as(kReader, "GET", "/v1/catalog").status, 200U);
}

TEST(WrongTokens, AreCountedByAddressAndWindow) {
  const auto address = [](const char* text) { return boost::asio::ip::make_address(text); };
  const auto wrong = std::make_unique<WrongTokens>();
  constexpr std::int64_t start = 5;
  for (std::int64_t i = 0; i < WrongTokens::kMax; ++i) ASSERT_EQ(wrong->count(address("2001:db8::1"), start), 0);
  EXPECT_EQ(wrong->count(address("2001:db8::2"), start), 60) << "one /64 is one guesser";
  EXPECT_EQ(wrong->count(address("2001:db8::2"), start + WrongTokens::kWindowNs - 1), 1);
  EXPECT_EQ(wrong->count(address("2001:db8:0:1::2"), start), 0);
  EXPECT_EQ(wrong->count(address("192.0.2.1"), start), 0);
  EXPECT_EQ(wrong->count(address("2001:db8::2"), start + WrongTokens::kWindowNs), 0) << "another window";
}

// The table is full, so each of those who come between the guesses drives somebody out: the oldest near it, and not the
// guesser. (Thousands of addresses would drive out any; they have as many budgets of their own.)
TEST(WrongTokens, OthersDriveOutTheOldestAndNotWhoGuessesNow) {
  const auto wrong = std::make_unique<WrongTokens>();
  const boost::asio::ip::address guesser = boost::asio::ip::make_address("192.0.2.1");
  std::uint32_t other = 0x0a000000;
  const auto others = [&](int many, std::int64_t now_ns) {
    for (int i = 0; i < many; ++i) (void)wrong->count(boost::asio::ip::address_v4(other++), now_ns);
  };
  others(20'000, 1);
  for (std::int64_t i = 0; i < WrongTokens::kMax; ++i) {
    ASSERT_EQ(wrong->count(guesser, 2 + i), 0);
    others(7, 2 + i);
  }
  EXPECT_GT(wrong->count(guesser, 2 + WrongTokens::kMax), 0);
}

}  // namespace
}  // namespace tollgate::gateway
