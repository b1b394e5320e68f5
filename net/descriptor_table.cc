#include "net/descriptor_table.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <limits>

#include "base/check.h"
#include "net/socket.h"

// linux/close_range.h; not with every C library.
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif

namespace tollgate::net {

namespace {
// A handler may speak to its thread through a descriptor, as Asio's do, and would find another one here. What an
// instruction of this thread itself has done is not put off.
void leave_signals_to_others() noexcept {
  sigset_t signals;
  sigfillset(&signals);
  for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) sigdelset(&signals, own);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}
}  // namespace

// The first call makes the copy and leaves out what is above; unshare(2) would do, but sandboxes that let nobody make
// namespaces forbid it (Docker's does).
error_code own_descriptors(std::vector<int> kept) noexcept {
  leave_signals_to_others();
  kept.insert(kept.end(), {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO});
  std::sort(kept.begin(), kept.end());
  constexpr unsigned kLast = std::numeric_limits<unsigned>::max();
  const auto after = [](int descriptor) { return static_cast<unsigned>(descriptor) + 1; };
  if (::close_range(after(kept.back()), kLast, CLOSE_RANGE_UNSHARE) != 0) return last_error();
  for (std::size_t i = 1; i < kept.size(); ++i) {
    const unsigned first = after(kept[i - 1]);
    const auto next = static_cast<unsigned>(kept[i]);
    if (first < next) TOLLGATE_CHECK(::close_range(first, next - 1, 0) == 0);  // no kernel refuses it now
  }
  return {};
}

}  // namespace tollgate::net
