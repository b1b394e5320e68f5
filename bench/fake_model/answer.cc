#include "bench/fake_model/answer.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>

namespace tollgate::bench {
namespace {

constexpr std::int64_t kPieceBytesMax = 26 * 2520;  // a multiple of the pattern's period, just under 64 KiB
constexpr std::array<std::string_view, 8> kNames = {"cat", "dog", "bird", "car", "tree", "cup", "boat", "none"};

template <class... Values>
void append_format(std::string& out, const char* format, Values... values) {
  char text[256];
  const int length = std::snprintf(text, sizeof text, format, values...);
  out.append(text, static_cast<std::size_t>(std::clamp<int>(length, 0, sizeof text - 1)));
}

std::string_view reason_of(int status) {
  switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 429: return "Too Many Requests";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    default: return "Fake";
  }
}

bool has_no_body(int status) { return status / 100 == 1 || status == 204 || status == 304; }

}  // namespace

std::string_view pseudo_bytes(std::int64_t offset, std::int64_t length_max) {
  static const std::string pattern = [] {
    std::string out(static_cast<std::size_t>(kPieceBytesMax) + 26, 'a');
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>('a' + i % 26);
    return out;
  }();
  const auto length = static_cast<std::size_t>(std::min(length_max, kPieceBytesMax));
  return std::string_view(pattern).substr(static_cast<std::size_t>(offset % 26), length);
}

// The shape of a vision endpoint's answer: classes with scores, and boxes where the path speaks of detection. All of
// it follows from the request body's checksum, so the same picture always gets the same answer.
void Answer::compose_text(const AnswerTo& request) {
  text_.clear();
  const std::uint32_t crc = request.body_crc32;
  const bool boxes = request.target.find("detect") != std::string_view::npos;
  append_format(text_, "{\"log_id\":%llu,\"results\":[", static_cast<unsigned long long>(crc) * 1000003ULL + 17);
  for (unsigned i = 0; i < 2; ++i) {
    const std::string_view name = kNames[(crc >> (8 * i)) % kNames.size()];
    const unsigned score = i == 0 ? 5000 + crc % 5000 : (crc >> 7) % 5000;
    append_format(text_, "%s{\"name\":\"%.*s\",\"score\":0.%04u", i == 0 ? "" : ",", static_cast<int>(name.size()),
                  name.data(), score);
    if (boxes) {
      append_format(text_, ",\"location\":{\"left\":%u,\"top\":%u,\"width\":%u,\"height\":%u}", crc % 200,
                    (crc >> 5) % 200, 20 + (crc >> 9) % 100, 20 + (crc >> 13) % 100);
    }
    text_ += '}';
  }
  append_format(text_, "],\"body_bytes\":%lld,\"body_crc32\":\"%08x\"}\n", static_cast<long long>(request.body_bytes),
                crc);
}

void Answer::append_head(const AnswerTo& request, const Controls& controls, std::string& out) {
  const std::string_view reason = reason_of(status_);
  append_format(out, "HTTP/1.1 %03d %.*s\r\nContent-Type: %s\r\n", status_, static_cast<int>(reason.size()),
                reason.data(),
                kind_ == Kind::events ? "text/event-stream"
                : kind_ == Kind::text ? "application/json"
                                      : "application/octet-stream");
  if (controls.failed) out += "X-Call-Outcome: failed\r\n";
  if (chunked_) out += "Transfer-Encoding: chunked\r\n";
  else if (kind_ != Kind::events && !controls.no_length && !has_no_body(status_))
    append_format(out, "Content-Length: %lld\r\n", static_cast<long long>(length_));
  else if (!has_no_body(status_)) end_ = End::close;  // delimited by the end of the connection
  if (end_ == End::close) out += "Connection: close\r\n";
  else if (request.http_1_0) out += "Connection: keep-alive\r\n";
  out += "\r\n";
}

