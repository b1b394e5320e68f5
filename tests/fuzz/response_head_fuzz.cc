// Response heads: what is accepted of an upstream is written anew as a head that reads the same, with at most one
// framing and nothing hop-by-hop but our own Connection.
#include <algorithm>
#include <string>

#include "tests/fuzz/forwarded.h"
#include "tests/fuzz/fuzz.h"

namespace tollgate::fuzz {
namespace {
using namespace tollgate::gateway;

std::size_t count(const ResponseHead& response, std::string_view name) {
  return static_cast<std::size_t>(
      std::count_if(response.fields.begin(), response.fields.end(),
                    [&](const Field& field) { return equals_ignoring_case(field.name, name); }));
}

bool passes(const Field& field) {
  return field.id == FieldId::other || field.id == FieldId::rate_limit || field.id == FieldId::date ||
         field.id == FieldId::via;
}

// What must arrive of an upstream's fields, in its order, then ours: Via, and Date in a final answer that has none.
FieldLines expected_fields(const ResponseHead& response) {
  FieldLines expected;
  bool has_date = response.status < 200;
  for (const Field& field : response.fields) {
    if (!passes(field) || named_by_connection(response.fields, field.name)) continue;
    has_date = has_date || field.id == FieldId::date;
    expected.emplace_back(field.name, field.value);
  }
  expected.emplace_back("Via", "1.1 tollgate");
  if (!has_date) expected.emplace_back("Date", kDate);
  return expected;
}

FieldLines written_fields(const ResponseHead& written) {
  FieldLines found;
  for (const Field& field : written.fields) {
    if (passes(field)) found.emplace_back(field.name, field.value);
  }
  return found;
}

void check_written(const ResponseHead& response, const Forwarded& forwarded, Asked asked) {
  const std::string_view out = std::string_view(forwarded.bytes).substr(0, forwarded.head_bytes);
  FUZZ_CHECK(head_at_front(out).size() == out.size());
  ResponseHead written;
  FUZZ_CHECK(written.parse(out, asked.head, kWrittenLimits));
  FUZZ_CHECK(written.status == response.status && written.reason == response.reason);
  const bool chunked = count(written, "transfer-encoding") == 1;
  FUZZ_CHECK(count(written, "transfer-encoding") + count(written, "content-length") <= 1);
  FUZZ_CHECK(count(written, "x-request-id") == 1 && count(written, "connection") == (response.status < 200 ? 0U : 1U));
  const bool endless = response.body == BodyKind::chunked || response.body == BodyKind::until_close;
  FUZZ_CHECK(chunked == (endless && !asked.http_1_0));
  const bool bare = response.status < 200 || response.status == 204;  // no framing at all, whatever came
  if (!endless)
    FUZZ_CHECK(written.body == response.body && (bare || written.content_length == response.content_length));
  for (const Field& field : written.fields) {
    FUZZ_CHECK(field.id != FieldId::hop_by_hop && field.id != FieldId::call_outcome);
    FUZZ_CHECK(field.value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
  }
  FUZZ_CHECK(written_fields(written) == expected_fields(response));
}
}  // namespace
}  // namespace tollgate::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tollgate::fuzz;
  const Input input(data, size);
  const Asked asked{(input.choice & 1U) != 0, (input.choice & 2U) != 0};
  const auto forwarded = forward_response(input.bytes, asked);
  if (!forwarded) return 0;
  tollgate::gateway::ResponseHead response;
  FUZZ_CHECK(response.parse(head_at_front(input.bytes), asked.head, kLimits));
  check_written(response, *forwarded, asked);
  return 0;
}
