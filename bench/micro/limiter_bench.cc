// What deciding costs: admission, the rate, the free hold and finding the caller by its key.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/ids.h"
#include "limiter/admission.h"
#include "limiter/directory.h"

namespace tollgate::limiter {
namespace {

constexpr WallTime kNow{std::chrono::hours(500'000)};
constexpr std::int64_t kSteady = 5 * kSecondNs;

// Many paid subscriptions to one service, one account each.
struct Subscriptions {
  explicit Subscriptions(std::uint32_t count, ServiceTerms terms = {Points(6), 1000, LimitBy::concurrency, 0, 0},
                         std::size_t readers = 0)
      : quiescence(readers) {
    directory.set_service("detect", terms);
    for (std::uint32_t i = 0; i < count; ++i) {
      records.push_back(
          &directory.set_subscription(i, "account-" + std::to_string(i), "detect", {State::paid, {}}, Points(0)));
    }
  }
  Quiescence quiescence;
  Directory directory{quiescence};
  std::vector<Subscription*> records;
};

// Cheap and without a pattern that the cache could learn.
struct Xorshift {
  std::uint64_t operator()() noexcept {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  }
  std::uint64_t state = 88172645463325252U;
};

// One decision that must let the call in: a benchmark that measured refusals would flatter us.
bool admitted(Subscription& subscription, std::int64_t steady) {
  const auto decision = admit(subscription, kNow, steady);
  return std::holds_alternative<Admission>(decision);
}

void Limiter_AdmitHot(benchmark::State& state) {
  Subscriptions one(1);
  bool all = true;
  for (auto _ : state) all &= admitted(*one.records[0], kSteady);
  if (!all) state.SkipWithError("a call was refused");
}
BENCHMARK(Limiter_AdmitHot);

// Which one is next was drawn before, and is read in a row: whose call it is, the look-up tells (measured below).
void Limiter_AdmitRandomOfAMillion(benchmark::State& state) {
  static const Subscriptions many(1'000'000);
  static const std::vector<Subscription*> drawn = [] {
    std::vector<Subscription*> made;
    Xorshift random;
    for (std::size_t i = 0; i < 4'000'000; ++i) made.push_back(many.records[random() % many.records.size()]);
    return made;
  }();
  bool all = true;
  std::size_t i = 0;
  for (auto _ : state) {
    all &= admitted(*drawn[i], kSteady);
    i = (i + 1) % drawn.size();
  }
  if (!all) state.SkipWithError("a call was refused");
}
BENCHMARK(Limiter_AdmitRandomOfAMillion);

void Limiter_AdmitOneSubscriptionFromThreads(benchmark::State& state) {
  static const Subscriptions one(1);
  bool all = true;
  for (auto _ : state) all &= admitted(*one.records[0], kSteady);
  if (!all) state.SkipWithError("a call was refused");
}
BENCHMARK(Limiter_AdmitOneSubscriptionFromThreads)->Threads(2)->UseRealTime();

// A thread that swaps entitlements as the billing thread does, until it is destroyed; all it makes are paid.
class Changer {
 public:
  // `per_second` 0: as many as it can.
  Changer(Subscriptions& subscriptions, std::int64_t per_second)
      : thread_([this, &subscriptions, per_second] { run(subscriptions, per_second); }) {}
  ~Changer() {
    ended_.store(true, std::memory_order_relaxed);
    thread_.join();
  }
  Changer(const Changer&) = delete;
  Changer& operator=(const Changer&) = delete;

  [[nodiscard]] std::int64_t changes() const noexcept { return changes_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::int64_t waiting_max() const noexcept { return waiting_max_.load(std::memory_order_relaxed); }

 private:
  void run(Subscriptions& subscriptions, std::int64_t per_second) {
    using namespace std::chrono;
    Xorshift random;
    const auto begun = steady_clock::now();
    for (std::int64_t i = 0; !ended_.load(std::memory_order_relaxed); ++i) {
      // Every other one has a pack that has ended, so that what is published differs and what it holds is freed.
      Entitlement entitlement{State::paid, {}};
      if (i % 2 == 0) entitlement.packs.push_back({kNow - hours(2), kNow - hours(1), 5, false});
      const auto number = static_cast<std::uint32_t>(random() % subscriptions.records.size());
      subscriptions.directory.set_subscription(number, "", "detect", std::move(entitlement), Points(0));
      changes_.store(i + 1, std::memory_order_relaxed);
      waiting_max_.store(std::max(waiting_max(), static_cast<std::int64_t>(subscriptions.quiescence.waiting())),
                         std::memory_order_relaxed);
      if (per_second != 0) std::this_thread::sleep_until(begun + nanoseconds(1'000'000'000 / per_second * (i + 1)));
    }
  }

  std::atomic<bool> ended_{false};
  std::atomic<std::int64_t> changes_{0};
  std::atomic<std::int64_t> waiting_max_{0};
  std::thread thread_;  // last: it uses what stands above
};

// Admission at random of 100,000 subscriptions while so many of their entitlements are changed a second (0: none, -1:
// as many as another thread can). The reader passes its quiescent point after each call, with and without changes.
void Limiter_AdmitWhileEntitlementsChange(benchmark::State& state) {
  Subscriptions many(100'000, {Points(6), 1000, LimitBy::concurrency, 0, 0}, 1);
  bool all = true;
  Xorshift random;
  random.state += 1;  // not in step with the changes
  {
    std::unique_ptr<Changer> changer;
    if (state.range(0) != 0) changer = std::make_unique<Changer>(many, std::max<std::int64_t>(state.range(0), 0));
    for (auto _ : state) {
      all &= admitted(*many.records[random() % many.records.size()], kSteady);
      many.quiescence.pass(0);
    }
    if (changer) {
      state.counters["changes"] =
          benchmark::Counter(static_cast<double>(changer->changes()), benchmark::Counter::kIsRate);
      state.counters["waiting_max"] = static_cast<double>(changer->waiting_max());
    }
  }
  many.quiescence.leave(0);
  if (!all) state.SkipWithError("a call was refused");
}
BENCHMARK(Limiter_AdmitWhileEntitlementsChange)->Arg(0)->Arg(10'000)->Arg(-1)->UseRealTime();

void Limiter_AdmitByRate(benchmark::State& state) {
  Subscriptions one(1, {Points(6), 1'000'000, LimitBy::qps, 0, 0});
  std::int64_t steady = kSteady;
  bool all = true;
  for (auto _ : state) all &= admitted(*one.records[0], steady += 2000);
  if (!all) state.SkipWithError("a call was refused");
}
BENCHMARK(Limiter_AdmitByRate);

void Limiter_Gcra(benchmark::State& state) {
  ArrivalTime arrival{0};
  bool all = true;
  std::int64_t now = kSteady;
  for (auto _ : state) all &= !try_pass(arrival, 1'000'000, now += 2000).has_value();
  if (!all) state.SkipWithError("a call was refused");
}
BENCHMARK(Limiter_Gcra);

void Limiter_FreeHold(benchmark::State& state) {
  FreePointsLeft left{10'000};
  for (auto _ : state) benchmark::DoNotOptimize(Hold::all(left, Points(6)));
}
BENCHMARK(Limiter_FreeHold);

// From the key as a client sends it to its account: the hash, then the look-up among 100,000.
void Limiter_IdentifyAmongAHundredThousandKeys(benchmark::State& state) {
  Quiescence quiescence(0);
  Directory directory(quiescence);
  std::vector<std::string> keys;
  for (int i = 0; i < 100'000; ++i) {
    keys.push_back(make_api_key());
    directory.add_key(sha256(keys.back()), "account-" + std::to_string(i % 1000), std::nullopt);
  }
  std::size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(directory.identify(sha256(keys[i]), kNow));
    i = (i + 7919) % keys.size();
  }
}
BENCHMARK(Limiter_IdentifyAmongAHundredThousandKeys);

// All that a call asks for, from the hash of its key on: the account, the subscription, the decision. A million
// accounts with a key and a subscription each; which one calls is random.
void Limiter_IdentifyAndAdmitRandomOfAMillion(benchmark::State& state) {
  constexpr std::uint32_t kAccounts = 1'000'000;
  static Subscriptions many(kAccounts);
  static const std::vector<Sha256> keys = [] {
    std::vector<Sha256> made(kAccounts);
    Xorshift random;
    for (std::uint32_t i = 0; i < kAccounts; ++i) {
      for (auto& byte : made[i]) byte = static_cast<unsigned char>(random());
      many.directory.add_key(made[i], "account-" + std::to_string(i), std::nullopt);
    }
    return made;
  }();
  const Service& service = *many.records[0]->service;
  bool all = true;
  Xorshift random;
  for (auto _ : state) {
    const Account* account = many.directory.identify(keys[random() % kAccounts], kNow);
    all &= admitted(*many.directory.find(*account, service), kSteady);
  }
  if (!all) state.SkipWithError("a call was refused");
}
BENCHMARK(Limiter_IdentifyAndAdmitRandomOfAMillion);

}  // namespace
}  // namespace tollgate::limiter
