// The admin API's JSON: what is accepted is written as text that reads the same, and so is a service's definition.
#include <algorithm>
#include <boost/json.hpp>
#include <string>

#include "gateway/json_reader.h"
#include "gateway/service_definition.h"
#include "tests/fuzz/fuzz.h"

namespace {
// Boost.JSON reads fractions to the last bit or nearly so; no call of the API takes one.
bool has_fraction(const boost::json::value& value) {
  if (const auto* array = value.if_array()) return std::any_of(array->begin(), array->end(), has_fraction);
  if (const auto* object = value.if_object()) {
    return std::any_of(object->begin(), object->end(), [](const auto& field) { return has_fraction(field.value()); });
  }
  return value.is_double();
}
}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tollgate::gateway;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto value = parse_json(text);
  if (value.has_error()) {
    FUZZ_CHECK(!value.error().message.empty() && parse_service_definition(text).has_error());
    return 0;
  }
  const std::string written = canonical_json(*value);
  const auto again = parse_json(written);
  FUZZ_CHECK(again.has_value() && (has_fraction(*value) || canonical_json(*again) == written));

  const auto definition = read_service_definition(*value);
  if (definition.has_error()) {
    FUZZ_CHECK(!definition.error().message.empty());
    return 0;
  }
  const std::string kept = to_json(*definition);
  const auto read = parse_service_definition(kept);
  FUZZ_CHECK(read.has_value() && to_json(*read) == kept);
  FUZZ_CHECK(read->failure_status_set() == definition->failure_status_set());
  return 0;
}
