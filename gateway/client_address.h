// What one client is, where addresses are counted: an IPv4 address, or the /64 of an IPv6 one, as one number.
// It counts nothing itself, and it is no identity: many people may be behind one address.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <cstdint>

namespace tollgate::gateway {

// Whoever has an IPv6 address has its whole /64, so that is what counts as one. An IPv4 address that came in mapped
// is the same as the plain one, and so is one that a NAT64 translated (64:ff9b::/96, RFC 6052). The top byte of a /64
// is never 0 in the Internet, so the two do not meet.
[[nodiscard]] inline std::uint64_t client_address(const boost::asio::ip::address& address) noexcept {
  const auto v4 = [](std::uint32_t bits) { return std::uint64_t{bits}; };
  if (address.is_v4()) return v4(address.to_v4().to_uint());
  const auto bytes = address.to_v6().to_bytes();
  constexpr std::uint64_t kNat64 = 0x0064'ff9b'0000'0000U;
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  for (std::size_t i = 0; i < 8; ++i) high = high << 8 | bytes[i];
  for (std::size_t i = 8; i < 16; ++i) low = low << 8 | bytes[i];
  if (high == 0 && low >> 32 == 0xffff) return v4(static_cast<std::uint32_t>(low));
  if (high == kNat64 && low >> 32 == 0) return v4(static_cast<std::uint32_t>(low));
  return high;
}

// Spreads addresses over a table in a way that nobody outside can aim at (splitmix64's last step).
[[nodiscard]] inline std::uint64_t spread(std::uint64_t address, std::uint64_t seed) noexcept {
  std::uint64_t x = address + seed;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

}  // namespace tollgate::gateway
