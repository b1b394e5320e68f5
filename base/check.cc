#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace tollgate {

void check_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "tollgate: CHECK failed: %s (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace tollgate
