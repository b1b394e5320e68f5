#include "gateway/ctl_client.h"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>

#include "gateway/service_definition.h"

namespace tollgate::gateway {
namespace {
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace json = boost::json;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::uint64_t kAnswerBytesMax = 256 * 1024 * 1024;

using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

struct Exchanged {
  boost::system::error_code error;
  Response response;
};

asio::awaitable<boost::system::error_code> connect(beast::tcp_stream& stream, const UpstreamAddress& address) {
  asio::ip::tcp::resolver resolver(stream.get_executor());
  const auto port = std::to_string(address.port);
  auto [resolve_error, endpoints] = co_await resolver.async_resolve(address.host, port, kAsTuple);
  if (resolve_error) co_return resolve_error;
  auto [connect_error, endpoint] = co_await stream.async_connect(endpoints, kAsTuple);
  co_return connect_error;
}

asio::awaitable<Exchanged> exchange(beast::tcp_stream& stream, const UpstreamAddress& address, Request& request) {
  Exchanged made;
  auto connecting = connect(stream, address);
  made.error = co_await std::move(connecting);
  if (made.error) co_return made;
  auto [write_error, written] = co_await http::async_write(stream, request, kAsTuple);
  // An answer may be there although the body was not taken (413, 401): reading tells.
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kAnswerBytesMax);
  auto [read_error, read] = co_await http::async_read(stream, buffer, parser, kAsTuple);
  made.error = read_error && write_error ? write_error : read_error;
  made.response = parser.release();
  co_return made;
}

FaultKind kind_of(int status) noexcept {
  switch (status) {
    case 402: return FaultKind::payment_required;
    case 404: return FaultKind::not_found;
    case 409: return FaultKind::conflict;
    case 410: return FaultKind::gone;
    case 422: return FaultKind::unprocessable;
    default: return status >= 500 ? FaultKind::unavailable : FaultKind::invalid;
  }
}

std::string text_of(const json::object& object, std::string_view field) {
  const json::value* value = object.if_contains(field);
  return value != nullptr && value->is_string() ? json::value_to<std::string>(*value) : std::string();
}

Fault fault_of(int status, const json::value& body) {
  const json::object* problem = body.if_object();
  if (problem == nullptr) return {kind_of(status), "no_problem", fmt::format("the server answered {}", status), {}};
  return {kind_of(status), text_of(*problem, "code"),
          fmt::format("{} ({}, {})", text_of(*problem, "detail"), text_of(*problem, "code"), status),
          text_of(*problem, "field")};
}

Fault unreachable(const std::string& address, const std::string& why) {
  return {
      FaultKind::unavailable, "unreachable", fmt::format("no answer from the admin API at {}: {}", address, why), {}};
}
}  // namespace

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (char c : text) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                          std::string_view("-._~").find(c) != std::string_view::npos;
    out += is_plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

Result<CtlAnswer> CtlClient::send(std::string_view method, std::string_view target, const json::value* body,
                                  std::string_view idempotency_key) {
  last_ = {};
  const auto address = parse_upstream_address(options_.address);
  if (!address) return invalid("address", fmt::format("'{}' is not host:port", options_.address));
  Request request;
  request.method_string({method.data(), method.size()});
  request.target({target.data(), target.size()});
  request.version(11);
  request.set(http::field::host, options_.address);
  request.set(http::field::connection, "close");
  if (!options_.token.empty()) request.set(http::field::authorization, "Bearer " + options_.token);
  if (!idempotency_key.empty()) {
    request.set("Idempotency-Key", beast::string_view(idempotency_key.data(), idempotency_key.size()));
  }
  if (body != nullptr) {
    request.set(http::field::content_type, "application/json");
    request.body() = json::serialize(*body);
  }
  request.prepare_payload();

  asio::io_context context;
  beast::tcp_stream stream(context);
  stream.expires_after(options_.timeout);
  auto running = exchange(stream, *address, request);
  auto done = asio::co_spawn(context, std::move(running), asio::use_future);
  context.run();
  const Exchanged made = done.get();
  if (made.error) return unreachable(options_.address, made.error.message());

  CtlAnswer answer;
  answer.status = static_cast<int>(made.response.result_int());
  answer.replayed = made.response.count("Idempotency-Replayed") != 0;
  const auto type = made.response[http::field::content_type];
  if (answer.status < 400 && beast::string_view(type).starts_with("text/csv")) {
    answer.text = made.response.body();
    return answer;
  }
  boost::system::error_code not_json;
  if (!made.response.body().empty()) answer.body = json::parse(made.response.body(), not_json);
  if (answer.status >= 400) {
    if (answer.body.is_object()) last_.problem = answer.body;
    last_.status = answer.status;
    return fault_of(answer.status, answer.body);
  }
  if (not_json) return unreachable(options_.address, "what answers there is not the admin API");
  last_.status = answer.status;
  return answer;
}

Result<json::array> CtlClient::all(const std::string& target) {
  json::array items;
  const char separator = target.find('?') == std::string::npos ? '?' : '&';
  std::string after;
  for (;;) {
    auto page = get(fmt::format("{}{}limit=1000{}", target, separator, after));
    if (page.has_error()) return page.error();
    const json::object* object = page->body.if_object();
    const json::value* found = object == nullptr ? nullptr : object->if_contains("items");
    if (found == nullptr || !found->is_array()) return unreachable(options_.address, "its answer is not a list");
    for (const auto& item : found->get_array()) items.push_back(item);
    const auto next = text_of(*object, "next");
    if (next.empty()) return items;
    after = "&after=" + percent_encoded(next);
  }
}

}  // namespace tollgate::gateway
