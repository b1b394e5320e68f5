#include "gateway/webhook.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <future>
#include <thread>

#include "gateway/webhook_target.h"

namespace tollgate::gateway {
namespace {
namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using testing::HasSubstr;

WebhookTarget target_of(std::string_view url) { return parse_webhook_url(url).value(); }

TEST(WebhookUrl, HasASchemeAHostAndAPath) {
  const auto plain = target_of("http://Example.net");
  EXPECT_FALSE(plain.tls);
  EXPECT_EQ(plain.host, "example.net");
  EXPECT_EQ(plain.port, 80);
  EXPECT_EQ(plain.path, "/");
  EXPECT_EQ(plain.host_field(), "example.net");
  const auto full = target_of("https://[2001:4860::8]:8443/a/b?token=x");
  EXPECT_TRUE(full.tls);
  EXPECT_EQ(full.host, "2001:4860::8");
  EXPECT_EQ(full.port, 8443);
  EXPECT_EQ(full.path, "/a/b?token=x");
  EXPECT_EQ(full.host_field(), "[2001:4860::8]:8443");
  EXPECT_EQ(target_of("https://[2001:4860::8]").port, 443);
  EXPECT_EQ(target_of("http://h?q").path, "/?q");
}

TEST(WebhookUrl, AnythingElseIsRefusedWithoutRepeatingIt) {
  for (const auto* url : {"", "example.net", "ftp://h/secret", "http://", "http:///secret", "http://u:secret@h/",
                          "http://h/#secret", "http://h:0/secret", "http://h:99999/secret", "http://h/secret\r\nX: y",
                          "http://h /secret", "http://h/\xE6\x96\x87secret", "http://[::1/secret", "http://a b/secret",
                          "HTTP://h/secret", "http://h:/secret", "http://h\\secret"}) {
    const auto parsed = parse_webhook_url(url);
    ASSERT_TRUE(parsed.has_error()) << url;
    EXPECT_EQ(parsed.error().message.find("secret"), std::string::npos) << parsed.error().message;
  }
}

TEST(WebhookAddress, OnlyThePublicInternetIsPublic) {
  for (const auto* address :
       {"0.0.0.0",       "0.1.2.3",           "10.0.0.1",        "100.64.0.1",      "100.100.100.200",
        "127.0.0.1",     "127.255.0.9",       "169.254.169.254", "172.16.0.1",      "172.31.255.255",
        "192.0.0.8",     "192.168.1.1",       "192.0.2.1",       "198.18.0.1",      "198.51.100.7",
        "203.0.113.9",   "224.0.0.1",         "240.0.0.1",       "255.255.255.255", "::",
        "::1",           "::ffff:127.0.0.1",  "::ffff:8.8.8.8",  "::127.0.0.1",     "fe80::1",
        "fc00::1",       "fd00:ec2::254",     "ff02::1",         "64:ff9b::7f00:1", "64:ff9b:1::1",
        "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001::1",         "2001:db8::1",     "3fff::1",
        "100::1"}) {
    EXPECT_FALSE(is_public_address(asio::ip::make_address(address))) << address;
  }
  for (const auto* address :
       {"8.8.8.8", "1.1.1.1", "100.63.0.1", "100.128.0.1", "172.32.0.1", "172.15.0.1", "11.0.0.1", "223.255.255.254",
        "198.20.0.1", "2001:4860:4860::8888", "2400:3200::1", "2002:808:808::1", "64:ff9b::808:808"}) {
    EXPECT_TRUE(is_public_address(asio::ip::make_address(address))) << address;
  }
}

TEST(WebhookSignature, CoversTheTimeAndTheBody) {
  // printf '1629432000.{"id":"n-1"}' | openssl dgst -sha256 -hmac secret
  EXPECT_EQ(webhook_signature("secret", 1'629'432'000, R"({"id":"n-1"})"),
            "t=1629432000,v1=acfc251e1bffb60c7b4e731fa26f7e2c98bc9553e36bc896ae535a5ae320ccbb");
  EXPECT_NE(webhook_signature("secret", 1, "x"), webhook_signature("secret", 2, "x"));
  EXPECT_NE(webhook_signature("secret", 1, "x"), webhook_signature("other", 1, "x"));
}

// A receiver on a port of the system's choice that answers each connection with the next text.
class Receiver {
 public:
  explicit Receiver(std::vector<std::string> answers) : answers_(std::move(answers)), thread_([this] { serve(); }) {}
  ~Receiver() { thread_.join(); }
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;

  [[nodiscard]] std::string url(std::string_view path) const {
    return "http://127.0.0.1:" + std::to_string(port_) + std::string(path);
  }
  // After all answers were given.
  const std::vector<http::request<http::string_body>>& requests() {
    done_.get_future().wait();
    return requests_;
  }

 private:
  void serve() {
    for (const auto& answer : answers_) {
      tcp::socket socket(context_);
      acceptor_.accept(socket);
      boost::beast::flat_buffer buffer;
      http::request<http::string_body> request;
      boost::system::error_code error;
      http::read(socket, buffer, request, error);
      requests_.push_back(std::move(request));
      asio::write(socket, asio::buffer(answer), error);
    }
    done_.set_value();
  }

  asio::io_context context_;
  tcp::acceptor acceptor_{context_, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0)};
  std::uint16_t port_ = acceptor_.local_endpoint().port();
  std::vector<std::string> answers_;
  std::vector<http::request<http::string_body>> requests_;
  std::promise<void> done_;
  std::thread thread_;
};

class WebhookTest : public testing::Test {
 protected:
  std::optional<std::string> send(const std::string& url, bool allow_private = true,
                                  std::chrono::milliseconds timeout = std::chrono::seconds(30)) {
    Webhook webhook({target_of(url), "secret", allow_private, timeout}, clock_);
    std::promise<std::optional<std::string>> done;
    webhook.send({"n-1", R"({"id":"n-1"})"}, [&](auto failure) { done.set_value(std::move(failure)); });
    return done.get_future().get();
  }
  ManualClock clock_{*parse_time("2021-08-20T12:00:00+08:00")};
};

TEST_F(WebhookTest, AMessageArrivesSignedAndWithItsId) {
  Receiver receiver({"HTTP/1.1 204 No Content\r\n\r\n"});
  EXPECT_EQ(send(receiver.url("/hook?a=b")), std::nullopt);
  const auto& request = receiver.requests().at(0);
  EXPECT_EQ(request.method(), http::verb::post);
  EXPECT_EQ(request.target(), "/hook?a=b");
  EXPECT_EQ(request["Content-Type"], "application/json");
  EXPECT_EQ(request["Tollgate-Notification-Id"], "n-1");
  EXPECT_EQ(std::string(request["Tollgate-Signature"]), webhook_signature("secret", 1'629'432'000, request.body()));
  EXPECT_EQ(request.body(), R"({"id":"n-1"})");
}

TEST_F(WebhookTest, OnlyATwoHundredIsADelivery) {
  Receiver receiver({"HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n",
                     "HTTP/1.1 302 x\r\nLocation: http://127.0.0.1:1/\r\n\r\n", "HTTP/1.1 404 x\r\n\r\n",
                     "nonsense\r\n\r\n", "", "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nbody cut short"});
  EXPECT_EQ(send(receiver.url("/")), "the webhook answered 500");
  EXPECT_EQ(send(receiver.url("/")), "the webhook answered 302");
  EXPECT_EQ(send(receiver.url("/")), "the webhook answered 404");
  EXPECT_THAT(send(receiver.url("/")).value_or(""), HasSubstr("no answer"));
  EXPECT_THAT(send(receiver.url("/")).value_or(""), HasSubstr("no answer"));
  EXPECT_EQ(send(receiver.url("/")), std::nullopt);
}

TEST_F(WebhookTest, PrivateAddressesAreRefusedAfterTheNameWasResolved) {
  // Nobody listens: what is refused is never connected to.
  for (const auto* url : {"http://127.0.0.1:1/", "http://localhost:1/", "http://2130706433:1/", "http://[::1]:1/",
                          "http://169.254.169.254/latest/meta-data", "https://10.0.0.1/", "http://0.0.0.0:1/"}) {
    EXPECT_THAT(send(url, false).value_or(""), HasSubstr("not public")) << url;
  }
}

TEST_F(WebhookTest, ASilentReceiverCostsTheTimeoutOnly) {
  asio::io_context context;
  tcp::acceptor silent(context, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0));
  const auto url = "http://127.0.0.1:" + std::to_string(silent.local_endpoint().port());
  EXPECT_THAT(send(url, true, std::chrono::milliseconds(50)).value_or(""), HasSubstr("no answer"));
}

TEST_F(WebhookTest, AReceiverThatSpeaksNoTlsGetsNothing) {
  Receiver receiver({"HTTP/1.1 200 OK\r\n\r\n"});
  auto url = receiver.url("/");
  url.replace(0, 4, "https");
  EXPECT_THAT(send(url).value_or(""), HasSubstr("TLS"));
}

TEST_F(WebhookTest, StoppingDropsWhatIsInFlight) {
  asio::io_context context;
  tcp::acceptor silent(context, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0));
  const auto url = "http://127.0.0.1:" + std::to_string(silent.local_endpoint().port());
  bool called = false;
  {
    Webhook webhook({target_of(url), "secret", true, std::chrono::seconds(600)}, clock_);
    webhook.send({"n-1", "{}"}, [&](auto) { called = true; });
    tcp::socket accepted(context);
    silent.accept(accepted);
    webhook.stop();
  }
  EXPECT_FALSE(called);
}

}  // namespace
}  // namespace tollgate::gateway
