// One answer as a stream of pieces: composes the head, then hands out the body piece by piece, and says how it ends.
// It knows no sockets and no time; connection.cc sends the pieces and waits between them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bench/fake_model/controls.h"

namespace tollgate::bench {

struct AnswerTo {  // what of the request the answer depends on
  std::string_view target;
  bool head_method = false;
  bool http_1_0 = false;
  bool keep_alive = true;
  std::int64_t body_bytes = 0;
  std::uint32_t body_crc32 = 0;
};

class Answer {
 public:
  enum class End { keep, close, reset, hang };

  // Appends the head and, unless pieces are asked for, as much body as is at hand. Interim answers go first.
  void start(const AnswerTo& request, const Controls& controls, std::string& out);
  void start_plain(int status, std::string_view type, std::string_view body, bool keep_alive, std::string& out);

  [[nodiscard]] bool more() const noexcept { return more_; }
  void next_piece(std::string& out);  // only while more()

  [[nodiscard]] End end() const noexcept { return end_; }
  [[nodiscard]] bool whole() const noexcept { return !cut_; }
  [[nodiscard]] int status() const noexcept { return status_; }

 private:
  enum class Kind { text, pattern, events };
  void compose_text(const AnswerTo& request);
  void append_head(const AnswerTo& request, const Controls& controls, std::string& out);
  void append_body(std::string_view bytes, std::string& out);
  void finish(std::string& out);

  Kind kind_ = Kind::text;
  End end_ = End::keep;
  End cut_end_ = End::close;
  int status_ = 200;
  bool chunked_ = false;
  bool more_ = false;
  bool cut_ = false;
  std::int64_t length_ = 0;  // bytes of the body, or events
  std::int64_t done_ = 0;    // of them already handed out
  std::int64_t piece_bytes_ = 0;
  std::int64_t allowed_ = 0;  // body bytes until the cut
  std::string text_;          // reused from request to request
};

// Byte i of a pseudo body is 'a' + i % 26.
[[nodiscard]] std::string_view pseudo_bytes(std::int64_t offset, std::int64_t length_max);

}  // namespace tollgate::bench
