// sim: runs random histories of a gateway and its billing core, one per seed, and says which of them broke an
// invariant. Exit code: 0 all held, 3 one was broken, 2 bad arguments.
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "tests/sim/simulation.h"

namespace tollgate::sim {
namespace {

struct Options {
  std::uint64_t seeds = 1;
  std::uint64_t from = 1;
  int steps = 200;
  bool trace = false;
};

constexpr std::string_view kUsage = "sim [--seeds N] [--from S] [--steps K] [--trace]\n";

template <class Number>
bool read_number(std::string_view text, Number& number) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && stop == text.data() + text.size();
}

bool read_options(int count, char** words, Options& options) {
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    const std::string_view value = i + 1 < count ? words[i + 1] : "";
    if (word == "--trace") {
      options.trace = true;
      continue;
    }
    const bool good = (word == "--seeds" && read_number(value, options.seeds)) ||
                      (word == "--from" && read_number(value, options.from)) ||
                      (word == "--steps" && read_number(value, options.steps));
    if (!good) return false;
    ++i;
  }
  return true;
}

// In memory where the system has that, since every commit waits for its disk.
std::string fresh_folder() {
  const bool memory = ::access("/dev/shm", W_OK) == 0;
  std::string pattern =
      ((memory ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path()) / "tollgate-sim-XXXXXX")
          .string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    std::perror(pattern.c_str());
    std::exit(1);
  }
  return pattern;
}

// For a CHECK of the product that ends the process: which history did it.
char running[160];
void say_which(int) {
  (void)!::write(STDERR_FILENO, running, std::strlen(running));
  ::signal(SIGABRT, SIG_DFL);
  ::abort();
}

int run(const Options& options) {
  const std::string folder = fresh_folder();
  std::uint64_t failures = 0;
  std::uint64_t all = 0;
  for (std::uint64_t seed = options.from; seed < options.from + options.seeds; ++seed) {
    std::snprintf(running, sizeof running, "seed %" PRIu64 ": the product ended the process\n", seed);
    Simulation simulation(seed, folder + "/data", options.trace);
    try {
      simulation.run(options.steps);
    } catch (const Broken& broken) {
      std::printf("BROKEN seed %" PRIu64 " step %d: %s\n", seed, simulation.step(), broken.what());
      std::fflush(stdout);
      ++failures;
    }
    all = all * 1099511628211U ^ simulation.trajectory();
  }
  std::filesystem::remove_all(folder);
  std::printf("%" PRIu64 " seeds from %" PRIu64 ", %d steps each: %" PRIu64 " broken, trajectory %016" PRIx64 "\n",
              options.seeds, options.from, options.steps, failures, all);
  return failures == 0 ? 0 : 3;
}

}  // namespace
}  // namespace tollgate::sim

int main(int count, char** words) {
  tollgate::sim::Options options;
  if (!tollgate::sim::read_options(count, words, options)) {
    std::fprintf(stderr, "%s", tollgate::sim::kUsage.data());
    return 2;
  }
  ::signal(SIGABRT, tollgate::sim::say_which);
  return tollgate::sim::run(options);
}
