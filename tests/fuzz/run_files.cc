// Runs a fuzz target once for each file of the folders it is given: what a build without libFuzzer does in its tests.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"

int main(int argc, char** argv) {
  int files = 0;
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) continue;  // a target without regressions
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(file), {}};
      // Said before, so that the last line names the culprit.
      std::printf("%s\n", entry.path().c_str());
      std::fflush(stdout);
      // A copy of exactly this size, so that a sanitizer sees a byte read beyond it.
      const std::vector<std::uint8_t> input(bytes.begin(), bytes.end());
      LLVMFuzzerTestOneInput(input.data(), input.size());
      ++files;
    }
  }
  if (files == 0) {
    std::fprintf(stderr, "no input in the folders given\n");
    return 1;
  }
  std::printf("%d inputs held\n", files);
  return 0;
}
