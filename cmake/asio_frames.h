// Frames of Asio's coroutines from FramePool. It is included before everything else in every file that is compiled with
// Asio (CMakeLists.txt), since all of them must agree; Boost 1.81 offers no other place for it.
#pragma once

#include <boost/asio/detail/thread_info_base.hpp>

#include "base/frame_pool.h"

namespace boost::asio::detail {

template <>
inline void* thread_info_base::allocate<thread_info_base::awaitable_frame_tag>(awaitable_frame_tag, thread_info_base*,
                                                                               std::size_t size, std::size_t) {
  return tollgate::FramePool::take(size);
}

template <>
inline void thread_info_base::deallocate<thread_info_base::awaitable_frame_tag>(awaitable_frame_tag, thread_info_base*,
                                                                                void* frame, std::size_t size) {
  tollgate::FramePool::give_back(frame, size);
}

}  // namespace boost::asio::detail
