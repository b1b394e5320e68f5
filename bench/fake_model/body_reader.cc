#include "bench/fake_model/body_reader.h"

#include <zlib.h>

#include <algorithm>

namespace tollgate::bench {

void BodyReader::start(bool chunked, std::int64_t content_length, bool checksum) {
  checksum_ = checksum;
  size_digits_ = 0;
  bytes_ = 0;
  crc_ = 0;
  left_ = chunked ? 0 : content_length;
  if (chunked) state_ = State::size;
  else state_ = left_ > 0 ? State::fixed : State::done;
}

void BodyReader::take(std::string_view& input) {
  const auto length = static_cast<std::size_t>(std::min<std::int64_t>(left_, static_cast<std::int64_t>(input.size())));
  if (checksum_) {
    crc_ = static_cast<std::uint32_t>(crc32_z(crc_, reinterpret_cast<const unsigned char*>(input.data()), length));
  }
  bytes_ += static_cast<std::int64_t>(length);
  left_ -= static_cast<std::int64_t>(length);
  input.remove_prefix(length);
}

bool BodyReader::feed(std::string_view& input) {
  while (!input.empty() && state_ != State::done) {
    if (state_ == State::fixed || state_ == State::data) {
      take(input);
      if (left_ == 0) state_ = state_ == State::fixed ? State::done : State::data_cr;
      continue;
    }
    const char c = input.front();
    input.remove_prefix(1);
    if (!step(c)) return false;
  }
  return true;
}

bool BodyReader::step(char c) {
  const auto expect = [&](char wanted, State next) {
    state_ = next;
    return c == wanted;
  };
  switch (state_) {
    case State::size: {
      int digit = -1;
      if (c >= '0' && c <= '9') digit = c - '0';
      else if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
      else if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
      if (digit < 0) return size_digits_ > 0 && expect('\r', State::size_lf);
      left_ = left_ * 16 + digit;
      return ++size_digits_ <= 12;
    }
    case State::size_lf: return expect('\n', left_ > 0 ? State::data : State::last_cr);
    case State::data_cr: return expect('\r', State::data_lf);
    case State::data_lf: size_digits_ = 0; return expect('\n', State::size);
    case State::last_cr: return expect('\r', State::last_lf);
    case State::last_lf: return expect('\n', State::done);
    default: return false;
  }
}

}  // namespace tollgate::bench
