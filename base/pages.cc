#include "base/pages.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

namespace tollgate {
namespace {
void* map(std::size_t bytes) {
  void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  return at;
}

std::size_t up_to(std::size_t bytes, std::size_t unit) noexcept { return (bytes + unit - 1) / unit * unit; }
}  // namespace

Pages::Pages(std::size_t bytes) : at_(map(up_to(bytes, kPageBytes))), bytes_(up_to(bytes, kPageBytes)) {}

Pages Pages::huge(std::size_t bytes) {
  if (bytes < kHugePageBytes) return Pages(bytes);
  Pages pages;
  bytes = up_to(bytes, kHugePageBytes);
  // The system aligns to small pages: one huge page more, and what is over goes back.
  auto* begin = static_cast<char*>(map(bytes + kHugePageBytes));
  const std::size_t before = -reinterpret_cast<std::uintptr_t>(begin) % kHugePageBytes;
  if (before > 0) (void)::munmap(begin, before);
  pages.at_ = begin + before;
  pages.bytes_ = bytes;
  if (before < kHugePageBytes) (void)::munmap(begin + before + bytes, kHugePageBytes - before);
  (void)::madvise(pages.at_, bytes, MADV_HUGEPAGE);  // a wish, which a kernel without huge pages refuses
  return pages;
}

Pages::~Pages() {
  if (at_ != nullptr) (void)::munmap(at_, bytes_);
}

}  // namespace tollgate
