// What counting one call costs on the data path, and what a round of the collector costs beside it.
#include <benchmark/benchmark.h>

#include <memory>

#include "bench/micro/temp_folder.h"
#include "meter/collector.h"
#include "meter/metrics.h"
#include "meter/recorder.h"

namespace tollgate::meter {
namespace {

constexpr Hour kHour{450'000};

struct Fixture {
  explicit Fixture(std::uint32_t slots) {
    journal = std::move(*Journal::open({folder.path() / "usage.journal", "gw-1", 0, slots, slots}));
    TOLLGATE_CHECK(journal->begin_epoch(1, 7));
  }

  TempFolder folder;
  std::unique_ptr<Journal> journal;
};

void Meter_CountACall(benchmark::State& state) {
  Fixture fixture(64);
  Recorder recorder(*fixture.journal);
  for (auto _ : state) {
    Slot* slot = recorder.slot(7, kHour);
    recorder.forwarded(*slot, Points(4));
    recorder.ended(*slot, Outcome::succeeded, false, Points(2));
    benchmark::ClobberMemory();
  }
}
BENCHMARK(Meter_CountACall);

// One count of a call and its points alone, in `range` slots in turn. In one slot each add waits until the one before
// can be read back, so that is a latency; in several they overlap, as they do between the calls of many subscriptions.
void Meter_AddToATally(benchmark::State& state) {
  Fixture fixture(64);
  Recorder recorder(*fixture.journal);
  const auto count = static_cast<std::uint32_t>(state.range(0));  // a power of two
  Slot* slots = recorder.slot(0, kHour);
  for (std::uint32_t i = 1; i < count; ++i) TOLLGATE_CHECK(recorder.slot(i, kHour) == slots + i);
  std::uint32_t i = 0;
  for (auto _ : state) {
    recorder.forwarded(slots[i], Points(4));
    i = (i + 1) & (count - 1);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(Meter_AddToATally)->Arg(1)->Arg(16);

void Meter_AddToACell(benchmark::State& state) {
  Cell cell;
  for (auto _ : state) {
    cell.add(6);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(Meter_AddToACell);

void Meter_ObserveADuration(benchmark::State& state) {
  DurationHistogram histogram;
  std::int64_t ns = 1;
  for (auto _ : state) {
    histogram.observe(ns = (ns * 5 + 1) & 0xfffffff);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(Meter_ObserveADuration);

// One round over 100,000 subscriptions, of which `range` have changed.
void Meter_CollectAmongAHundredThousand(benchmark::State& state) {
  Fixture fixture(1 << 17);
  Recorder recorder(*fixture.journal);
  Collector collector(*fixture.journal, "gw-1", [](const UsageReport&) -> Result<void> { return {}; });
  for (std::uint32_t i = 0; i < 100'000; ++i) (void)recorder.slot(i, kHour);
  (void)collector.collect(kHour);
  const auto changed = static_cast<std::uint32_t>(state.range(0));
  for (auto _ : state) {
    for (std::uint32_t i = 0; i < changed; ++i) {
      recorder.ended(*recorder.slot(i * (100'000 / changed), kHour), Outcome::succeeded, false, Points());
    }
    benchmark::DoNotOptimize(collector.collect(kHour));
  }
}
BENCHMARK(Meter_CollectAmongAHundredThousand)->Arg(1)->Arg(100)->Arg(10'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tollgate::meter
