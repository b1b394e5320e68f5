// A journal's file in a folder of its own, and ways to damage it. It knows the file's layout, not its meaning.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "meter/journal.h"

namespace tollgate::meter {

class JournalFile {
 public:
  JournalFile() {
    std::string pattern = (std::filesystem::temp_directory_path() / "journal-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    folder_ = pattern;
  }
  ~JournalFile() { std::filesystem::remove_all(folder_); }
  JournalFile(const JournalFile&) = delete;
  JournalFile& operator=(const JournalFile&) = delete;

  [[nodiscard]] std::string path() const { return folder_ / "usage.journal"; }

  // nullptr: refused; the fault's words are in `why`.
  std::unique_ptr<Journal> open(std::uint32_t slots, std::string_view gateway = "gw-1", std::uint32_t store = 0,
                                std::uint32_t slots_max = 0) {
    auto journal = Journal::open({path(), std::string(gateway), store, slots, slots_max});
    if (!journal) {
      why = journal.error();
      return nullptr;
    }
    return std::move(*journal);
  }

  static constexpr std::streamoff kSlotsBegin = 4096;

  // Inverts the byte at `offset`.
  void damage(std::streamoff offset) {
    std::ifstream file(path(), std::ios::binary);
    file.seekg(offset);
    put(offset, static_cast<char>(file.get() ^ 0xff));
  }
  void put(std::streamoff offset, char byte) {
    std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(offset);
    file.put(byte);
    ASSERT_TRUE(file.good());
  }
  void truncate(std::uintmax_t bytes) { std::filesystem::resize_file(path(), bytes); }

  Fault why;

 private:
  std::filesystem::path folder_;
};

}  // namespace tollgate::meter
