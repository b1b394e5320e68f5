// The version this program was built as, as CMakeLists.txt says it.
// It is not the version of the API or of the store's schema.
#pragma once

namespace tollgate::gateway {

const char* version() noexcept;

}  // namespace tollgate::gateway
