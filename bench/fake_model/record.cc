#include "bench/fake_model/record.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <stdexcept>
#include <utility>
#include <vector>

#include "bench/fake_model/request_head.h"

namespace tollgate::bench {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// "headers": lower-case names, repeated fields joined by ", ". "header_lines": every field as it came.
void append_fields(std::string& out, std::string_view fields) {
  std::vector<std::pair<std::string, std::string>> joined;
  std::string lines;
  std::string_view name;
  std::string_view value;
  while (next_field(fields, name, value)) {
    if (!lines.empty()) lines += ',';
    lines += '[';
    append_json_string(lines, name);
    lines += ',';
    append_json_string(lines, value);
    lines += ']';
    std::string key = lower_case(name);
    bool found = false;
    for (auto& [known, all] : joined) {
      if (known != key) continue;
      all.append(", ").append(value);
      found = true;
    }
    if (!found) joined.emplace_back(std::move(key), value);
  }
  out += ",\"headers\":{";
  for (std::size_t i = 0; i < joined.size(); ++i) {
    if (i > 0) out += ',';
    append_json_string(out, joined[i].first);
    out += ':';
    append_json_string(out, joined[i].second);
  }
  out.append("},\"header_lines\":[").append(lines).append("]");
}

void append_head(std::string& out, std::string_view head) {
  const std::size_t line_end = head.find("\r\n");
  const std::string_view line = head.substr(0, line_end);
  const std::size_t first = line.find(' ');
  const std::size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
  const bool whole = line_end != std::string_view::npos && second != std::string_view::npos;
  out += ",\"method\":";
  append_json_string(out, whole ? line.substr(0, first) : "");
  out += ",\"target\":";
  append_json_string(out, whole ? line.substr(first + 1, second - first - 1) : "");
  append_fields(out, whole ? head.substr(line_end + 2) : "");
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte >= 0x7f) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
      out += escaped;
    } else {
      out += c;
    }
  }
  out += '"';
}

std::string to_json(const FakeModelStats& stats) {
  std::string out = "{";
  const auto add = [&](std::string_view name, std::int64_t value) {
    if (out.size() > 1) out += ',';
    out.append("\"").append(name).append("\":").append(std::to_string(value));
  };
  add("started", stats.started);
  add("served", stats.served);
  add("malformed", stats.malformed);
  add("in_flight", stats.in_flight);
  add("in_flight_max", stats.in_flight_max);
  add("connections_open", stats.connections_open);
  add("connections_total", stats.connections_total);
  add("bytes", stats.bytes);
  return out + "}\n";
}

Record::Record(const std::string& path) {
  if (path.empty()) return;
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) throw std::runtime_error("cannot open the record " + path);
}

Record::~Record() {
  if (fd_ >= 0) ::close(fd_);
}

void Record::write(const EndedRequest& request) {
  const std::lock_guard lock(mutex_);
  line_.clear();
  line_.append("{\"seq\":").append(std::to_string(++seq_));
  append_head(line_, request.head);
  char crc[16];
  std::snprintf(crc, sizeof crc, "%08x", request.body_crc32);
  line_.append(",\"body_bytes\":").append(std::to_string(request.body_bytes));
  line_.append(",\"body_crc32\":\"").append(crc);
  line_.append("\",\"status\":").append(std::to_string(request.status));
  line_.append(",\"served\":").append(request.served ? "true" : "false");
  line_.append(",\"in_flight_max\":").append(std::to_string(in_flight_max.load(kRelaxed)));
  if (!request.fault.empty()) {
    line_ += ",\"malformed\":";
    append_json_string(line_, request.fault);
  }
  line_ += "}\n";
  // A short write can only mean a full disk; the line after it would then be broken, which readers notice.
  const ssize_t written = ::write(fd_, line_.data(), line_.size());
  if (written != static_cast<ssize_t>(line_.size())) std::fprintf(stderr, "fake_model: the record cannot be written\n");
}

FakeModelStats Record::stats() const noexcept {
  FakeModelStats out;
  out.started = started.load(kRelaxed);
  out.served = served.load(kRelaxed);
  out.malformed = malformed.load(kRelaxed);
  out.in_flight = in_flight.load(kRelaxed);
  out.in_flight_max = in_flight_max.load(kRelaxed);
  out.connections_open = connections_open.load(kRelaxed);
  out.connections_total = connections_total.load(kRelaxed);
  out.bytes = bytes.load(kRelaxed);
  return out;
}

void Record::reset() {
  const std::lock_guard lock(mutex_);
  for (auto* total : {&started, &served, &malformed, &connections_total, &bytes}) total->store(0, kRelaxed);
  in_flight_max.store(in_flight.load(kRelaxed), kRelaxed);
  seq_ = 0;
  if (fd_ >= 0 && ::ftruncate(fd_, 0) != 0) std::fprintf(stderr, "fake_model: the record cannot be emptied\n");
}

void Record::request_began() noexcept {
  started.fetch_add(1, kRelaxed);
  const std::int64_t now = in_flight.fetch_add(1, kRelaxed) + 1;
  std::int64_t most = in_flight_max.load(kRelaxed);
  while (now > most && !in_flight_max.compare_exchange_weak(most, now, kRelaxed)) {
  }
}

void Record::request_ended(bool whole) noexcept {
  if (whole) served.fetch_add(1, kRelaxed);
  in_flight.fetch_sub(1, kRelaxed);
}

}  // namespace tollgate::bench
