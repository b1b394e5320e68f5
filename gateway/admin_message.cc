#include "gateway/admin_message.h"

#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <charconv>

#include "base/check.h"

namespace tollgate::gateway {
namespace {

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Visible ASCII is all that ids, times, numbers and cursors need.
std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c < 0x21 || c > 0x7e) return std::nullopt;
    out += c;
  }
  return out;
}

int status_of(FaultKind kind) noexcept {
  switch (kind) {
    case FaultKind::invalid: return 400;
    case FaultKind::payment_required: return 402;
    case FaultKind::not_found: return 404;
    case FaultKind::conflict: return 409;
    case FaultKind::gone: return 410;
    case FaultKind::unprocessable: return 422;
    case FaultKind::unavailable: return 503;
  }
  return 500;
}
}  // namespace

Result<AdminQuery> AdminQuery::parse(std::string_view text) {
  AdminQuery query;
  while (!text.empty()) {
    const auto end = std::min(text.find('&'), text.size());
    const auto pair = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (pair.empty()) continue;
    const auto equals = std::min(pair.find('='), pair.size());
    const auto name = percent_decoded(pair.substr(0, equals));
    if (!name) return invalid({}, "a query parameter's name is not visible ASCII");
    const auto value = percent_decoded(pair.substr(std::min(equals + 1, pair.size())));
    if (!value) return invalid(*name, fmt::format("{}: its value is not visible ASCII, percent-encoded", *name));
    if (!query.values_.emplace(*name, *value).second) return invalid(*name, fmt::format("{}: is given twice", *name));
  }
  return query;
}

std::optional<std::string> AdminQuery::text(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) return std::nullopt;
  return found->second;
}

Result<WallTime> AdminQuery::instant(std::string_view name) const {
  const auto value = text(name);
  if (!value) return invalid(std::string(name), fmt::format("{}: is required", name));
  const auto instant = parse_time(*value);
  if (instant) return *instant;
  return invalid(std::string(name), fmt::format("{}: must be a time like 2021-08-20T00:00:00+08:00", name));
}

Result<int> AdminQuery::limit() const {
  const auto value = text("limit");
  if (!value) return billing::kPageItemsDefault;
  int number = 0;
  const char* end = value->data() + value->size();
  const auto [at, error] = std::from_chars(value->data(), end, number);
  if (error == std::errc() && at == end && number >= 1 && number <= billing::kPageItemsMax) return number;
  return invalid("limit", fmt::format("limit: must be from 1 to {}", billing::kPageItemsMax));
}

const std::string& AdminRequest::id(std::string_view part) const {
  const auto found = ids.find(part);
  TOLLGATE_CHECK(found != ids.end());
  return found->second;
}

AdminAnswer json_answer(int status, const boost::json::object& body) {
  AdminAnswer answer;
  answer.status = status;
  answer.body = boost::json::serialize(body);
  return answer;
}

AdminAnswer no_content() {
  AdminAnswer answer;
  answer.status = 204;
  return answer;
}

AdminAnswer problem(int status, std::string_view code, std::string_view detail, std::string_view field) {
  boost::json::object body;
  body["type"] = "about:blank";  // what the problem is, `code` says
  body["title"] = status_title(status);
  body["status"] = status;
  body["detail"] = detail;
  body["code"] = code;
  if (!field.empty()) body["field"] = field;
  auto answer = json_answer(status, body);
  answer.content_type = "application/problem+json";
  return answer;
}

AdminAnswer problem(const Fault& fault) {
  return problem(status_of(fault.kind), fault.code, fault.message, fault.field);
}

std::string_view status_title(int status) noexcept {
  switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    default: return "Internal Server Error";
  }
}

}  // namespace tollgate::gateway
