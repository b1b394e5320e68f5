#include "meter/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>
#include <sstream>

#include "base/check.h"

namespace tollgate::meter {
namespace {
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Label = std::pair<std::string, std::string>;
using Cells = std::vector<std::unique_ptr<ServiceCells>>;

constexpr const char* kPrefix = "tollgate_";

MetricFamily family(const std::string& name, const std::string& help, MetricType type) {
  MetricFamily result;
  result.name = kPrefix + name;
  result.help = help;
  result.type = type;
  return result;
}

ClientMetric metric(const std::vector<Label>& labels) {
  ClientMetric result;
  for (const auto& [name, value] : labels) result.label.push_back({name, value});
  return result;
}

void add_value(MetricFamily& to, const std::vector<Label>& labels, double value) {
  ClientMetric one = metric(labels);
  if (to.type == MetricType::Counter) {
    one.counter.value = value;
  } else {
    one.gauge.value = value;
  }
  to.metric.push_back(std::move(one));
}

// The sum over workers of one cell of theirs.
template <class Select>
double total(const Cells& cells, Select select) {
  std::int64_t sum = 0;
  for (const auto& one : cells) {
    if (one) sum += select(*one);
  }
  return static_cast<double>(sum);
}

void add_histogram(MetricFamily& to, const std::string& service, const Cells& cells,
                   const DurationHistogram ServiceCells::*which) {
  ClientMetric one = metric({{"service", service}});
  std::uint64_t cumulative = 0;
  for (std::size_t i = 0; i < DurationHistogram::kBuckets; ++i) {
    for (const auto& worker : cells) {
      if (worker) cumulative += static_cast<std::uint64_t>(((*worker).*which).bucket(i));
    }
    const bool last = i + 1 == DurationHistogram::kBuckets;
    const double bound = static_cast<double>(std::uint64_t{1} << (i + DurationHistogram::kFirstBit)) / 1e9;
    one.histogram.bucket.push_back({cumulative, last ? std::numeric_limits<double>::infinity() : bound});
  }
  one.histogram.sample_count = cumulative;
  one.histogram.sample_sum = total(cells, [&](const ServiceCells& c) { return (c.*which).sum_ns(); }) / 1e9;
  to.metric.push_back(std::move(one));
}
}  // namespace

Metrics::Metrics(std::size_t workers, std::vector<std::string> refusal_reasons)
    : reasons_(std::move(refusal_reasons)), workers_(workers) {
  TOLLGATE_CHECK(reasons_.size() <= kRefusalReasonsMax);
}

ServiceCells& Metrics::cells(std::size_t worker, std::string_view service) {
  const std::lock_guard lock(mutex_);
  auto found = services_.find(service);
  if (found == services_.end()) found = services_.emplace(std::string(service), Cells(workers_.size())).first;
  auto& cells = found->second.at(worker);
  if (!cells) cells = std::make_unique<ServiceCells>();
  return *cells;
}

void Metrics::add(ReadMetric metric) { read_.push_back(std::move(metric)); }

std::string Metrics::text() const {
  auto requests = family("requests_total", "Answers to clients, by service and status.", MetricType::Counter);
  auto refusals = family("refusals_total", "Requests refused by the gateway, by reason.", MetricType::Counter);
  auto calls = family("calls_total", "Calls forwarded and ended, by outcome.", MetricType::Counter);
  auto points =
      family("points_total", "Points used: free ones when a call is forwarded, billable ones when it has succeeded.",
             MetricType::Counter);
  auto in_flight = family("in_flight", "Calls in flight, paid or free.", MetricType::Gauge);
  auto connections = family("upstream_connections", "Connections to upstreams, active or idle.", MetricType::Gauge);
  auto request = family("request_duration_seconds", "From a request's whole head to its answer's last byte.",
                        MetricType::Histogram);
  auto overhead =
      family("overhead_seconds", "Time of a call in the gateway less the upstream's.", MetricType::Histogram);
  auto upstream =
      family("upstream_duration_seconds", "From forwarding a call to the upstream's last byte.", MetricType::Histogram);
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [service, cells] : services_) {
      for (std::size_t status = 0; status < 600; ++status) {
        const double n = total(cells, [&](const ServiceCells& c) { return c.answers[status].load(); });
        if (n > 0) add_value(requests, {{"service", service}, {"code", std::to_string(status)}}, n);
      }
      for (std::size_t reason = 0; reason < reasons_.size(); ++reason) {
        const double n = total(cells, [&](const ServiceCells& c) { return c.refusals[reason].load(); });
        if (n > 0) add_value(refusals, {{"service", service}, {"reason", reasons_[reason]}}, n);
      }
      if (service.empty()) continue;
      constexpr std::array<const char*, 2> outcomes = {"succeeded", "failed"};
      constexpr std::array<const char*, 2> classes = {"paid", "free"};
      constexpr std::array<const char*, 2> states = {"active", "idle"};
      for (std::size_t i = 0; i < 2; ++i) {
        add_value(calls, {{"service", service}, {"outcome", outcomes[i]}},
                  total(cells, [&](const ServiceCells& c) { return c.calls[i].load(); }));
        add_value(in_flight, {{"service", service}, {"class", classes[i]}},
                  total(cells, [&](const ServiceCells& c) { return c.in_flight[i].load(); }));
        add_value(connections, {{"service", service}, {"state", states[i]}},
                  total(cells, [&](const ServiceCells& c) { return c.upstream_connections[i].load(); }));
      }
      add_value(points, {{"service", service}, {"kind", "free"}},
                total(cells, [](const ServiceCells& c) { return c.free_points.load(); }));
      add_value(points, {{"service", service}, {"kind", "billable"}},
                total(cells, [](const ServiceCells& c) { return c.billable_points.load(); }));
      add_histogram(request, service, cells, &ServiceCells::request);
      add_histogram(overhead, service, cells, &ServiceCells::overhead);
      add_histogram(upstream, service, cells, &ServiceCells::upstream);
    }
  }
  std::vector<MetricFamily> families = {requests, refusals, calls,    points,     in_flight,
                                        request,  overhead, upstream, connections};
  for (const auto& one : read_) {
    const std::string name = kPrefix + one.name;
    if (families.back().name != name) {
      families.push_back(family(one.name, one.help, one.counter ? MetricType::Counter : MetricType::Gauge));
    }
    add_value(families.back(), one.labels, one.read());
  }
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return std::move(out).str();
}

}  // namespace tollgate::meter
