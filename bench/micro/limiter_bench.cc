// What deciding costs: admission, the rate, the free hold and finding the caller by its key.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
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
  explicit Subscriptions(std::uint32_t count, ServiceTerms terms = {Points(6), 1000, LimitBy::concurrency, 0, 0}) {
    directory.set_service("detect", terms);
    for (std::uint32_t i = 0; i < count; ++i) {
      records.push_back(
          &directory.set_subscription(i, "account-" + std::to_string(i), "detect", {State::paid, {}}, Points(0)));
    }
  }
  Quiescence quiescence{0};
  Directory directory{quiescence};
  std::vector<Subscription*> records;
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

void Limiter_AdmitRandomOfAMillion(benchmark::State& state) {
  static const Subscriptions many(1'000'000);
  bool all = true;
  std::uint64_t random = 88172645463325252U;  // xorshift: cheap and without a pattern the cache could learn
  for (auto _ : state) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    all &= admitted(*many.records[random % many.records.size()], kSteady);
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

}  // namespace
}  // namespace tollgate::limiter
