// What a scrape of /metrics costs. No row of it is a subscription's, an account's or a key's: the data path has one set
// of rows for each service (some 90 lines, most of them of three histograms), and all others are one number each. What
// grows with accounts, their states and the sum of the ledger, is read by the billing thread beforehand and not by the
// scrape (Serve::measure_books): that is measured here too.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "bench/core_tools.h"
#include "bench/micro/temp_folder.h"
#include "billing/core.h"
#include "billing/store.h"
#include "gateway/app_log.h"
#include "gateway/app_serve.h"
#include "gateway/refusal.h"

namespace tollgate::gateway {
namespace {

using billing::must;

constexpr std::size_t kWorkers = 2;

std::string service_id(std::int64_t index) { return "service-" + std::to_string(index); }

struct OpenStore {
  explicit OpenStore(const std::filesystem::path& data_dir) : store(must(billing::open_sqlite_store(data_dir))) {}

  SystemClock clock;
  billing::NobodyListens sink;
  std::unique_ptr<billing::Store> store;
  billing::Core core{*store, billing::Catalog::built_in(), billing::built_in_plans(), clock, sink};
};

void fill(OpenStore& to, std::int64_t subscriptions, std::int64_t services) {
  constexpr std::int64_t kAccountsACommit = 2'000;
  for (std::int64_t i = 0; i < services; ++i) {
    const std::string id = service_id(i);
    must(to.core.put_service(
        id, "image-segmentation",
        R"({"model":"image-segmentation","upstreams":["127.0.0.1:9"],"route":{"path_prefix":"/)" + id + R"("}})"));
  }
  for (std::int64_t first = 0; first < subscriptions; first += kAccountsACommit) {
    must(to.store->transaction([&]() -> Result<void> {
      for (std::int64_t i = first; i < std::min(subscriptions, first + kAccountsACommit); ++i) {
        const std::string account = "account-" + std::to_string(i);
        must(to.core.put_account(account, "Account"));
        must(to.core.deposit(account, *parse_yuan("100"), billing::DepositKind::cash, {}));
        must(to.core.put_subscription(account, service_id(i % services), true, {}));
      }
      return {};
    }));
  }
}

// The folder of a store with so many paying accounts, which have one subscription each to one of the services in turn.
// It takes seconds, so each is made once for all repetitions.
const std::filesystem::path& data_dir_with(std::int64_t subscriptions, std::int64_t services) {
  static std::map<std::pair<std::int64_t, std::int64_t>, TempFolder> made;
  const auto [found, fresh] = made.try_emplace({subscriptions, services});
  if (fresh) {
    OpenStore store(found->second.path());
    fill(store, subscriptions, services);
  }
  return found->second.path();
}

Config config_for(const std::string& data_dir) {
  Config config;
  config.listen = "127.0.0.1:0";
  config.admin_listen = "127.0.0.1:0";
  config.data_dir = data_dir;
  config.workers = kWorkers;
  config.journal.slots = 1 << 17;
  config.core_dumps = true;  // else a profiler may not look into this process any more
  config.log.level = "error";
  return config;
}

// All of a gateway that has `range(0)` subscriptions to `range(1)` services and nothing to do.
void Scrape_Gateway(benchmark::State& state) {
  const Config config = config_for(data_dir_with(state.range(0), state.range(1)));
  set_up_log(config.log);
  Serve serve(config, {});
  if (const auto started = serve.start(); !started) {
    state.SkipWithError(started.error().message.c_str());
    return;
  }
  const std::string last = "\"" + service_id(state.range(1) - 1) + "\"";
  const SteadyTime latest = steady_now() + std::chrono::seconds(30);
  while (serve.metrics().find(last) == std::string::npos) {  // the workers are told one by one
    TOLLGATE_CHECK(steady_now() < latest);
    std::this_thread::yield();
  }
  std::size_t bytes = 0;
  for (auto _ : state) bytes = serve.metrics().size();
  state.counters["bytes"] = static_cast<double>(bytes);
}
BENCHMARK(Scrape_Gateway)
    ->ArgNames({"subscriptions", "services"})
    ->Args({1, 1})
    ->Args({100'000, 1})
    ->Args({100'000, 1'000})
    ->Iterations(50)  // so that the gateway is started once for a figure, not once more for each guess at their number
    ->Unit(benchmark::kMicrosecond);

// The rows of the data path alone, after calls that succeeded, failed and were refused, at each worker.
void Scrape_RowsOfServicesWithTraffic(benchmark::State& state) {
  meter::Metrics metrics(kWorkers, reason_codes());
  for (std::int64_t service = 0; service < state.range(0); ++service) {
    for (std::size_t worker = 0; worker < kWorkers; ++worker) {
      auto& cells = metrics.cells(worker, service_id(service));
      for (const std::size_t status : {200, 429, 502}) cells.answers[status].add(1'234'567);
      cells.refusals[static_cast<std::size_t>(Reason::limit_reached)].add(1'234'567);
      for (auto& calls : cells.calls) calls.add(1'234'567);
      cells.free_points.add(10'000);
      cells.billable_points.add(1'234'567'890);
      for (std::int64_t ns = 50'000; ns < 1'000'000'000; ns *= 2) {
        for (auto* histogram : {&cells.request, &cells.overhead, &cells.upstream}) histogram->observe(ns);
      }
    }
  }
  std::size_t bytes = 0;
  for (auto _ : state) bytes = metrics.text().size();
  state.counters["bytes"] = static_cast<double>(bytes);
}
BENCHMARK(Scrape_RowsOfServicesWithTraffic)->ArgName("services")->Arg(1)->Arg(1'000)->Unit(benchmark::kMicrosecond);

// What Serve::measure_books asks of the store for the metrics of accounts and books, on the billing thread.
void Scrape_MeasureBooks(benchmark::State& state) {
  OpenStore store(data_dir_with(state.range(0), 1));
  for (auto _ : state) {
    benchmark::DoNotOptimize(store.core.account_counts());
    benchmark::DoNotOptimize(store.core.ledger_imbalance());
    benchmark::DoNotOptimize(store.core.settlement_status());
  }
}
BENCHMARK(Scrape_MeasureBooks)->ArgName("subscriptions")->Arg(100'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tollgate::gateway
