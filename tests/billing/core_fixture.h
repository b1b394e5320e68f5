// A billing core over a real store in a folder of its own, with the clock in hand and a sink that remembers.
// It holds no test of its own.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "billing/core.h"
#include "billing/store.h"

namespace tollgate::billing {

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tollgate-test-XXXXXX").string();
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class RecordingSink final : public EntitlementSink {
 public:
  void service_changed(const ServiceRecord& service) override { services.push_back(service); }
  void service_removed(std::string_view service) override { removed.emplace_back(service); }
  void key_added(const KeyRecord& key) override { keys.push_back(key); }
  void key_revoked(const Sha256& hash) override { revoked.push_back(hash); }
  void subscription_changed(const SubscriptionRecord& record) override { subscriptions.push_back(record); }
  void free_points_used_elsewhere(std::uint32_t subscription, Points points) override {
    used_elsewhere.emplace_back(subscription, points.count());
  }
  void free_quota_began(std::uint32_t subscription, Points points) override {
    quota_began.emplace_back(subscription, points.count());
  }
  [[nodiscard]] std::size_t count() const {
    return services.size() + removed.size() + keys.size() + revoked.size() + subscriptions.size() +
           used_elsewhere.size() + quota_began.size();
  }

  std::vector<ServiceRecord> services;
  std::vector<std::string> removed;
  std::vector<KeyRecord> keys;
  std::vector<Sha256> revoked;
  std::vector<SubscriptionRecord> subscriptions;
  std::vector<std::pair<std::uint32_t, std::int64_t>> used_elsewhere;
  std::vector<std::pair<std::uint32_t, std::int64_t>> quota_began;
};

inline WallTime at(std::string_view text) { return parse_time(text).value(); }
inline MicroYuan yuan(std::string_view text) { return parse_yuan(text).value(); }

inline meter::UsageTotals totals(std::int64_t succeeded, std::int64_t failed, std::int64_t free, std::int64_t billable,
                                 std::int64_t unmetered = 0) {
  return {succeeded, failed, unmetered, Points(free), Points(billable)};
}

class CoreTest : public ::testing::Test {
 protected:
  CoreTest() { open(); }

  void open() {
    auto opened = open_sqlite_store(folder.path());
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    store = *std::move(opened);
    core = std::make_unique<Core>(*store, Catalog::built_in(), plans, clock, sink);
  }
  void close() {
    core.reset();
    store.reset();
  }
  void reopen() {
    close();
    sink = RecordingSink();
    open();
  }

  // Account acme with a subscription to vision: image-classification/high-performance, 4 points, class fast.
  void make_acme(bool paid) {
    ASSERT_TRUE(core->put_account("acme", "Acme").has_value());
    ASSERT_TRUE(core->put_service("vision", "image-classification/high-performance", "{}").has_value());
    ASSERT_TRUE(core->put_subscription("acme", "vision", paid, std::nullopt).has_value());
  }
  Subscription vision() { return core->subscription("acme", "vision").value(); }
  MicroYuan cash() { return core->account("acme").value().cash; }
  void deposit(std::string_view amount) {
    ASSERT_TRUE(core->deposit("acme", yuan(amount), DepositKind::cash, std::nullopt).has_value());
  }
  // Takes cash away, below 0 too, as only a settlement does otherwise.
  void charge(std::string_view amount) {
    ASSERT_TRUE(store
                    ->transaction([&]() -> Result<void> {
                      store->post("acme", {0, clock.now(), "cash:acme", "external:corrections", yuan(amount),
                                           "correction", "test"});
                      return {};
                    })
                    .has_value());
  }
  void expect_audit_holds() {
    for (const auto& invariant : core->audit()) {
      EXPECT_TRUE(invariant.ok) << invariant.name << ": " << invariant.left << " and " << invariant.right;
    }
  }

  TempFolder folder;
  ManualClock clock{at("2021-08-25T10:30:00+08:00")};
  RecordingSink sink;
  std::vector<Plan> plans = built_in_plans();
  std::unique_ptr<Store> store;
  std::unique_ptr<Core> core;
};

template <class T>
std::string code_of(const Result<T>& result) {
  return result.has_value() ? "" : result.error().code;
}
template <class T>
std::string field_of(const Result<T>& result) {
  return result.has_value() ? "" : result.error().field;
}

}  // namespace tollgate::billing
