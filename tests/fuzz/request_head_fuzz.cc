// Request heads: the scanner finds the same end however the bytes are cut, and what is accepted is written anew as a
// head that reads the same, with one framing, our own fields once each and no key.
#include <algorithm>
#include <string>

#include "tests/fuzz/forwarded.h"
#include "tests/fuzz/fuzz.h"

namespace tollgate::fuzz {
namespace {
using namespace tollgate::gateway;
using Scan = HeadScanner::Result;

void check_cuts(const Input& input) {
  HeadScanner whole;
  const auto expected = whole.scan(input.bytes);
  HeadScanner cut;
  Cuts cuts(input.choice);
  auto result = Scan::incomplete;
  for (std::size_t seen = 0; seen < input.bytes.size() && result == Scan::incomplete;) {
    seen = std::min(seen + cuts.next(), input.bytes.size());
    result = cut.scan(input.bytes.substr(0, seen));
  }
  FUZZ_CHECK(result == expected);
  FUZZ_CHECK(result != Scan::complete || cut.bytes() == whole.bytes());
}

// What of the client's is passed on, in its order.
FieldLines fields_of_others(const RequestHead& request) {
  FieldLines found;
  for (const Field& field : request.fields) {
    const bool passes = field.id == FieldId::other || field.id == FieldId::rate_limit || field.id == FieldId::date ||
                        field.id == FieldId::via;
    if (passes && !named_by_connection(request.fields, field.name)) found.emplace_back(field.name, field.value);
  }
  return found;
}

std::size_t count(const RequestHead& request, std::string_view name) {
  return static_cast<std::size_t>(std::count_if(request.fields.begin(), request.fields.end(), [&](const Field& field) {
    return equals_ignoring_case(field.name, name);
  }));
}

void check_owned(const RequestHead& written, bool chunked, bool has_length) {
  for (const std::string_view once : {"x-account", "x-service", "x-request-id", "x-forwarded-for", "x-forwarded-proto"})
    FUZZ_CHECK(count(written, once) == 1);
  FUZZ_CHECK(count(written, "transfer-encoding") == (chunked ? 1U : 0U));
  FUZZ_CHECK(count(written, "content-length") == (has_length ? 1U : 0U));
  std::size_t owned = 0;
  for (const Field& field : written.fields) {
    owned += field.id == FieldId::owned ? 1U : 0U;
    FUZZ_CHECK(field.id != FieldId::connection && field.id != FieldId::expect && field.id != FieldId::hop_by_hop);
    FUZZ_CHECK(field.id != FieldId::api_key && field.id != FieldId::call_outcome);
    FUZZ_CHECK(field.value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
  }
  FUZZ_CHECK(owned == 3);
  FUZZ_CHECK(presented_key(written).key.empty());
}

void check_written(const RequestHead& request, bool trust_forwarded) {
  std::string out;
  write_request_head(out, request, call_of_ours(trust_forwarded));
  FUZZ_CHECK(head_at_front(out).size() == out.size());
  RequestHead written;
  FUZZ_CHECK(written.parse(out, kWrittenLimits) == HeadFault::none);
  FUZZ_CHECK(written.method == request.method && !written.http_1_0 && written.host == kUpstreamHost);
  FUZZ_CHECK(written.target.authority.empty() && written.target.path == request.target.path);
  if (request.target.query.find("access_token=") == std::string_view::npos) {
    FUZZ_CHECK(written.target.query == request.target.query && written.target.has_query == request.target.has_query);
  }
  FUZZ_CHECK(written.body == request.body && written.content_length == request.content_length);
  FUZZ_CHECK(written.keep_alive && !written.expect_continue);
  FUZZ_CHECK(written.is_head == request.is_head && written.is_idempotent == request.is_idempotent);
  check_owned(written, request.body == BodyKind::chunked, request.body == BodyKind::length);
  auto expected = fields_of_others(request);
  expected.emplace_back("Via", "1.1 tollgate");  // once, behind those of others
  FUZZ_CHECK(fields_of_others(written) == expected);
}
}  // namespace
}  // namespace tollgate::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tollgate::fuzz;
  const Input input(data, size);
  check_cuts(input);
  const auto head = head_at_front(input.bytes);
  if (head.empty()) return 0;
  tollgate::gateway::RequestHead request;
  if (request.parse(head, kLimits) != tollgate::gateway::HeadFault::none) return 0;
  check_written(request, (input.choice & 1U) != 0);
  return 0;
}
