#include "gateway/admin_server.h"

#include <fmt/format.h>
#include <pthread.h>
#include <spdlog/spdlog.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <stdexcept>
#include <thread>
#include <unordered_set>

#include "base/check.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/time_slice.h"
#include "gateway/admin_api.h"
#include "gateway/line_budget.h"
#include "gateway/listen_address.h"

namespace tollgate::gateway {
namespace {
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::milliseconds kAcceptPause{100};  // after a failed accept: descriptors may be short
constexpr std::chrono::milliseconds kLinger{5'000};     // for a client to take an answer to a body not read
constexpr std::size_t kLingerBytesMax = 64 * 1024 * 1024;

using Parser = http::request_parser<http::string_body>;
using Response = http::response<http::string_body>;

// One client: what its coroutine works with, and what stop() may touch.
struct Connection {
  explicit Connection(tcp::socket socket) : stream(std::move(socket)) {
    error_code gone;
    peer = stream.socket().remote_endpoint(gone).address();
  }
  beast::tcp_stream stream;
  asio::ip::address peer;
  beast::flat_buffer buffer;
  bool answering = false;  // between the end of a request and that of its answer
};

// What a connection's request came to.
struct Outcome {
  AdminAnswer answer;
  bool keep_alive = true;
  bool body_left = false;       // the client may still be sending
  std::string request_id = {};  // empty: none was given yet
};

std::optional<AdminAnswer> refusal_of(error_code error) {
  if (error == http::error::header_limit) return problem(431, "head_too_large", "the request's head is too large");
  if (error == http::error::body_limit) return problem(413, "body_too_large", "the request's body is too large");
  if (error.category() == http::make_error_code(http::error::bad_method).category() &&
      error != http::error::end_of_stream && error != http::error::partial_message) {
    return problem(400, "malformed_request", "not an HTTP/1.1 request: " + error.message());
  }
  return std::nullopt;  // the connection itself failed, or ended
}

Response to_response(const AdminAnswer& answer, unsigned version, bool keep_alive, const std::string& request_id) {
  Response response;
  response.version(version);
  response.result(static_cast<unsigned>(answer.status));
  response.reason(beast::string_view(status_title(answer.status).data(), status_title(answer.status).size()));
  response.keep_alive(keep_alive);
  if (!answer.body.empty()) response.set(http::field::content_type, answer.content_type);
  response.set(http::field::cache_control, "no-store");
  response.set("X-Request-Id", request_id);
  if (!answer.allow.empty()) response.set(http::field::allow, answer.allow);
  if (answer.status == 401) response.set(http::field::www_authenticate, "Bearer realm=\"tollgate admin\"");
  if (answer.retry_after_s > 0) response.set(http::field::retry_after, std::to_string(answer.retry_after_s));
  if (answer.replayed) response.set("Idempotency-Replayed", "true");
  response.body() = answer.body;
  if (answer.status != 204) response.prepare_payload();
  return response;
}
}  // namespace

class AdminServer::Listener {
 public:
  Listener(AdminOptions options, AdminContext context, BillingThread& billing)
      : options_(std::move(options)),
        api_(std::move(context), {options_.token, options_.billing_read_token}, billing),
        acceptor_(context_) {
    TOLLGATE_CHECK(!options_.token.empty());
    listen();
    asio::co_spawn(context_, accept_loop(), [](const std::exception_ptr& error) { log_end("accepting", error); });
    thread_ = std::thread([this] {
      ::pthread_setname_np(::pthread_self(), "admin");
      take_long_time_slices();  // a body of megabytes is parsed in one go
      context_.run();
    });
  }

  ~Listener() { stop(); }

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

  void stop() {
    if (!thread_.joinable()) return;
    TOLLGATE_CHECK(thread_.get_id() != std::this_thread::get_id());
    asio::post(context_, [this] {
      stopping_ = true;
      error_code ignored;
      acceptor_.close(ignored);
      pause_.cancel();
      for (Connection* connection : connections_) {
        if (!connection->answering) connection->stream.close();
      }
    });
    thread_.join();  // run() returns when the last connection has ended
  }

