// The access log: one JSON line per request, handed over through a bounded queue per worker and written by a thread
// of its own. A full queue drops lines and counts them; the data path never waits for a disk.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/calendar.h"
#include "base/fault.h"

namespace tollgate::gateway {

struct AccessLine {
  WallTime at;
  std::string_view request_id;
  std::string_view peer;
  std::string_view method;
  std::string_view path;      // without query: keys may stand there
  std::string_view trace_id;  // of the request's traceparent; "" if there is none
  std::string_view service;   // "" if none was reached
  std::string_view account;   // "" if none was identified
  std::string_view upstream;  // "" if none was reached
  std::string_view outcome;   // succeeded, failed, or the reason of a refusal
  int status = 0;             // as sent to the client; 0: nothing was sent
  std::int64_t free_points = 0;
  std::int64_t billable_points = 0;
  std::int64_t duration_us = 0;
};

// `text` as the inside of a JSON string: quotes, backslashes, controls and bytes that are not ASCII are escaped, so
// that a line stays one line whatever a client sends. At most `max` bytes of it.
void append_json_escaped(std::string& out, std::string_view text, std::size_t max = 1024);

class AccessLog {
 public:
  // `path`: a file that is appended to, or "-" for standard output.
  static Result<std::unique_ptr<AccessLog>> open(const std::string& path, std::size_t workers, std::size_t queue_bytes);
  ~AccessLog();  // writes what is queued, for at most two seconds: a reader that stands still must not keep us

  // On the worker's own thread. False: the queue is full and the line was dropped.
  bool write(std::size_t worker, const AccessLine& line);

  // The file is opened anew, after somebody has moved it away. Any thread.
  void reopen() noexcept { reopen_.store(true, std::memory_order_relaxed); }

 private:
  // Bytes of whole lines in a ring: the worker advances `tail`, the writing thread `head`. Release on the own
  // index and acquire on the other's make the bytes between them visible.
  struct Ring {
    explicit Ring(std::size_t bytes) : data(bytes) {}
    std::vector<char> data;
    std::string line;  // the worker's scratch
    alignas(64) std::atomic<std::uint64_t> head{0};
    alignas(64) std::atomic<std::uint64_t> tail{0};
  };

  AccessLog() = default;
  void run();
  bool drain();
  [[nodiscard]] bool is_empty() const noexcept;
  // Bytes written; 0: nothing can be written now; < 0: the file is broken.
  std::ptrdiff_t write_some(const char* data, std::size_t size) noexcept;
  void open_again();

  std::string path_;
  int file_ = -1;
  bool is_regular_ = false;
  std::vector<std::unique_ptr<Ring>> rings_;
  // The writing thread's own.
  std::size_t current_ = 0;          // the ring to go on with: a line that was begun is ended before another ring's
  bool mid_line_ = false;            // what was written last has not ended a line
  bool torn_ = false;                // and never will: its rest was given up
  std::atomic<bool> stop_{false};    // set by the owner, read by the thread; nothing else is published with it
  std::atomic<bool> reopen_{false};  // the same
  std::thread thread_;
};

}  // namespace tollgate::gateway
