// The chunk decoder: whole or in pieces it reads the same, uses every byte until it is done, and what it read survives
// being chunked again.
#include <algorithm>
#include <string>

#include "gateway/http_chunks.h"
#include "tests/fuzz/fuzz.h"

namespace tollgate::fuzz {
namespace {
using gateway::ChunkDecoder;

struct Decoded {
  std::string data;
  std::size_t consumed = 0;
  bool done = false;
  bool bad = false;
  friend bool operator==(const Decoded&, const Decoded&) = default;
};

template <class NextSize>
Decoded decode(std::string bytes, NextSize next_size) {
  Decoded decoded;
  ChunkDecoder decoder;
  while (decoded.consumed < bytes.size() && !decoded.done && !decoded.bad) {
    const std::size_t size = std::min(next_size(), bytes.size() - decoded.consumed);
    const std::span<char> input(bytes.data() + decoded.consumed, size);
    const auto piece = decoder.decode(input);
    FUZZ_CHECK(piece.consumed <= size && piece.data.size() <= piece.consumed && !(piece.done && piece.bad));
    FUZZ_CHECK(piece.done || piece.bad || piece.consumed == size);
    decoded.data.append(piece.data.data(), piece.data.size());
    decoded.consumed += piece.consumed;
    decoded.done = piece.done;
    decoded.bad = piece.bad;
  }
  return decoded;
}

std::string encode(std::string_view data, Cuts cuts) {
  std::string out;
  gateway::ChunkSizeLine line;
  while (!data.empty()) {
    const std::size_t size = std::min(cuts.next(), data.size());
    out.append(gateway::write_chunk_size(line, size)).append(data.substr(0, size)).append(gateway::kChunkEnd);
    data.remove_prefix(size);
  }
  return out.append(gateway::kLastChunk);
}
}  // namespace
}  // namespace tollgate::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tollgate::fuzz;
  const Input input(data, size);
  const std::string bytes(input.bytes);
  const auto at_once = [&] { return bytes.size(); };
  const Decoded whole = decode(bytes, at_once);
  FUZZ_CHECK(decode(bytes, [cuts = Cuts(input.choice)]() mutable { return cuts.next(); }) == whole);
  FUZZ_CHECK(decode(bytes, [] { return std::size_t{1}; }) == whole);
  const std::string again = encode(whole.data, Cuts(input.choice));
  FUZZ_CHECK((decode(again, [&] { return again.size(); }) == Decoded{whole.data, again.size(), true, false}));
  return 0;
}
