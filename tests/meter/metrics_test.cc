#include "meter/metrics.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

namespace tollgate::meter {
namespace {

// The exposition text, a line at a time.
class Exposition {
 public:
  explicit Exposition(const std::string& text) {
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines_.push_back(line);
  }
  [[nodiscard]] bool has(std::string_view wanted) const {
    return std::find(lines_.begin(), lines_.end(), wanted) != lines_.end();
  }
  // The value of the series that is written exactly so; "" if there is none.
  [[nodiscard]] std::string value(const std::string& series) const {
    for (const auto& line : lines_) {
      if (line.starts_with(series + " ")) return line.substr(series.size() + 1);
    }
    return "";
  }
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }

 private:
  std::vector<std::string> lines_;
};

TEST(Metrics, HaveHelpAndTypeForEveryFamily) {
  Metrics metrics(1, {"invalid_key"});
  ServiceCells& cells = metrics.cells(0, "detect");
  cells.answers[200].add(1);
  cells.refusals[0].add(1);
  metrics.add({"client_connections", "Connections of clients.", false, {}, [] { return 3.0; }});
  const Exposition exposition(metrics.text());
  std::set<std::string> helped;
  std::set<std::string> typed;
  std::set<std::string> families;
  for (const auto& line : exposition.lines()) {
    std::istringstream words(line);
    std::string first;
    std::string kind;
    std::string name;
    words >> first;
    if (first == "#") {
      words >> kind >> name;
      std::string rest;
      std::getline(words, rest);
      EXPECT_GT(rest.size(), 1U) << line;
      EXPECT_TRUE((kind == "HELP" ? helped : typed).insert(name).second) << name << " is there twice";
      continue;
    }
    std::string family = line.substr(0, line.find_first_of("{ "));
    for (const std::string suffix : {"_bucket", "_sum", "_count"}) {
      if (family.ends_with(suffix)) family.resize(family.size() - suffix.size());
    }
    families.insert(family);
  }
  EXPECT_EQ(helped, typed);
  for (const auto& family : families) {
    EXPECT_TRUE(helped.contains(family)) << family;
    EXPECT_TRUE(family.starts_with("tollgate_")) << family;
  }
  // The contract's names (docs of the admin API).
  for (const std::string name :
       {"requests_total", "refusals_total", "calls_total", "points_total", "in_flight", "request_duration_seconds",
        "overhead_seconds", "upstream_duration_seconds", "upstream_connections", "client_connections"}) {
    EXPECT_TRUE(families.contains("tollgate_" + name)) << name;
  }
}

TEST(Metrics, SumTheWorkers) {
  Metrics metrics(3, {"invalid_key", "limit_reached"});
  for (std::size_t worker = 0; worker < 3; ++worker) {
    ServiceCells& cells = metrics.cells(worker, "detect");
    cells.answers[200].add(10);
    cells.refusals[1].add(2);
    cells.calls[0].add(5);
    cells.calls[1].add(1);
    cells.free_points.add(4);
    cells.billable_points.add(6);
  }
  metrics.cells(0, "detect").in_flight[0].add(7);
  metrics.cells(1, "detect").in_flight[0].add(-4);
  metrics.cells(2, "detect").in_flight[1].add(1);
  metrics.cells(0, "detect").upstream_connections[1].add(2);
  const Exposition exposition(metrics.text());
  EXPECT_EQ(exposition.value(R"(tollgate_requests_total{service="detect",code="200"})"), "30");
  EXPECT_EQ(exposition.value(R"(tollgate_refusals_total{service="detect",reason="limit_reached"})"), "6");
  EXPECT_EQ(exposition.value(R"(tollgate_calls_total{service="detect",outcome="succeeded"})"), "15");
  EXPECT_EQ(exposition.value(R"(tollgate_calls_total{service="detect",outcome="failed"})"), "3");
  EXPECT_EQ(exposition.value(R"(tollgate_points_total{service="detect",kind="free"})"), "12");
  EXPECT_EQ(exposition.value(R"(tollgate_points_total{service="detect",kind="billable"})"), "18");
  EXPECT_EQ(exposition.value(R"(tollgate_in_flight{service="detect",class="paid"})"), "3");
  EXPECT_EQ(exposition.value(R"(tollgate_in_flight{service="detect",class="free"})"), "1");
  EXPECT_EQ(exposition.value(R"(tollgate_upstream_connections{service="detect",state="idle"})"), "2");
  EXPECT_EQ(exposition.value(R"(tollgate_upstream_connections{service="detect",state="active"})"), "0");
}

TEST(Metrics, KeepServicesApartAndGiveTheSameCellsEachTime) {
  Metrics metrics(2, {});
  ServiceCells& one = metrics.cells(0, "one");
  EXPECT_EQ(&metrics.cells(0, "one"), &one);
  EXPECT_NE(&metrics.cells(1, "one"), &one);
  EXPECT_NE(&metrics.cells(0, "two"), &one);
  one.calls[0].add(3);
  const Exposition exposition(metrics.text());
  EXPECT_EQ(exposition.value(R"(tollgate_calls_total{service="one",outcome="succeeded"})"), "3");
  EXPECT_EQ(exposition.value(R"(tollgate_calls_total{service="two",outcome="succeeded"})"), "0");
}

TEST(Metrics, OfRequestsThatReachedNoServiceAreAnswersAndRefusalsOnly) {
  Metrics metrics(1, {"unknown_service"});
  metrics.cells(0, "").answers[404].add(1);
  metrics.cells(0, "").refusals[0].add(1);
  const Exposition exposition(metrics.text());
  EXPECT_EQ(exposition.value(R"(tollgate_requests_total{service="",code="404"})"), "1");
  EXPECT_EQ(exposition.value(R"(tollgate_refusals_total{service="",reason="unknown_service"})"), "1");
  for (const auto& line : exposition.lines()) EXPECT_FALSE(line.starts_with("tollgate_calls_total{")) << line;
}

TEST(Metrics, OfDurationsAreCumulativeBuckets) {
  Metrics metrics(2, {});
  metrics.cells(0, "detect").request.observe(1'000);   // below 2^14 ns
  metrics.cells(0, "detect").request.observe(20'000);  // below 2^15 ns
  metrics.cells(1, "detect").request.observe(20'000);
  metrics.cells(1, "detect").request.observe(500'000'000'000);  // beyond the last bound
  const Exposition exposition(metrics.text());
  std::vector<std::int64_t> counts;
  std::vector<std::string> bounds;
  const std::string prefix = R"(tollgate_request_duration_seconds_bucket{service="detect",le=")";
  for (const auto& line : exposition.lines()) {
    if (!line.starts_with(prefix)) continue;
    const auto quote = line.find('"', prefix.size());
    bounds.push_back(line.substr(prefix.size(), quote - prefix.size()));
    counts.push_back(std::stoll(line.substr(line.rfind(' ') + 1)));
  }
  ASSERT_EQ(counts.size(), DurationHistogram::kBuckets);
  EXPECT_EQ(bounds.back(), "+Inf");
  EXPECT_EQ(counts[0], 1);
  EXPECT_EQ(counts[1], 3);
  EXPECT_TRUE(std::is_sorted(counts.begin(), counts.end()));
  EXPECT_EQ(counts[counts.size() - 2], 3);
  EXPECT_EQ(counts.back(), 4);
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
    EXPECT_NEAR(std::stod(bounds[i]), static_cast<double>(1 << 14) * static_cast<double>(1U << i) / 1e9, 1e-6);
  }
  EXPECT_EQ(exposition.value(R"(tollgate_request_duration_seconds_count{service="detect"})"), "4");
  EXPECT_NEAR(std::stod(exposition.value(R"(tollgate_request_duration_seconds_sum{service="detect"})")), 500.000041,
              1e-6);
}

TEST(DurationHistogram, PutsABoundIntoTheBucketAboveAndNothingBelowZero) {
  DurationHistogram histogram;
  histogram.observe((1 << 14) - 1);
  histogram.observe(1 << 14);
  histogram.observe(-5);
  histogram.observe(std::numeric_limits<std::int64_t>::max() / 2);
  EXPECT_EQ(histogram.bucket(0), 2);
  EXPECT_EQ(histogram.bucket(1), 1);
  EXPECT_EQ(histogram.bucket(DurationHistogram::kBuckets - 1), 1);
}

TEST(Metrics, ReadElsewhereAreOneFamilyPerNameWithTheirLabels) {
  Metrics metrics(1, {});
  metrics.add({"accounts", "Accounts by state.", false, {{"state", "active"}}, [] { return 2.0; }});
  metrics.add({"accounts", "Accounts by state.", false, {{"state", "arrears"}}, [] { return 1.0; }});
  metrics.add({"config_reloads_total", "Reloads.", true, {{"result", "ok"}}, [] { return 4.0; }});
  const Exposition exposition(metrics.text());
  EXPECT_EQ(exposition.value(R"(tollgate_accounts{state="active"})"), "2");
  EXPECT_EQ(exposition.value(R"(tollgate_accounts{state="arrears"})"), "1");
  EXPECT_EQ(exposition.value(R"(tollgate_config_reloads_total{result="ok"})"), "4");
  EXPECT_TRUE(exposition.has("# TYPE tollgate_accounts gauge"));
  EXPECT_TRUE(exposition.has("# TYPE tollgate_config_reloads_total counter"));
}

TEST(Metrics, QuoteWhatALabelMayHold) {
  Metrics metrics(1, {});
  metrics.add({"build_info", "The build.", false, {{"version", "a\"b\\c\nd"}}, [] { return 1.0; }});
  const Exposition exposition(metrics.text());
  EXPECT_EQ(exposition.value(R"(tollgate_build_info{version="a\"b\\c\nd"})"), "1");
}

TEST(MetricsDeathTest, TakeAsManyReasonsAsThereAreCells) {
  EXPECT_DEATH(Metrics(1, std::vector<std::string>(kRefusalReasonsMax + 1, "r")), "CHECK failed");
}

}  // namespace
}  // namespace tollgate::meter
