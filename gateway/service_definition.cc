#include "gateway/service_definition.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/json.hpp>

#include "gateway/json_reader.h"

namespace tollgate::gateway {
namespace {
namespace json = boost::json;

constexpr std::size_t kUpstreamsMax = 64;
constexpr std::size_t kFailureStatusesMax = 100;
constexpr std::size_t kHostBytesMax = 253;
constexpr std::size_t kPathPrefixBytesMax = 1024;
constexpr std::string_view kCertificateBegin = "-----BEGIN CERTIFICATE-----";
constexpr std::size_t kCaBytesMax = 256 * 1024;

const std::vector<std::string_view> kLimitBy = {"concurrency", "qps"};
const std::vector<std::string_view> kErrorDialects = {"problem", "openai", "baidu"};

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Letters, digits, '-' and (service names of container networks have them) '_', in labels parted by dots.
bool is_host_name(std::string_view host) noexcept {
  if (host.empty() || host.size() > kHostBytesMax || host.front() == '.' || host.front() == '-') return false;
  for (char c : host) {
    if (!is_digit(c) && !is_letter(c) && c != '-' && c != '_' && c != '.') return false;
  }
  return host.find("..") == std::string_view::npos;
}

bool is_ipv6(std::string_view host) {
  boost::system::error_code ec;
  const auto address = boost::asio::ip::make_address(std::string(host), ec);
  return !ec && address.is_v6();
}

std::string lower_case(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

// RFC 3986 unreserved and sub-delims, ':' and '@', and '/'. No '%': two spellings of one path would route apart.
// No ';': some servers cut parameters off there before they look at the path.
bool is_prefix_char(char c) noexcept {
  return is_digit(c) || is_letter(c) || std::string_view("-._~!$&'()*+,=:@/").find(c) != std::string_view::npos;
}

std::optional<std::string> wrong_with_prefix(std::string_view prefix) {
  if (!prefix.starts_with('/')) return "must begin with '/'";
  if (!std::all_of(prefix.begin(), prefix.end(), is_prefix_char)) {
    return "may hold letters, digits and -._~!$&'()*+,=:@/ only, nothing percent-encoded";
  }
  if (prefix.find("//") != std::string_view::npos) return "must not contain '//'";
  for (std::size_t begin = 1; begin <= prefix.size();) {
    const auto end = std::min(prefix.find('/', begin), prefix.size());
    const auto segment = prefix.substr(begin, end - begin);
    if (segment == "." || segment == "..") return "must not contain the segments '.' and '..'";
    begin = end + 1;
  }
  return std::nullopt;
}

// "503" or "5xx", from 300: a 2xx is how a call succeeds, and a 1xx ends none.
bool is_failure_status(std::string_view text) noexcept {
  if (text == "3xx" || text == "4xx" || text == "5xx") return true;
  return text.size() == 3 && text[0] >= '3' && text[0] <= '5' && is_digit(text[1]) && is_digit(text[2]);
}

void read_upstreams(ObjectReader& reader, ServiceDefinition& definition) {
  reader.array("upstreams", 1, kUpstreamsMax, [&](const json::value& item, const std::string& path) {
    const json::string* text = item.if_string();
    const auto address = text == nullptr ? std::nullopt : parse_upstream_address({text->data(), text->size()});
    if (!address) return reader.refuse(path, "must be \"host:port\", like \"127.0.0.1:8081\" or \"[::1]:8081\"");
    const auto is_same = [&](const UpstreamAddress& other) { return other.text() == address->text(); };
    if (std::any_of(definition.upstreams.begin(), definition.upstreams.end(), is_same)) {
      return reader.refuse(path, "is listed twice");
    }
    definition.upstreams.push_back(*address);
  });
}

void read_route(ObjectReader& route, ServiceDefinition& definition) {
  definition.path_prefix = route.text("path_prefix", kPathPrefixBytesMax);
  if (route.has("path_prefix")) {
    if (auto wrong = wrong_with_prefix(definition.path_prefix)) {
      route.refuse(route.path_of("path_prefix"), *std::move(wrong));
    }
  }
  while (definition.path_prefix.size() > 1 && definition.path_prefix.back() == '/') definition.path_prefix.pop_back();
  definition.host = route.optional_text("host", kHostBytesMax);
  if (!definition.host) return;
  if (!is_host_name(*definition.host) && !is_ipv6(*definition.host)) {
    route.refuse(route.path_of("host"), "must be a host name or an IP address, without a port");
  }
  definition.host = lower_case(*std::move(definition.host));
}

void read_tls(ObjectReader& tls, UpstreamTlsDefinition& definition) {
  definition.verify = tls.optional_boolean("verify").value_or(true);
  definition.ca = tls.optional_lines("ca", kCaBytesMax);
  definition.server_name = tls.optional_text("server_name", kHostBytesMax);
  if (definition.server_name && !is_host_name(*definition.server_name) && !is_ipv6(*definition.server_name)) {
    tls.refuse(tls.path_of("server_name"), "must be a host name or an IP address, without a port");
  }
  if (!definition.verify && definition.ca) tls.refuse(tls.path_of("ca"), "is not looked at when verify is false");
  // Whether they can be read is found out when the service is put: this is also how stored definitions are read.
  if (definition.ca && definition.ca->find(kCertificateBegin) == std::string::npos) {
    tls.refuse(tls.path_of("ca"), "must hold certificates in PEM form");
  }
}

void read_failure_statuses(ObjectReader& reader, ServiceDefinition& definition) {
  if (reader.has("failure_statuses")) definition.failure_statuses.clear();
  const auto read = [&](const json::value& item, const std::string& path) {
    std::string status;
    if (const json::string* text = item.if_string()) status.assign(text->data(), text->size());
    if (const std::int64_t* number = item.if_int64()) status = std::to_string(*number);
    if (!is_failure_status(status)) {
      return reader.refuse(path, "must be a status from \"300\" to \"599\", or \"3xx\", \"4xx\", \"5xx\"");
    }
    definition.failure_statuses.push_back(std::move(status));
  };
  reader.optional_array("failure_statuses", 0, kFailureStatusesMax, read);
}

template <class To>
std::optional<To> narrowed(std::optional<std::int64_t> value) {
  if (!value) return std::nullopt;
  return static_cast<To>(*value);
}
}  // namespace

std::string UpstreamAddress::text() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

std::optional<UpstreamAddress> parse_upstream_address(std::string_view text, bool port_zero_allowed) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  auto host = text.substr(0, colon);
  const auto digits = text.substr(colon + 1);
  if (digits.empty() || digits.size() > 5 || !std::all_of(digits.begin(), digits.end(), is_digit)) return std::nullopt;
  const int port = std::stoi(std::string(digits));
  if (port > 65535 || (port == 0 && !port_zero_allowed)) return std::nullopt;
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    if (!is_ipv6(host)) return std::nullopt;
  } else if (!is_host_name(host)) {
    return std::nullopt;
  }
  return UpstreamAddress{lower_case(std::string(host)), static_cast<std::uint16_t>(port)};
}

