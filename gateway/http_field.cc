#include "gateway/http_field.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace tollgate::gateway {
namespace {
constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

enum CharClass : std::uint8_t { kToken = 1, kValue = 2 };

constexpr std::array<std::uint8_t, 256> make_classes() {
  std::array<std::uint8_t, 256> classes{};
  for (int c = 0x20; c < 256; ++c) {
    if (c != 0x7f) classes[static_cast<std::size_t>(c)] |= kValue;
  }
  classes['\t'] |= kValue;
  for (char c = 'a'; c <= 'z'; ++c) classes[static_cast<unsigned char>(c)] |= kToken;
  for (char c = 'A'; c <= 'Z'; ++c) classes[static_cast<unsigned char>(c)] |= kToken;
  for (char c = '0'; c <= '9'; ++c) classes[static_cast<unsigned char>(c)] |= kToken;
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) classes[static_cast<unsigned char>(c)] |= kToken;
  return classes;
}
constexpr auto kClasses = make_classes();

bool all_of_class(std::string_view text, CharClass wanted) noexcept {
  std::uint8_t all = wanted;
  for (char c : text) all &= kClasses[static_cast<unsigned char>(c)];
  return all != 0;
}

// Eight characters at once, each in a byte of a word. No control and no DEL among them; a tab counts as one here.
constexpr std::uint64_t in_each_byte(std::uint8_t byte) noexcept { return ~std::uint64_t{0} / 255 * byte; }
bool plain(std::uint64_t eight) noexcept {
  const std::uint64_t below_space = (eight - in_each_byte(0x20)) & ~eight;
  const std::uint64_t against_del = eight ^ in_each_byte(0x7f);
  const std::uint64_t is_del = (against_del - in_each_byte(1)) & ~against_del;
  return ((below_space | is_del) & in_each_byte(0x80)) == 0;
}
std::uint64_t eight_at(const char* text) noexcept {
  std::uint64_t eight = 0;
  std::memcpy(&eight, text, sizeof eight);
  return eight;
}

struct KnownField {
  std::string_view name;
  FieldId id;
};

// Sorted by length, so that a name is compared only with those of its own length.
constexpr std::array kKnownFields = {
    KnownField{"te", FieldId::hop_by_hop},
    KnownField{"via", FieldId::via},
    KnownField{"date", FieldId::date},
    KnownField{"host", FieldId::host},
    KnownField{"expect", FieldId::expect},
    KnownField{"trailer", FieldId::hop_by_hop},
    KnownField{"upgrade", FieldId::hop_by_hop},
    KnownField{"x-api-key", FieldId::api_key},
    KnownField{"x-account", FieldId::owned},
    KnownField{"x-service", FieldId::owned},
    KnownField{"x-real-ip", FieldId::owned},
    KnownField{"forwarded", FieldId::owned},
    KnownField{"ratelimit", FieldId::rate_limit},
    KnownField{"connection", FieldId::connection},
    KnownField{"keep-alive", FieldId::hop_by_hop},
    KnownField{"x-request-id", FieldId::owned},
    KnownField{"authorization", FieldId::authorization},
    KnownField{"content-length", FieldId::content_length},
    KnownField{"http2-settings", FieldId::hop_by_hop},
    KnownField{"x-call-outcome", FieldId::call_outcome},
    KnownField{"x-forwarded-for", FieldId::forwarded_for},
    KnownField{"x-forwarded-host", FieldId::forwarded_host},
    KnownField{"x-forwarded-port", FieldId::owned},
    KnownField{"proxy-connection", FieldId::hop_by_hop},
    KnownField{"ratelimit-policy", FieldId::rate_limit},
    KnownField{"x-forwarded-proto", FieldId::forwarded_proto},
    KnownField{"transfer-encoding", FieldId::transfer_encoding},
    KnownField{"proxy-authenticate", FieldId::hop_by_hop},
    KnownField{"proxy-authorization", FieldId::hop_by_hop},
    KnownField{"x-ratelimit-limit-requests", FieldId::rate_limit},
    KnownField{"x-ratelimit-reset-requests", FieldId::rate_limit},
    KnownField{"x-ratelimit-remaining-requests", FieldId::rate_limit},
};
constexpr std::size_t kNameMax = kKnownFields.back().name.size();

// kFirstOfLength[n]: index of the first known field of length n or more.
constexpr auto kFirstOfLength = [] {
  std::array<std::uint8_t, kNameMax + 2> first{};
  for (std::size_t length = 0; length < first.size(); ++length) {
    std::uint8_t index = 0;
    while (index < kKnownFields.size() && kKnownFields[index].name.size() < length) ++index;
    first[length] = index;
  }
  return first;
}();
}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view lower_case) noexcept {
  if (a.size() != lower_case.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower_case[i]) return false;
  }
  return true;
}

FieldId classify_field(std::string_view name) noexcept {
  if (name.size() > kNameMax) return FieldId::other;
  if (name.empty()) return FieldId::other;
  const char first = lower(name.front());
  for (std::size_t i = kFirstOfLength[name.size()]; i < kFirstOfLength[name.size() + 1]; ++i) {
    const KnownField& known = kKnownFields[i];
    if (first != known.name.front()) continue;
    bool underscore = false;
    std::size_t at = 0;
    for (; at < name.size(); ++at) {
      const char c = lower(name[at]);
      if (c == known.name[at]) continue;
      if (c != '_' || known.name[at] != '-') break;
      underscore = true;
    }
    if (at == name.size()) return underscore ? FieldId::owned : known.id;
  }
  return FieldId::other;
}

bool is_token(std::string_view text) noexcept { return !text.empty() && all_of_class(text, kToken); }

std::size_t token_size(std::string_view text) noexcept {
  std::size_t size = 0;
  while (size < text.size() && (kClasses[static_cast<unsigned char>(text[size])] & kToken) != 0) ++size;
  return size;
}

// The last eight overlap those before them.
bool is_field_value(std::string_view text) noexcept {
  constexpr std::size_t kStep = sizeof(std::uint64_t);
  if (text.size() < kStep) return all_of_class(text, kValue);
  bool all = plain(eight_at(text.data() + text.size() - kStep));
  for (std::size_t at = 0; at + kStep < text.size(); at += kStep) all = all && plain(eight_at(text.data() + at));
  return all || all_of_class(text, kValue);
}

}  // namespace tollgate::gateway
