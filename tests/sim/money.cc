#include "tests/sim/money.h"

#include <algorithm>
#include <chrono>
#include <tuple>

namespace tollgate::sim {
namespace {
constexpr std::int64_t kHourUs = 3'600'000'000;
using Days = std::chrono::sys_days;

std::chrono::year_month_day beijing_day(std::int64_t hour) {
  return Days(std::chrono::floor<std::chrono::days>(std::chrono::hours(hour + 8)));
}

// The end of the Beijing day twelve months later.
std::int64_t after_a_year(std::int64_t now_us) {
  auto day = beijing_day(now_us / kHourUs) + std::chrono::months(12);
  if (!day.ok()) day = day.year() / day.month() / std::chrono::last;
  const auto midnight = Days(day) + std::chrono::days(1) - std::chrono::hours(8);
  return std::chrono::microseconds(midnight.time_since_epoch()).count();
}
}  // namespace

std::int64_t month_of_hour(std::int64_t hour) {
  const auto day = beijing_day(hour);
  return static_cast<int>(day.year()) * 12 + static_cast<unsigned>(day.month()) - 1;
}

std::int64_t cost_of_month(std::int64_t points) {
  const std::int64_t million = 1'000'000;
  const std::int64_t first = std::min(points, million);
  const std::int64_t second = std::clamp<std::int64_t>(points - million, 0, 4 * million);
  const std::int64_t third = std::max<std::int64_t>(points - 5 * million, 0);
  return first * 1000 + second * 800 + third * 640;
}

void AccountMoney::deposit_voucher(std::int64_t amount) {
  const std::int64_t debt = std::min(std::max<std::int64_t>(-cash, 0), amount);
  cash += debt;
  vouchers += amount - debt;
}

void AccountMoney::buy(std::int64_t price, std::int64_t now_us) {
  cash -= price;
  invested[month_of_hour(now_us / kHourUs)] += price;
}

void AccountMoney::pay(std::int64_t amount, std::int64_t month) {
  const std::int64_t by_voucher = std::min(amount, vouchers);
  vouchers -= by_voucher;
  cash -= amount - by_voucher;
  charged[month] += amount;
}

void SubscriptionPoints::buy_package(std::int64_t points, std::int64_t now_us) {
  packages.push_back({points, now_us, after_a_year(now_us)});
  std::stable_sort(packages.begin(), packages.end(), [](const BoughtPackage& a, const BoughtPackage& b) {
    return std::tie(a.expires_us, a.bought_us) < std::tie(b.expires_us, b.bought_us);
  });
}

void SubscriptionPoints::settle(std::int64_t hour, std::int64_t points, AccountMoney& account) {
  settled[hour] += points;
  for (auto& package : packages) {
    const bool active = package.bought_us < (hour + 1) * kHourUs && package.expires_us > hour * kHourUs;
    const std::int64_t covered = active ? std::min(points, package.left) : 0;
    package.left -= covered;
    points -= covered;
  }
  const std::int64_t month = month_of_hour(hour);
  std::int64_t& position = charged[month];
  account.pay(cost_of_month(position + points) - cost_of_month(position), month);
  position += points;
}

std::int64_t SubscriptionPoints::package_points_left(std::int64_t now_us) const {
  std::int64_t left = 0;
  for (const auto& package : packages) left += package.expires_us > now_us ? package.left : 0;
  return left;
}

}  // namespace tollgate::sim
