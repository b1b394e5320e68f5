// An HTTP/1.1 server that plays an inference endpoint, misbehaves when asked to, and records what it truly served.
// It is no model and no proxy: its answers are computed from the checksum of the body it got.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace tollgate::bench {

struct FakeModelOptions {
  std::string listen = "127.0.0.1:0";  // IPv4 address and port; port 0: any free one
  int threads = 1;                     // event loops, 1 to 64
  std::int64_t delay_ms = 0;           // before each answer, unless the request says otherwise
  std::string record;                  // path of the record, one JSON line per request; empty: none
  bool checksum = true;                // off: bodies are counted, not summed (for benchmarks with large bodies)
};

struct FakeModelStats {
  std::int64_t started = 0;    // request heads read
  std::int64_t served = 0;     // answers handed to the kernel whole
  std::int64_t malformed = 0;  // requests that were no valid HTTP/1.1
  std::int64_t in_flight = 0;
  std::int64_t in_flight_max = 0;
  std::int64_t connections_open = 0;
  std::int64_t connections_total = 0;
  std::int64_t bytes = 0;  // request body bytes, chunk framing not counted
};

// Listens from construction to destruction on threads of its own. Throws std::runtime_error when it cannot listen
// or cannot open the record. Request and record formats: bench/fake_model/README.md.
class FakeModel {
 public:
  explicit FakeModel(const FakeModelOptions& options);
  ~FakeModel();
  FakeModel(const FakeModel&) = delete;
  FakeModel& operator=(const FakeModel&) = delete;

  [[nodiscard]] std::uint16_t port() const noexcept;
  [[nodiscard]] FakeModelStats stats() const noexcept;  // any thread
  void reset();                                         // zeroes the totals and empties the record; any thread

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace tollgate::bench
