// Where notifications may be sent: the parts of a webhook's URL, and which addresses a name may stand for.
// It resolves nothing and connects to nothing.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/fault.h"

namespace tollgate::gateway {

struct WebhookTarget {
  bool tls = false;
  std::string host;  // a name or an IP address, lower case, without brackets
  std::uint16_t port = 80;
  std::string path;  // with the query; at least "/"

  [[nodiscard]] std::string host_field()
      const;  // as the Host field spells it: the port only where it is not the scheme's own
};

// "http://host[:port][/path][?query]" or https. Refused: other schemes, user names, fragments, blanks, control
// characters and bytes beyond ASCII. The fault's message says what is wrong; it never repeats the URL, whose path
// may hold a secret.
Result<WebhookTarget> parse_webhook_url(std::string_view url);

// Whether an address is one of the public Internet: no loopback, private, shared, link-local (cloud metadata is
// there), multicast, documentation or reserved one, also where it hides in an IPv6 address that carries an IPv4 one.
[[nodiscard]] bool is_public_address(const boost::asio::ip::address& address);

}  // namespace tollgate::gateway
