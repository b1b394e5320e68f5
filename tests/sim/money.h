// What accounts hold and what usage costs them, in the simplest arithmetic that is right: the oracle of the
// simulation's money. It shares no line with billing/, and decides nothing about when something is settled.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tollgate::sim {

inline constexpr std::int64_t kYuan = 1'000'000;  // micro-yuan

// Year * 12 + month - 1 of Beijing.
[[nodiscard]] std::int64_t month_of_hour(std::int64_t hour);

// What the first `points` of a month cost by plan points-2021-08-20.
[[nodiscard]] std::int64_t cost_of_month(std::int64_t points);

struct AccountMoney {
  std::int64_t cash = 0;
  std::int64_t vouchers = 0;                      // none of them expires
  std::map<std::int64_t, std::int64_t> charged;   // by month of the usage
  std::map<std::int64_t, std::int64_t> invested;  // purchases by month

  [[nodiscard]] bool in_arrears() const { return cash < 0; }
  void deposit(std::int64_t amount) { cash += amount; }
  void deposit_voucher(std::int64_t amount);  // pays a debt first
  void buy(std::int64_t price, std::int64_t now_us);
  void pay(std::int64_t amount, std::int64_t month);  // vouchers, then cash, below 0 if need be
};

struct BoughtPackage {
  std::int64_t left = 0;
  std::int64_t bought_us = 0;
  std::int64_t expires_us = 0;
};

struct SubscriptionPoints {
  std::vector<BoughtPackage> packages;
  std::map<std::int64_t, std::int64_t> charged;  // by month: the tier position
  std::map<std::int64_t, std::int64_t> settled;  // billable points by hour

  void buy_package(std::int64_t points, std::int64_t now_us);
  // Pays for `points` of `hour`: packages that were active in it, by expiry, then the month's tiers.
  void settle(std::int64_t hour, std::int64_t points, AccountMoney& account);
  [[nodiscard]] std::int64_t package_points_left(std::int64_t now_us) const;  // of packages that have not expired
};

}  // namespace tollgate::sim
