// Whether a client that we wait for keeps a minimum pace, as time that it has left: waiting uses it up, bytes give it
// back, and never is there more than the grace. It reads no clock and sees no socket.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace tollgate::gateway {

class Pace {
  __extension__ using Wide = __int128;  // products of bytes and nanoseconds

 public:
  // `bytes_per_s` 0: any pace will do.
  Pace(std::int64_t bytes_per_s, std::int64_t grace_ms) noexcept
      : bytes_per_s_(bytes_per_s), grace_ns_(grace_ms * 1'000'000), left_ns_(grace_ns_) {}

  // We waited for the client that long, and then it sent (or took) that many bytes. Time in which the client waited
  // for us or for the upstream is never told here.
  void waited(std::int64_t ns, std::int64_t bytes) noexcept {
    if (bytes_per_s_ == 0) return;
    const auto earned = static_cast<Wide>(bytes) * 1'000'000'000 / bytes_per_s_;
    left_ns_ = static_cast<std::int64_t>(std::min<Wide>(grace_ns_, left_ns_ - ns + earned));
  }

  // How long the next wait may take; at most 0: the client is too slow.
  [[nodiscard]] std::int64_t left_ns() const noexcept {
    return bytes_per_s_ == 0 ? std::numeric_limits<std::int64_t>::max() : left_ns_;
  }
  // That, or a silence of `silence_ms` if it is shorter, in whole milliseconds, at least 1.
  [[nodiscard]] std::int64_t wait_ms(std::int64_t silence_ms) const noexcept {
    return std::clamp<std::int64_t>(left_ns() / 1'000'000, 1, silence_ms);
  }

 private:
  std::int64_t bytes_per_s_;
  std::int64_t grace_ns_;
  std::int64_t left_ns_;
};

}  // namespace tollgate::gateway
