// Names and secrets: the form of ids, fresh random ids, API keys and their hashes.
// Keys are only ever kept as hashes; the key itself lives in the answer that created it and nowhere else.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace tollgate {

// [a-z0-9][a-z0-9-]{0,62}, api.md.
[[nodiscard]] bool is_valid_id(std::string_view id) noexcept;

// `prefix` followed by '-' and 80 random bits in base 32: a valid id when the prefix is one of at most 40 bytes.
[[nodiscard]] std::string random_id(std::string_view prefix);

// Lower-case hex of `bytes` (at most 64) random bytes: tokens and secrets.
[[nodiscard]] std::string random_hex(std::size_t bytes);

using Sha256 = std::array<std::uint8_t, 32>;
[[nodiscard]] Sha256 sha256(std::string_view data) noexcept;  // any thread; no allocation in steady state
[[nodiscard]] std::string to_hex(std::string_view bytes);

// Equal or not in time that depends on the lengths alone.
[[nodiscard]] bool equal_in_constant_time(std::string_view a, std::string_view b) noexcept;
[[nodiscard]] inline bool equal_in_constant_time(const Sha256& a, const Sha256& b) noexcept {
  using Words = std::array<std::uint64_t, 4>;
  const auto left = std::bit_cast<Words>(a);
  const auto right = std::bit_cast<Words>(b);
  return ((left[0] ^ right[0]) | (left[1] ^ right[1]) | (left[2] ^ right[2]) | (left[3] ^ right[3])) == 0;
}

// An API key: "tg_", 160 random bits and a 20-bit checksum, in base 32 of lower-case letters and digits.
[[nodiscard]] std::string make_api_key();

// An account's own read-only token for the admin API: "tgr_", and the rest as of a key.
[[nodiscard]] std::string make_account_token();
inline constexpr std::string_view kAccountTokenPrefix = "tgr_";

// Form and checksum only; says nothing about whether the key was ever given out.
[[nodiscard]] bool looks_like_api_key(std::string_view key) noexcept;

}  // namespace tollgate
