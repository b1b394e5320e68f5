// Preloaded into a program under test, it makes every sync wait while somebody else holds the lock of a file, as a disk
// that does not answer makes it wait; reads and writes go on. It is a test's tool: nothing of the product links it.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>

namespace {
// A descriptor for each wait: the lock is the descriptor's, and syncs must not wait for each other.
void wait_for_disk() noexcept {
  const char* path = std::getenv("DISK_HANG_FILE");
  const int file = path == nullptr ? -1 : ::open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  while (::flock(file, LOCK_SH) != 0 && errno == EINTR) {
  }
  ::close(file);
}
}  // namespace

extern "C" int msync(void* begin, std::size_t bytes, int flags) {
  using Call = int (*)(void*, std::size_t, int);
  static const auto next = reinterpret_cast<Call>(::dlsym(RTLD_NEXT, "msync"));
  wait_for_disk();
  return next(begin, bytes, flags);
}

extern "C" int fsync(int file) {
  using Call = int (*)(int);
  static const auto next = reinterpret_cast<Call>(::dlsym(RTLD_NEXT, "fsync"));
  wait_for_disk();
  return next(file);
}

extern "C" int fdatasync(int file) {
  using Call = int (*)(int);
  static const auto next = reinterpret_cast<Call>(::dlsym(RTLD_NEXT, "fdatasync"));
  wait_for_disk();
  return next(file);
}
