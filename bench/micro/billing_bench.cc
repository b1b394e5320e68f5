// What the billing core does with usage: the price of it, and the merge of a gateway's report into the store.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <string>

#include "base/clock.h"
#include "bench/core_tools.h"
#include "bench/micro/temp_folder.h"
#include "billing/core.h"
#include "billing/rating.h"
#include "billing/store.h"

namespace tollgate::billing {
namespace {

constexpr const char* kModel = "image-segmentation";
constexpr const char* kFirstHour = "2021-08-25T10:00:00+08:00";

const Plan& plan_that_charges(bool by_call) {
  const auto& plans = built_in_plans();
  const auto found =
      std::find_if(plans.begin(), plans.end(), [&](const Plan& plan) { return plan.by_call() == by_call; });
  TOLLGATE_CHECK(found != plans.end());
  return *found;
}

// By the three tiers of the price list: the points of one hour, in a month that has had `before`.
void Billing_Rate(benchmark::State& state, std::int64_t before, std::int64_t points, std::size_t tiers) {
  const Plan& plan = plan_that_charges(false);
  if (rate(plan.tiers, Points(before), Points(points)).size() != tiers) {
    state.SkipWithError("the price list has other tiers");
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(before);
    benchmark::DoNotOptimize(rate(plan.tiers, Points(before), Points(points)));
  }
}
BENCHMARK_CAPTURE(Billing_Rate, within_a_tier, 300'000, 16'000, 1);
BENCHMARK_CAPTURE(Billing_Rate, across_all_tiers, 990'000, 4'100'000, 3);

void Billing_PriceOfCalls(benchmark::State& state) {
  const CallPrice* price = plan_that_charges(true).call_price(kModel);
  TOLLGATE_CHECK(price != nullptr);
  std::int64_t calls = 1'001;
  for (auto _ : state) {
    benchmark::DoNotOptimize(calls);
    benchmark::DoNotOptimize(price_of_calls(calls, price->per_call));
  }
}
BENCHMARK(Billing_PriceOfCalls);

// A store on the disk with `subscriptions`, ten an account, and a gateway that reports on all of them.
class ReportingGateway {
 public:
  explicit ReportingGateway(int subscriptions) {
    for (int service = 0; service < kPerAccount; ++service) {
      const std::string id = "service-" + std::to_string(service);
      must(core_.put_service(
          id, kModel,
          R"({"model":"image-segmentation","upstreams":["127.0.0.1:9"],"route":{"path_prefix":"/)" + id + R"("}})"));
    }
    must(store_->transaction([&]() -> Result<void> {
      for (int i = 0; i < subscriptions / kPerAccount; ++i) add_account("account-" + std::to_string(i));
      return {};
    }));
    report_.gateway = "bench";
    report_.epoch = core_.open_epoch("bench");
  }

  // The whole of one call of the collector's: checks, one transaction, its commit.
  void report(Hour hour, std::int64_t calls) {
    for (auto& entry : report_.entries) {
      entry.hour = hour;
      entry.totals.calls_succeeded = calls;
      entry.totals.free_points = Points(16);
      entry.totals.billable_points = Points(16 * (calls - 1));
    }
    must(core_.merge(report_));
  }

 private:
  static constexpr int kPerAccount = 10;

  void add_account(const std::string& account) {
    must(core_.put_account(account, "Account"));
    must(core_.deposit(account, *parse_yuan("100000"), DepositKind::cash, {}));
    for (int service = 0; service < kPerAccount; ++service) {
      const auto made = must(core_.put_subscription(account, "service-" + std::to_string(service), true, {}));
      report_.entries.push_back({made.subscription.number, {}, {}});
    }
  }

  TempFolder folder_;
  ManualClock clock_{*parse_time(kFirstHour)};
  NobodyListens sink_;
  std::unique_ptr<Store> store_ = must(open_sqlite_store(folder_.path().string()));
  Core core_{*store_, Catalog::built_in(), built_in_plans(), clock_, sink_};
  meter::UsageReport report_;
};

// By real time, since the billing thread waits for the disk as well; its own work is the CPU column.
void show_per_subscription(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.counters["per_subscription"] = benchmark::Counter(
      static_cast<double>(state.range(0)), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

// The first report of an hour: new rows for all. Each iteration is another hour, so the store grows.
void Billing_MergeTheFirstReportOfAnHour(benchmark::State& state) {
  ReportingGateway gateway(static_cast<int>(state.range(0)));
  Hour hour = hour_of(*parse_time(kFirstHour));
  for (auto _ : state) {
    gateway.report(hour, 1'001);
    hour = hour.next();
  }
  show_per_subscription(state);
}
BENCHMARK(Billing_MergeTheFirstReportOfAnHour)->Arg(1'000)->Unit(benchmark::kMillisecond)->UseRealTime();

// Those that follow, with totals that have grown: the rows are there and change.
void Billing_MergeALaterReportOfTheHour(benchmark::State& state) {
  ReportingGateway gateway(static_cast<int>(state.range(0)));
  const Hour hour = hour_of(*parse_time(kFirstHour));
  std::int64_t calls = 1;
  gateway.report(hour, calls);
  for (auto _ : state) gateway.report(hour, ++calls);
  show_per_subscription(state);
}
BENCHMARK(Billing_MergeALaterReportOfTheHour)->Arg(1'000)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace tollgate::billing
