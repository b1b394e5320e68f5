#include "meter/journal_keeper.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include "base/clock.h"

namespace tollgate::meter {
namespace {
// Growth is looked at this often at least, however rarely the journal is synced.
constexpr std::int64_t kLookMs = 100;
}  // namespace

JournalKeeper::JournalKeeper(Journal& journal, KeeperBounds bounds, Say say, Sync sync)
    : journal_(journal),
      say_(std::move(say)),
      sync_(sync ? std::move(sync) : [&journal] { return journal.sync(); }),
      bounds_(bounds),
      sync_ns_max_(bounds.unsynced_ms_max * 1'000'000),
      last_sync_ns_(steady_ns()) {}

JournalKeeper::~JournalKeeper() { stop(); }

void JournalKeeper::start() {
  last_sync_ns_.store(steady_ns(), std::memory_order_relaxed);
  thread_ = std::thread([this] { run(); });
}

void JournalKeeper::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void JournalKeeper::set_bounds(KeeperBounds bounds) {
  const std::lock_guard lock(mutex_);
  bounds_ = bounds;
  sync_ns_max_.store(bounds.unsynced_ms_max * 1'000'000, std::memory_order_relaxed);
  wake_.notify_all();
}

void JournalKeeper::run() {
  std::int64_t synced_ns = 0;  // when the last attempt began
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const std::int64_t interval_ms = bounds_.sync_interval_ms;
    lock.unlock();
    grow();
    const std::int64_t now = steady_ns();
    if (now - synced_ns >= interval_ms * 1'000'000) {
      synced_ns = now;
      sync_once();
    }
    lock.lock();
    const auto pause = std::chrono::milliseconds(std::min(bounds_.sync_interval_ms, kLookMs));
    wake_.wait_for(lock, pause, [this] { return stopping_; });
  }
  lock.unlock();
  sync_once();
}

void JournalKeeper::sync_once() {
  const std::int64_t begun = steady_ns();
  sync_began_ns_.store(begun, std::memory_order_relaxed);
  const int error = sync_();
  sync_began_ns_.store(0, std::memory_order_relaxed);
  if (error == 0) {
    last_sync_ns_.store(begun, std::memory_order_relaxed);
    // One that took too long says that the disk is there, not that the next power cut takes little.
    if (steady_ns() - begun <= sync_ns_max_.load(std::memory_order_relaxed)) set_durable(true, {});
  } else {
    sync_failures_.fetch_add(1, std::memory_order_relaxed);
    set_durable(false, std::generic_category().message(error));
  }
}

void JournalKeeper::grow() {
  const auto grown = journal_.grow_if_short();
  if (grown.has_error()) grow_failures_.fetch_add(1, std::memory_order_relaxed);
  if (grown.has_error() && growing_)
    say_(false, "the journal is nearly full and cannot grow: " + grown.error().message);
  if (grown && *grown) say_(true, "the journal has grown to " + std::to_string(journal_.slots_total()) + " slots");
  growing_ = grown.has_value();
}

void JournalKeeper::watch(std::int64_t steady_now_ns) {
  const std::int64_t begun = sync_began_ns_.load(std::memory_order_relaxed);
  if (begun == 0 || steady_now_ns - begun <= sync_ns_max_.load(std::memory_order_relaxed)) return;
  if (is_durable()) set_durable(false, "the disk does not answer");
}

void JournalKeeper::set_durable(bool durable, const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (durable == is_durable()) return;
  allowance_.store(bounds_.unsynced_points_max.count(), std::memory_order_relaxed);
  durable_.store(durable, std::memory_order_release);
  say_(durable, durable ? "the journal can be written to the disk again"
                        : "the journal cannot be written to the disk (" + why +
                              "): free and prepaid calls are refused, pay-as-you-go ones have their allowance");
}

bool JournalKeeper::take_allowance(Points cost) noexcept {
  std::int64_t left = allowance_.load(std::memory_order_relaxed);
  while (left >= cost.count()) {
    if (allowance_.compare_exchange_weak(left, left - cost.count(), std::memory_order_relaxed)) return true;
  }
  return false;
}

}  // namespace tollgate::meter
