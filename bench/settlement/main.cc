// settlement_bench: builds a store with very many subscriptions that all have usage in one hour, settles it, and
// prints what that took as one line of JSON. bench/settlement/run.py runs it and measures the data path beside it.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/core_tools.h"
#include "billing/core.h"
#include "billing/store.h"

namespace tollgate::billing {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr const char* kFirstHour = "2021-08-25T10:00:00+08:00";
constexpr int kAccountsACommit = 2'000;

struct Options {
  int subscriptions = 1'000'000;
  int per_account = 10;
  int hours = 1;  // each is used and settled in turn
  std::string data_dir;
  std::string upstream = "127.0.0.1:9";  // of the services, for a gateway that is started on the store later
  bool prepare_only = false;             // leaves the first hour unsettled
};

struct Settled {
  double seconds = 0;
  double cpu_seconds = 0;
  double merge_seconds = 0;
  double longest_piece_ms = 0;
  std::int64_t pieces = 0;
  std::int64_t settlements = 0;
  std::int64_t failures = 0;
};

double cpu_seconds() {  // of this process: the figure that stays put on a shared machine
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

class Stopwatch {
 public:
  [[nodiscard]] double seconds() const { return std::chrono::duration<double>(SteadyClock::now() - begun_).count(); }

 private:
  SteadyClock::time_point begun_ = SteadyClock::now();
};

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options),
        store_(must(open_sqlite_store(options.data_dir))),
        core_(*store_, Catalog::built_in(), built_in_plans(), clock_, sink_) {}

  void set_up() {
    for (int service = 0; service < options_.per_account; ++service) {
      const std::string id = service_id(service);
      must(core_.put_service(id, "image-segmentation",
                             R"({"model":"image-segmentation","upstreams":[")" + options_.upstream +
                                 R"("],"route":{"path_prefix":"/)" + id + R"("}})"));
    }
    const int accounts = options_.subscriptions / options_.per_account;
    for (int first = 0; first < accounts; first += kAccountsACommit) {
      must(store_->transaction([&]() -> Result<void> {
        for (int i = first; i < std::min(accounts, first + kAccountsACommit); ++i) add_account(i);
        return {};
      }));
    }
    epoch_ = core_.open_epoch("bench");
  }

  // The usage of one hour, in reports as a gateway's collector makes them.
  void use(Hour hour) {
    constexpr std::size_t kEntriesAReport = 10'000;
    for (std::size_t first = 0; first < numbers_.size(); first += kEntriesAReport) {
      meter::UsageReport report;
      report.gateway = "bench";
      report.epoch = epoch_;
      for (std::size_t i = first; i < std::min(numbers_.size(), first + kEntriesAReport); ++i) {
        meter::UsageTotals totals;
        totals.calls_succeeded = 1'001;
        totals.free_points = Points(16);
        totals.billable_points = Points(16'000);
        report.entries.push_back({numbers_[i], hour, totals});
      }
      must(core_.merge(report));
    }
  }

  Settled settle(Hour hour) {
    Settled settled;
    const Stopwatch merging;
    use(hour);
    settled.merge_seconds = merging.seconds();
    clock_.set(begin_of(hour.next()));
    DueRun run;
    const double cpu = cpu_seconds();
    const Stopwatch all;
    for (bool more = true; more;) {
      const Stopwatch piece;
      more = must(core_.run_due_piece(clock_.now(), run));
      settled.longest_piece_ms = std::max(settled.longest_piece_ms, piece.seconds() * 1e3);
      ++settled.pieces;
    }
    settled.seconds = all.seconds();
    settled.cpu_seconds = cpu_seconds() - cpu;
    settled.settlements = run.settlements;
    settled.failures = run.failures;
    return settled;
  }

  void run() {
    const Stopwatch setting_up;
    set_up();
    const double setup_seconds = setting_up.seconds();
    const Hour first = hour_of(*parse_time(kFirstHour));
    if (options_.prepare_only) {
      use(first);
      std::printf("{\"setup_seconds\":%.2f}\n", setup_seconds);
      return;
    }
    std::printf("{\"subscriptions\":%zu,\"per_account\":%d,\"setup_seconds\":%.2f,\"hours\":[", numbers_.size(),
                options_.per_account, setup_seconds);
    for (int i = 0; i < options_.hours; ++i) {
      const auto before = bytes();
      const Settled settled = settle(Hour{first.since_epoch + i});
      std::printf(
          "%s{\"merge_seconds\":%.2f,\"seconds\":%.2f,\"cpu_seconds\":%.2f,\"settlements\":%lld,\"failures\":%lld,"
          "\"pieces\":%lld,"
          "\"longest_piece_ms\":%.1f,\"bytes_before\":%lld,\"bytes\":%lld}",
          i == 0 ? "" : ",", settled.merge_seconds, settled.seconds, settled.cpu_seconds,
          static_cast<long long>(settled.settlements), static_cast<long long>(settled.failures),
          static_cast<long long>(settled.pieces), settled.longest_piece_ms, static_cast<long long>(before),
          static_cast<long long>(bytes()));
      std::fflush(stdout);
    }
    const Stopwatch auditing;
    std::string broken;
    for (const auto& invariant : core_.audit()) {
      if (!invariant.ok) broken += " " + invariant.name;
    }
    std::printf("],\"audit_seconds\":%.2f,\"audit_ok\":%s}\n", auditing.seconds(), broken.empty() ? "true" : "false");
    if (!broken.empty()) throw std::runtime_error("the audit does not hold:" + broken);
  }

 private:
  static std::string service_id(int service) { return "service-" + std::to_string(service); }

  void add_account(int index) {
    const std::string account = "account-" + std::to_string(index);
    must(core_.put_account(account, "Account"));
    must(core_.deposit(account, *parse_yuan("100000"), DepositKind::cash, {}));
    for (int service = 0; service < options_.per_account; ++service) {
      numbers_.push_back(must(core_.put_subscription(account, service_id(service), true, {})).subscription.number);
    }
  }

  std::uintmax_t bytes() const {
    std::uintmax_t sum = 0;
    for (const auto& entry : std::filesystem::directory_iterator(options_.data_dir)) {
      if (entry.path().filename() == "tollgate.db") sum += entry.file_size();
    }
    return sum;
  }

  Options options_;
  ManualClock clock_{*parse_time(kFirstHour)};
  NobodyListens sink_;
  std::unique_ptr<Store> store_;
  Core core_;
  std::uint32_t epoch_ = 0;
  std::vector<std::uint32_t> numbers_;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--prepare-only") {
      options.prepare_only = true;
      continue;
    }
    if (i + 1 == argc) throw std::runtime_error("a value is missing after " + std::string(name));
    const std::string_view value = argv[++i];
    if (name == "--subscriptions") {
      options.subscriptions = number_of(value);
    } else if (name == "--per-account") {
      options.per_account = number_of(value);
    } else if (name == "--hours") {
      options.hours = number_of(value);
    } else if (name == "--data-dir") {
      options.data_dir = value;
    } else if (name == "--upstream") {
      options.upstream = value;
    } else {
      throw std::runtime_error("unknown: " + std::string(name));
    }
  }
  if (options.data_dir.empty() || std::filesystem::exists(options.data_dir)) {
    throw std::runtime_error("--data-dir must name a folder that is not there yet");
  }
  return options;
}

}  // namespace
}  // namespace tollgate::billing

int main(int argc, char** argv) {
  try {
    tollgate::billing::Bench(tollgate::billing::parse(argc, argv)).run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "settlement_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
