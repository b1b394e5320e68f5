#include "base/amount.h"

#include <cstdlib>

namespace tollgate {
namespace {
constexpr std::int64_t kMicroPerYuan = 1'000'000;
constexpr std::size_t kFractionDigits = 6;
constexpr std::size_t kWholeDigitsMax = 13;  // 9,000,000,000,000 yuan still fits int64 in micro-yuan
constexpr std::int64_t kYuanMax = 9'000'000'000'000;

std::optional<std::int64_t> parse_digits(std::string_view text) {
  if (text.empty()) return std::nullopt;
  std::int64_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}
}  // namespace

std::optional<MicroYuan> parse_yuan(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const auto point = text.find('.');
  const auto whole_text = text.substr(0, point);
  if (whole_text.size() > kWholeDigitsMax) return std::nullopt;
  const auto whole = parse_digits(whole_text);
  if (!whole || *whole > kYuanMax) return std::nullopt;
  std::int64_t micro = *whole * kMicroPerYuan;
  if (point != std::string_view::npos) {
    const auto fraction_text = text.substr(point + 1);
    if (fraction_text.size() > kFractionDigits) return std::nullopt;
    auto fraction = parse_digits(fraction_text);
    if (!fraction) return std::nullopt;
    for (auto digits = fraction_text.size(); digits < kFractionDigits; ++digits) *fraction *= 10;
    micro += *fraction;
  }
  if (micro > kYuanMax * kMicroPerYuan) return std::nullopt;
  return MicroYuan(negative ? -micro : micro);
}

std::string format_yuan(MicroYuan amount) {
  const bool negative = amount.count() < 0;
  // Negating in unsigned arithmetic keeps the smallest int64 defined.
  auto magnitude = static_cast<std::uint64_t>(amount.count());
  if (negative) magnitude = 0 - magnitude;
  std::string fraction = std::to_string(magnitude % kMicroPerYuan);
  fraction.insert(0, kFractionDigits - fraction.size(), '0');
  while (fraction.size() > 2 && fraction.back() == '0') fraction.pop_back();
  std::string text(negative ? "-" : "");
  text.append(std::to_string(magnitude / kMicroPerYuan)).append(1, '.').append(fraction);
  return text;
}

}  // namespace tollgate
