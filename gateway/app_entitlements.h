// What the billing core decides, on its way to the traffic: services to the workers' routes, keys and subscriptions
// to the directory. It translates between the two rooms' words and decides nothing.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "billing/core.h"
#include "gateway/upstream.h"
#include "limiter/directory.h"

namespace tollgate::gateway {

class Entitlements final : public billing::EntitlementSink {
 public:
  // `publish` hands a service to all workers; a null pointer removes it. All methods on the billing thread.
  using Publish = std::function<void(const std::string& service, std::shared_ptr<const ServiceConfig>)>;
  Entitlements(limiter::Directory& directory, Publish publish);

  void service_changed(const billing::ServiceRecord& record) override;
  void service_removed(std::string_view service) override;
  void key_added(const billing::KeyRecord& record) override;
  void key_revoked(const Sha256& hash) override;
  void subscription_changed(const billing::SubscriptionRecord& record) override;
  void free_quota_began(std::uint32_t subscription, Points points) override;
  void free_points_used_elsewhere(std::uint32_t subscription, Points points) override;

  // Whether a subscription changed since the last time that was asked: so may its account have.
  [[nodiscard]] bool take_changed() noexcept { return std::exchange(changed_, false); }

 private:
  limiter::Directory& directory_;
  Publish publish_;
  bool changed_ = false;
};

}  // namespace tollgate::gateway
