#include "gateway/http_field.h"

#include <array>
#include <cstring>

#include "gateway/http_scan.h"

namespace tollgate::gateway {
namespace {
constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

constexpr auto kIsTokenChar = [] {
  std::array<bool, 256> is{};
  for (char c = 'a'; c <= 'z'; ++c) is[static_cast<unsigned char>(c)] = true;
  for (char c = 'A'; c <= 'Z'; ++c) is[static_cast<unsigned char>(c)] = true;
  for (char c = '0'; c <= '9'; ++c) is[static_cast<unsigned char>(c)] = true;
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) is[static_cast<unsigned char>(c)] = true;
  return is;
}();

template <class Word>
Word word_at(const char* text) noexcept {
  Word word = 0;
  std::memcpy(&word, text, sizeof word);
  return word;
}

// With the bit that lower-case letters have and their capitals lack. Of the characters of tokens it changes '_' and '^'
// besides, into none that stands in a known name.
template <class Word>
bool same_word(const char* name, const char* known) noexcept {
  constexpr Word kLowerCase = static_cast<Word>(0x2020202020202020U);
  return (word_at<Word>(name) | kLowerCase) == word_at<Word>(known);
}

// The last word overlaps those before it.
template <class Word>
bool same_words(std::string_view name, std::string_view known) noexcept {
  const std::size_t last = name.size() - sizeof(Word);
  for (std::size_t at = 0; at < last; at += sizeof(Word)) {
    if (!same_word<Word>(name.data() + at, known.data() + at)) return false;
  }
  return same_word<Word>(name.data() + last, known.data() + last);
}

// `name` is a token, `known` in lower case, both of the same size.
bool is_known(std::string_view name, std::string_view known) noexcept {
  if (name.size() >= sizeof(std::uint64_t)) return same_words<std::uint64_t>(name, known);
  if (name.size() >= sizeof(std::uint32_t)) return same_words<std::uint32_t>(name, known);
  return same_words<std::uint16_t>(name, known);
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
    if (is_known(name, known.name)) return known.id;
    bool underscore = false;
    std::size_t at = 0;
    for (; at < name.size(); ++at) {
      const char c = lower(name[at]);
      if (c == known.name[at]) continue;
      if (c != '_' || known.name[at] != '-') break;
      underscore = true;
    }
    if (at == name.size() && underscore) return FieldId::owned;
  }
  return FieldId::other;
}

bool is_token(std::string_view text) noexcept { return !text.empty() && token_size(text) == text.size(); }

std::size_t token_size(std::string_view text) noexcept {
  std::size_t size = 0;
  while (size < text.size() && kIsTokenChar[static_cast<unsigned char>(text[size])]) ++size;
  return size;
}

bool is_field_value(std::string_view text) noexcept { return field_value_size(text) == text.size(); }

}  // namespace tollgate::gateway
