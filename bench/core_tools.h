// What the benchmarks that fill a store through the core's own calls share.
#pragma once

#include <charconv>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "billing/core.h"

namespace tollgate::billing {

class NobodyListens final : public EntitlementSink {
 public:
  void service_changed(const ServiceRecord&) override {}
  void service_removed(std::string_view) override {}
  void key_added(const KeyRecord&) override {}
  void key_revoked(const Sha256&) override {}
  void subscription_changed(const SubscriptionRecord&) override {}
  void free_points_used_elsewhere(std::uint32_t, Points) override {}
};

template <class T>
T must(Result<T> result) {
  if (result.has_error()) throw std::runtime_error(result.error().code + ": " + result.error().message);
  return *std::move(result);
}
inline void must(const Result<void>& result) {
  if (result.has_error()) throw std::runtime_error(result.error().code + ": " + result.error().message);
}

inline int number_of(std::string_view text) {
  int number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || stop != text.data() + text.size() || number < 1) {
    throw std::runtime_error("not a number above 0: " + std::string(text));
  }
  return number;
}

}  // namespace tollgate::billing
