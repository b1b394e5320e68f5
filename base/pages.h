// Zeroed memory straight from the system, for tables and records of which there may be millions, in huge pages where
// that is asked for. It constructs nothing and knows nothing of what lies in it.
#pragma once

#include <cstddef>
#include <utility>

namespace tollgate {

inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

// Memory is taken when it is touched, a page at a time; the constructors throw std::bad_alloc.
class Pages {
 public:
  Pages() noexcept = default;
  // At least `bytes`, in small pages.
  explicit Pages(std::size_t bytes);

  // The same, from the size of a huge page on in such. A random look-up among a million records meets another page each
  // time, and a processor knows the places of some two thousand: with pages of 4 KiB it walks the page tables each
  // time, in a virtual machine twice over. With huge ones a hundred million bytes are 50 pages. Where the system gives
  // none (/sys/kernel/mm/transparent_hugepage/enabled says `never`, or its memory is in pieces) they are small ones:
  // slower, and nothing else differs.
  static Pages huge(std::size_t bytes);

  Pages(Pages&& other) noexcept : at_(std::exchange(other.at_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Pages& operator=(Pages&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages();

  [[nodiscard]] void* data() const noexcept { return at_; }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_; }

 private:
  void* at_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace tollgate
