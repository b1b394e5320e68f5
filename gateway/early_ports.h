// Sockets on ports below 1024, bound while the process is still root and each handed out once to whoever listens
// there. Other ports need nobody's rights, and are bound where they are listened on.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <utility>
#include <vector>

namespace tollgate::gateway {

class EarlyPorts {
 public:
  EarlyPorts() = default;
  EarlyPorts(const EarlyPorts&) = delete;
  EarlyPorts& operator=(const EarlyPorts&) = delete;
  ~EarlyPorts();  // closes what nobody took

  // As many `sockets` that share the address (SO_REUSEPORT), if nobody else listens there. Nothing for other ports.
  boost::system::error_code bind(const boost::asio::ip::tcp::endpoint& endpoint, std::size_t sockets);
  [[nodiscard]] bool holds(const boost::asio::ip::tcp::endpoint& endpoint) const noexcept;
  [[nodiscard]] int take(const boost::asio::ip::tcp::endpoint& endpoint) noexcept;  // a descriptor; -1: there is none

 private:
  std::vector<std::pair<boost::asio::ip::tcp::endpoint, int>> bound_;
};

}  // namespace tollgate::gateway
