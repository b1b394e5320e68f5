#include "meter/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/check.h"

namespace tollgate::meter {
namespace {
constexpr std::size_t kHeaderBytes = 4096;  // one page, so that slots are aligned
constexpr std::array<char, 8> kMagic = {'t', 'g', 'j', 'o', 'u', 'r', 'n', '1'};

struct FileHeader {
  std::array<char, 8> magic = kMagic;
  std::uint32_t slots = 0;
  std::uint32_t slot_bytes = sizeof(Slot);
  std::array<char, 64> gateway{};  // zero-terminated id
  std::uint32_t store = 0;         // Store::identity()
  std::uint32_t check = 0;         // over all of the above
};
static_assert(sizeof(FileHeader) <= kHeaderBytes);

// FNV-1a (Fowler, Noll, Vo): damage of a few bits is what it has to see, not an attacker.
std::uint32_t fnv1a(const void* data, std::size_t size, std::uint32_t hash = 2166136261U) noexcept {
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (std::size_t i = 0; i < size; ++i) hash = (hash ^ bytes[i]) * 16777619U;
  return hash;
}

std::uint32_t check_of(const FileHeader& header) noexcept { return fnv1a(&header, offsetof(FileHeader, check)); }

std::uint32_t check_of(const Slot& slot, std::uint32_t epoch, std::uint32_t index) noexcept {
  const std::array<std::uint32_t, 4> words = {slot.subscription, static_cast<std::uint32_t>(slot.hour), epoch, index};
  return fnv1a(words.data(), sizeof words);
}

Fault io_fault(const std::string& what, const std::string& path) {
  return {FaultKind::unavailable, "journal_failed", what + " " + path + ": " + std::generic_category().message(errno),
          ""};
}

// A file whose creation was cut off before its header was written: nothing but zeros, and no usage.
bool is_all_zeros(int file, off_t size) {
  std::array<char, 65536> block;
  for (off_t at = 0; at < size;) {
    const ssize_t got = ::pread(file, block.data(), block.size(), at);
    if (got <= 0) return false;
    if (std::any_of(block.begin(), block.begin() + got, [](char byte) { return byte != 0; })) return false;
    at += got;
  }
  return true;
}

Fault refused(const std::string& path, const std::string& why) {
  return {FaultKind::conflict, "journal_refused", path + ": " + why, ""};
}

off_t file_bytes(std::uint32_t slots) noexcept {
  return static_cast<off_t>(kHeaderBytes + std::size_t{slots} * sizeof(Slot));
}

// Reads the header of an existing file, or writes one into an empty file. Returns the number of slots.
Result<std::uint32_t> settle_header(int file, const std::string& path, std::string_view gateway, std::uint32_t slots,
                                    std::uint32_t store) {
  struct stat info {};
  if (::fstat(file, &info) != 0) return io_fault("cannot stat", path);
  FileHeader header;
  if (info.st_size > 0) {
    const ssize_t got = ::pread(file, &header, sizeof header, 0);
    if (got < 0) return io_fault("cannot read", path);
    if (header.magic == decltype(header.magic){} && is_all_zeros(file, info.st_size)) {
      header = FileHeader();
    } else if (got != sizeof header || header.magic != kMagic || header.check != check_of(header)) {
      return refused(path, "is damaged or not a journal of this version; move it aside to start a new one");
    } else if (std::string_view(header.gateway.data()) != gateway) {
      return refused(path,
                     "belongs to gateway " + std::string(header.gateway.data()) + ", not " + std::string(gateway));
    } else if (header.store != store) {
      return refused(path, "belongs to another store: move it aside, or bring its store back");
    } else if (header.slot_bytes != sizeof(Slot) || info.st_size < file_bytes(header.slots)) {
      return refused(path, "is shorter than its header says; usage in it may be lost: restore it or move it aside");
    }
    slots = std::max(slots, header.slots);  // a file grows with the configuration and never shrinks
  }
  header.slots = slots;
  header.store = store;
  std::copy_n(gateway.begin(), std::min(gateway.size(), header.gateway.size() - 1), header.gateway.begin());
  header.check = check_of(header);
  if (const int error = ::posix_fallocate(file, 0, file_bytes(slots)); error != 0) {
    errno = error;
    return io_fault("cannot allocate", path);
  }
  if (::pwrite(file, &header, sizeof header, 0) != sizeof header) return io_fault("cannot write", path);
  return slots;
}
}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(const std::string& path, std::string_view gateway, std::uint32_t slots,
                                               std::uint32_t store) {
  std::unique_ptr<Journal> journal(new Journal());
  journal->file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (journal->file_ < 0) return io_fault("cannot open", path);
  if (::flock(journal->file_, LOCK_EX | LOCK_NB) != 0) {
    return refused(path, "is in use by another process");
  }
  const auto count = settle_header(journal->file_, path, gateway, slots, store);
  if (!count) return count.error();
  journal->count_ = *count;
  journal->mapping_bytes_ = static_cast<std::size_t>(file_bytes(*count));
  void* mapping = ::mmap(nullptr, journal->mapping_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, journal->file_, 0);
  if (mapping == MAP_FAILED) return io_fault("cannot map", path);
  journal->mapping_ = mapping;
  journal->slots_ = reinterpret_cast<Slot*>(static_cast<char*>(mapping) + kHeaderBytes);
  journal->load_slots();
  return journal;
}

Journal::~Journal() {
  if (mapping_ != nullptr) {
    (void)sync();
    ::munmap(mapping_, mapping_bytes_);
  }
  if (file_ >= 0) ::close(file_);
}

void Journal::load_slots() {
  next_ = std::make_unique<std::atomic<std::uint32_t>[]>(count_);
  std::uint32_t touched = 0;
  for (std::uint32_t i = 0; i < count_; ++i) {
    const std::uint32_t epoch = slots_[i].epoch.load(std::memory_order_relaxed);
    if (epoch == 0) continue;
    touched = i + 1;
    if (!is_whole(i)) ++damaged_;
    used_.fetch_add(1, std::memory_order_relaxed);
  }
  fresh_.store(touched, std::memory_order_relaxed);
  for (std::uint32_t i = touched; i-- > 0;) {
    if (slots_[i].epoch.load(std::memory_order_relaxed) == 0) push_free(i);
  }
}

void Journal::begin_epoch(std::uint32_t epoch) noexcept {
  TOLLGATE_CHECK(epoch > epoch_);
  epoch_ = epoch;
}

Slot* Journal::take(std::uint32_t subscription, Hour hour) noexcept {
  TOLLGATE_CHECK(epoch_ != 0);
  std::uint32_t index = count_;
  std::uint64_t top = free_.load(std::memory_order_acquire);
  while ((top & 0xffffffffU) != 0) {
    index = static_cast<std::uint32_t>(top) - 1;
    const std::uint64_t tag = (top >> 32) + 1;
    const std::uint64_t below = next_[index].load(std::memory_order_relaxed);
    if (free_.compare_exchange_weak(top, (tag << 32) | below, std::memory_order_acquire)) break;
    index = count_;
  }
  if (index == count_) {
    // Load before add keeps a full journal from wrapping the counter round under a flood of refusals.
    if (fresh_.load(std::memory_order_relaxed) >= count_) return nullptr;
    index = fresh_.fetch_add(1, std::memory_order_relaxed);
    if (index >= count_) return nullptr;
  }
  Slot& slot = slots_[index];
  for (Cell* cell : {&slot.calls_started, &slot.calls_succeeded, &slot.calls_failed, &slot.calls_unmetered,
                     &slot.free_points, &slot.billable_points}) {
    cell->clear();
  }
  slot.subscription = subscription;
  slot.hour = hour.since_epoch;
  slot.check = check_of(slot, epoch_, index);
  slot.epoch.store(epoch_, std::memory_order_release);
  used_.fetch_add(1, std::memory_order_relaxed);
  return &slot;
}

void Journal::recycle(Slot& slot) noexcept {
  slot.epoch.store(0, std::memory_order_release);
  used_.fetch_sub(1, std::memory_order_relaxed);
  push_free(static_cast<std::uint32_t>(&slot - slots_));
}

void Journal::push_free(std::uint32_t index) noexcept {
  std::uint64_t top = free_.load(std::memory_order_relaxed);
  std::uint64_t next = 0;
  do {
    next_[index].store(static_cast<std::uint32_t>(top), std::memory_order_relaxed);
    next = (((top >> 32) + 1) << 32) | (index + 1);
  } while (!free_.compare_exchange_weak(top, next, std::memory_order_release, std::memory_order_relaxed));
}

bool Journal::is_whole(std::uint32_t index) const noexcept {
  const Slot& slot = slots_[index];
  return slot.check == check_of(slot, slot.epoch.load(std::memory_order_relaxed), index);
}

std::set<std::uint32_t> Journal::epochs() const {
  std::set<std::uint32_t> epochs;
  for (std::uint32_t i = 0; i < slots_touched(); ++i) {
    const std::uint32_t epoch = slots_[i].epoch.load(std::memory_order_relaxed);
    if (epoch != 0 && is_whole(i)) epochs.insert(epoch);
  }
  return epochs;
}

std::uint32_t Journal::slots_touched() const noexcept {
  return std::min(fresh_.load(std::memory_order_relaxed), count_);
}

bool Journal::sync() noexcept { return ::msync(mapping_, mapping_bytes_, MS_SYNC) == 0; }

}  // namespace tollgate::meter
