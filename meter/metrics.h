// Metrics of the data path in cells of one writer each, per worker and service, and their sum at scrape time as
// Prometheus text. Labels come from configuration only; accounts, keys and paths never become labels.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "meter/recorder.h"

namespace tollgate::meter {

// A number with one writer, a worker thread; the scrape reads. Relaxed is enough: each cell is a fact of its own.
class Cell {
 public:
  void add(std::int64_t n) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  [[nodiscard]] std::int64_t load() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// Durations in buckets of powers of two: bucket i holds those below 2^(i+kFirstBit) ns (16 us, 33 us, ... 69 s).
class DurationHistogram {
 public:
  static constexpr int kFirstBit = 14;
  static constexpr std::size_t kBuckets = 24;  // the last one is +Inf

  void observe(std::int64_t ns) noexcept {
    const auto width = std::bit_width(static_cast<std::uint64_t>(ns < 0 ? 0 : ns) >> kFirstBit);
    buckets_[std::min<std::size_t>(static_cast<std::size_t>(width), kBuckets - 1)].add(1);
    sum_ns_.add(ns < 0 ? 0 : ns);
  }
  [[nodiscard]] std::int64_t bucket(std::size_t i) const noexcept { return buckets_[i].load(); }
  [[nodiscard]] std::int64_t sum_ns() const noexcept { return sum_ns_.load(); }

 private:
  std::array<Cell, kBuckets> buckets_;
  Cell sum_ns_;
};

inline constexpr std::size_t kRefusalReasonsMax = 32;

// One worker's cells of one service. Written by that worker only; summed by the scrape.
struct ServiceCells {
  std::array<Cell, 600> answers;                  // by status: requests_total
  std::array<Cell, kRefusalReasonsMax> refusals;  // by the index of the reason
  std::array<Cell, 2> calls;                      // by Outcome
  Cell free_points;
  Cell billable_points;
  std::array<Cell, 2> in_flight;  // paid, free: goes up and down
  DurationHistogram request;
  DurationHistogram overhead;
  DurationHistogram upstream;
  std::array<Cell, 2> upstream_connections;  // active, idle: goes up and down
};

// One worker's cells that belong to no service.
struct WorkerCells {
  Cell client_connections;   // goes up and down
  Cell connections_refused;  // limits.connections_max, or no descriptors
  Cell connections_refused_by_address;
  Cell tls_handshakes;  // of clients, in full
  Cell tls_handshakes_resumed;
  Cell tls_handshakes_failed;
  Cell connections_evicted;  // idle ones, to make room
  Cell access_log_dropped;
  Cell access_log_left_out;  // lines of refusals beyond what a second may have
  Cell key_failures;
  Cell refused_held_back;  // pauses of connections after a refusal
  Cell log_left_out;       // lines of the process's log about single calls and connections
  Cell loop_lag_ns;        // a gauge
  Cell buffer_bytes;       // held by calls: goes up and down
};

// A gauge or counter that is read when scraped, from wherever the truth is.
struct ReadMetric {
  std::string name;  // without the prefix
  std::string help;
  bool counter = false;
  std::vector<std::pair<std::string, std::string>> labels;
  // A double is what the exposition format carries; nothing is computed with it. Called on the scraping thread.
  std::function<double()> read;
};

class Metrics {
 public:
  // `refusal_reasons`: the names behind ServiceCells::refusals, at most kRefusalReasonsMax.
  Metrics(std::size_t workers, std::vector<std::string> refusal_reasons);

  // The cells of a worker for a service; the same ones every time for the same pair. Any thread; takes a lock, so
  // only when a service appears. The service "" stands for requests that never reached one.
  ServiceCells& cells(std::size_t worker, std::string_view service);
  [[nodiscard]] std::size_t workers() const noexcept { return workers_.size(); }
  WorkerCells& worker(std::size_t worker) { return workers_.at(worker); }

  void add(ReadMetric metric);  // before the first scrape

  // Prometheus text format 0.0.4, all families, each with help. Any thread but a worker's.
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::string> reasons_;
  std::deque<WorkerCells> workers_;
  mutable std::mutex mutex_;  // guards the map, not the cells
  std::map<std::string, std::vector<std::unique_ptr<ServiceCells>>, std::less<>> services_;
  std::vector<ReadMetric> read_;
};

}  // namespace tollgate::meter
