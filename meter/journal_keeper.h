// Keeps the journal on the disk: a thread that syncs it and lets it grow, and the answer to whether what is counted now
// would be found after a power cut. It admits nothing itself; who is let in meanwhile is decided by its callers.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "base/amount.h"
#include "meter/journal.h"

namespace tollgate::meter {

struct KeeperBounds {
  std::int64_t sync_interval_ms = 100;    // between two syncs
  std::int64_t unsynced_ms_max = 30'000;  // a sync that takes longer counts as failed
  Points unsynced_points_max;             // of pay-as-you-go calls while nothing can be synced
};

class JournalKeeper {
 public:
  // `say`: hears each change to bad (an error's words) and back, on the keeper's thread or that of watch().
  using Say = std::function<void(bool good, const std::string& what)>;

  // `sync`: 0 or errno, instead of the journal's own: for tests.
  using Sync = std::function<int()>;
  JournalKeeper(Journal& journal, KeeperBounds bounds, Say say, Sync sync = {});
  ~JournalKeeper();  // stop()
  JournalKeeper(const JournalKeeper&) = delete;
  JournalKeeper& operator=(const JournalKeeper&) = delete;

  void start();
  void stop();  // after a last sync
  void set_bounds(KeeperBounds bounds);

  // Any thread that never waits for the disk, now and then: notices a sync that does not come back. Takes a lock only
  // when it does.
  void watch(std::int64_t steady_now_ns);

  // ---- data path: any worker ----
  // False: what is counted now may be gone after a power cut. Relaxed: a call or two may see it late.
  [[nodiscard]] bool is_durable() const noexcept { return durable_.load(std::memory_order_relaxed); }
  // While it is not: takes a pay-as-you-go call's points from the allowance; false: it is used up.
  [[nodiscard]] bool take_allowance(Points cost) noexcept;

  // ---- metrics: any thread ----
  [[nodiscard]] std::int64_t last_sync_ns() const noexcept { return last_sync_ns_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::int64_t sync_failures() const noexcept { return sync_failures_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::int64_t grow_failures() const noexcept { return grow_failures_.load(std::memory_order_relaxed); }

 private:
  void run();
  void sync_once();
  void grow();
  void set_durable(bool durable, const std::string& why);

  Journal& journal_;
  const Say say_;
  const Sync sync_;
  std::thread thread_;
  mutable std::mutex mutex_;  // bounds_, stopping_, why the state is as it is; never on the data path
  std::condition_variable wake_;
  KeeperBounds bounds_;
  bool stopping_ = false;
  bool growing_ = true;  // the last attempt to grow succeeded; the keeper's thread only
  std::atomic<bool> durable_{true};
  std::atomic<std::int64_t> allowance_{0};      // points; set before durable_ is cleared
  std::atomic<std::int64_t> sync_ns_max_;       // how long a sync may take; set with bounds_
  std::atomic<std::int64_t> sync_began_ns_{0};  // on the steady clock; 0: none is under way
  std::atomic<std::int64_t> last_sync_ns_{0};   // when the last good sync began, on the steady clock
  std::atomic<std::int64_t> sync_failures_{0};
  std::atomic<std::int64_t> grow_failures_{0};
};

}  // namespace tollgate::meter
