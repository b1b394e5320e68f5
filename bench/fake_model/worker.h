// One event loop of the fake model: accepts, waits for events and timers, owns its connections.
// Connections never move between workers.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bench/fake_model/connection.h"
#include "bench/fake_model/record.h"

namespace tollgate::bench {

class Worker {
 public:
  // Takes over `listener`. Runs on a thread of its own until destroyed.
  Worker(int listener, const FakeModelOptions& options, Record& record);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // For its connections, on its thread:
  void arm(Connection& connection, std::int64_t delay_ms);  // one timer at a time per connection
  void forget(Connection& connection);
  [[nodiscard]] std::span<char> buffer() noexcept { return buffer_; }
  [[nodiscard]] Record& record() noexcept { return record_; }
  [[nodiscard]] const FakeModelOptions& options() const noexcept { return options_; }

 private:
  using Time = std::chrono::steady_clock::time_point;
  void run();
  void accept_all();
  void run_timers();
  [[nodiscard]] int timeout_ms() const;

  int listener_;
  int epoll_;
  int stop_;
  const FakeModelOptions& options_;
  Record& record_;
  std::vector<char> buffer_;
  std::unordered_map<int, std::unique_ptr<Connection>> connections_;  // by descriptor
  std::vector<std::unique_ptr<Connection>> gone_;  // closed during this round; events may still name them
  std::set<std::pair<Time, Connection*>> timers_;
  std::thread thread_;
};

}  // namespace tollgate::bench
