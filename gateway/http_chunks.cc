#include "gateway/http_chunks.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "gateway/http_field.h"

namespace tollgate::gateway {
namespace {
constexpr std::uint32_t kSizeDigitsMax = 15;       // 2^60 bytes: no 64-bit overflow can be reached
constexpr std::uint32_t kOverheadMax = 16 * 1024;  // extensions of one chunk, and the trailer section

int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_line_char(char c) noexcept { return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f); }
}  // namespace

std::string_view write_chunk_size(ChunkSizeLine& line, std::size_t size) noexcept {
  char* end = std::to_chars(line.data(), line.data() + 16, size, 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  return {line.data(), static_cast<std::size_t>(end - line.data())};
}

ChunkDecoder::Piece ChunkDecoder::decode(std::span<char> input) noexcept {
  Piece piece;
  char* const begin = input.data();
  std::size_t at = 0;
  char* data_begin = nullptr;
  std::size_t data_size = 0;
  while (at < input.size() && state_ != State::done && state_ != State::bad) {
    if (state_ != State::data) {
      step(begin[at++]);
      continue;
    }
    const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(size_, input.size() - at));
    if (data_begin == nullptr) data_begin = begin + at;
    // One chunk in the input costs nothing here; several are moved together so that they leave as one.
    if (data_begin + data_size != begin + at) std::memmove(data_begin + data_size, begin + at, take);
    data_size += take;
    at += take;
    size_ -= take;
    if (size_ == 0) state_ = State::data_cr;
  }
  piece.consumed = at;
  if (data_begin != nullptr) piece.data = {data_begin, data_size};
  piece.done = state_ == State::done;
  piece.bad = state_ == State::bad;
  return piece;
}

bool ChunkDecoder::count_overhead() noexcept { return ++overhead_ <= kOverheadMax; }

void ChunkDecoder::step(char c) noexcept {
  switch (state_) {
    case State::size_first:
    case State::size:
      if (const int digit = hex_value(c); digit >= 0) {
        size_ = size_ * 16 + static_cast<std::uint64_t>(digit);
        state_ = ++size_digits_ <= kSizeDigitsMax ? State::size : State::bad;
      } else if (state_ == State::size && c == '\r') {
        state_ = State::size_lf;
      } else if (state_ == State::size && c == ';') {
        state_ = State::extension_name_first;
      } else {
        state_ = State::bad;  // also a blank after the size, which some servers would skip
      }
      return;
    case State::size_lf:
      if (c != '\n') {
        state_ = State::bad;
      } else if (size_ > 0) {
        overhead_ = 0;
        state_ = State::data;
      } else {
        state_ = State::trailer_start;
      }
      return;
    case State::data_cr: state_ = c == '\r' ? State::data_lf : State::bad; return;
    case State::data_lf:
      state_ = c == '\n' ? State::size_first : State::bad;
      size_digits_ = 0;
      return;
    case State::trailer_start:
    case State::trailer:
    case State::trailer_lf:
    case State::end_lf: step_trailer(c); return;
    case State::data:
    case State::done:
    case State::bad: return;
    default: step_extension(c);
  }
}

// RFC 9112 7.1.1 without the blanks it calls bad: ";name", ";name=token", ";name=\"quoted\"".
void ChunkDecoder::step_extension(char c) noexcept {
  if (!count_overhead()) {
    state_ = State::bad;
    return;
  }
  const bool token = is_token({&c, 1});
  const bool ends_value = c == '\r' || c == ';';
  const State after_value = c == '\r' ? State::size_lf : State::extension_name_first;
  switch (state_) {
    case State::extension_name_first: state_ = token ? State::extension_name : State::bad; return;
    case State::extension_name:
      if (c == '=') {
        state_ = State::extension_value_first;
      } else if (!token) {
        state_ = ends_value ? after_value : State::bad;
      }
      return;
    case State::extension_value_first:
      state_ = c == '"' ? State::extension_quoted : token ? State::extension_token : State::bad;
      return;
    case State::extension_token:
      if (!token) state_ = ends_value ? after_value : State::bad;
      return;
    case State::extension_quoted:
      if (c == '"') {
        state_ = State::extension_quoted_end;
      } else if (c == '\\') {
        state_ = State::extension_escaped;
      } else if (!is_line_char(c)) {
        state_ = State::bad;
      }
      return;
    case State::extension_escaped: state_ = is_line_char(c) ? State::extension_quoted : State::bad; return;
    default:  // extension_quoted_end
      state_ = ends_value ? after_value : State::bad;
  }
}

void ChunkDecoder::step_trailer(char c) noexcept {
  switch (state_) {
    case State::trailer_start:
      if (c == '\r') {
        state_ = State::end_lf;
      } else {
        state_ = is_token({&c, 1}) && count_overhead() ? State::trailer : State::bad;
      }
      return;
    case State::trailer:
      if (c == '\r') {
        state_ = State::trailer_lf;
      } else if (!is_line_char(c) || !count_overhead()) {
        state_ = State::bad;
      }
      return;
    case State::trailer_lf: state_ = c == '\n' ? State::trailer_start : State::bad; return;
    default:  // end_lf
      state_ = c == '\n' ? State::done : State::bad;
  }
}

}  // namespace tollgate::gateway