std::bitset<600> ServiceDefinition::failure_status_set() const {
  std::bitset<600> set;
  for (const auto& status : failure_statuses) {
    const std::size_t hundreds = static_cast<std::size_t>(status[0] - '0') * 100;
    if (status[1] != 'x') {
      set.set(hundreds + static_cast<std::size_t>(status[1] - '0') * 10 + static_cast<std::size_t>(status[2] - '0'));
      continue;
    }
    for (std::size_t i = 0; i < 100; ++i) set.set(hundreds + i);
  }
  return set;
}

Result<ServiceDefinition> read_service_definition(const json::value& value) {
  ServiceDefinition definition;
  ObjectReader reader(value);
  definition.model = reader.text("model", 200);
  if (definition.model.empty() && reader.has("model")) reader.refuse("model", "must not be empty");
  read_upstreams(reader, definition);
  reader.object("route", [&](ObjectReader& route) { read_route(route, definition); });
  if (reader.has("tls")) {
    reader.object("tls", [&](ObjectReader& tls) { read_tls(tls, definition.tls.emplace()); });
  }
  definition.timeout_ms = reader.optional_integer("timeout_ms", 1, 86'400'000);
  definition.capacity = narrowed<std::int32_t>(reader.optional_integer("capacity", 1, 1'000'000));
  definition.paid_reserve_percent = static_cast<std::int32_t>(
      reader.optional_integer("paid_reserve_percent", 0, 100).value_or(definition.paid_reserve_percent));
  if (auto at = reader.optional_one_of("limit_by", kLimitBy)) definition.limit_by = static_cast<LimitBy>(*at);
  read_failure_statuses(reader, definition);
  if (auto at = reader.optional_one_of("error_dialect", kErrorDialects)) {
    definition.error_dialect = static_cast<ErrorDialect>(*at);
  }
  definition.rate_limit_headers = reader.optional_boolean("rate_limit_headers").value_or(false);
  definition.retry_unsafe = reader.optional_boolean("retry_unsafe").value_or(false);
  if (auto fault = reader.finish()) return *std::move(fault);
  return definition;
}

Result<ServiceDefinition> parse_service_definition(std::string_view text) {
  auto value = parse_json(text);
  if (value.has_error()) return value.error();
  return read_service_definition(*value);
}

std::string to_json(const ServiceDefinition& definition) {
  json::object out;
  out["model"] = definition.model;
  json::array& upstreams = out["upstreams"].emplace_array();
  for (const auto& upstream : definition.upstreams) upstreams.emplace_back(upstream.text());
  json::object& route = out["route"].emplace_object();
  route["path_prefix"] = definition.path_prefix;
  if (definition.host) route["host"] = *definition.host;
  if (definition.tls) {
    json::object& tls = out["tls"].emplace_object();
    tls["verify"] = definition.tls->verify;
    if (definition.tls->ca) tls["ca"] = *definition.tls->ca;
    if (definition.tls->server_name) tls["server_name"] = *definition.tls->server_name;
  }
  if (definition.timeout_ms) out["timeout_ms"] = *definition.timeout_ms;
  if (definition.capacity) out["capacity"] = *definition.capacity;
  out["paid_reserve_percent"] = definition.paid_reserve_percent;
  out["limit_by"] = kLimitBy[static_cast<std::size_t>(definition.limit_by)];
  json::array& statuses = out["failure_statuses"].emplace_array();
  for (const auto& status : definition.failure_statuses) statuses.emplace_back(status);
  out["error_dialect"] = kErrorDialects[static_cast<std::size_t>(definition.error_dialect)];
  out["rate_limit_headers"] = definition.rate_limit_headers;
  out["retry_unsafe"] = definition.retry_unsafe;
  return json::serialize(out);
}

}  // namespace tollgate::gateway
