// Reads the trace that a request says it belongs to (W3C Trace Context), for the access log. It takes no part in a
// trace: the fields are passed on by the head's writer as they came, also where this finds them malformed.
#pragma once

#include <string_view>
#include <vector>

#include "gateway/http_head.h"

namespace tollgate::gateway {

// The 32 hexadecimal digits of the one well-formed `traceparent`; empty if there is none, or more than one.
[[nodiscard]] std::string_view trace_id_of(const std::vector<Field>& fields) noexcept;

}  // namespace tollgate::gateway
