#include "gateway/admin_callers.h"

#include <algorithm>

#include "base/ids.h"
#include "gateway/client_address.h"

namespace tollgate::gateway {

AdminCaller identify_caller(const AdminTokens& tokens, std::string_view presented) noexcept {
  const bool is_admin = equal_in_constant_time(presented, tokens.admin);
  const bool is_billing_read = equal_in_constant_time(presented, tokens.billing_read);
  if (is_admin && !tokens.admin.empty()) return {AdminRole::admin, {}};
  if (is_billing_read && !tokens.billing_read.empty()) return {AdminRole::billing_read, {}};
  return {};
}

std::int64_t WrongTokens::count(const boost::asio::ip::address& peer, std::int64_t now_ns) noexcept {
  const std::uint64_t network = client_address(peer);
  auto& ways = places_[(network * 0x9e3779b97f4a7c15U) >> 55];
  auto place = std::find_if(ways.begin(), ways.end(),
                            [&](const Place& one) { return one.failures > 0 && one.network == network; });
  if (place == ways.end()) {
    place = std::min_element(ways.begin(), ways.end(), [](const Place& a, const Place& b) {
      return a.failures == 0 || b.failures == 0 ? a.failures < b.failures : a.begun_ns < b.begun_ns;
    });
    *place = {network, now_ns, 0};
  } else if (now_ns - place->begun_ns >= kWindowNs) {
    *place = {network, now_ns, 0};
  }
  if (++place->failures <= kMax) return 0;
  return (place->begun_ns + kWindowNs - now_ns + 999'999'999) / 1'000'000'000;
}

}  // namespace tollgate::gateway
