// What the fuzz targets share: the check that ends the process, and cuts of an input into pieces chosen by its own
// first byte. It knows nothing of what is fuzzed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

// Said aloud and fatal, in every build: libFuzzer keeps the input of a process that aborts.
#define FUZZ_CHECK(condition)                                                                                          \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                              \
      std::abort();                                                                                                    \
    }                                                                                                                  \
  } while (false)

// The entry of every target. Returns 0; whatever is wrong does not return.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace tollgate::fuzz {

// An input: one byte that chooses how the rest is cut and with what options it is read, then the bytes to read.
struct Input {
  unsigned choice = 0;
  std::string_view bytes;

  Input(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return;
    choice = data[0];
    bytes = {reinterpret_cast<const char*>(data) + 1, size - 1};
  }
};

// Sizes of pieces, 1 to 64 bytes, the same for the same choice.
class Cuts {
 public:
  explicit Cuts(unsigned choice) : state_(choice * 2654435761U + 1) {}
  std::size_t next() {
    state_ = state_ * 1664525U + 1013904223U;
    const unsigned bits = state_ >> 24;
    return bits % 4 == 0 ? 1 + bits / 4 : 1 + bits % 8;
  }

 private:
  std::uint32_t state_;
};

}  // namespace tollgate::fuzz
