#include "gateway/version.h"

namespace tollgate::gateway {

const char* version() noexcept { return TOLLGATE_VERSION; }

}  // namespace tollgate::gateway
