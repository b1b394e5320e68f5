#define OPENSSL_SUPPRESS_DEPRECATED  // SHA256_*: see sha256()

#include "base/ids.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sys/random.h>

#include "base/check.h"

namespace tollgate {
namespace {
constexpr std::string_view kBase32 = "0123456789abcdefghjkmnpqrstvwxyz";  // no i, l, o, u: fewer misreadings
constexpr std::string_view kKeyPrefix = "tg_";
constexpr std::size_t kKeyRandomChars = 32;   // 160 bits
constexpr std::size_t kKeyChecksumChars = 4;  // 20 bits: a mistyped key passes once in a million

void fill_random(std::uint8_t* out, std::size_t size) {
  // Up to 256 bytes getrandom neither fails nor returns short once the pool is ready (man 2 getrandom).
  TOLLGATE_CHECK(size <= 256 && ::getrandom(out, size, 0) == static_cast<ssize_t>(size));
}

std::string random_base32(std::size_t chars) {
  std::array<std::uint8_t, 64> bytes{};
  TOLLGATE_CHECK(chars <= bytes.size());
  fill_random(bytes.data(), chars);
  std::string text(chars, '0');
  for (std::size_t i = 0; i < chars; ++i) text[i] = kBase32[bytes[i] % kBase32.size()];
  return text;
}

std::array<char, kKeyChecksumChars> key_checksum(std::string_view random_part) noexcept {
  const Sha256 digest = sha256(random_part);
  std::array<char, kKeyChecksumChars> text{};
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = kBase32[digest[i] % kBase32.size()];
  return text;
}

std::string make_secret(std::string_view prefix) {
  const std::string random_part = random_base32(kKeyRandomChars);
  const auto checksum = key_checksum(random_part);
  return std::string(prefix) + random_part + std::string(checksum.data(), checksum.size());
}
}  // namespace

bool is_valid_id(std::string_view id) noexcept {
  if (id.empty() || id.size() > 63 || id.front() == '-') return false;
  for (char c : id) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
  }
  return true;
}

std::string random_id(std::string_view prefix) { return std::string(prefix) + "-" + random_base32(16); }

std::string random_hex(std::size_t bytes) {
  std::array<std::uint8_t, 64> raw{};
  TOLLGATE_CHECK(bytes <= raw.size());
  fill_random(raw.data(), bytes);
  return to_hex({reinterpret_cast<const char*>(raw.data()), bytes});
}

Sha256 sha256(std::string_view data) noexcept {
  // By the old interface, which OpenSSL 3 would have us leave: the new one allocates at each hash, and takes longer.
  SHA256_CTX state;
  Sha256 out{};
  TOLLGATE_CHECK(SHA256_Init(&state) == 1 && SHA256_Update(&state, data.data(), data.size()) == 1 &&
                 SHA256_Final(out.data(), &state) == 1);
  return out;
}

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (char c : bytes) {
    const auto byte = static_cast<std::uint8_t>(c);
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string make_api_key() { return make_secret(kKeyPrefix); }

std::string make_account_token() { return make_secret(kAccountTokenPrefix); }

bool looks_like_api_key(std::string_view key) noexcept {
  if (key.size() != kKeyPrefix.size() + kKeyRandomChars + kKeyChecksumChars || !key.starts_with(kKeyPrefix)) {
    return false;
  }
  const auto checksum = key_checksum(key.substr(kKeyPrefix.size(), kKeyRandomChars));
  return key.substr(kKeyPrefix.size() + kKeyRandomChars) == std::string_view(checksum.data(), checksum.size());
}

}  // namespace tollgate
