#include "gateway/json_reader.h"

#include <gtest/gtest.h>

namespace tollgate::gateway {
namespace {

// The field that a refused text names; "accepted" if it was not refused.
std::string refused_field(std::string_view text) {
  const auto value = parse_json(text);
  return value.has_error() ? value.error().field : "accepted";
}

std::string refused_code(std::string_view text) {
  const auto value = parse_json(text);
  return value.has_error() ? value.error().code : "accepted";
}

boost::json::value parsed(std::string_view text) { return parse_json(text).value(); }

TEST(ParseJson, TakesAWholeDocument) {
  const auto value = parsed(R"( {"a": [1, -2, "x\"\u6587"], "b": {"c": true, "d": null}} )");
  EXPECT_EQ(canonical_json(value), "{\"a\":[1,-2,\"x\\\"文\"],\"b\":{\"c\":true,\"d\":null}}");
}

TEST(ParseJson, RefusesWhatIsNotJson) {
  for (const auto* text : {"", " ", "{", "{}x", "{} {}", "{'a':1}", "{\"a\":1,}", "[1,]", "{\"a\":01}", "NaN", "nul",
                           "{\"a\" 1}", "// c\n{}", "\xef\xbb\xbf{}", "{\"a\":+1}", "{\"a\":.5}"}) {
    EXPECT_EQ(refused_code(text), "invalid_json") << text;
  }
}

TEST(ParseJson, RefusesRepeatedKeysAndNamesThem) {
  EXPECT_EQ(refused_field(R"({"a":1,"a":1})"), "a");
  EXPECT_EQ(refused_field(R"({"a":1,"\u0061":2})"), "a");
  EXPECT_EQ(refused_field(R"({"totals":[{"hour":1},{"hour":1,"hour":2}]})"), "totals[1].hour");
  EXPECT_EQ(refused_field(R"({"a":{"x":1},"b":{"x":1}})"), "accepted");
}

TEST(ParseJson, RefusesControlCharactersAndInvalidUtf8) {
  EXPECT_EQ(refused_field(R"({"a":"x\u0000y"})"), "a");
  EXPECT_EQ(refused_field(R"({"a":["ok","x\ty"]})"), "a[1]");
  EXPECT_EQ(refused_field(R"({"a":"\u007f"})"), "a");
  EXPECT_EQ(refused_field(R"({"a":"\u0085"})"), "a");
  EXPECT_EQ(refused_field("{\"b\":{\"x\\ty\":1}}"), "b");
  for (const auto* text : {"{\"a\":\"x\ny\"}", "{\"a\":\"\xff\"}", "{\"a\":\"\xc0\xaf\"}", "{\"a\":\"\xed\xa0\x80\"}",
                           "{\"a\":\"\\ud800\"}"}) {
    EXPECT_EQ(refused_code(text), "invalid_json") << text;
  }
}

TEST(ParseJson, NestsToTheLimitAndNoDeeper) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(refused_code(nested(kJsonDepthMax)), "accepted");
  EXPECT_EQ(refused_code(nested(kJsonDepthMax + 1)), "invalid_json");
}

TEST(ParseJson, CanonicalTextDependsOnTheValueAlone) {
  EXPECT_EQ(canonical_json(parsed(R"({"b":1, "a":{"d":"x","c":[]}})")),
            canonical_json(parsed(R"({"a":{"c":[],"d":"\u0078"},"b":1})")));
  EXPECT_NE(canonical_json(parsed(R"({"a":1})")), canonical_json(parsed(R"({"a":"1"})")));
}

// What reading one field `a` of `text` as `Read` does says.
template <class Read>
std::string fault_of(std::string_view text, Read read) {
  const auto value = parsed(text);
  ObjectReader reader(value);
  read(reader);
  const auto fault = reader.finish();
  return fault ? fault->message : "";
}

TEST(ObjectReader, EndsOfLinesAreOnlyInTextsOfLines) {
  for (const auto* text : {R"({"a":"x\ny"})", R"({"a":"x\r"})"}) {
    EXPECT_EQ(fault_of(text, [](ObjectReader& r) { r.optional_text("a"); }), "a: contains control characters");
    EXPECT_EQ(fault_of(text, [](ObjectReader& r) { EXPECT_EQ(r.optional_lines("a", 3).value().front(), 'x'); }), "");
  }
}

TEST(ObjectReader, IntegersAreIntegersInRange) {
  const auto read = [](ObjectReader& r) { r.integer("a", 0, 10); };
  EXPECT_EQ(fault_of(R"({"a":0})", read), "");
  EXPECT_EQ(fault_of(R"({"a":10})", read), "");
  for (const auto* text :
       {R"({"a":-1})", R"({"a":11})", R"({"a":9223372036854775808})", R"({"a":-9223372036854775808})"}) {
    EXPECT_EQ(fault_of(text, read), "a: must be from 0 to 10") << text;
  }
  for (const auto* text : {R"({"a":1.0})", R"({"a":1e1})", R"({"a":"1"})", R"({"a":true})", R"({"a":[1]})",
                           R"({"a":18446744073709551616})"}) {
    EXPECT_EQ(fault_of(text, read), "a: must be an integer") << text;
  }
}

