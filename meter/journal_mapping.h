// The journal's file: its header, its size, its lock, and what is done about a file that is damaged or not ours.
// docs/journal.md is the format. It is private to journal*.cc and does not know what slots mean.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fault.h"
#include "meter/slot.h"

namespace tollgate::meter {

// FNV-1a (Fowler, Noll, Vo): damage of a few bits is what it has to see, not an attacker.
[[nodiscard]] std::uint32_t fnv1a(const void* data, std::size_t size, std::uint32_t hash = 2166136261U) noexcept;

struct FileHeader {
  std::array<char, 8> magic{};
  std::uint32_t version = 0;
  std::uint32_t slot_bytes = 0;
  std::uint32_t slots = 0;         // allocated; the file grows with it
  std::uint32_t store = 0;         // Store::identity()
  std::array<char, 64> gateway{};  // zero-terminated id
  std::uint32_t check = 0;         // over all of the above
};

// An epoch that slots may be held under, and the random number it was given out with: see Core::open_epoch().
struct EpochMark {
  std::uint32_t epoch = 0;
  std::uint32_t check = 0;
  std::int64_t nonce = 0;
};

struct HeaderPage {
  FileHeader header;
  std::array<char, 128 - sizeof(FileHeader)> reserved{};
  // How many slots had been taken when the file was last synced whole (low half), with a check (high half): a page of
  // zeros among them was not always one. One word, so that it is never half of each.
  std::atomic<std::uint64_t> synced{0};
  std::array<char, 120> reserved_too{};
  std::array<EpochMark, 240> epochs{};
};
static_assert(sizeof(HeaderPage) == 4096 && offsetof(HeaderPage, synced) == 128 && offsetof(HeaderPage, epochs) == 256);

inline constexpr std::size_t kSlotsPerPage = 4096 / sizeof(Slot);

// Whose journal it is; it salts all checks, so that slots of another one are never taken for ours.
struct JournalOwner {
  std::string gateway;
  std::uint32_t store = 0;
  [[nodiscard]] std::uint32_t salt() const noexcept;
};

// Over subscription, hour, epoch, place and owner.
[[nodiscard]] std::uint32_t slot_check(const Slot& slot, std::uint32_t epoch, std::uint32_t index,
                                       std::uint32_t salt) noexcept;

class JournalMapping {
 public:
  JournalMapping() = default;
  ~JournalMapping();
  JournalMapping(const JournalMapping&) = delete;
  JournalMapping& operator=(const JournalMapping&) = delete;

  // Opens or creates the file with at least `slots` slots allocated, locked to this process; address space is taken
  // for `slots_max`. A file that is not ours is renamed and a new one begun; what is found says so, a line each.
  // Faults: journal_refused (in use), journal_failed (the system's words).
  Result<void> open(const std::string& path, const JournalOwner& owner, std::uint32_t slots, std::uint32_t slots_max);

  // Allocates up to `slots` in all and notes it in the header; the slots before keep their places. One thread.
  Result<void> grow(std::uint32_t slots);

  // Writes the header and the first `slots` slots to the disk; 0 or errno. Blocks for as long as the disk takes.
  [[nodiscard]] int sync(std::uint32_t slots) noexcept;
  // After a failed sync the system takes what it could not write for written: marks it as to be written again.
  void mark_dirty(std::uint32_t slots) noexcept;

  [[nodiscard]] HeaderPage& page() noexcept { return *page_; }
  [[nodiscard]] const HeaderPage& page() const noexcept { return *page_; }
  [[nodiscard]] Slot* slots() const noexcept { return slots_; }
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }  // as opened or grown
  [[nodiscard]] std::uint32_t count_max() const noexcept { return count_max_; }
  [[nodiscard]] const std::vector<std::string>& findings() const noexcept { return findings_; }

 private:
  Result<void> lock_file();
  Result<void> mend_unreadable();
  Result<std::uint32_t> examine(const JournalOwner& owner);
  Result<void> set_aside(const std::string& why);
  Result<void> allocate(const JournalOwner& owner, std::uint32_t slots);
  [[nodiscard]] bool holds_slots_of(const JournalOwner& owner) const;
  [[nodiscard]] Fault io_fault(std::string_view what) const;

  std::string path_;
  int file_ = -1;
  bool is_new_ = false;         // made by this opening
  HeaderPage* page_ = nullptr;  // the mapping
  Slot* slots_ = nullptr;
  std::uint32_t count_ = 0;
  std::uint32_t count_max_ = 0;
  std::vector<std::string> findings_;
};

}  // namespace tollgate::meter
