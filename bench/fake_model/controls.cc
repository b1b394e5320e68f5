#include "bench/fake_model/controls.h"

#include <charconv>

namespace tollgate::bench {
namespace {

constexpr std::int64_t kNumberMax = std::int64_t{1} << 50;

bool read(std::string_view text, std::int64_t& out) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0 || value > kNumberMax) return false;
  out = value;
  return true;
}

bool read(std::string_view text, int& out) {
  std::int64_t value = 0;
  if (!read(text, value) || value > 999) return false;
  out = static_cast<int>(value);
  return true;
}

bool read(std::string_view text, bool& out) {
  if (text != "0" && text != "1") return false;
  out = text == "1";
  return true;
}

bool read(std::string_view text, Hang& out) {
  if (text == "head") out = Hang::head;
  else if (text == "body") out = Hang::body;
  else if (text == "read") out = Hang::read;
  else return false;
  return true;
}

// Compares a field's or parameter's name with ours, blind to case and to '-' against '_'.
bool same_name(std::string_view name, std::string_view ours) {
  if (name.size() != ours.size()) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    char c = name[i];
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '-') c = '_';
    if (c != ours[i]) return false;
  }
  return true;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

void Controls::clear() {
  std::string kept = std::move(raw);
  kept.clear();
  *this = Controls();
  raw = std::move(kept);
}

bool Controls::set(std::string_view name, std::string_view value) {
  if (same_name(name, "delay_ms")) return read(value, delay_ms);
  if (same_name(name, "status")) return read(value, status);
  if (same_name(name, "response_bytes")) return read(value, response_bytes);
  if (same_name(name, "chunked")) return read(value, chunked);
  if (same_name(name, "sse")) return read(value, sse);
  if (same_name(name, "interval_ms")) return read(value, interval_ms);
  if (same_name(name, "piece_bytes")) return read(value, piece_bytes);
  if (same_name(name, "close_after_bytes")) return read(value, close_after_bytes);
  if (same_name(name, "reset")) return read(value, reset);
  if (same_name(name, "hang")) return read(value, hang);
  if (same_name(name, "close")) return read(value, close);
  if (same_name(name, "early")) return read(value, early);
  if (same_name(name, "1xx")) return read(value, interim);
  if (same_name(name, "1xx_count")) return read(value, interim_count);
  if (same_name(name, "no_length")) return read(value, no_length);
  if (same_name(name, "outcome")) {
    failed = value == "failed";
    return failed;
  }
  if (same_name(name, "raw")) {
    raw = value;
    return true;
  }
  return false;
}

bool apply_query(std::string_view target, Controls& controls) {
  const std::size_t mark = target.find('?');
  if (mark == std::string_view::npos) return true;
  std::string_view query = target.substr(mark + 1);
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    if (!pair.starts_with("fake_")) continue;
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return false;
    if (!controls.set(pair.substr(5, equals - 5), pair.substr(equals + 1))) return false;
  }
  return true;
}

std::string percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

}  // namespace tollgate::bench
