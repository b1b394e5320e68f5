#include "gateway/webhook.h"

#include <fmt/format.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <spdlog/spdlog.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/ssl/impl/src.hpp>  // the only user of TLS: compiled here
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/ids.h"

namespace tollgate::gateway {
namespace {
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::uint32_t kAnswerHeadBytesMax = 16 * 1024;

using Failure = std::optional<std::string>;
using Request = http::request<http::string_body>;

Failure failed(std::string_view what, const error_code& error) { return fmt::format("{}: {}", what, error.message()); }
}  // namespace

std::string webhook_signature(std::string_view secret, std::int64_t unix_seconds, std::string_view body) {
  const auto text = fmt::format("{}.{}", unix_seconds, body);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  const auto* made = ::HMAC(::EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                            reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size);
  TOLLGATE_CHECK(made != nullptr);
  return fmt::format("t={},v1={}", unix_seconds, to_hex({reinterpret_cast<const char*>(digest.data()), size}));
}

class Webhook::Sender {
 public:
  Sender(WebhookOptions options, const Clock& clock)
      : options_(std::move(options)), clock_(clock), open_(asio::make_work_guard(context_)) {
    TOLLGATE_CHECK(!options_.secret.empty());
    error_code error;
    tls_.set_default_verify_paths(error);  // without them every certificate is refused, which says enough
    tls_.set_verify_mode(asio::ssl::verify_peer);
    thread_ = std::thread([this] {
      ::pthread_setname_np(::pthread_self(), "webhook");
      context_.run();
    });
  }

  ~Sender() { stop(); }

  void stop() {
    if (!thread_.joinable()) return;
    TOLLGATE_CHECK(thread_.get_id() != std::this_thread::get_id());
    context_.stop();
    thread_.join();
  }

  void send(WebhookMessage message, Done done) {
    asio::post(context_, [this, message = std::move(message), done = std::move(done)]() mutable {
      auto sending = attempt(std::move(message));
      asio::co_spawn(context_, std::move(sending),
                     [done = std::move(done)](const std::exception_ptr& error, Failure failure) {
                       done(error ? Failure(reason_of(error)) : std::move(failure));
                     });
    });
  }

 private:
  static std::string reason_of(const std::exception_ptr& error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& thrown) {
      return thrown.what();
    }
  }

  asio::awaitable<Failure> attempt(WebhookMessage message) {
    beast::tcp_stream stream(context_);
    stream.expires_after(options_.timeout);
    auto connecting = connect(stream);
    Failure failure = co_await std::move(connecting);
    if (failure) co_return failure;
    Request request = request_of(std::move(message));
    if (!options_.target.tls) {
      auto exchanging = exchange(stream, request);
      co_return co_await std::move(exchanging);
    }
    beast::ssl_stream<beast::tcp_stream> secured(std::move(stream), tls_);
    auto exchanging = exchange_secured(secured, request);
    co_return co_await std::move(exchanging);
  }

  // The addresses that were checked are those connected to: the name is not resolved a second time.
  asio::awaitable<Failure> connect(beast::tcp_stream& stream) {
    tcp::resolver resolver(context_);
    const auto port = std::to_string(options_.target.port);
    auto [resolve_error, found] =
        co_await resolver.async_resolve(options_.target.host, port, tcp::resolver::numeric_service, kAsTuple);
    if (resolve_error) co_return failed("the name of the webhook was not resolved", resolve_error);
    std::vector<tcp::endpoint> endpoints;
    for (const auto& entry : found) {
      if (options_.allow_private || is_public_address(entry.endpoint().address()))
        endpoints.push_back(entry.endpoint());
    }
    if (endpoints.empty()) {
      co_return "the webhook's address is not public (billing.webhook_allow_private is false)";
    }
    auto [error, endpoint] = co_await stream.async_connect(endpoints, kAsTuple);
    if (error) co_return failed("connecting to the webhook", error);
    co_return std::nullopt;
  }

  asio::awaitable<Failure> exchange_secured(beast::ssl_stream<beast::tcp_stream>& stream, Request& request) {
    const auto& host = options_.target.host;
    stream.set_verify_callback(asio::ssl::host_name_verification(host));
    error_code not_an_address;
    asio::ip::make_address(host, not_an_address);
    if (not_an_address) SSL_set_tlsext_host_name(stream.native_handle(), host.c_str());
    auto [error] = co_await stream.async_handshake(asio::ssl::stream_base::client, kAsTuple);
    if (error) co_return failed("the webhook's TLS handshake", error);
    auto exchanging = exchange(stream, request);
    co_return co_await std::move(exchanging);
  }

  // The status is all that counts; a body is not read, and the connection is not kept.
  template <class Stream>
  asio::awaitable<Failure> exchange(Stream& stream, Request& request) {
    auto [write_error, written] = co_await http::async_write(stream, request, kAsTuple);
    beast::flat_buffer buffer;
    http::response_parser<http::empty_body> parser;
    parser.header_limit(kAnswerHeadBytesMax);
    // A receiver may answer and close before it has taken the whole request: reading tells.
    auto [read_error, read] = co_await http::async_read_header(stream, buffer, parser, kAsTuple);
    if (read_error) co_return failed("no answer from the webhook", write_error ? write_error : read_error);
    const int status = static_cast<int>(parser.get().result_int());
    if (status < 200 || status > 299) co_return fmt::format("the webhook answered {}", status);
    co_return std::nullopt;
  }

  Request request_of(WebhookMessage message) const {
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(clock_.now().time_since_epoch()).count();
    Request request(http::verb::post, options_.target.path, 11);
    request.set(http::field::host, options_.target.host_field());
    request.set(http::field::user_agent, "tollgate");
    request.set(http::field::content_type, "application/json");
    request.set(http::field::connection, "close");
    request.set("Tollgate-Notification-Id", message.id);
    request.set("Tollgate-Signature", webhook_signature(options_.secret, now, message.body));
    request.body() = std::move(message.body);
    request.prepare_payload();
    return request;
  }

  const WebhookOptions options_;
  const Clock& clock_;
  asio::ssl::context tls_{asio::ssl::context::tls_client};
  asio::io_context context_{1};
  asio::executor_work_guard<asio::io_context::executor_type> open_;
  std::thread thread_;
};

Webhook::Webhook(WebhookOptions options, const Clock& clock)
    : sender_(std::make_unique<Sender>(std::move(options), clock)) {}
Webhook::~Webhook() = default;

void Webhook::send(WebhookMessage message, Done done) { sender_->send(std::move(message), std::move(done)); }

void Webhook::stop() { sender_->stop(); }

}  // namespace tollgate::gateway
