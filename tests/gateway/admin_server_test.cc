// The listener's side of the admin API: token, methods, bounds, connections and stopping.
#include "tests/gateway/admin_fixture.h"

namespace tollgate::gateway {
namespace {

class AdminServerTest : public AdminTest {
 protected:
  void expect_problem(const Answer& answer, unsigned status, std::string_view code) {
    EXPECT_EQ(answer.status, status) << answer.body;
    ASSERT_EQ(answer.headers.at("content-type"), "application/problem+json");
    EXPECT_EQ(answer.headers.at("cache-control"), "no-store");
    EXPECT_FALSE(answer.headers.at("x-request-id").empty());
    EXPECT_EQ(answer.text("code"), code);
    EXPECT_EQ(answer.json().at("status").as_int64(), status);
  }
};

TEST_F(AdminServerTest, EverythingUnderV1NeedsTheToken) {
  for (const auto* more :
       {"", "Authorization: Bearer\r\n", "Authorization: Bearer \r\n", "Authorization: Bearer wrong\r\n",
        "Authorization: Bearer the-token-of-the-testss\r\n", "Authorization: the-token-of-the-tests\r\n",
        "Authorization: Basic the-token-of-the-tests\r\n",
        "Authorization: Bearer the-token-of-the-tests\r\nAuthorization: Bearer wrong\r\n"}) {
    for (const auto* target : {"/v1/catalog", "/v1/nothing", "/v1", "/v1/catalog?x=1"}) {
      Client client(server_->port());
      client.send(request_text("GET", target, {}, more, false));
      const auto answer = client.receive();
      expect_problem(answer, 401, "invalid_admin_token");
      EXPECT_TRUE(answer.headers.at("www-authenticate").starts_with("Bearer"));
      EXPECT_TRUE(answer.keep_alive);
    }
  }
  Client client(server_->port());
  client.send(request_text("GET", "/v1/catalog", {}, "authorization: bearer the-token-of-the-tests\r\n", false));
  EXPECT_EQ(client.receive().status, 200U);
}

TEST_F(AdminServerTest, ProbesAndMetricsNeedNone) {
  for (const auto* target : {"/healthz", "/readyz", "/metrics"}) {
    Client client(server_->port());
    client.send(request_text("GET", target, {}, {}, false));
    const auto answer = client.receive();
    EXPECT_EQ(answer.status, 200U) << target;
    EXPECT_TRUE(answer.headers.at("content-type").starts_with("text/plain"));
  }
  traffic_.draining = true;
  expect_problem(call("GET", "/readyz"), 503, "not_ready");
  EXPECT_EQ(call("GET", "/readyz").text("detail"), "draining");
}

TEST_F(AdminServerTest, UnknownPathsAndMethodsAreTold) {
  for (const auto* target :
       {"/", "/v2", "/v1/nothing", "/v1/catalog/", "/v1//catalog", "/v1/accounts/", "*", "/healthz/x"}) {
    expect_problem(call("GET", target), 404, "not_found");
  }
  const auto answer = call("PATCH", "/v1/accounts/acme");
  expect_problem(answer, 405, "method_not_allowed");
  EXPECT_EQ(answer.headers.at("allow"), "PUT, GET, HEAD");
  EXPECT_EQ(call("POST", "/healthz").status, 405U);
}

// RFC 9110 9.3.2.
TEST_F(AdminServerTest, HeadAnswersLikeGetWithoutTheBody) {
  call("PUT", "/v1/accounts/acme", R"({"name":"a"})");
  for (const auto* target : {"/healthz", "/readyz", "/metrics", "/v1/catalog", "/v1/accounts/acme",
                             "/v1/accounts?limit=1", "/v1/accounts/nobody", "/v1/accounts?limit=0", "/v1/nothing"}) {
    const auto get = call("GET", target);
    Client client(server_->port());
    client.send(request_text("HEAD", target, {}, "Connection: close\r\n"));
    const auto bytes = client.receive_all();
    EXPECT_TRUE(bytes.starts_with("HTTP/1.1 " + std::to_string(get.status) + " ")) << target << bytes;
    EXPECT_TRUE(bytes.ends_with("\r\n\r\n")) << target << bytes;
    EXPECT_NE(bytes.find("Content-Length: " + std::to_string(get.body.size()) + "\r\n"), std::string::npos) << bytes;
    EXPECT_NE(bytes.find("Content-Type: " + get.headers.at("content-type") + "\r\n"), std::string::npos) << bytes;
  }
  EXPECT_EQ(call("DELETE", "/healthz").headers.at("allow"), "GET, HEAD");
  EXPECT_EQ(call("GET", "/v1/usage").headers.at("allow"), "POST");
  Client without(server_->port());
  without.send(request_text("HEAD", "/v1/catalog", {}, "Connection: close\r\n", false));
  EXPECT_TRUE(without.receive_all().starts_with("HTTP/1.1 401 "));
}

TEST_F(AdminServerTest, ProbesAndMetricsIgnoreAQuery) {
  for (const auto* target : {"/healthz?x=1", "/readyz?x", "/metrics?x", "/metrics?collect[]=%zz&x&x"}) {
    EXPECT_EQ(call("GET", target).status, 200U) << target;
  }
}

TEST_F(AdminServerTest, QueriesAreCheckedByName) {
  expect_problem(call("GET", "/v1/accounts?limti=3"), 400, "invalid_field");
  EXPECT_EQ(call("GET", "/v1/accounts?limti=3").text("field"), "limti");
  for (const auto* query : {"limit=0", "limit=1001", "limit=x", "limit=-1", "limit=1.5", "limit=", "limit=1&limit=2"}) {
    EXPECT_EQ(call("GET", std::string("/v1/accounts?") + query).text("field"), "limit") << query;
  }
  EXPECT_EQ(call("GET", "/v1/accounts?limit=%31%30").status, 200U);
  EXPECT_EQ(call("GET", "/v1/accounts?after=%zz").text("field"), "after");
  EXPECT_EQ(call("GET", "/v1/accounts?after=%0a").text("field"), "after");
}

TEST_F(AdminServerTest, BodiesAreJsonWhateverCurlCallsThem) {
  for (const auto* type :
       {"", "Content-Type: application/json\r\n", "Content-Type: application/JSON; charset=utf-8\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n"}) {
    EXPECT_LT(call("PUT", "/v1/accounts/acme", R"({"name":"a"})", type).status, 300U) << type;
  }
  expect_problem(call("PUT", "/v1/accounts/acme", "name: a", "Content-Type: text/yaml\r\n"), 415,
                 "unsupported_media_type");
  expect_problem(call("PUT", "/v1/accounts/acme"), 400, "invalid_json");
  expect_problem(call("PUT", "/v1/accounts/acme", "[]"), 400, "invalid_field");
  expect_problem(call("GET", "/v1/accounts/acme", R"({"a":1})"), 400, "invalid_field");
}

TEST_F(AdminServerTest, BodiesBeyondTheBoundAre413AndTheClientCanReadIt) {
  const auto body_of = [](std::size_t size) {
    const std::string head = R"({"name":")";
    return head + std::string(size - head.size() - 2, 'a') + "\"}";
  };
  EXPECT_EQ(call("PUT", "/v1/accounts/acme", body_of(1024 * 1024)).text("field"), "name");
  expect_problem(call("PUT", "/v1/accounts/acme", body_of(1024 * 1024 + 1)), 413, "body_too_large");
  expect_problem(call("PUT", "/v1/accounts/acme", body_of(20 * 1024 * 1024)), 413, "body_too_large");
  EXPECT_EQ(call("POST", "/v1/usage", body_of(16 * 1024 * 1024)).status, 400U);
  expect_problem(call("POST", "/v1/usage", body_of(16 * 1024 * 1024 + 1)), 413, "body_too_large");
  Client chunked(server_->port());
  chunked.send(request_text("PUT", "/v1/accounts/acme", {}, "Transfer-Encoding: chunked\r\n") + "100001\r\n" +
               std::string(0x100001, 'a') + "\r\n0\r\n\r\n");
  expect_problem(chunked.receive(), 413, "body_too_large");
}

TEST_F(AdminServerTest, ABodyIsNotReadForWhoHasNoToken) {
  Client client(server_->port());
  client.send("PUT /v1/accounts/acme HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  const auto answer = client.receive();
  expect_problem(answer, 401, "invalid_admin_token");
  EXPECT_FALSE(answer.keep_alive);
}

TEST_F(AdminServerTest, WhatIsNotHttpIsRefusedAndClosed) {
  Client broken(server_->port());
  broken.send("BROKEN\r\n\r\n");
  expect_problem(broken.receive(), 400, "malformed_request");
  Client large(server_->port());
  large.send("GET /healthz HTTP/1.1\r\nX: " + std::string(40'000, 'a') + "\r\n\r\n");
  expect_problem(large.receive(), 431, "head_too_large");
}

TEST_F(AdminServerTest, AConnectionServesManyRequestsAlsoPipelined) {
  Client client(server_->port());
  client.send(request_text("GET", "/healthz") + request_text("PUT", "/v1/accounts/a", R"({"name":"a"})") +
              request_text("GET", "/v1/accounts/a"));
  EXPECT_EQ(client.receive().body, "ok\n");
  EXPECT_EQ(client.receive().status, 200U);
  EXPECT_EQ(client.receive().text("id"), "a");
  client.send(request_text("GET", "/healthz", {}, "Connection: close\r\n"));
  EXPECT_FALSE(client.receive().keep_alive);
  EXPECT_TRUE(client.closed());
}

TEST_F(AdminServerTest, ExpectationsAreMet) {
  Client client(server_->port());
  client.send(
      "PUT /v1/accounts/a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer the-token-of-the-tests\r\nExpect: "
      "100-continue\r\nContent-Length: 12\r\n\r\n");
  EXPECT_EQ(client.receive().status, 100U);
  client.send(R"({"name":"a"})");
  EXPECT_EQ(client.receive().status, 200U);
}

TEST_F(AdminServerTest, OneConnectionBeyondTheMostIsClosed) {
  options_.connections_max = 2;
  serve();
  Client one(server_->port());
  Client two(server_->port());
  for (Client* client : {&one, &two}) {
    client->send(request_text("GET", "/healthz"));
    EXPECT_EQ(client->receive().status, 200U);
  }
  Client three(server_->port());
  EXPECT_TRUE(three.closed());
  one.send(request_text("GET", "/healthz"));
  EXPECT_EQ(one.receive().status, 200U);
}

TEST_F(AdminServerTest, SilentConnectionsAreClosed) {
  options_.head_timeout = std::chrono::milliseconds(20);
  options_.body_timeout = std::chrono::milliseconds(20);
  serve();
  Client silent(server_->port());
  EXPECT_TRUE(silent.closed());
  Client half(server_->port());
  half.send(
      "PUT /v1/accounts/a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer the-token-of-the-tests\r\nContent-Length: "
      "12\r\n\r\n{");
  EXPECT_TRUE(half.closed());
}

TEST_F(AdminServerTest, StoppingClosesIdleConnectionsAndFinishesRequests) {
  Client idle(server_->port());
  idle.send(request_text("GET", "/healthz"));
  EXPECT_EQ(idle.receive().status, 200U);
  std::promise<void> hold;
  std::promise<void> held;
  traffic_.on_flush = [&] {
    held.set_value();
    hold.get_future().wait();
  };
  Client busy(server_->port());
  busy.send(request_text("GET", "/v1/accounts/acme/subscriptions"));
  held.get_future().wait();
  auto stopped = std::async(std::launch::async, [&] { server_->stop(); });
  EXPECT_TRUE(idle.closed());
  hold.set_value();
  const auto last = busy.receive();
  EXPECT_EQ(last.status, 404U);
  EXPECT_FALSE(last.keep_alive);
  stopped.wait();
}

TEST_F(AdminServerTest, AnAddressInUseIsSaidAtTheStart) {
  AdminOptions taken = options_;
  taken.listen = "127.0.0.1:" + std::to_string(server_->port());
  EXPECT_THROW(AdminServer(taken, *billing_, *core_, traffic_, clock_, nullptr), std::runtime_error);
  taken.listen = "localhost";
  EXPECT_THROW(AdminServer(taken, *billing_, *core_, traffic_, clock_, nullptr), std::runtime_error);
}

}  // namespace
}  // namespace tollgate::gateway
