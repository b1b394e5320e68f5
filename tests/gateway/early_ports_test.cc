// Sockets bound early: only low ports, each handed out once, and none that another process has.
#include "gateway/early_ports.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace tollgate::gateway {
namespace {
using boost::asio::ip::make_address;
using boost::asio::ip::tcp;

TEST(EarlyPorts, OtherPortsAreLeftToWhoListensThere) {
  EarlyPorts ports;
  for (const unsigned port : {0U, 1024U, 8080U, 65535U}) {
    const tcp::endpoint endpoint(make_address("127.0.0.1"), static_cast<std::uint16_t>(port));
    EXPECT_FALSE(ports.bind(endpoint, 2));
    EXPECT_FALSE(ports.holds(endpoint));
    EXPECT_EQ(ports.take(endpoint), -1);
  }
}

TEST(EarlyPorts, EachSocketIsHandedOutOnce) {
  // An address of the loopback net that is this process's alone, as far as process ids go.
  const auto pid = static_cast<unsigned>(::getpid());
  const tcp::endpoint endpoint(boost::asio::ip::address_v4(0x7f400000U | (pid & 0x3fffffU)), 600);
  EarlyPorts ports;
  const auto error = ports.bind(endpoint, 2);
  if (error == boost::asio::error::access_denied) GTEST_SKIP() << "only root binds port 600 here";
  ASSERT_FALSE(error) << error.message();
  EXPECT_TRUE(ports.holds(endpoint));
  const int first = ports.take(endpoint);
  const int second = ports.take(endpoint);
  EXPECT_GE(first, 0);
  EXPECT_GE(second, 0);
  EXPECT_NE(first, second);
  EXPECT_EQ(ports.take(endpoint), -1);
  EXPECT_FALSE(ports.holds(endpoint));
  ASSERT_EQ(::listen(first, 1), 0);
  EarlyPorts others;
  EXPECT_EQ(others.bind(endpoint, 1), boost::asio::error::address_in_use);
  ::close(first);
  ::close(second);
}

}  // namespace
}  // namespace tollgate::gateway
