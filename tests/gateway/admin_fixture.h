// An admin server over a real socket with the real core on a folder of its own; traffic and clock are the test's.
// The client in it sends what it is told, also what no client should.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <string>

#include "base/ids.h"
#include "billing/store.h"
#include "gateway/admin_server.h"

namespace tollgate::gateway {

class NoSink final : public billing::EntitlementSink {
 public:
  void service_changed(const billing::ServiceRecord&) override {}
  void service_removed(std::string_view) override {}
  void key_added(const billing::KeyRecord&) override {}
  void key_revoked(const Sha256&) override {}
  void subscription_changed(const billing::SubscriptionRecord&) override {}
  void free_points_used_elsewhere(std::uint32_t, Points) override {}
};

class FakeTraffic final : public Traffic {
 public:
  std::int32_t in_flight(std::uint32_t) override { return 3; }
  void flush_usage() override {
    ++flushes;
    if (on_flush) on_flush();
  }
  std::string metrics() override { return "# HELP tollgate_build_info x\n"; }
  std::string not_ready_because() override { return draining ? "draining" : ""; }

  std::function<void()> on_flush;  // runs on the billing thread
  std::atomic<int> flushes{0};
  std::atomic<bool> draining{false};
};

struct Answer {
  unsigned status = 0;
  std::string body;
  std::map<std::string, std::string> headers;  // lower case
  bool keep_alive = false;

  [[nodiscard]] boost::json::value json() const { return boost::json::parse(body); }
  [[nodiscard]] std::string text(std::string_view field) const {
    const auto value = json();
    const auto* found = value.as_object().if_contains(field);
    return found != nullptr && found->is_string() ? boost::json::value_to<std::string>(*found) : "";
  }
};

// One connection that stays open over its requests.
class Client {
 public:
  explicit Client(std::uint16_t port) : socket_(context_) {
    socket_.connect({boost::asio::ip::make_address("127.0.0.1"), port});
  }
  void send(std::string_view bytes) {
    boost::system::error_code ignored;  // the server may have closed; receive() tells
    boost::asio::write(socket_, boost::asio::buffer(bytes), ignored);
  }
  Answer receive() {
    namespace http = boost::beast::http;
    http::response<http::string_body> response;
    boost::system::error_code error;
    http::read(socket_, buffer_, response, error);
    Answer answer;
    if (error) return answer;
    answer.status = response.result_int();
    answer.body = response.body();
    answer.keep_alive = response.keep_alive();
    for (const auto& field : response) {
      std::string name(field.name_string());
      for (char& c : name) c = static_cast<char>(std::tolower(c));
      answer.headers[name] = std::string(field.value());
    }
    return answer;
  }
  // All bytes until the server closes.
  std::string receive_all() {
    std::string bytes;
    boost::system::error_code end;
    boost::asio::read(socket_, boost::asio::dynamic_buffer(bytes), end);
    return bytes;
  }
  // True: the server has closed.
  bool closed() {
    char byte = 0;
    boost::system::error_code error;
    boost::asio::read(socket_, boost::asio::buffer(&byte, 1), error);
    return bool(error);
  }

 private:
  boost::asio::io_context context_;
  boost::asio::ip::tcp::socket socket_;
  boost::beast::flat_buffer buffer_;
};

class AdminTest : public testing::Test {
 protected:
  static constexpr auto kToken = "the-token-of-the-tests";

  explicit AdminTest(bool manual = true) : manual_(manual) {}

  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / random_id("tollgate-admin-test");
    store_ = billing::open_sqlite_store(folder_).value();
    core_ = std::make_unique<billing::Core>(*store_, billing::Catalog::built_in(), billing::built_in_plans(), clock_,
                                            sink_);
    options_.token = kToken;
    billing_ = std::make_unique<BillingThread>();
    serve();
  }
  void TearDown() override {
    server_.reset();
    billing_.reset();
    core_.reset();
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  void serve() {
    server_.reset();
    server_ = std::make_unique<AdminServer>(options_, *billing_, *core_, traffic_, clock_, manual_ ? &clock_ : nullptr);
  }

  static std::string request_text(std::string_view method, std::string_view target, std::string_view body = {},
                                  std::string_view more = {}, bool with_token = true) {
    std::string text = std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: admin\r\n";
    if (with_token) text += std::string("Authorization: Bearer ") + kToken + "\r\n";
    if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return text + std::string(more) + "\r\n" + std::string(body);
  }
  Answer call(std::string_view method, std::string_view target, std::string_view body = {},
              std::string_view more = {}) {
    Client client(server_->port());
    client.send(request_text(method, target, body, more));
    return client.receive();
  }
  Answer pay(std::string_view target, std::string_view body, const std::string& key) {
    return call("POST", target, body, "Idempotency-Key: " + key + "\r\n");
  }
  void make_subscribed_account(bool paid) {
    constexpr auto service = R"({"model":"image-classification/high-performance","upstreams":["127.0.0.1:1"],)"
                             R"("route":{"path_prefix":"/c"}})";
    const auto terms = paid ? R"({"paid":true})" : R"({"paid":false})";
    ASSERT_EQ(call("PUT", "/v1/services/classify", service).status, 200U);
    ASSERT_EQ(call("PUT", "/v1/accounts/acme", R"({"name":"Acme"})").status, 200U);
    ASSERT_EQ(call("PUT", "/v1/accounts/acme/subscriptions/classify", terms).status, 200U);
  }

  bool manual_;
  std::filesystem::path folder_;
  ManualClock clock_{*parse_time("2021-08-20T10:30:00+08:00")};
  NoSink sink_;
  FakeTraffic traffic_;
  AdminOptions options_;
  std::unique_ptr<billing::Store> store_;
  std::unique_ptr<billing::Core> core_;
  std::unique_ptr<BillingThread> billing_;
  std::unique_ptr<AdminServer> server_;
};

}  // namespace tollgate::gateway
