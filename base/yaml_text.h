// The bytes that YAML allows (YAML 1.2, 5.1), to be asked before yaml-cpp sees a text: it reads for ever at a NUL
// inside a plain text. It parses nothing.
#pragma once

#include <optional>
#include <string_view>

namespace tollgate {

inline constexpr std::string_view kControlInYaml = "there is a control character, which YAML does not allow";

// The line, from 1, of the first control character that is no tab, line feed or carriage return.
[[nodiscard]] constexpr std::optional<int> line_of_control(std::string_view text) noexcept {
  int line = 1;
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') ++line;
    if ((byte < 0x20 && c != '\t' && c != '\n' && c != '\r') || byte == 0x7f) return line;
  }
  return std::nullopt;
}

}  // namespace tollgate
