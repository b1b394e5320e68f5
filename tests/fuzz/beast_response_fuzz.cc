// Beast as second reader of what goes to clients: exactly one answer, the same status, reason, fields and body.
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <string>

#include "tests/fuzz/forwarded.h"
#include "tests/fuzz/fuzz.h"

namespace http = boost::beast::http;

namespace {
std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }
}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tollgate::fuzz;
  const Input input(data, size);
  const Asked asked{(input.choice & 1U) != 0, (input.choice & 2U) != 0};
  const auto forwarded = forward_response(input.bytes, asked);
  if (!forwarded) return 0;
  tollgate::gateway::ResponseHead ours;
  const auto head = std::string_view(forwarded->bytes).substr(0, forwarded->head_bytes);
  FUZZ_CHECK(ours.parse(head, asked.head, kWrittenLimits));

  http::response_parser<http::string_body> beast;
  beast.eager(true);
  beast.skip(asked.head);
  beast.header_limit(1 << 20);
  beast.body_limit(1 << 30);
  boost::system::error_code error;
  std::size_t read = 0;
  while (!error && !beast.is_done() && read < forwarded->bytes.size()) {
    read += beast.put(boost::asio::buffer(forwarded->bytes.data() + read, forwarded->bytes.size() - read), error);
  }
  if (!error && !beast.is_done()) beast.put_eof(error);
  FUZZ_CHECK(!error && beast.is_done() && read == forwarded->bytes.size());
  const auto& theirs = beast.get();
  FUZZ_CHECK(static_cast<int>(theirs.result_int()) == ours.status && theirs.version() == 11);
  if (!ours.reason.empty()) FUZZ_CHECK(view(theirs.reason()) == ours.reason);  // Beast makes up one that is empty
  std::size_t fields = 0;
  for (const auto& field : theirs) {
    fields += field.name_string().empty() ? 0U : 1U;
  }
  FUZZ_CHECK(fields == ours.fields.size());
  for (const auto& field : ours.fields) {
    bool found = false;
    const auto range = theirs.equal_range({field.name.data(), field.name.size()});
    for (auto it = range.first; it != range.second; ++it) found = found || view(it->value()) == field.value;
    FUZZ_CHECK(found);
  }
  FUZZ_CHECK(theirs.body() == forwarded->body);
  return 0;
}
