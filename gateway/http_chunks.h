// The chunked coding (RFC 9112 7.1): decoded a piece at a time, in place and strictly, and the lines to write it with.
// Extensions and trailers are read past and dropped: nobody behind us ever sees them. It does no input or output.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace tollgate::gateway {

// A chunk is its size line, its bytes and the end; the body ends with the last chunk, without trailers.
inline constexpr std::string_view kChunkEnd = "\r\n";
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";
using ChunkSizeLine = std::array<char, 20>;
// The size line of a chunk, written into `line` and valid as long as it is.
[[nodiscard]] std::string_view write_chunk_size(ChunkSizeLine& line, std::size_t size) noexcept;

class ChunkDecoder {
 public:
  struct Piece {
    std::size_t consumed = 0;  // bytes of the input that are done with; the rest is to be offered again
    std::span<char> data;      // decoded bytes, inside the input (moved together if there were several chunks)
    bool done = false;         // the last chunk and the trailer section have ended
    bool bad = false;          // malformed: give up the connection
  };

  // Work is linear in the input: every byte is looked at once, however it is cut.
  Piece decode(std::span<char> input) noexcept;

 private:
  enum class State : std::uint8_t {
    size_first,
    size,
    extension_name_first,
    extension_name,
    extension_value_first,
    extension_token,
    extension_quoted,
    extension_escaped,
    extension_quoted_end,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_start,
    trailer,
    trailer_lf,
    end_lf,
    done,
    bad
  };
  void step(char c) noexcept;
  void step_extension(char c) noexcept;
  void step_trailer(char c) noexcept;
  bool count_overhead() noexcept;

  State state_ = State::size_first;
  std::uint64_t size_ = 0;  // of the chunk being read, then what is left of it
  std::uint32_t size_digits_ = 0;
  std::uint32_t overhead_ = 0;  // bytes of extensions since data was last seen, and of trailers
};

}  // namespace tollgate::gateway
