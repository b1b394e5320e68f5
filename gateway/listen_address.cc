#include "gateway/listen_address.h"

#include "gateway/service_definition.h"

namespace tollgate::gateway {

std::optional<boost::asio::ip::tcp::endpoint> parse_listen_address(std::string_view text) {
  const auto address = parse_upstream_address(text, true);
  if (!address) return std::nullopt;
  boost::system::error_code error;
  const auto ip = boost::asio::ip::make_address(address->host, error);
  if (error) return std::nullopt;
  return boost::asio::ip::tcp::endpoint(ip, address->port);
}

}  // namespace tollgate::gateway
