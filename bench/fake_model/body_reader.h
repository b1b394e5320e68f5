// Follows one request body through its framing and keeps only its length and CRC-32, so that any size fits.
// It accepts what a careful gateway sends: no chunk extensions, no trailer fields.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tollgate::bench {

class BodyReader {
 public:
  void start(bool chunked, std::int64_t content_length, bool checksum);

  // Takes bytes of the body off the front of `input`; stops at the body's end. false: the framing is broken.
  bool feed(std::string_view& input);

  [[nodiscard]] bool done() const noexcept { return state_ == State::done; }
  [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::uint32_t crc32() const noexcept { return crc_; }

 private:
  enum class State { fixed, size, size_lf, data, data_cr, data_lf, last_cr, last_lf, done };
  bool step(char c);
  void take(std::string_view& input);

  State state_ = State::done;
  bool checksum_ = true;
  int size_digits_ = 0;
  std::int64_t left_ = 0;
  std::int64_t bytes_ = 0;
  std::uint32_t crc_ = 0;
};

}  // namespace tollgate::bench
