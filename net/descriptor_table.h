// A thread's own table of descriptors. The kernel need not count references to what one thread alone can close, and
// each such thread may have as many descriptors as the process (docs/decisions/0051).
#pragma once

#include <boost/system/error_code.hpp>
#include <vector>

namespace tollgate::net {

// From here on this thread, and those that it creates, have a table of their own: with copies of `kept` and of the
// three standard descriptors, under the same numbers, and of nothing else. The process's signals are other threads'
// then. With an error the table is shared as before: not every kernel or sandbox allows it (Linux 5.9). Whoever shared
// the old table closes there what was only meant for this thread.
[[nodiscard]] boost::system::error_code own_descriptors(std::vector<int> kept) noexcept;

}  // namespace tollgate::net
