#include "base/frame_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace tollgate {
namespace {

// With AddressSanitizer nothing is kept: then these only find leaks and overruns.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kKeeps = false;
#else
constexpr bool kKeeps = true;
#endif

TEST(FramePool, AFrameGivenBackIsTheNextOfItsSize) {
  void* const frame = FramePool::take(200);
  void* const other = FramePool::take(200);
  EXPECT_NE(frame, other);
  FramePool::give_back(frame, 200);
  void* const again = FramePool::take(250);  // the same list: 193 to 256 bytes
  EXPECT_TRUE(!kKeeps || again == frame);
  FramePool::give_back(again, 250);
  FramePool::give_back(other, 200);
}

TEST(FramePool, FramesHaveTheRoomThatWasAskedFor) {
  for (const std::size_t size : {1, 63, 64, 65, 4095, 4096, 4097, 100'000}) {
    for (int turn = 0; turn < 2; ++turn) {  // new, and used before
      auto* const frame = static_cast<unsigned char*>(FramePool::take(size));
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(frame) % alignof(std::max_align_t), 0U);
      std::fill_n(frame, size, 0xAB);
      FramePool::give_back(frame, size);
    }
  }
}

TEST(FramePool, AFrameMayBeGivenBackByAnotherThread) {
  std::vector<void*> frames;
  for (int i = 0; i < 100; ++i) frames.push_back(FramePool::take(128));
  std::thread([&] {
    for (void* const frame : frames) FramePool::give_back(frame, 128);
    void* const again = FramePool::take(128);
    EXPECT_TRUE(!kKeeps || again == frames.back());
    FramePool::give_back(again, 128);
  }).join();
}

}  // namespace
}  // namespace tollgate
