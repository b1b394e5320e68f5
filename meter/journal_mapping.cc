#include "meter/journal_mapping.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/fail_point.h"

namespace tollgate::meter {
namespace {
constexpr std::array<char, 8> kMagic = {'t', 'g', 'j', 'o', 'u', 'r', 'n', 'l'};
constexpr std::array<char, 8> kMagicOfFormat1 = {'t', 'g', 'j', 'o', 'u', 'r', 'n', '1'};
constexpr std::uint32_t kVersion = 2;

std::uint32_t check_of(const FileHeader& header) noexcept { return fnv1a(&header, offsetof(FileHeader, check)); }

constexpr std::int64_t file_bytes(std::uint32_t slots) noexcept {
  return static_cast<std::int64_t>(sizeof(HeaderPage) + std::size_t{slots} * sizeof(Slot));
}

FileHeader header_for(const JournalOwner& owner, std::uint32_t slots) {
  FileHeader header{kMagic, kVersion, sizeof(Slot), slots, owner.store, {}, 0};
  std::copy_n(owner.gateway.begin(), std::min(owner.gateway.size(), header.gateway.size() - 1), header.gateway.begin());
  header.check = check_of(header);
  return header;
}

bool all_zeros(const char* bytes, std::size_t size) {
  return std::all_of(bytes, bytes + size, [](char byte) { return byte == 0; });
}

// Calls `look` with pieces of the file from `at` on until it returns true; false: it never did.
template <class Look>
bool any_piece(int file, std::int64_t at, const Look& look) {
  std::vector<char> piece(std::size_t{1} << 20);
  for (ssize_t got = 0; (got = ::pread(file, piece.data(), piece.size(), at)) > 0; at += got) {
    if (look(piece.data(), static_cast<std::size_t>(got), at)) return true;
  }
  return false;
}

// A file whose creation was cut off before its header was written: nothing but zeros, and no usage.
bool is_all_zeros(int file) {
  return !any_piece(file, 0, [](const char* bytes, std::size_t size, std::int64_t) { return !all_zeros(bytes, size); });
}

// Why a file that holds nothing of ours is not ours.
std::string whose(const FileHeader& header, std::size_t bytes, const JournalOwner& owner) {
  if (bytes < sizeof header) return "is damaged: it ends within its header";
  if (header.magic == kMagicOfFormat1) return "is of format 1, which this program does not read";
  if (header.magic != kMagic) return "is damaged or not a journal";
  if (header.version != kVersion) {
    return "is of format " + std::to_string(header.version) + ", which this program does not read";
  }
  if (header.check != check_of(header)) return "is damaged in its header and holds no usage of this gateway";
  const std::string gateway(header.gateway.data(), ::strnlen(header.gateway.data(), header.gateway.size()));
  if (gateway != owner.gateway) return "belongs to gateway " + gateway + ", not " + owner.gateway;
  return "belongs to another store";
}

void sync_folder_of(const std::string& path) {
  const auto folder = std::filesystem::path(path).parent_path();
  const int file = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return;
  (void)::fsync(file);
  ::close(file);
}
}  // namespace

std::uint32_t fnv1a(const void* data, std::size_t size, std::uint32_t hash) noexcept {
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (std::size_t i = 0; i < size; ++i) hash = (hash ^ bytes[i]) * 16777619U;
  return hash;
}

std::uint32_t JournalOwner::salt() const noexcept {
  const std::array<std::uint32_t, 2> words = {kVersion, store};
  return fnv1a(gateway.data(), gateway.size(), fnv1a(words.data(), sizeof words));
}

std::uint32_t slot_check(const Slot& slot, std::uint32_t epoch, std::uint32_t index, std::uint32_t salt) noexcept {
  const std::array<std::uint32_t, 4> words = {slot.subscription, static_cast<std::uint32_t>(slot.hour), epoch, index};
  return fnv1a(words.data(), sizeof words, salt);
}

JournalMapping::~JournalMapping() {
  if (page_ != nullptr) ::munmap(page_, static_cast<std::size_t>(file_bytes(count_max_)));
  if (file_ >= 0) ::close(file_);
}

Fault JournalMapping::io_fault(std::string_view what) const {
  return {FaultKind::unavailable, "journal_failed",
          std::string(what) + " " + path_ + ": " + std::generic_category().message(errno), ""};
}

// Opens the file, or makes it, for this process alone.
Result<void> JournalMapping::lock_file() {
  file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  is_new_ = file_ >= 0;
  if (file_ < 0 && errno == EEXIST) file_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
  if (file_ < 0) return io_fault("cannot open");
  if (::flock(file_, LOCK_EX | LOCK_NB) == 0) return {};
  return Fault{FaultKind::conflict, "journal_refused", path_ + ": is in use by another process", ""};
}

Result<void> JournalMapping::open(const std::string& path, const JournalOwner& owner, std::uint32_t slots,
                                  std::uint32_t slots_max) {
  path_ = path;
  if (auto locked = lock_file(); !locked) return locked;
  if (auto readable = mend_unreadable(); !readable) return readable;
  const auto present = examine(owner);
  if (!present) return present.error();
  // A file grows with the configuration and never shrinks.
  if (auto allocated = allocate(owner, std::max(slots, *present)); !allocated) return allocated;
  count_max_ = std::max(count_, slots_max);
  // Beyond the end of the file nothing may be touched; it is where growth will be.
  void* mapping =
      ::mmap(nullptr, static_cast<std::size_t>(file_bytes(count_max_)), PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
  if (mapping == MAP_FAILED) return io_fault("cannot map");
  page_ = static_cast<HeaderPage*>(mapping);
  slots_ = reinterpret_cast<Slot*>(static_cast<char*>(mapping) + sizeof(HeaderPage));
  return {};
}

// A page that cannot be read would end the process by a signal as soon as the mapping is looked at.
Result<void> JournalMapping::mend_unreadable() {
  constexpr std::int64_t kPage = sizeof(HeaderPage);
  std::vector<char> piece(std::size_t{1} << 20);
  std::int64_t mended = 0;
  for (std::int64_t at = 0;;) {
    ssize_t got = ::pread(file_, piece.data(), piece.size(), at);
    if (got < 0) got = ::pread(file_, piece.data(), kPage, at);  // page by page where it is bad
    if (got == 0) break;
    if (got < 0) {
      const std::vector<char> zeros(kPage);
      if (errno != EIO || ::pwrite(file_, zeros.data(), zeros.size(), at) != kPage) return io_fault("cannot read");
      ++mended;
      got = kPage;
    }
    at += got;
  }
  if (mended > 0) {
    findings_.push_back(std::to_string(mended) + " pages of " + path_ +
                        " cannot be read and were zeroed: usage in them that was not merged is lost");
  }
  return {};
}

// What is in the file that was opened: the number of slots to keep, 0 for a new one.
Result<std::uint32_t> JournalMapping::examine(const JournalOwner& owner) {
  struct stat info {};
  if (::fstat(file_, &info) != 0) return io_fault("cannot stat");
  if (is_new_) return 0U;
  FileHeader header;
  const ssize_t got = ::pread(file_, &header, sizeof header, 0);
  if (got < 0) return io_fault("cannot read");
  const bool valid = got == sizeof header && header.magic == kMagic && header.check == check_of(header);
  const FileHeader own = header_for(owner, header.slots);
  if (valid && std::memcmp(&header, &own, sizeof header) == 0) {
    if (info.st_size < file_bytes(header.slots)) {
      findings_.push_back(path_ + " was cut off: " + std::to_string(info.st_size) + " of " +
                          std::to_string(file_bytes(header.slots)) + " bytes are left; their usage is kept");
    }
    return header.slots;
  }
  if (is_all_zeros(file_)) {  // no bytes at all, too
    findings_.push_back(path_ + " was empty, as when its making was cut off: usage that it held is lost");
    return 0U;
  }
  const std::int64_t room = (info.st_size - file_bytes(0)) / static_cast<std::int64_t>(sizeof(Slot));
  if (room > 0 && !(valid && header.version == kVersion) && holds_slots_of(owner)) {
    findings_.push_back(path_ + " had a damaged header: it was written anew, and the usage in it is kept");
    return static_cast<std::uint32_t>(room);
  }
  if (auto aside = set_aside(whose(header, static_cast<std::size_t>(got), owner)); !aside) return aside.error();
  return 0U;
}

bool JournalMapping::holds_slots_of(const JournalOwner& owner) const {
  const std::uint32_t salt = owner.salt();
  return any_piece(file_, file_bytes(0), [&](const char* bytes, std::size_t size, std::int64_t at) {
    for (std::size_t i = 0; i + sizeof(Slot) <= size; i += sizeof(Slot)) {
      Slot slot;
      std::memcpy(static_cast<void*>(&slot), bytes + i, sizeof slot);
      const std::uint32_t epoch = slot.epoch.load(std::memory_order_relaxed);
      const auto index = static_cast<std::uint32_t>((at + static_cast<std::int64_t>(i) - file_bytes(0)) /
                                                    static_cast<std::int64_t>(sizeof(Slot)));
      if (epoch != 0 && slot.check == slot_check(slot, epoch, index, salt)) return true;
    }
    return false;
  });
}

// Renamed, not removed: it may hold usage of somebody's.
Result<void> JournalMapping::set_aside(const std::string& why) {
  std::string aside;
  for (int number = 1; aside.empty() || ::access(aside.c_str(), F_OK) == 0; ++number) {
    aside = path_ + ".set-aside-" + std::to_string(number);
  }
  if (::rename(path_.c_str(), aside.c_str()) != 0) return io_fault("cannot set aside");
  findings_.push_back(path_ + " " + why + ": set aside as " + aside + ", and a new one begun");
  ::close(file_);
  return lock_file();
}

Result<void> JournalMapping::allocate(const JournalOwner& owner, std::uint32_t slots) {
  const FileHeader header = header_for(owner, slots);
  struct stat before {};
  if (::fstat(file_, &before) != 0) return io_fault("cannot stat");
  if (const int error = ::posix_fallocate(file_, 0, file_bytes(slots)); error != 0) {
    // Some file systems keep what they could get, which the database needs now.
    if (before.st_size < file_bytes(slots)) (void)::ftruncate(file_, before.st_size);
    errno = error;
    return io_fault("cannot allocate");
  }
  // The size before the header that tells it: a power cut between the two leaves nothing that looks cut off.
  if (before.st_size < file_bytes(slots) && ::fsync(file_) != 0) return io_fault("cannot write");
  TOLLGATE_FAIL_POINT("journal.create");
  if (::pwrite(file_, &header, sizeof header, 0) != sizeof header || ::fsync(file_) != 0)
    return io_fault("cannot write");
  sync_folder_of(path_);
  count_ = slots;
  return {};
}

Result<void> JournalMapping::grow(std::uint32_t slots) {
  JournalOwner owner{page_->header.gateway.data(), page_->header.store};
  return allocate(owner, std::min(slots, count_max_));
}

int JournalMapping::sync(std::uint32_t slots) noexcept {
  return ::msync(page_, static_cast<std::size_t>(file_bytes(slots)), MS_SYNC) == 0 ? 0 : errno;
}

// A locked "or" with 0 writes to the page and changes nothing, whatever its owner does meanwhile. By hand, since a
// compiler may turn the same said in C++ into a read.
void JournalMapping::mark_dirty(std::uint32_t slots) noexcept {
  auto* bytes = reinterpret_cast<char*>(page_);
  for (std::int64_t at = 0; at < file_bytes(slots); at += sizeof(HeaderPage)) {
    auto& word = *reinterpret_cast<std::uint32_t*>(bytes + at);
    asm volatile("lock orl $0, %0" : "+m"(word));
  }
}

}  // namespace tollgate::meter
