// One call as the data path sees it: what was decided, how far it has come, and the counting of its end exactly
// once. It does no input or output.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/buffer_budget.h"
#include "gateway/refusal.h"
#include "gateway/upstream.h"
#include "limiter/admission.h"
#include "meter/recorder.h"

namespace tollgate::gateway {

// One call, from its head to its settlement. Its destructor settles what was not settled, so no path leaks.
struct Call {
  WorkerServicePtr service;                   // null until routed
  const limiter::Account* account = nullptr;  // null until identified
  limiter::Subscription* subscription = nullptr;
  limiter::Admission admission;
  meter::Recorder* recorder = nullptr;  // the worker's; set with the slot
  meter::Slot* slot = nullptr;
  std::uint64_t number = 0;
  std::array<char, 24> request_id{};
  WallTime at;
  std::int64_t started_ns = 0;
  std::int64_t forwarded_ns = 0;  // 0: nothing was forwarded
  std::int64_t upstream_done_ns = 0;
  std::uint64_t body_left = 0;  // of the request, by Content-Length
  std::uint64_t body_seen = 0;  // of the request, decoded
  std::string_view first_body;  // decoded body bytes that came with the head
  bool body_done = false;       // all of the request's body has been read
  bool bad_body = false;
  bool admitted = false;
  bool ended = false;            // the outcome is counted
  bool answered = false;         // a final head went to the client
  bool client_failed = false;    // the client is gone or takes nothing
  bool upstream_whole = false;   // the answer's body arrived whole
  bool upstream_ended = false;   // the last read met the end of the stream
  bool upload_failed = false;    // the upstream takes no more of the body
  bool upload_unwanted = false;  // the answer is through: nobody waits for the rest of the body
  std::optional<Reason> fault;   // why the gateway answers instead of the upstream
  error_code upstream_error;     // of the last connect or read, if the fault is the upstream's
  bool nothing_sent = true;      // the upstream's socket took no byte of it
  bool retry = false;            // to be sent again, on a fresh connection
  bool retried = false;
  bool replayable = false;   // all that was sent so far can be sent again:
  bool body_copied = false;  // it did not come whole with the head: its bytes until now are here
  std::string body_copy;
  HeldBytes copied;                          // by it
  bool cut = false;                          // by the gateway itself, which ends
  int status = 0;                            // sent to the client
  std::array<char, 20> size_line{};          // of the first chunk on its way to the upstream
  std::bitset<64> tried;                     // upstreams
  std::size_t upstream_index = kNoUpstream;  // the last one tried
  bool has_rate_limit = false;
  RateLimitState rate_limit;

  Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() {
    end(meter::Outcome::failed);
    release();
  }

  [[nodiscard]] std::string_view id() const noexcept { return {request_id.data(), request_id.size()}; }
  [[nodiscard]] const RateLimitState* rate_limit_or_null() const noexcept {
    return has_rate_limit ? &rate_limit : nullptr;
  }
  // Forwarding begins: the free points are used from here on, whatever happens.
  void forward(std::int64_t now_ns) noexcept;
  // Counts how the call ended, once. Before that nothing is owed; after that nothing changes.
  void end(meter::Outcome outcome) noexcept;
  // Gives the permits back (and the free points, if nothing was forwarded).
  void release() noexcept;

  meter::Outcome outcome = meter::Outcome::failed;
  Points billable;
};

}  // namespace tollgate::gateway
