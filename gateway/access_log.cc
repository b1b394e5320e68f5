#include "gateway/access_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <iterator>
#include <system_error>

#include "base/clock.h"

namespace tollgate::gateway {
namespace {
constexpr int kWriteEveryMs = 100;
constexpr std::int64_t kLastLinesNs = 2'000'000'000;

int open_file(const std::string& path) {
  if (path == "-") return ::dup(STDOUT_FILENO);
  return ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

bool is_regular(int file) noexcept {
  struct stat status {};
  return ::fstat(file, &status) == 0 && S_ISREG(status.st_mode);
}
}  // namespace

void append_json_escaped(std::string& out, std::string_view text, std::size_t max) {
  for (char c : text.substr(0, max)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte >= 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
}

Result<std::unique_ptr<AccessLog>> AccessLog::open(const std::string& path, std::size_t workers,
                                                   std::size_t queue_bytes) {
  std::unique_ptr<AccessLog> log(new AccessLog());
  log->path_ = path;
  log->file_ = open_file(path);
  if (log->file_ < 0) {
    return Fault{FaultKind::unavailable, "access_log_failed",
                 "cannot open the access log " + path + ": " + std::generic_category().message(errno),
                 "log.access_log"};
  }
  log->is_regular_ = is_regular(log->file_);
  for (std::size_t i = 0; i < workers; ++i) log->rings_.push_back(std::make_unique<Ring>(queue_bytes));
  log->thread_ = std::thread([raw = log.get()] { raw->run(); });
  return log;
}

AccessLog::~AccessLog() {
  stop_.store(true, std::memory_order_release);
  if (thread_.joinable()) thread_.join();
  if (file_ >= 0) ::close(file_);
}

bool AccessLog::write(std::size_t worker, const AccessLine& line) {
  Ring& ring = *rings_[worker];
  std::string& text = ring.line;
  text.clear();
  const auto to = std::back_inserter(text);
  fmt::format_to(to, R"({{"time":"{}","request_id":"{}","peer":"{}","method":")", format_time(line.at), line.request_id,
                 line.peer);
  append_json_escaped(text, line.method, 32);
  text += R"(","path":")";
  append_json_escaped(text, line.path);
  fmt::format_to(
      to,
      R"(","trace_id":"{}","service":"{}","account":"{}","upstream":"{}","status":{},"outcome":"{}","free_points":{},)"
      R"("billable_points":{},"duration_us":{}}})"
      "\n",
      line.trace_id, line.service, line.account, line.upstream, line.status, line.outcome, line.free_points,
      line.billable_points, line.duration_us);
  const std::uint64_t tail = ring.tail.load(std::memory_order_relaxed);
  const std::uint64_t used = tail - ring.head.load(std::memory_order_acquire);
  if (used + text.size() > ring.data.size()) return false;
  const std::size_t at = tail % ring.data.size();
  const std::size_t first = std::min(text.size(), ring.data.size() - at);
  std::memcpy(ring.data.data() + at, text.data(), first);
  std::memcpy(ring.data.data(), text.data() + first, text.size() - first);
  ring.tail.store(tail + text.size(), std::memory_order_release);
  return true;
}

void AccessLog::run() {
  while (!stop_.load(std::memory_order_acquire)) {
    if (!mid_line_ && reopen_.exchange(false, std::memory_order_relaxed)) open_again();
    if (!drain()) ::poll(nullptr, 0, kWriteEveryMs);
  }
  const std::int64_t until = steady_ns() + kLastLinesNs;
  while (!is_empty() && steady_ns() < until) drain();
}

void AccessLog::open_again() {
  const int fresh = open_file(path_);
  if (fresh < 0) {  // go on with the old file: lines in the wrong place beat lines lost
    spdlog::error("the access log {} cannot be opened anew: {}; its lines go on into the file that was open", path_,
                  std::strerror(errno));
    return;
  }
  ::close(file_);
  file_ = fresh;
  is_regular_ = is_regular(file_);
}

bool AccessLog::is_empty() const noexcept {
  return std::ranges::all_of(rings_, [](const auto& ring) {
    return ring->head.load(std::memory_order_relaxed) == ring->tail.load(std::memory_order_acquire);
  });
}

// True if there was something to do and it was done.
bool AccessLog::drain() {
  bool wrote = false;
  for (std::size_t i = 0; i < rings_.size(); ++i) {
    Ring& ring = *rings_[current_];
    std::uint64_t head = ring.head.load(std::memory_order_relaxed);
    const std::uint64_t tail = ring.tail.load(std::memory_order_acquire);
    while (head != tail) {
      const std::size_t at = head % ring.data.size();
      const std::ptrdiff_t written =
          write_some(ring.data.data() + at, std::min<std::size_t>(tail - head, ring.data.size() - at));
      if (written == 0) return wrote;
      if (written > 0) {
        head += static_cast<std::uint64_t>(written);
      } else {  // a disk that takes nothing must not fill the queue for good: this line is given up
        while (ring.data[head++ % ring.data.size()] != '\n') {
        }
      }
      ring.head.store(head, std::memory_order_release);
      wrote = true;
    }
    current_ = (current_ + 1) % rings_.size();
  }
  return wrote;
}

std::ptrdiff_t AccessLog::write_some(const char* data, std::size_t size) noexcept {
  // A pipe that is ready takes PIPE_BUF bytes without waiting for its reader; a file takes all.
  pollfd ready{file_, POLLOUT, 0};
  if (::poll(&ready, 1, kWriteEveryMs) <= 0) return 0;
  if (torn_) {
    if (::write(file_, "\n", 1) != 1) return -1;
    torn_ = mid_line_ = false;
    return write_some(data, size);  // whether there is room for more is to be asked again
  }
  const ssize_t written = ::write(file_, data, is_regular_ ? size : std::min<std::size_t>(size, PIPE_BUF));
  if (written < 0) {
    if (errno == EINTR || errno == EAGAIN) return 0;
    torn_ = mid_line_;
    return -1;
  }
  if (written == 0) return 0;
  mid_line_ = data[written - 1] != '\n';
  return written;
}

}  // namespace tollgate::gateway
