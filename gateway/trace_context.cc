#include "gateway/trace_context.h"

namespace tollgate::gateway {
namespace {
// version "-" trace-id "-" parent-id "-" flags; later versions may add more behind another dash.
constexpr std::size_t kTraceAt = 3;
constexpr std::size_t kTraceSize = 32;
constexpr std::size_t kParentAt = kTraceAt + kTraceSize + 1;
constexpr std::size_t kParentSize = 16;
constexpr std::size_t kFlagsAt = kParentAt + kParentSize + 1;
constexpr std::size_t kSize = kFlagsAt + 2;

bool is_lower_hex(std::string_view text) noexcept {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_id(std::string_view text) noexcept {  // all zeros means none
  return is_lower_hex(text) && text.find_first_not_of('0') != std::string_view::npos;
}

bool is_trace_parent(std::string_view text) noexcept {
  if (text.size() < kSize) return false;
  const auto version = text.substr(0, 2);
  if (!is_lower_hex(version) || version == "ff") return false;
  if (text.size() > kSize && (version == "00" || text[kSize] != '-')) return false;
  return text[kTraceAt - 1] == '-' && text[kParentAt - 1] == '-' && text[kFlagsAt - 1] == '-' &&
         is_id(text.substr(kTraceAt, kTraceSize)) && is_id(text.substr(kParentAt, kParentSize)) &&
         is_lower_hex(text.substr(kFlagsAt, 2));
}
}  // namespace

std::string_view trace_id_of(const std::vector<Field>& fields) noexcept {
  const Field* parent = nullptr;
  for (const Field& field : fields) {
    if (!equals_ignoring_case(field.name, "traceparent")) continue;
    if (parent != nullptr) return {};
    parent = &field;
  }
  if (parent == nullptr || !is_trace_parent(parent->value)) return {};
  return parent->value.substr(kTraceAt, kTraceSize);
}

}  // namespace tollgate::gateway
