// Beast as second reader of what goes to upstreams: it has to find exactly one request in it, the same method, target,
// fields and body, and no byte left over.
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
  const auto forwarded = forward_request(input.bytes, (input.choice & 1U) != 0);
  if (!forwarded) return 0;
  tollgate::gateway::RequestHead ours;
  const auto head = std::string_view(forwarded->bytes).substr(0, forwarded->head_bytes);
  FUZZ_CHECK(ours.parse(head, kWrittenLimits) == tollgate::gateway::HeadFault::none);

  http::request_parser<http::string_body> beast;
  beast.eager(true);
  beast.header_limit(1 << 20);
  beast.body_limit(1 << 30);
  boost::system::error_code error;
  std::size_t read = 0;
  while (!error && !beast.is_done() && read < forwarded->bytes.size()) {
    read += beast.put(boost::asio::buffer(forwarded->bytes.data() + read, forwarded->bytes.size() - read), error);
  }
  FUZZ_CHECK(!error && beast.is_done() && read == forwarded->bytes.size());
  const auto& theirs = beast.get();
  FUZZ_CHECK(view(theirs.method_string()) == ours.method && theirs.version() == 11);
  const std::string_view target = view(theirs.target());
  FUZZ_CHECK(target.substr(0, target.find('?')) == ours.target.path);
  FUZZ_CHECK((target.find('?') != std::string_view::npos) == ours.target.has_query);
  if (ours.target.has_query) FUZZ_CHECK(target.substr(target.find('?') + 1) == ours.target.query);
  // Beast keeps fields of one name together, so they are compared by name: each of ours is there with its value.
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
