// The addresses that a listener binds: an IP address and a port, as the configuration spells them. It resolves no
// names.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <optional>
#include <string_view>

namespace tollgate::gateway {

// "0.0.0.0:8080", "[::1]:0"; port 0 means any free one. Nothing for whatever else.
[[nodiscard]] std::optional<boost::asio::ip::tcp::endpoint> parse_listen_address(std::string_view text);

}  // namespace tollgate::gateway
