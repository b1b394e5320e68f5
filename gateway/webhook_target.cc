#include "gateway/webhook_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "gateway/service_definition.h"

namespace tollgate::gateway {
namespace {
namespace ip = boost::asio::ip;

constexpr std::size_t kUrlBytesMax = 2048;

Fault wrong_url(std::string message) { return invalid("billing.webhook_url", std::move(message)); }

struct Block4 {
  std::uint32_t first;
  int bits;
};

// The IPv4 blocks of the IANA special-purpose registry that are not globally reachable, and multicast.
constexpr std::array kNotPublic4 = {
    Block4{0x00000000, 8},   // this network
    Block4{0x0a000000, 8},   // private
    Block4{0x64400000, 10},  // shared (carrier NAT); one cloud's metadata service too
    Block4{0x7f000000, 8},   // loopback
    Block4{0xa9fe0000, 16},  // link-local; cloud metadata
    Block4{0xac100000, 12},  // private
    Block4{0xc0000000, 24},  // protocol assignments
    Block4{0xc0000200, 24},  // documentation
    Block4{0xc0586300, 24},  // 6to4 relays
    Block4{0xc0a80000, 16},  // private
    Block4{0xc6120000, 15},  // benchmarks
    Block4{0xc6336400, 24},  // documentation
    Block4{0xcb007100, 24},  // documentation
    Block4{0xe0000000, 3},   // multicast, reserved, broadcast
};

bool is_public(std::uint32_t address) {
  return std::none_of(kNotPublic4.begin(), kNotPublic4.end(), [&](const Block4& block) {
    return (address >> (32 - block.bits)) == (block.first >> (32 - block.bits));
  });
}

bool is_public(const ip::address_v6::bytes_type& bytes) {
  const auto four_at = [&](std::size_t at) {
    return std::uint32_t{bytes[at]} << 24 | std::uint32_t{bytes[at + 1]} << 16 | std::uint32_t{bytes[at + 2]} << 8 |
           std::uint32_t{bytes[at + 3]};
  };
  const std::uint32_t head = four_at(0);
  if (head == 0x0064ff9b && four_at(4) == 0 && four_at(8) == 0) return is_public(four_at(12));  // NAT64
  if ((head >> 29) != 1) return false;  // outside 2000::/3: loopback, mapped, unique local, link-local, multicast
  if ((head >> 16) == 0x2002) return is_public(head << 16 | four_at(4) >> 16);  // 6to4
  if ((head >> 9) == (0x20010000U >> 9)) return false;                          // protocol assignments, Teredo
  if (head == 0x20010db8) return false;                                         // documentation
  if ((head >> 12) == 0x3fff0) return false;                                    // documentation
  return true;
}

bool is_url_character(char c) { return c > 0x20 && c < 0x7f && c != '"' && c != '<' && c != '>' && c != '\\'; }
}  // namespace

std::string WebhookTarget::host_field() const {
  const auto name = host.find(':') == std::string::npos ? host : fmt::format("[{}]", host);
  return port == (tls ? 443 : 80) ? name : fmt::format("{}:{}", name, port);
}

Result<WebhookTarget> parse_webhook_url(std::string_view url) {
  if (url.size() > kUrlBytesMax) return wrong_url(fmt::format("must be at most {} bytes", kUrlBytesMax));
  if (!std::all_of(url.begin(), url.end(), is_url_character))
    return wrong_url("must be visible ASCII, percent-encoded");
  WebhookTarget target;
  target.tls = url.starts_with("https://");
  if (!target.tls && !url.starts_with("http://")) return wrong_url("must begin with http:// or https://");
  url.remove_prefix(target.tls ? 8 : 7);
  if (url.find('#') != std::string_view::npos) return wrong_url("must have no fragment");
  const auto end = std::min(url.find_first_of("/?"), url.size());
  auto authority = std::string(url.substr(0, end));
  if (authority.find('@') != std::string::npos) return wrong_url("must have no user name or password");
  const auto colon = authority.rfind(':');
  const bool has_port = colon != std::string::npos && authority.find(']', colon) == std::string::npos;
  if (!has_port) authority += target.tls ? ":443" : ":80";
  const auto address = parse_upstream_address(authority);
  if (!address) return wrong_url("must have a host name or IP address, and a port from 1 to 65535 if any");
  target.host = address->host;
  target.port = address->port;
  target.path = url.substr(end);
  if (!target.path.starts_with('/')) target.path.insert(0, "/");
  return target;
}

bool is_public_address(const ip::address& address) {
  return address.is_v4() ? is_public(address.to_v4().to_uint()) : is_public(address.to_v6().to_bytes());
}

}  // namespace tollgate::gateway
