// What the base room costs where the data path or the hourly settlement uses it.
#include <benchmark/benchmark.h>

#include <chrono>
#include <string>

#include "base/amount.h"
#include "base/calendar.h"
#include "base/clock.h"
#include "base/ids.h"

namespace tollgate {
namespace {

const WallTime kInstant{std::chrono::microseconds(1'629'426'896'123'456)};

void Base_FormatYuan(benchmark::State& state) {
  MicroYuan amount(1'800'123'456);
  for (auto _ : state) {
    benchmark::DoNotOptimize(format_yuan(amount));
    amount += MicroYuan(1);
  }
}
BENCHMARK(Base_FormatYuan);

void Base_ParseYuan(benchmark::State& state) {
  std::string text = "1800.123456";
  for (auto _ : state) {
    benchmark::DoNotOptimize(text.data());
    benchmark::DoNotOptimize(parse_yuan(text));
  }
}
BENCHMARK(Base_ParseYuan);

void Base_HourOf(benchmark::State& state) {
  WallTime instant = kInstant;
  for (auto _ : state) {
    benchmark::DoNotOptimize(hour_of(instant));
    instant += std::chrono::microseconds(1);
  }
}
BENCHMARK(Base_HourOf);

void Base_MonthOf(benchmark::State& state) {
  WallTime instant = kInstant;
  for (auto _ : state) {
    benchmark::DoNotOptimize(month_of(instant));
    instant += std::chrono::microseconds(1);
  }
}
BENCHMARK(Base_MonthOf);

void Base_FormatTime(benchmark::State& state) {
  WallTime instant = kInstant;
  for (auto _ : state) {
    benchmark::DoNotOptimize(format_time(instant));
    instant += std::chrono::microseconds(1);
  }
}
BENCHMARK(Base_FormatTime);

void Base_SteadyNow(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(steady_now());
}
BENCHMARK(Base_SteadyNow);

// What identifying a caller costs when its key is not remembered: the form, then the hash that is looked up.
void Base_ApiKeyForm(benchmark::State& state) {
  std::string key = make_api_key();
  for (auto _ : state) {
    benchmark::DoNotOptimize(key.data());
    benchmark::DoNotOptimize(looks_like_api_key(key));
  }
}
BENCHMARK(Base_ApiKeyForm);

void Base_ApiKeySha256(benchmark::State& state) {
  std::string key = make_api_key();
  for (auto _ : state) {
    benchmark::DoNotOptimize(key.data());
    benchmark::DoNotOptimize(sha256(key));
  }
}
BENCHMARK(Base_ApiKeySha256);

}  // namespace
}  // namespace tollgate
