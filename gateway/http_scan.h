// Looks through the bytes of heads, sixteen at a time: every x86-64 has SSE2. Where a line ends, and where a field
// value does; what stands there is for others to judge.
#pragma once

#include <emmintrin.h>

#include <bit>
#include <cstddef>
#include <string_view>

namespace tollgate::gateway {

// Where the first byte at `from` or behind it stands of which `bits` gives a bit (of sixteen), or the size. `is_wanted`
// says the same of one byte.
template <class Bits, class IsWanted>
[[nodiscard]] inline std::size_t find_byte(std::string_view text, std::size_t from, Bits bits, IsWanted is_wanted) {
  for (; from + sizeof(__m128i) <= text.size(); from += sizeof(__m128i)) {
    const auto* const sixteen = reinterpret_cast<const __m128i*>(text.data() + from);
    const auto found = static_cast<unsigned>(_mm_movemask_epi8(bits(_mm_loadu_si128(sixteen))));
    if (found != 0) return from + static_cast<std::size_t>(std::countr_zero(found));
  }
  while (from < text.size() && !is_wanted(text[from])) ++from;
  return from;
}

// Where the first LF stands at `from` or behind it, or the size.
[[nodiscard]] inline std::size_t find_line_end(std::string_view text, std::size_t from) noexcept {
  return find_byte(
      text, from, [](__m128i sixteen) { return _mm_cmpeq_epi8(sixteen, _mm_set1_epi8('\n')); },
      [](char c) { return c == '\n'; });
}

// Of the field value that it begins with: up to the first byte that none may have (a control but HTAB, or DEL), or the
// end.
[[nodiscard]] inline std::size_t field_value_size(std::string_view text) noexcept {
  return find_byte(
      text, 0,
      [](__m128i sixteen) {
        const __m128i below_space = _mm_cmpeq_epi8(_mm_min_epu8(sixteen, _mm_set1_epi8(0x1f)), sixteen);
        const __m128i tab = _mm_cmpeq_epi8(sixteen, _mm_set1_epi8('\t'));
        const __m128i del = _mm_cmpeq_epi8(sixteen, _mm_set1_epi8(0x7f));
        return _mm_or_si128(_mm_andnot_si128(tab, below_space), del);
      },
      [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; });
}

}  // namespace tollgate::gateway
