// One gateway process with the billing core inside, without sockets and threads: the real parts, put together and
// recovered as gateway/app_start.cc does it. It decides nothing and checks nothing; that is the simulation's.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "billing/core.h"
#include "billing/store.h"
#include "gateway/app_entitlements.h"
#include "gateway/call.h"
#include "limiter/directory.h"
#include "meter/collector.h"
#include "meter/journal.h"
#include "meter/metrics.h"
#include "meter/recorder.h"
#include "tests/sim/usage_book.h"

namespace tollgate::sim {

inline constexpr std::size_t kWorkers = 2;
inline constexpr const char* kGateway = "gw-1";

[[nodiscard]] Counts counts_of(const meter::UsageTotals& totals);

// Breaks statements of the store: one of them, as a disk that fails once, or all from one on, as a process that dies
// there. What the files hold at that instant is kept.
class Saboteur {
 public:
  enum class Kind { fails_once, dies };

  explicit Saboteur(std::string folder) : folder_(std::move(folder)) {}
  void arm(Kind kind, std::int64_t statements);
  void disarm() { left_.reset(); }
  [[nodiscard]] bool broke() const { return broke_; }  // since it was armed
  [[nodiscard]] bool died() const { return died_; }
  // The files of a process that is killed now.
  void keep_image();
  [[nodiscard]] std::string image() const { return folder_ + ".image"; }

  [[nodiscard]] bool refuses();  // asked for each statement
  bool paused = false;           // while the simulation looks at the store itself

 private:
  std::string folder_;
  Kind kind_ = Kind::fails_once;
  std::optional<std::int64_t> left_;
  bool broke_ = false;
  bool died_ = false;
};

struct ProcessOptions {
  std::string folder;
  const Clock* clock = nullptr;
  const std::vector<billing::Plan>* plans = nullptr;
  std::uint32_t slots = 0;
  std::int64_t dies_at_start_after = 0;  // statements; 0: does not
  // Every report passes here on its way to the core.
  std::function<Result<void>(billing::Core&, const meter::UsageReport&)> deliver;
};

class Process {
 public:
  explicit Process(ProcessOptions options);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Opens everything and recovers what an earlier process left. A fault: it cannot serve, and is to be destroyed.
  Result<void> start();

  [[nodiscard]] billing::Core& core() { return *core_; }
  [[nodiscard]] billing::Store& store() { return *store_; }
  [[nodiscard]] limiter::Directory& directory() { return directory_; }
  [[nodiscard]] Saboteur& saboteur() { return saboteur_; }
  [[nodiscard]] std::uint32_t epoch() const { return epoch_; }

  // Phases 3 to 5 of a call: the call, or the code of its refusal.
  using Begun = std::variant<std::unique_ptr<gateway::Call>, std::string>;
  Begun begin_call(std::size_t worker, std::string_view key, const std::string& service);
  // False: the journal is full.
  bool forward(gateway::Call& call, std::size_t worker);

  Result<void> collect();
  void tick(std::size_t worker);  // the 50 ms tick
  [[nodiscard]] Hour latest_hour(std::size_t worker) const { return recorders_[worker].latest(); }

  [[nodiscard]] bool journal_is_full() const { return journal_->slots_used() >= journal_->slots_total(); }
  [[nodiscard]] std::uint32_t slots_used() const { return journal_->slots_used(); }
  // What the journal holds, as a report of it would say.
  [[nodiscard]] std::map<Source, Counts> journal_counts() const;

 private:
  Result<void> open_stores();
  Result<void> recover();

  ProcessOptions options_;
  Saboteur saboteur_;
  limiter::Quiescence quiescence_{kWorkers};
  limiter::Directory directory_{quiescence_};
  meter::Metrics metrics_;
  std::map<std::string, std::array<gateway::WorkerServicePtr, kWorkers>> routes_;
  gateway::Entitlements entitlements_;
  std::unique_ptr<billing::Store> store_;
  std::unique_ptr<meter::Journal> journal_;
  std::deque<meter::Recorder> recorders_;
  std::unique_ptr<billing::Core> core_;
  std::unique_ptr<meter::Collector> collector_;
  std::uint32_t epoch_ = 0;
  std::int64_t calls_ = 0;
};

}  // namespace tollgate::sim