 private:
  void listen() {
    const auto endpoint = parse_listen_address(options_.listen);
    if (!endpoint) throw std::runtime_error(fmt::format("admin_listen '{}': not an IP address:port", options_.listen));
    error_code error;
    if (options_.bound >= 0) {
      acceptor_.assign(endpoint->protocol(), options_.bound, error);
    } else {
      acceptor_.open(endpoint->protocol(), error);
      if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
      if (!error) acceptor_.bind(*endpoint, error);
    }
    if (!error) acceptor_.listen(tcp::acceptor::max_listen_connections, error);
    if (error) throw std::runtime_error(fmt::format("admin_listen '{}': {}", options_.listen, error.message()));
    port_ = acceptor_.local_endpoint().port();
  }

  static void log_end(std::string_view what, const std::exception_ptr& error) {
    if (!error) return;
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& thrown) {
      spdlog::error("admin API, {}: {}", what, thrown.what());
    }
  }

  asio::awaitable<void> accept_loop() {
    while (!stopping_) {
      auto [error, socket] = co_await acceptor_.async_accept(kAsTuple);
      if (stopping_) co_return;
      if (error) {
        pause_.expires_after(kAcceptPause);
        co_await pause_.async_wait(kAsTuple);
        continue;
      }
      if (connections_.size() >= options_.connections_max) continue;  // the socket closes here
      auto serving = serve(std::move(socket));
      asio::co_spawn(context_, std::move(serving),
                     [](const std::exception_ptr& thrown) { log_end("connection", thrown); });
    }
  }

  asio::awaitable<void> serve(tcp::socket socket) {
    Connection connection(std::move(socket));
    const Registration registration(connections_, connection);
    error_code ignored;
    connection.stream.socket().set_option(tcp::no_delay(true), ignored);
    for (bool open = true; open && !stopping_;) {
      auto one = serve_one(connection);
      open = co_await std::move(one);
      connection.answering = false;
    }
  }

  // True: the connection is good for another request.
  asio::awaitable<bool> serve_one(Connection& connection) {
    Parser parser;
    parser.header_limit(static_cast<std::uint32_t>(options_.head_bytes_max));
    parser.body_limit(kBodyBytesMax);
    connection.stream.expires_after(options_.head_timeout);
    auto [error, size] = co_await http::async_read_header(connection.stream, connection.buffer, parser, kAsTuple);
    Outcome outcome;
    if (!error) {
      auto outcome_of_head = after_head(connection, parser, error);
      outcome = co_await std::move(outcome_of_head);
    }
    if (error) {
      auto refusal = refusal_of(error);
      if (!refusal) co_return false;
      outcome = {*std::move(refusal), false, true};
    }
    auto sending = send(connection, parser, outcome);
    co_return co_await std::move(sending);
  }

  // Reads the body if the head's call may have one, and has it answered. `error`: the reading failed.
  asio::awaitable<Outcome> after_head(Connection& connection, Parser& parser, error_code& error) {
    const auto& head = parser.get().base();
    const bool keep_alive = parser.get().keep_alive();
    const auto opening = api_.open(head, connection.peer);
    if (opening.refusal) {
      const bool goes_on = keep_alive && parser.is_done() && opening.refusal->status != 429;  // each guess a connection
      co_return Outcome{*opening.refusal, goes_on, !parser.is_done(), opening.request_id};
    }
    const auto limit = opening.match.route->body_bytes_max;
    const auto length = parser.content_length();
    if (length && *length > limit) {
      error = http::error::body_limit;
      co_return Outcome{};
    }
    if (!parser.is_done()) {
      parser.body_limit(limit);
      auto reading = read_body(connection, parser);
      error = co_await std::move(reading);
      if (error) co_return Outcome{};
    }
    connection.answering = true;
    const std::string body = std::move(parser.get().body());
    auto answering = answer(head, opening, body);
    AdminAnswer made = co_await std::move(answering);
    co_return Outcome{std::move(made), keep_alive && !stopping_, false, opening.request_id};
  }

  asio::awaitable<error_code> read_body(Connection& connection, Parser& parser) {
    connection.stream.expires_after(options_.body_timeout);
    if (beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      http::response<http::empty_body> go_on(http::status::continue_, 11);
      auto [error, size] = co_await http::async_write(connection.stream, go_on, kAsTuple);
      if (error) co_return error;
    }
    auto [error, size] = co_await http::async_read(connection.stream, connection.buffer, parser, kAsTuple);
    co_return error;
  }

