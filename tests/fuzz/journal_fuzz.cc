// The journal's file, damaged in any way: it opens or is refused, what is whole is never negative, and a second and a
// third opening find the same.
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "meter/journal.h"
#include "tests/fuzz/fuzz.h"

namespace {
using namespace tollgate;
using meter::Journal;

constexpr std::uint32_t kSlots = 64;
constexpr std::size_t kFileBytesMax = 64 * 1024;

// In memory where there is such a folder: every opening syncs.
class Folder {
 public:
  Folder() {
    const bool in_memory = std::filesystem::is_directory("/dev/shm");
    std::string pattern = (in_memory ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path()) /
                          "tollgate-fuzz-XXXXXX";
    FUZZ_CHECK(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string file() const { return path_ / "usage.journal"; }
  void empty() const {
    for (const auto& entry : std::filesystem::directory_iterator(path_)) std::filesystem::remove_all(entry.path());
  }

 private:
  std::filesystem::path path_;
};

Result<std::unique_ptr<Journal>> open(const Folder& folder) {
  return Journal::open({folder.file(), "gw-1", 7, kSlots, kSlots});
}

// Two epochs with calls of all kinds, and a slot given back.
std::string sound_file(const Folder& folder) {
  for (std::uint32_t epoch = 1; epoch <= 2; ++epoch) {
    auto journal = *open(folder);
    FUZZ_CHECK(journal->begin_epoch(epoch, 1000 + epoch).has_value());
    for (std::uint32_t i = 0; i < 8; ++i) {
      auto* slot = journal->take(i + 1, Hour{450'000});
      slot->count_forwarded(Points(4));
      if (i % 3 == 0) slot->count_succeeded(Points(6));
      if (i % 3 == 1) slot->count_failed();
      if (i == 7) journal->recycle(*slot);
    }
  }
  std::ifstream file(folder.file(), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The input as edits of the sound file, 6 bytes each: what, where (2), what with (3). Or, after 'R', the file itself.
std::string damaged(std::string file, std::string_view edits) {
  if (edits.starts_with('R')) return std::string(edits.substr(1));
  for (; edits.size() >= 6; edits.remove_prefix(6)) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(edits[i]); };
    const std::size_t at = byte(1) * 256U + byte(2);
    const std::size_t other = byte(3) * 256U + byte(4);
    const auto size = std::min<std::size_t>(byte(5), file.size() - std::min(file.size(), std::max(at, other)));
    switch (byte(0) % 5) {
      case 0:
        if (at < file.size()) file[at] = static_cast<char>(file[at] ^ edits[5]);
        break;
      case 1: file.resize(std::min(other, kFileBytesMax)); break;
      case 2:
        if (at < file.size()) file.replace(at, size, file.substr(std::min(other, file.size()), size));
        break;
      case 3:
        if (at < file.size()) std::fill_n(file.begin() + static_cast<std::ptrdiff_t>(at), size, '\0');
        break;
      default:
        if (at < file.size()) file[at] = edits[5];
        break;
    }
  }
  return file;
}

struct Seen {
  std::vector<std::string> findings;
  std::vector<std::uint64_t> held;
  std::vector<std::int64_t> counts;
  friend bool operator==(const Seen&, const Seen&) = default;
};

Seen look(Journal& journal) {
  Seen seen;
  seen.findings = journal.findings();
  for (const auto& epoch : journal.held_epochs()) {
    FUZZ_CHECK(epoch.epoch > 0);
    seen.held.insert(seen.held.end(), {epoch.epoch, static_cast<std::uint64_t>(epoch.nonce), epoch.marked ? 1U : 0U});
  }
  for (std::uint32_t i = 0; i < journal.slots_touched(); ++i) {
    const meter::Slot& slot = journal.slots()[i];
    if (slot.epoch.load() == 0 || !journal.is_whole(i)) continue;
    for (const std::int64_t count :
         {slot.calls_started(), slot.calls_succeeded(), slot.calls_failed(), slot.calls_unmetered(),
          slot.free_points().count(), slot.billable_points().count()}) {
      FUZZ_CHECK(count >= 0);
      seen.counts.push_back(count);
    }
    seen.counts.push_back(slot.subscription);
  }
  return seen;
}
}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Folder folder;
  static const std::string sound = sound_file(folder);
  folder.empty();
  {
    const std::string bytes = damaged(sound, {reinterpret_cast<const char*>(data), std::min(size, kFileBytesMax)});
    std::ofstream file(folder.file(), std::ios::binary);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  std::vector<Seen> openings;
  for (int i = 0; i < 3; ++i) {
    const auto journal = open(folder);
    if (journal.has_error()) {
      FUZZ_CHECK(!journal.error().message.empty() && openings.empty());
      return 0;
    }
    openings.push_back(look(**journal));
  }
  FUZZ_CHECK(openings[1].held == openings[0].held && openings[1].counts == openings[0].counts);
  FUZZ_CHECK(openings[2] == openings[1]);
  return 0;
}