TEST(ObjectReader, MoneyIsADecimalStringAndNeverANumber) {
  const auto read = [](ObjectReader& r) { r.money("a"); };
  EXPECT_EQ(fault_of(R"({"a":"12.5"})", read), "");
  for (const auto* text :
       {R"({"a":12})", R"({"a":12.5})", R"({"a":"12.5000001"})", R"({"a":""})", R"({"a":"1e3"})", R"({"a":" 1"})"}) {
    EXPECT_NE(fault_of(text, read).find("a: must be a decimal string"), std::string::npos) << text;
  }
}

TEST(ObjectReader, NullIsAsGoodAsAbsentWhereAbsentIsGood) {
  const auto read = [](ObjectReader& r) {
    EXPECT_FALSE(r.has("a"));
    EXPECT_EQ(r.optional_text("a"), std::nullopt);
    EXPECT_EQ(r.optional_one_of("a", {"x"}), std::nullopt);
    EXPECT_EQ(r.optional_integer("a", 1, 2), std::nullopt);
    EXPECT_EQ(r.optional_boolean("a"), std::nullopt);
    EXPECT_EQ(r.optional_instant("a"), std::nullopt);
    r.optional_array("a", 1, 2, [](const auto&, const auto&) { ADD_FAILURE(); });
  };
  EXPECT_EQ(fault_of(R"({"a":null})", read), "");
  EXPECT_EQ(fault_of(R"({})", read), "");
  const auto wanted = "a: is required, and null is no value";
  EXPECT_EQ(fault_of(R"({"a":null})", [](ObjectReader& r) { r.text("a"); }), wanted);
  EXPECT_EQ(fault_of(R"({"a":null})", [](ObjectReader& r) { r.integer("a", 0, 1); }), wanted);
  EXPECT_EQ(fault_of(R"({"a":null})", [](ObjectReader& r) { r.boolean("a"); }), wanted);
  EXPECT_EQ(fault_of(R"({"a":null})", [](ObjectReader& r) { r.money("a"); }), wanted);
  EXPECT_EQ(fault_of(R"({"a":null})", [](ObjectReader& r) { r.object("a", [](ObjectReader&) {}); }), wanted);
}

TEST(ObjectReader, EveryTypeNamesWhatItWants) {
  EXPECT_EQ(fault_of(R"({"a":1})", [](ObjectReader& r) { r.text("a"); }), "a: must be a string");
  EXPECT_EQ(fault_of(R"({"a":"xxxx"})", [](ObjectReader& r) { r.text("a", 3); }), "a: is longer than 3 bytes");
  EXPECT_EQ(fault_of(R"({"a":"x"})", [](ObjectReader& r) { r.boolean("a"); }), "a: must be true or false");
  EXPECT_EQ(fault_of(R"({"a":"z"})", [](ObjectReader& r) { r.one_of("a", {"x", "y"}); }), "a: must be one of: x, y");
  EXPECT_EQ(fault_of(R"({"a":"2021-08-20"})", [](ObjectReader& r) { r.instant("a"); }),
            "a: must be a time like 2021-08-20T00:00:00+08:00");
  EXPECT_EQ(fault_of("{}", [](ObjectReader& r) { r.instant("a"); }), "a: is required");
  EXPECT_EQ(fault_of("[]", [](ObjectReader& r) { r.text("a"); }), "the body must be a JSON object");
}

TEST(ObjectReader, UnknownFieldsComeBeforeTheFaultsTheyCause) {
  const auto read = [](ObjectReader& r) {
    r.text("name");
    r.object("route", [](ObjectReader& route) { route.optional_text("host"); });
  };
  EXPECT_EQ(fault_of(R"({"nmae":"x","route":{}})", read), "nmae: is not a field here; there are: name, route");
  EXPECT_EQ(fault_of(R"({"name":"x","route":{"hots":"x"}})", read), "route.hots: is not a field here; there are: host");
  EXPECT_EQ(fault_of(R"({"name":"x","route":7})", read), "route: must be an object");
}

TEST(ObjectReader, FaultsInsideArraysHaveTheirPath) {
  const auto read = [](ObjectReader& r) {
    r.array("totals", 1, 3, [&](const boost::json::value& item, const std::string& path) {
      ObjectReader entry(item, path);
      entry.instant("hour");
      if (auto fault = entry.finish()) r.refuse(*fault);
    });
  };
  EXPECT_EQ(fault_of(R"({"totals":[]})", read), "totals: must have 1 to 3 items");
  EXPECT_EQ(fault_of(R"({"totals":{}})", read), "totals: must be an array");
  EXPECT_EQ(fault_of(R"({"totals":[{"hour":"2021-08-20T00:00:00Z"},{"hour":"x"}]})", read),
            "totals[1].hour: must be a time like 2021-08-20T00:00:00+08:00");
}

TEST(ParseJson, ANumberThatNoDoubleHoldsIsRefused) {
  const auto parsed = parse_json(R"({"a":[1e308,-1e400]})");
  ASSERT_TRUE(parsed.has_error());
  EXPECT_EQ(parsed.error().message, "a[1]: is a number beyond all bounds");
}

}  // namespace
}  // namespace tollgate::gateway
