// The record of what was truly served: one JSON line per request, in the order in which requests ended, and totals.
// Tests hold it against the ledger, so a line is written the moment its answer has left, never buffered.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "bench/fake_model/fake_model.h"

namespace tollgate::bench {

struct EndedRequest {
  std::string_view head;  // the request head as it came
  std::int64_t body_bytes = 0;
  std::uint32_t body_crc32 = 0;
  int status = 0;          // the status that was answered, 0: none was
  bool served = false;     // the whole answer was handed to the kernel
  std::string_view fault;  // why the request was refused as malformed, else empty
};

class Record {
 public:
  explicit Record(const std::string& path);
  ~Record();
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;

  [[nodiscard]] bool wanted() const noexcept { return fd_ >= 0; }
  void write(const EndedRequest& request);
  [[nodiscard]] FakeModelStats stats() const noexcept;
  void reset();

  void request_began() noexcept;
  void request_ended(bool served) noexcept;

  // Written by every event loop, read by all: plain totals, nothing is published through them, so relaxed is enough.
  std::atomic<std::int64_t> started{0}, served{0}, malformed{0}, in_flight{0}, in_flight_max{0};
  std::atomic<std::int64_t> connections_open{0}, connections_total{0}, bytes{0};

 private:
  std::mutex mutex_;  // guards what follows: `seq` and the order of lines are one
  int fd_ = -1;
  std::int64_t seq_ = 0;
  std::string line_;
};

void append_json_string(std::string& out, std::string_view text);  // bytes from 0x80 on become \u0080...\u00ff
std::string to_json(const FakeModelStats& stats);

}  // namespace tollgate::bench
