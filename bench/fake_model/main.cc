// fake_model: the command line around FakeModel. Runs until SIGINT or SIGTERM.
#include <pthread.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "bench/fake_model/fake_model.h"

namespace {

constexpr const char* kUsage =
    "usage: fake_model [--listen 127.0.0.1:0] [--port-file F] [--delay-ms N] [--record F] [--threads N] "
    "[--no-checksum]\n"
    "Plays a model endpoint. Prints its port; requests steer it with X-Fake-* fields or fake_* parameters:\n"
    "bench/fake_model/README.md has them all.\n";

struct CommandLine {
  tollgate::bench::FakeModelOptions options;
  std::string port_file;
};

bool read_number(std::string_view text, long& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && out >= 0;
}

bool parse(int count, char** arguments, CommandLine& out) {
  for (int i = 1; i < count; ++i) {
    const std::string_view name = arguments[i];
    if (name == "--no-checksum") {
      out.options.checksum = false;
      continue;
    }
    if (i + 1 == count) return false;
    const std::string_view value = arguments[++i];
    long number = 0;
    if (name == "--listen") out.options.listen = value;
    else if (name == "--port-file") out.port_file = value;
    else if (name == "--record") out.options.record = value;
    else if (name == "--delay-ms" && read_number(value, number)) out.options.delay_ms = number;
    else if (name == "--threads" && read_number(value, number) && number >= 1 && number <= 64)
      out.options.threads = static_cast<int>(number);
    else return false;
  }
  return true;
}

// Written aside and renamed: whoever waits for the file never reads half a port.
void write_port_file(const std::string& path, int port) {
  const std::string aside = path + ".new";
  std::ofstream(aside) << port << "\n";
  std::filesystem::rename(aside, path);
}

}  // namespace

int main(int count, char** arguments) {
  CommandLine line;
  if (!parse(count, arguments, line)) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  try {
    // Blocked before the threads begin, so that they inherit it and sigwait below gets the signal.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    const tollgate::bench::FakeModel model(line.options);
    std::printf("%d\n", model.port());
    std::fflush(stdout);
    if (!line.port_file.empty()) write_port_file(line.port_file, model.port());
    int signal = 0;
    sigwait(&signals, &signal);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fake_model: %s\n", error.what());
    return 1;
  }
  return 0;
}