void Answer::start(const AnswerTo& request, const Controls& controls, std::string& out) {
  status_ = controls.status;
  end_ = request.keep_alive && !controls.close ? End::keep : End::close;
  cut_end_ = controls.hang == Hang::body ? End::hang : controls.reset ? End::reset : End::close;
  cut_ = false;
  done_ = 0;
  for (std::int64_t i = 0; controls.interim > 0 && i < controls.interim_count; ++i)
    append_format(out, "HTTP/1.1 %d Fake\r\nLink: </fake>; rel=preload\r\n\r\n", controls.interim);
  if (!controls.raw.empty()) {
    out += percent_decode(controls.raw);
    more_ = false;
    return;
  }

  kind_ = controls.sse >= 0 ? Kind::events : controls.response_bytes >= 0 ? Kind::pattern : Kind::text;
  if (kind_ == Kind::text) compose_text(request);
  length_ = kind_ == Kind::events    ? controls.sse + 1  // the last one is [DONE]
            : kind_ == Kind::pattern ? controls.response_bytes
                                     : static_cast<std::int64_t>(text_.size());
  chunked_ =
      (controls.chunked || kind_ == Kind::events) && !controls.no_length && !request.http_1_0 && !has_no_body(status_);
  piece_bytes_ = controls.piece_bytes > 0 ? std::min(controls.piece_bytes, kPieceBytesMax) : kPieceBytesMax;
  allowed_ = controls.close_after_bytes >= 0 ? controls.close_after_bytes : std::numeric_limits<std::int64_t>::max();
  if (controls.hang == Hang::body && controls.close_after_bytes < 0)
    allowed_ = kind_ == Kind::events ? 60 : length_ / 2;
  append_head(request, controls, out);
  more_ = !request.head_method && !has_no_body(status_);
  if (more_ && length_ == 0) finish(out);
  // With an interval the first piece still goes out with the head; connection.cc waits before each of the others.
  if (more_) next_piece(out);
}

void Answer::start_plain(int status, std::string_view type, std::string_view body, bool keep_alive, std::string& out) {
  status_ = status;
  end_ = keep_alive ? End::keep : End::close;
  cut_ = false;
  more_ = false;
  const std::string_view reason = reason_of(status);
  out.append("HTTP/1.1 ").append(std::to_string(status)).append(" ").append(reason);
  out.append("\r\nContent-Type: ").append(type);
  out.append("\r\nContent-Length: ").append(std::to_string(body.size()));
  out.append(keep_alive ? "\r\n\r\n" : "\r\nConnection: close\r\n\r\n").append(body);
}

void Answer::append_body(std::string_view bytes, std::string& out) {
  const auto size = static_cast<std::int64_t>(bytes.size());
  cut_ = size > allowed_;
  if (chunked_) append_format(out, "%llx\r\n", static_cast<unsigned long long>(bytes.size()));
  out += bytes.substr(0, static_cast<std::size_t>(std::min(size, allowed_)));
  allowed_ -= std::min(size, allowed_);
  if (cut_) {
    more_ = false;
    end_ = cut_end_;
  } else if (chunked_) {
    out += "\r\n";
  }
}

void Answer::next_piece(std::string& out) {
  if (kind_ == Kind::events) {
    char event[64];
    const int size = done_ + 1 == length_ ? std::snprintf(event, sizeof event, "data: [DONE]\n\n")
                                          : std::snprintf(event, sizeof event, "data: {\"index\":%lld}\n\n",
                                                          static_cast<long long>(done_));
    append_body(std::string_view(event, static_cast<std::size_t>(size)), out);
    ++done_;
  } else {
    const std::int64_t wanted = std::min(piece_bytes_, length_ - done_);
    const std::string_view piece =
        kind_ == Kind::pattern
            ? pseudo_bytes(done_, wanted)
            : std::string_view(text_).substr(static_cast<std::size_t>(done_), static_cast<std::size_t>(wanted));
    append_body(piece, out);
    done_ += wanted;
  }
  if (more_ && done_ == length_) finish(out);
}

void Answer::finish(std::string& out) {
  if (chunked_) out += "0\r\n\r\n";
  more_ = false;
}

}  // namespace tollgate::bench