  // The one place that catches: a handler's exception is our own fault, and the client is told no more than that.
  asio::awaitable<AdminAnswer> answer(const AdminHead& head, const AdminApi::Opening& opening,
                                      const std::string& body) {
    try {
      auto made = api_.answer(head, opening, body);
      co_return co_await std::move(made);
    } catch (const std::exception& error) {
      spdlog::error("admin API, {} {}: {}", std::string_view(head.method_string().data(), head.method_string().size()),
                    opening.match.route->pattern, error.what());
    }
    co_return problem(500, "internal", "something broke inside; the log says what");
  }

  asio::awaitable<bool> send(Connection& connection, Parser& parser, Outcome& outcome) {
    const auto request_id = outcome.request_id.empty() ? random_id("adm") : outcome.request_id;
    const auto& head = parser.get().base();
    const unsigned version = parser.is_header_done() ? head.version() : 11;
    auto response = to_response(outcome.answer, version, outcome.keep_alive, request_id);
    if (parser.is_header_done()) log_change(head, outcome.answer, request_id);
    if (parser.is_header_done() && head.method() == http::verb::head) response.body().clear();  // its length stays
    connection.stream.expires_after(options_.write_timeout);
    auto [error, size] = co_await http::async_write(connection.stream, response, kAsTuple);
    if (!error && outcome.body_left) {
      auto lingering = linger(connection);
      co_await std::move(lingering);
    }
    co_return !error && outcome.keep_alive;
  }

  // Closing with unread bytes would reset the connection, and the client might never see why it was refused.
  asio::awaitable<void> linger(Connection& connection) {
    error_code ignored;
    connection.stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
    connection.stream.expires_after(kLinger);
    connection.buffer.clear();
    std::string sink(64 * 1024, '\0');
    for (std::size_t taken = 0; taken < kLingerBytesMax;) {
      auto [error, size] = co_await connection.stream.async_read_some(asio::buffer(sink), kAsTuple);
      if (error) co_return;
      taken += size;
    }
  }

  // Whoever has no token, or one that may not, cannot fill the log: a refusal for that has few lines a second. With
  // the head of the audit log: whoever keeps these lines elsewhere can tell when that log was cut or rewritten.
  void log_change(const AdminHead& head, const AdminAnswer& answer, const std::string& request_id) {
    if (head.method() == http::verb::get || head.method() == http::verb::head) return;
    const bool refused = answer.status == 401 || answer.status == 403 || answer.status == 429;
    if (refused && !refused_lines_.take(steady_ns(), kRefusedLinesPerS)) return;
    const auto target = head.target();
    const std::string_view path(target.data(), std::min(target.find('?'), target.size()));
    spdlog::info("admin API: {} {} {} {}{}{}",
                 std::string_view(head.method_string().data(), head.method_string().size()), path.substr(0, 300),
                 answer.status, request_id, answer.audit_head.empty() ? "" : " audit-log ", answer.audit_head);
  }

  // In the set of connections for as long as its coroutine lives.
  class Registration {
   public:
    Registration(std::unordered_set<Connection*>& all, Connection& connection) : all_(all), connection_(&connection) {
      all_.insert(connection_);
    }
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;
    ~Registration() { all_.erase(connection_); }

   private:
    std::unordered_set<Connection*>& all_;
    Connection* connection_;
  };

  static constexpr std::size_t kBodyBytesMax = 16 * 1024 * 1024;  // of any call; each call has its own below

  static constexpr std::int64_t kRefusedLinesPerS = 10;

  AdminOptions options_;
  AdminApi api_;
  LineBudget refused_lines_;
  std::unordered_set<Connection*> connections_;
  bool stopping_ = false;  // as all below: of the server's thread
  asio::io_context context_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer pause_{context_};
  std::uint16_t port_ = 0;
  std::thread thread_;
};

AdminServer::AdminServer(AdminOptions options, BillingThread& billing, billing::Core& core, Traffic& traffic,
                         const Clock& clock, ManualClock* manual_clock) {
  AdminContext context{
      core, traffic, clock, manual_clock, options.run_due, options.changed, options.audited, options.wrong_token};
  listener_ = std::make_unique<Listener>(std::move(options), std::move(context), billing);
}

AdminServer::~AdminServer() = default;

std::uint16_t AdminServer::port() const noexcept { return listener_->port(); }

void AdminServer::stop() { listener_->stop(); }

}  // namespace tollgate::gateway
