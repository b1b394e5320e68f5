// One simulated history: random steps drawn from a seed over the real parts, and beside them the book of what truly
// happened, against which every invariant is checked after every step. It reads no clock and starts no thread.
#pragma once

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "billing/plan.h"
#include "tests/sim/money.h"
#include "tests/sim/process.h"
#include "tests/sim/random.h"
#include "tests/sim/usage_book.h"

namespace tollgate::sim {

struct Broken : std::runtime_error {  // an invariant
  using std::runtime_error::runtime_error;
};

struct ModelFacts {  // of the price page, not read from the catalogue
  const char* name;
  std::int64_t cost;
  std::int32_t base;
};

struct SimService {
  std::string id;
  ModelFacts model;
  std::int32_t capacity = 0;  // 0: not declared
  std::int32_t reserve_percent = 0;
  bool exists = true;
  std::int32_t in_flight = 0;  // admitted while a capacity was declared
  [[nodiscard]] std::int32_t free_ceiling() const { return capacity - capacity * reserve_percent / 100; }
};

struct SimKey {
  std::string id;
  std::string secret;
};

struct SimAccount {
  std::string id;
  std::vector<SimKey> keys;
  std::vector<std::string> revoked;  // secrets
  AccountMoney money;
};

struct SimPack {
  std::int64_t starts_us = 0;
  std::int64_t ends_us = 0;
  std::int32_t qps = 0;
  bool unlimited = false;
};

struct SimSubscription {
  std::uint32_t number = 0;
  std::size_t account = 0;
  std::size_t service = 0;
  bool paid = false;
  std::vector<SimPack> packs;
  SubscriptionPoints points;
  std::int64_t free_used_here = 0;  // by forwarded calls
  std::int64_t free_used_elsewhere = 0;
  std::int64_t free_held = 0;  // by calls that are admitted and not forwarded
  std::int32_t in_flight = 0;
};

struct SimCall {
  std::unique_ptr<gateway::Call> real;
  std::size_t worker = 0;
  std::size_t subscription = 0;
  std::int64_t hour = 0;  // of its admission, by the clock
  std::int64_t cost = 0;
  std::int64_t hold = 0;
  bool unmetered = false;
  bool in_service = false;  // counts against the service's capacity
  bool forwarded = false;
  Source source;  // where it counts, once forwarded
};

class Simulation {
 public:
  Simulation(std::uint64_t seed, std::string folder, bool tracing);
  ~Simulation();

  // Runs `steps` random steps, then lets everything end, be collected and be settled. Throws Broken.
  void run(int steps);

  [[nodiscard]] std::uint64_t trajectory() const { return trajectory_; }
  [[nodiscard]] int step() const { return step_; }

 private:
  enum class Mood { takes, loses, takes_but_says_it_failed };

  // ---- simulation.cc ----
  void set_up();
  void one_step();
  void move_time();
  void crash();
  void crash_inside();
  void start_process();
  void finish();
  // Part of the trajectory, and a line of the trace.
  void note(std::string_view what, std::initializer_list<std::int64_t> values = {});
  [[noreturn]] void broken(const std::string& what) const;
  void require(bool holds, const char* what) const {
    if (!holds) broken(what);
  }
  [[nodiscard]] std::int64_t now_us() const { return clock_.now().time_since_epoch().count(); }
  [[nodiscard]] std::int64_t now_hour() const { return now_us() / 3'600'000'000; }
  // Whether a fault is one that the saboteur made: nothing of the transaction stays.
  [[nodiscard]] bool sabotaged() const { return process_->saboteur().broke(); }

  // ---- traffic.cc ----
  void begin_call();
  void begin_burst();
  void begin_one(std::size_t subscription, std::size_t worker);
  void call_with_a_bad_key();
  void call_without_subscription();
  void forward_call();
  void end_calls();
  void drop_call();  // no upstream, or the client left before anything was forwarded
  void forward(SimCall& call);
  void end(std::size_t call);
  void remove_call(std::size_t call);
  struct Expected {
    std::string refusal;  // empty: admitted
    std::int64_t hold = 0;
    bool unmetered = false;
  };
  [[nodiscard]] Expected expected(const SimSubscription& subscription) const;
  [[nodiscard]] bool packs_are_uncertain(const SimSubscription& subscription) const;
  [[nodiscard]] std::int32_t guarantee(const SimSubscription& subscription) const;
  [[nodiscard]] bool in_arrears(std::size_t account) const;
  [[nodiscard]] bool arrears_are_certain(std::size_t account) const;
  [[nodiscard]] std::int64_t free_left(const SimSubscription& subscription) const;
  void interrupt_calls();

  // ---- usage.cc ----
  void usage_came_in();
  Result<void> deliver(billing::Core& core, const meter::UsageReport& report);
  bool collect(Mood mood);
  void collect_somehow();
  void redeliver();
  void report_of_another_gateway();
  void use_up_free_points();
  void deliver_of_others(const std::vector<Source>& sources, bool of_earlier);
  void apply_of_others(const Source& source, const Counts& counts);

  // ---- billing_steps.cc ----
  void add_subscription();
  void deposit();
  void buy_package();
  void buy_pack();
  void switch_paid();
  void change_key();
  void change_service();
  void settle_all();
  void settle_some();
  bool settle_piece();  // true while there is more
  void take_over_settled();
  void billing_step();
  template <class T>
  bool succeeded(const Result<T>& result, const std::string& expected_code, const char* what);
  bool put_service(std::size_t service);
  std::string purchase_refusal(const SimSubscription& subscription, std::int64_t price) const;

  // ---- checks.cc ----
  struct StoredUsage {
    std::size_t subscription = 0;  // index
    std::int64_t hour = 0;
    Counts counts;
    std::int64_t settled = 0;  // billable points
  };
  std::vector<StoredUsage> stored_usage();
  void check_step();
  void check_permits();
  void check_free_points();
  void check_journal();
  void check_stored();  // stored == merged, and within the truth
  void check_stored_is_truth();
  void check_money();
  void check_settled_up_to(std::int64_t hour);
  void check_points();  // what core shows of each subscription
  void check_audit();
  void check_bills();

  std::string folder_;
  bool tracing_;
  Random random_;
  ManualClock clock_;
  std::int64_t latest_us_ = 0;  // that the clock ever showed
  std::vector<billing::Plan> plans_;
  std::int64_t free_grant_ = 0;
  std::uint32_t slots_ = 0;
  bool guards_ = false;  // the plan's arrears_check is realtime
  std::unique_ptr<Process> process_;
  int step_ = 0;
  std::uint64_t trajectory_ = 14695981039346656037U;

  std::vector<SimAccount> accounts_;
  std::vector<SimService> services_;
  std::vector<SimSubscription> subscriptions_;
  std::deque<SimCall> calls_;
  std::array<std::int64_t, kWorkers> worker_hour_{};  // that each worker has seen

  std::map<Source, Counts> truth_;  // as the upstreams of this gateway and of the other one would log it
  UsageBook merged_;                // what the core said it had taken
  bool store_changed_ = true;       // since it was last looked at
  Mood mood_ = Mood::takes;
  std::int64_t mood_after_ = 0;  // reports taken before the mood shows
  std::deque<meter::UsageReport> earlier_reports_;
  std::vector<std::pair<Source, Counts>> earlier_of_others_;
  std::uint32_t other_epoch_ = 0;

  billing::DueRun run_;
  bool run_under_way_ = false;
  bool run_is_whole_ = false;         // it will have settled all that was merged before it began
  std::int64_t settled_through_ = 0;  // the latest hour at which any piece was run
};

}  // namespace tollgate::sim
