// Who calls the admin API: the roles that a token may stand for, and the count of wrong tokens by address.
// It does not know which call a role may make; the table of routes says that.
#pragma once

#include <array>
#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <string>

#include "base/clock.h"

namespace tollgate::gateway {

enum class AdminRole { nobody, admin, billing_read, account };

struct AdminCaller {
  AdminRole role = AdminRole::nobody;
  std::string account;  // whose token it is, of AdminRole::account (billing/account_tokens.h knows those)
};

struct AdminTokens {
  std::string admin;         // never empty
  std::string billing_read;  // empty: there is none, and none matches
};

// By which of the tokens `presented` is; compared with each in constant time.
[[nodiscard]] AdminCaller identify_caller(const AdminTokens& tokens, std::string_view presented) noexcept;

// Wrong tokens by address (of IPv6 the /64, which one guesser has whole), so that guessing is slow. A right token is
// never asked about here, so nobody who holds one is hurt by a guesser behind the same address. One thread.
class WrongTokens {
 public:
  static constexpr std::int64_t kMax = 300;  // in a window; those beyond it get 429
  static constexpr std::int64_t kWindowNs = 60'000'000'000;

  // Counts a wrong token. 0: within the bound; else the seconds until the window's end, at least 1.
  std::int64_t count(const boost::asio::ip::address& peer, std::int64_t now_ns) noexcept;

 private:
  struct Place {
    std::uint64_t network = 0;
    std::int64_t begun_ns = 0;
    std::int64_t failures = 0;  // 0: the place is free
  };
  // A bounded table: an address finds its place by hash among kWays, and takes the oldest of them if it has none.
  // Whoever drives another's count out must hold many addresses, and then has as many budgets anyway.
  static constexpr std::size_t kWays = 8;
  std::array<std::array<Place, kWays>, 512> places_{};
};

}  // namespace tollgate::gateway
