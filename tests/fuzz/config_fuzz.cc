// The configuration file: it is read or refused with every fault at a line of the file, and what was read and is
// written out again reads the same.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <string>

#include "gateway/config.h"
#include "gateway/config_keys.h"
#include "tests/fuzz/fuzz.h"

namespace {
using namespace tollgate::gateway;

// A file without a disk.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view text) : file_(::memfd_create("config", 0)) {
    FUZZ_CHECK(file_ >= 0 && ::write(file_, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  ~MemoryFile() { ::close(file_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }

 private:
  int file_;
};

std::string as_file(const Config& config) {
  std::map<std::string, std::string> sections;
  std::string text;
  for (const auto& key : config_keys()) {
    const auto dot = key.name.find('.');
    const std::string line = ": " + config_value(config, key) + "\n";
    if (dot == std::string_view::npos) {
      text += std::string(key.name) + line;
    } else {
      sections[std::string(key.name.substr(0, dot))] += "  " + std::string(key.name.substr(dot + 1)) + line;
    }
  }
  for (const auto& [name, lines] : sections) text += name + ":\n" + lines;
  return text;
}

void check_fault(const ConfigFault& fault, const std::string& path) {
  FUZZ_CHECK(!fault.message.empty() && fault.where.starts_with(path));
  const std::string line = fault.where.substr(path.size());
  FUZZ_CHECK(line.empty() ||
             (line.size() > 1 && line[0] == ':' && line.find_first_not_of("0123456789", 1) == line.npos));
}
}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const MemoryFile file({reinterpret_cast<const char*>(data), size});
  const auto loaded = load_config(file.path(), {});
  for (const auto& fault : loaded.faults) check_fault(fault, file.path());
  if (!loaded.faults.empty()) return 0;
  const MemoryFile written(as_file(loaded.config));
  const auto again = load_config(written.path(), {});
  for (const auto& fault : again.faults) std::fprintf(stderr, "%s: %s\n", fault.where.c_str(), fault.message.c_str());
  FUZZ_CHECK(again.faults.empty() && as_file(again.config) == as_file(loaded.config));
  return 0;
}
