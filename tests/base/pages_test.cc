#include "base/pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

namespace tollgate {
namespace {

std::uintptr_t address(const Pages& pages) { return reinterpret_cast<std::uintptr_t>(pages.data()); }

// The flags of the mapping that holds the address, by /proc/self/smaps: "hg" is the wish for huge pages.
std::string flags_of(std::uintptr_t at) {
  std::ifstream maps("/proc/self/smaps");
  bool here = false;
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t from = 0;
    std::uintptr_t to = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2) here = from <= at && at < to;
    if (here && line.starts_with("VmFlags:")) return line + ' ';
  }
  return {};
}

TEST(Pages, AreZerosAtAPageAndAtLeastWhatWasAsked) {
  for (const std::size_t bytes : {std::size_t{1}, kPageBytes, kPageBytes + 1, kHugePageBytes + 1}) {
    for (const Pages& pages : {Pages(bytes), Pages::huge(bytes)}) {
      EXPECT_EQ(address(pages) % kPageBytes, 0U);
      ASSERT_GE(pages.size(), bytes);
      auto* begin = static_cast<char*>(pages.data());
      EXPECT_TRUE(std::all_of(begin, begin + pages.size(), [](char byte) { return byte == 0; }));
      std::fill(begin, begin + pages.size(), '\1');
    }
  }
}

TEST(Pages, AreSmallWhereLittleIsAskedAndHugeWhereMuchIs) {
  EXPECT_EQ(Pages::huge(kHugePageBytes - kPageBytes).size(), kHugePageBytes - kPageBytes);
  for (int i = 0; i < 8; ++i) {
    const Pages pages = Pages::huge(kHugePageBytes + 1);
    EXPECT_EQ(pages.size(), 2 * kHugePageBytes);
    EXPECT_EQ(address(pages) % kHugePageBytes, 0U);
  }
}

TEST(Pages, AskForHugeOnesOnlyWhereTheyShallBe) {
  if (!std::filesystem::exists("/sys/kernel/mm/transparent_hugepage")) GTEST_SKIP() << "a kernel without huge pages";
  const Pages huge = Pages::huge(kHugePageBytes);
  EXPECT_NE(flags_of(address(huge)).find(" hg "), std::string::npos) << flags_of(address(huge));
  const Pages small(kHugePageBytes);
  EXPECT_EQ(flags_of(address(small)).find(" hg "), std::string::npos) << flags_of(address(small));
}

TEST(Pages, MoveWithoutTheirContents) {
  Pages first(1);
  void* const at = first.data();
  Pages second(std::move(first));
  EXPECT_EQ(second.data(), at);
  Pages third;
  third = std::move(second);
  EXPECT_EQ(third.data(), at);
  EXPECT_EQ(third.size(), kPageBytes);
}

}  // namespace
}  // namespace tollgate
