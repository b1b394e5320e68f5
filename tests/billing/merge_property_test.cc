// Merging, over 100,000 random cases: reports that are duplicated, reordered, split, in part, of an earlier moment, of
// several epochs and gateways leave the ledger that plain arithmetic gives: the maximum of each source, then the sum.
#include <algorithm>
#include <set>
#include <vector>

#include "tests/billing/core_fixture.h"
#include "tests/sim/random.h"
#include "tests/sim/usage_book.h"

namespace tollgate::billing {
namespace {
using sim::Counts;
using sim::Random;
using sim::Source;
using sim::UsageBook;

constexpr int kChunks = 10;
// Sanitizers make each case ten times as slow.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kCasesAChunk = 1'000;
#else
constexpr int kCasesAChunk = 10'000;
#endif
constexpr int kCasesACommit = 100;
constexpr const char* kGateways[] = {"gw-1", "gw-2"};
constexpr const char* kServices[] = {"detect", "vision", "ultra"};

struct Line {
  Source source;
  Counts counts;
};

struct Report {  // all of one epoch
  std::vector<Line> lines;
  bool over_the_api = false;
};

class Merge : public CoreTest, public testing::WithParamInterface<int> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(core->put_account("acme", "Acme").has_value());
    for (const char* service : kServices) {
      ASSERT_TRUE(core->put_service(service, "object-detection/ultra-accuracy", "{}").has_value());
      numbers_.push_back(core->put_subscription("acme", service, true, std::nullopt)->subscription.number);
    }
    for (int i = 0; i < 3; ++i) {
      for (std::size_t gateway = 0; gateway < 2; ++gateway) epochs_[gateway].push_back(open_epoch(gateway));
    }
  }
  std::uint32_t open_epoch(std::size_t gateway) { return core->open_epoch(kGateways[gateway]); }

  // What some sources count, moment by moment; each case has hours of its own.
  std::vector<std::vector<Line>> histories(std::int64_t hour) {
    std::vector<std::vector<Line>> all;
    std::set<Source> taken;
    for (std::int64_t left = random_.between(1, 4); left > 0; --left) {
      const bool own = random_.percent(50);
      const auto& epochs = epochs_[own ? 0 : 1];
      Line line{{own, epochs[random_.index(epochs.size())], numbers_[random_.index(3)], hour + random_.below(2)}, {}};
      if (!taken.insert(line.source).second) continue;
      std::vector<Line> moments;
      for (std::int64_t moment = random_.between(1, 3); moment > 0; --moment) {
        for (auto& count : line.counts.of) count += random_.percent(50) ? random_.below(100) : 0;
        moments.push_back(line);
      }
      all.push_back(std::move(moments));
    }
    return all;
  }

  // Each moment of each source may be reported or not; the last one is, unless it never leaves.
  std::vector<Report> reports_of(const std::vector<std::vector<Line>>& histories) {
    std::vector<Report> reports;
    for (const auto& moments : histories) {
      const bool last_leaves = random_.percent(90);
      for (std::size_t i = 0; i < moments.size(); ++i) {
        const bool last = i + 1 == moments.size();
        if (last ? last_leaves : random_.percent(60)) add(reports, moments[i]);
      }
    }
    for (std::int64_t twice = random_.below(3); twice > 0 && !reports.empty(); --twice) {
      Report again = reports[random_.index(reports.size())];
      if (random_.percent(50)) again.lines.resize(1 + random_.index(again.lines.size()));  // in part
      if (random_.percent(20)) again.lines.push_back(again.lines.front());
      again.over_the_api = random_.percent(50);
      reports.push_back(std::move(again));
    }
    for (auto& report : reports) shuffle(report.lines);
    shuffle(reports);
    return reports;
  }

  void merge(const Report& report) {
    const Source& first = report.lines.front().source;
    const char* gateway = kGateways[first.own ? 0 : 1];
    Result<void> merged;
    if (report.over_the_api) {
      std::vector<NamedUsage> totals;
      for (const auto& line : report.lines) {
        const auto place = std::ranges::find(numbers_, line.source.subscription) - numbers_.begin();
        totals.push_back({"acme", kServices[place], hour_of(line), totals_of(line.counts)});
      }
      merged = core->merge(gateway, first.epoch, totals);
    } else {
      meter::UsageReport plain{gateway, first.epoch, {}};
      for (const auto& line : report.lines) {
        plain.entries.push_back({line.source.subscription, hour_of(line), totals_of(line.counts)});
      }
      merged = core->merge(plain);
    }
    ASSERT_TRUE(merged.has_value()) << merged.error().message;
    for (const auto& line : report.lines) book_.merge(line.source, line.counts);
  }

  void run_case(std::int64_t number) {
    const std::int64_t hour = 400'000 + 2 * number;
    const auto all = histories(hour);
    const auto reports = reports_of(all);
    for (const auto& report : reports) merge(report);
    for (const auto& moments : all) {
      const Source& source = moments.back().source;
      const auto kept = store->find_report(
          {kGateways[source.own ? 0 : 1], source.epoch, source.subscription, hour_of(moments.back())});
      ASSERT_EQ(kept.value_or(meter::UsageTotals{}), totals_of(book_.at(source))) << "case " << number;
      const auto sum = store->hour_usage(source.subscription, hour_of(moments.back()));
      ASSERT_EQ(sum.totals, totals_of(book_.hour(source.subscription, source.hour))) << "case " << number;
    }
  }

  static Hour hour_of(const Line& line) { return {static_cast<std::int32_t>(line.source.hour)}; }
  static meter::UsageTotals totals_of(const Counts& counts) {
    return totals(counts[sim::kSucceeded], counts[sim::kFailed], counts[sim::kFree], counts[sim::kBillable],
                  counts[sim::kUnmetered]);
  }

  Random random_{static_cast<std::uint64_t>(GetParam())};
  UsageBook book_;

 private:
  // To a report that is open for its epoch, or to one of its own: reports are cut anywhere.
  void add(std::vector<Report>& reports, const Line& line) {
    for (auto& report : reports) {
      const Source& first = report.lines.front().source;
      if (first.own != line.source.own || first.epoch != line.source.epoch || random_.percent(40)) continue;
      report.lines.push_back(line);
      return;
    }
    reports.push_back({{line}, random_.percent(50)});
  }
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random_.index(i)]);
  }

  std::vector<std::uint32_t> numbers_;
  std::vector<std::uint32_t> epochs_[2];
};

TEST_P(Merge, KeepsTheMaximumOfEachSourceWhateverBecomesOfReports) {
  for (std::int64_t from = 0; from < kCasesAChunk; from += kCasesACommit) {
    // Many cases in one commit: what is asked for is arithmetic, not durability.
    const auto committed = store->transaction([&]() -> Result<void> {
      for (std::int64_t i = from; i < from + kCasesACommit && !HasFatalFailure(); ++i) run_case(i);
      return {};
    });
    ASSERT_TRUE(committed.has_value());
    ASSERT_FALSE(HasFatalFailure()) << "chunk " << GetParam();
  }
  std::int64_t free = 0;
  for (const auto& [key, counts] : book_.hours()) free += counts[sim::kFree];
  std::int64_t stored = 0;
  for (const auto& invariant : core->audit()) {
    EXPECT_TRUE(invariant.ok || invariant.name == "free_points_over_grant") << invariant.name;
    if (invariant.name == "free_points_used") stored = invariant.left;
  }
  EXPECT_EQ(stored, free);
}

INSTANTIATE_TEST_SUITE_P(Chunks, Merge, testing::Range(0, kChunks));

}  // namespace
}  // namespace tollgate::billing
