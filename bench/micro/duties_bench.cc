// All that the gateway does for a call besides passing its bytes on: who it is, whether it may, how it is counted.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "bench/micro/temp_folder.h"
#include "limiter/admission.h"
#include "limiter/directory.h"
#include "meter/metrics.h"
#include "meter/recorder.h"

namespace tollgate {
namespace {

constexpr WallTime kNow{std::chrono::hours(500'000)};
constexpr std::int64_t kSteady = 5'000'000'000;
constexpr std::uint32_t kAccounts = 32;  // as many as the proxy benchmark's calls come from

struct Callers {
  Callers() : journal(std::move(*meter::Journal::open({folder.path() / "usage.journal", "gw-1", 0, 64, 64}))) {
    TOLLGATE_CHECK(journal->begin_epoch(1, 7));
    directory.set_service("detect", {Points(6), 10, limiter::LimitBy::concurrency, 0, 0});
    for (std::uint32_t i = 0; i < kAccounts; ++i) {
      const std::string account = "account-" + std::to_string(i);
      service = directory.set_subscription(i, account, "detect", {limiter::State::paid, {}}, Points(0)).service;
      keys.push_back(make_api_key());
      directory.add_key(sha256(keys.back()), account, std::nullopt);
    }
  }

  TempFolder folder;
  limiter::Quiescence quiescence{0};
  limiter::Directory directory{quiescence};
  const limiter::Service* service = nullptr;
  std::vector<std::string> keys;
  std::unique_ptr<meter::Journal> journal;
  meter::ServiceCells cells;
};

// The order is the data path's: identify, find, slot, admit, forward, end, release, observe (gateway/session*.cc).
bool call(Callers& callers, meter::Recorder& recorder, std::string_view key, std::int64_t ns) {
  const limiter::Account* account = callers.directory.identify(sha256(key), kNow);
  if (account == nullptr) return false;
  limiter::Subscription* subscription = callers.directory.find(*account, *callers.service);
  if (subscription == nullptr) return false;
  meter::Slot* slot = recorder.slot(subscription->number, hour_of(kNow));
  auto decision = limiter::admit(*subscription, kNow, kSteady);
  auto* admission = std::get_if<limiter::Admission>(&decision);
  if (admission == nullptr || slot == nullptr) return false;
  meter::ServiceCells& cells = callers.cells;
  cells.in_flight[0].add(1);
  recorder.forwarded(*slot, admission->hold.points());
  admission->hold.spend();
  cells.free_points.add(admission->hold.points().count());
  cells.answers[200].add(1);
  recorder.ended(*slot, meter::Outcome::succeeded, false, admission->cost);
  cells.calls[0].add(1);
  cells.billable_points.add(admission->cost.count());
  admission->permit.release();
  cells.in_flight[0].add(-1);
  for (meter::DurationHistogram* histogram : {&cells.request, &cells.upstream, &cells.overhead}) histogram->observe(ns);
  return true;
}

void Duties_OfACall(benchmark::State& state) {
  Callers callers;
  meter::Recorder recorder(*callers.journal);
  bool all = true;
  std::size_t i = 0;
  std::int64_t ns = 1;
  for (auto _ : state) {
    all &= call(callers, recorder, callers.keys[i], ns = (ns * 5 + 1) & 0xffffff);
    i = (i + 1) % kAccounts;
  }
  if (!all) state.SkipWithError("a call was refused");
}
BENCHMARK(Duties_OfACall);

}  // namespace
}  // namespace tollgate
