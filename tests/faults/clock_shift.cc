// Preloaded into a program under test, it shifts the wall clock by what a file says, as an operator or a time server
// would step it; the steady clock goes on. It is a test's tool: nothing of the product links it.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {
using GetTime = int (*)(clockid_t, timespec*);

constexpr std::int64_t kSecondNs = 1'000'000'000;

// The file holds one native 64-bit number of nanoseconds. The test writes it, every thread here reads it: one word.
const std::atomic<std::int64_t>* shift() {
  static const std::atomic<std::int64_t>* const mapped = [] {
    static constexpr std::atomic<std::int64_t> none{0};
    const char* path = std::getenv("CLOCK_SHIFT_FILE");
    const int file = path == nullptr ? -1 : ::open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return &none;
    void* memory = ::mmap(nullptr, sizeof(std::int64_t), PROT_READ, MAP_SHARED, file, 0);
    ::close(file);
    return memory == MAP_FAILED ? &none : static_cast<const std::atomic<std::int64_t>*>(memory);
  }();
  return mapped;
}
}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  static const auto next = reinterpret_cast<GetTime>(::dlsym(RTLD_NEXT, "clock_gettime"));
  const int outcome = next(clock, time);
  if (outcome == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    const std::int64_t now = time->tv_sec * kSecondNs + time->tv_nsec + shift()->load(std::memory_order_relaxed);
    time->tv_sec = now / kSecondNs;
    time->tv_nsec = now % kSecondNs;
  }
  return outcome;
}

extern "C" int gettimeofday(timeval* time, void*) noexcept {
  timespec now{};
  const int outcome = clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return outcome;
}

extern "C" time_t time(time_t* out) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != nullptr) *out = now.tv_sec;
  return now.tv_sec;
}
