// Request heads: whatever two parsers could read differently is refused.
#include "gateway/http_head.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>
#include <vector>

namespace tollgate::gateway {
namespace {

using Scan = HeadScanner::Result;

TEST(HeadScanner, FindsTheSameEndHoweverTheHeadIsCut) {
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
  const std::string whole = head + "body\n\r\n\r\n";
  for (std::size_t first = 0; first <= whole.size(); ++first) {
    for (std::size_t second = first; second <= whole.size(); ++second) {
      HeadScanner scanner;
      auto result = scanner.scan(std::string_view(whole).substr(0, first));
      ASSERT_EQ(result, first < head.size() ? Scan::incomplete : Scan::complete) << first;
      if (result == Scan::incomplete) result = scanner.scan(std::string_view(whole).substr(0, second));
      ASSERT_EQ(result, std::max(first, second) < head.size() ? Scan::incomplete : Scan::complete)
          << first << ' ' << second;
      if (result == Scan::incomplete) result = scanner.scan(whole);
      ASSERT_EQ(result, Scan::complete);
      ASSERT_EQ(scanner.bytes(), head.size());
    }
  }
}

TEST(HeadScanner, SeesABareLineFeedAtOnce) {
  for (const std::string_view text :
       {"\n", "GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nHost: a\n", "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHo\nst: a\r\n\r\n", "GET / HTTP/1.1\r\n\n\r\n"}) {
    HeadScanner scanner;
    EXPECT_EQ(scanner.scan(text), Scan::bad) << text;
    // And byte by byte, with the very byte that shows it.
    HeadScanner dripped;
    std::size_t seen_at = 0;
    for (std::size_t n = 1; n <= text.size() && seen_at == 0; ++n) {
      if (dripped.scan(text.substr(0, n)) == Scan::bad) seen_at = n;
    }
    ASSERT_GT(seen_at, 0U) << text;
    EXPECT_EQ(text[seen_at - 1], '\n');
    EXPECT_TRUE(seen_at == 1 || text[seen_at - 2] != '\r') << text;
  }
}

TEST(HeadScanner, TakesNoHeadWithoutAStartLine) {
  HeadScanner scanner;
  EXPECT_EQ(scanner.scan("\r\n"), Scan::bad);
}

TEST(HeadScanner, StartsAgainAfterAReset) {
  HeadScanner scanner;
  ASSERT_EQ(scanner.scan("GET / HTTP/1.1\r\nLong-Field: value\r\n\r\n"), Scan::complete);
  scanner.reset();
  ASSERT_EQ(scanner.scan("A\r\n\r\n"), Scan::complete);
  EXPECT_EQ(scanner.bytes(), 5U);
}

// Parses "line" + fields + blank line; the record and the text it points into live in the reader.
class Reader {
 public:
  HeadFault read(std::string text, HeadLimits limits = {}) {
    text_ = std::move(text);
    HeadScanner scanner;
    EXPECT_EQ(scanner.scan(text_), Scan::complete) << text_;
    return head.parse(text_, limits);
  }
  // A GET of "/" with a Host and these further field lines.
  HeadFault with(const std::string& fields) { return read("GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n"); }
  HeadFault line(const std::string& start) { return read(start + "\r\nHost: a\r\n\r\n"); }

  RequestHead head;

 private:
  std::string text_;
};

TEST(RequestHead, IsReadInPlace) {
  Reader reader;
  ASSERT_EQ(reader.read("POST /v1/detect?x=1 HTTP/1.1\r\nHost: Example.com:80\r\nContent-Length: 42\r\nX-Empty:\r\n"
                        "X-Blank: \t a b\t \r\n\r\n"),
            HeadFault::none);
  const RequestHead& head = reader.head;
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.target.path, "/v1/detect");
  EXPECT_EQ(head.target.query, "x=1");
  EXPECT_EQ(head.host, "Example.com:80");
  EXPECT_EQ(head.body, BodyKind::length);
  EXPECT_EQ(head.content_length, 42U);
  EXPECT_TRUE(head.keep_alive);
  EXPECT_FALSE(head.http_1_0);
  EXPECT_FALSE(head.is_head);
  EXPECT_FALSE(head.is_idempotent);
  ASSERT_EQ(head.fields.size(), 4U);
  EXPECT_EQ(head.fields[2].name, "X-Empty");
  EXPECT_EQ(head.fields[2].value, "");
  EXPECT_EQ(head.fields[3].value, "a b");
}

TEST(RequestHead, WithOneFramingHasThatBody) {
  Reader reader;
  ASSERT_EQ(reader.with(""), HeadFault::none);
  EXPECT_EQ(reader.head.body, BodyKind::none);
  ASSERT_EQ(reader.with("Content-Length: 0\r\n"), HeadFault::none);
  EXPECT_EQ(reader.head.content_length, 0U);
  ASSERT_EQ(reader.with("content-length: 999999999999999999\r\n"), HeadFault::none);
  EXPECT_EQ(reader.head.content_length, 999'999'999'999'999'999U);
  ASSERT_EQ(reader.with("Transfer-Encoding: chunked\r\n"), HeadFault::none);
  EXPECT_EQ(reader.head.body, BodyKind::chunked);
  ASSERT_EQ(reader.with("TRANSFER-ENCODING:\tChunked \r\n"), HeadFault::none);
  EXPECT_EQ(reader.head.body, BodyKind::chunked);
}

TEST(RequestHead, WithTwoFramingsIsRefused) {
  Reader reader;
  for (const char* fields :
       {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n", "content-length: 5\r\nX: y\r\nCONTENT-LENGTH: 5\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"}) {
    EXPECT_EQ(reader.with(fields), HeadFault::bad) << fields;
  }
}

TEST(RequestHead, WithAContentLengthThatIsNotPlainDigitsIsRefused) {
  Reader reader;
  for (const char* value : {"", "+5", "-5", "5,5", "5, 5", "0x5", "5 5", "5.0", "5e0", "a", "5;", "\"5\"",
                            "999999999999999999999", "18446744073709551616", "\xd9\xa5"}) {
    EXPECT_EQ(reader.with("Content-Length: " + std::string(value) + "\r\n"), HeadFault::bad) << value;
  }
}

TEST(RequestHead, WithATransferEncodingOtherThanChunkedIsRefused) {
  Reader reader;
  for (const char* value :
       {"", "identity", "gzip", "gzip, chunked", "chunked, chunked", ",chunked", "chunked,", "chunked;q=1", "xchunked",
        "chunkedx", "chunked\xff", "\"chunked\"", "chunked identity", "chunked\tx"}) {
    EXPECT_EQ(reader.with("Transfer-Encoding: " + std::string(value) + "\r\n"), HeadFault::bad) << value;
  }
  EXPECT_EQ(reader.with("Transfer-Encoding: identity\r\nContent-Length: 5\r\n"), HeadFault::bad);
  EXPECT_EQ(reader.read("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), HeadFault::bad);
}

TEST(RequestHead, HasExactlyOneValidHost) {
  Reader reader;
  const std::string line = "GET / HTTP/1.1\r\n";
  for (const char* fields :
       {"", "Host: a\r\nHost: a\r\n", "Host: a\r\nHost: b\r\n", "Host:\r\n", "Host: user@a\r\n", "Host: a/b\r\n",
        "Host: a:65536\r\n", "Host: a:\r\n", "Host: a b\r\n", "Host: a,b\r\n", "Host: http://a\r\n"}) {
    EXPECT_EQ(reader.read(line + fields + "\r\n"), HeadFault::bad) << fields;
  }
  EXPECT_EQ(reader.read(line + "Host: [::1]:8080\r\n\r\n"), HeadFault::none);
}

TEST(RequestHead, OfHttp10MayLackAHost) {
  Reader reader;
  ASSERT_EQ(reader.read("GET / HTTP/1.0\r\n\r\n"), HeadFault::none);
  EXPECT_EQ(reader.head.host, "");
  EXPECT_EQ(reader.read("GET / HTTP/1.0\r\nHost:\r\n\r\n"), HeadFault::bad);
  EXPECT_EQ(reader.read("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), HeadFault::bad);
}

TEST(RequestHead, InAbsoluteFormMustAgreeWithItsHost) {
  Reader reader;
  ASSERT_EQ(reader.read("GET http://Example.com/a HTTP/1.1\r\nHost: example.COM\r\n\r\n"), HeadFault::none);
  EXPECT_EQ(reader.head.target.path, "/a");
  EXPECT_EQ(reader.read("GET http://b/a HTTP/1.1\r\nHost: a\r\n\r\n"), HeadFault::bad);
  for (const char* same :
       {"http://a:80/ a", "http://a/ a:80", "https://a:443/ a", "HTTPS://A/ a:443", "http://[::1]:80/ [::1]"}) {
    const std::string_view pair(same);
    const auto blank = pair.find(' ');
    const std::string target(pair.substr(0, blank));
    const std::string host(pair.substr(blank + 1));
    EXPECT_EQ(reader.read("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"), HeadFault::none) << same;
  }
  for (const char* other :
       {"http://a:443/ a", "https://a:80/ a", "http://a/ a:443", "http://a:080/ a", "http://a:80/ a:81"}) {
    const std::string_view pair(other);
    const auto blank = pair.find(' ');
    const std::string target(pair.substr(0, blank));
    const std::string host(pair.substr(blank + 1));
    EXPECT_EQ(reader.read("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"), HeadFault::bad) << other;
  }
  EXPECT_EQ(reader.read("GET http://a:81/a HTTP/1.1\r\nHost: a\r\n\r\n"), HeadFault::bad);
  EXPECT_EQ(reader.read("GET http://a/a HTTP/1.1\r\n\r\n"), HeadFault::bad);
  ASSERT_EQ(reader.read("GET http://a/a HTTP/1.0\r\n\r\n"), HeadFault::none);
  EXPECT_EQ(reader.head.host, "a");
}

TEST(RequestHead, WithFoldsBlanksBeforeColonsOrBadNamesIsRefused) {
  Reader reader;
  for (const char* fields :
       {" folded: a\r\n", "\tX: a\r\n", "X: a\r\n b\r\n", "X: a\r\n\tb\r\n", "X: a\r\n \r\n", "X : a\r\n", "X\t: a\r\n",
        ": a\r\n", "X\r\n", "X Y: a\r\n", "X(: a\r\n", "X\xc3\xa9: a\r\n", "\"X\": a\r\n", "X\x01: a\r\n"}) {
    EXPECT_EQ(reader.with(fields), HeadFault::bad) << fields;
  }
  // A fold right after the start line.
  EXPECT_EQ(reader.read("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), HeadFault::bad);
}

TEST(RequestHead, WithAnyControlButTheTabIsRefusedWhereverItIs) {
  Reader reader;
  for (int c = 0; c < 256; ++c) {
    if (c == '\n' || (c >= 0x20 && c != 0x7f)) continue;
    const std::string byte(1, static_cast<char>(c));
    EXPECT_EQ(reader.with("X: a" + byte + "b\r\n"), c == '\t' ? HeadFault::none : HeadFault::bad) << c;
    EXPECT_EQ(reader.with("X" + byte + "Y: a\r\n"), HeadFault::bad) << c;
    EXPECT_EQ(reader.line("GET /a" + byte + "b HTTP/1.1"), HeadFault::bad) << c;
    EXPECT_EQ(reader.line("G" + byte + "T / HTTP/1.1"), HeadFault::bad) << c;
    EXPECT_EQ(reader.line("GET / HTTP/1.1" + byte), HeadFault::bad) << c;
  }
  EXPECT_EQ(reader.with("X: a\r\r\n"), HeadFault::bad);
  EXPECT_EQ(reader.with("X: \xe4\xbd\xa0\r\n"), HeadFault::none);  // obs-text is a value's business
}

TEST(RequestHead, HasAStartLineOfThreePartsWithOneBlankEach) {
  Reader reader;
  for (const char* start :
       {"GET", "GET /", "GET  / HTTP/1.1", "GET /  HTTP/1.1", " GET / HTTP/1.1", "GET / HTTP/1.1 ", "GET\t/\tHTTP/1.1",
        "GET / a HTTP/1.1", "/ HTTP/1.1", "GET / ", "GET / http/1.1", "GET / HTTP/1", "GET / HTTP/1.1x",
        "GET / HTTP/11", "GET / HTTP/a.b", "GET / HTTPS/1.1", "GET / HTTP/1.10"}) {
    EXPECT_EQ(reader.line(start), HeadFault::bad) << start;
  }
}

TEST(RequestHead, OfAVersionThatIsNotServedSaysSo) {
  Reader reader;
  for (const char* version : {"HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/3.0"}) {
    EXPECT_EQ(reader.line("GET / " + std::string(version)), HeadFault::version) << version;
  }
  EXPECT_EQ(reader.line("GET / HTTP/1.0"), HeadFault::none);
  EXPECT_TRUE(reader.head.http_1_0);
}

TEST(RequestHead, KnowsItsMethods) {
  Reader reader;
  for (const char* method : {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}) {
    EXPECT_EQ(reader.line(std::string(method) + " / HTTP/1.1"), HeadFault::none) << method;
    EXPECT_TRUE(reader.head.is_idempotent) << method;
    EXPECT_EQ(reader.head.is_head, method == std::string("HEAD"));
  }
  for (const char* method : {"POST", "PATCH"}) {
    EXPECT_EQ(reader.line(std::string(method) + " / HTTP/1.1"), HeadFault::none) << method;
    EXPECT_FALSE(reader.head.is_idempotent) << method;
  }
  EXPECT_EQ(reader.line("CONNECT a:443 HTTP/1.1"), HeadFault::method_not_allowed);
  EXPECT_EQ(reader.line("TRACE / HTTP/1.1"), HeadFault::method_not_allowed);
  for (const char* method : {"get", "PROPFIND", "G", "GETS"}) {
    EXPECT_EQ(reader.line(std::string(method) + " / HTTP/1.1"), HeadFault::not_implemented) << method;
  }
  EXPECT_EQ(reader.line("G(T / HTTP/1.1"), HeadFault::bad);
}

TEST(RequestHead, HasTheTargetsOfOneReadingOnly) {
  Reader reader;
  for (const char* target : {"*", "a", "/a//b", "/a/../b", "/%2e%2e", "/a%2fb", "/a%5cb", "/a%00", "/a#b", "/a%"}) {
    EXPECT_EQ(reader.line("GET " + std::string(target) + " HTTP/1.1"), HeadFault::bad) << target;
  }
}

TEST(RequestHead, StaysWithinItsLimits) {
  Reader reader;
  const HeadLimits limits{3, 16};
  const std::string fifteen(15, 'a');
  EXPECT_EQ(reader.read("GET /" + fifteen + " HTTP/1.1\r\nHost: a\r\n\r\n", limits), HeadFault::none);
  EXPECT_EQ(reader.read("GET /a" + fifteen + " HTTP/1.1\r\nHost: a\r\n\r\n", limits), HeadFault::target_too_long);
  EXPECT_EQ(reader.read("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n", limits), HeadFault::none);
  EXPECT_EQ(reader.read("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\nE: f\r\n\r\n", limits),
            HeadFault::too_many_fields);
}

TEST(RequestHead, KeepsTheConnectionAsItsVersionAndOptionsSay) {
  Reader reader;
  const auto keeps = [&](const std::string& version, const std::string& fields) {
    EXPECT_EQ(reader.read("GET / " + version + "\r\nHost: a\r\n" + fields + "\r\n"), HeadFault::none) << fields;
    return reader.head.keep_alive;
  };
  EXPECT_TRUE(keeps("HTTP/1.1", ""));
  EXPECT_FALSE(keeps("HTTP/1.1", "Connection: close\r\n"));
  EXPECT_FALSE(keeps("HTTP/1.1", "Connection: X, Close\r\n"));
  EXPECT_FALSE(keeps("HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n"));
  EXPECT_TRUE(keeps("HTTP/1.1", "Connection: closed\r\n"));
  EXPECT_FALSE(keeps("HTTP/1.0", ""));
  EXPECT_TRUE(keeps("HTTP/1.0", "Connection: Keep-Alive\r\n"));
  EXPECT_FALSE(keeps("HTTP/1.0", "Connection: keep-alive, close\r\n"));
  for (const char* value : {"a b", "a;b", "\"close\"", "close;q=1"}) {
    EXPECT_EQ(reader.with("Connection: " + std::string(value) + "\r\n"), HeadFault::bad) << value;
  }
}

TEST(RequestHead, NamesItsHopByHopFieldsInConnection) {
  Reader reader;
  ASSERT_EQ(reader.with("Connection: close, X-One\r\nConnection: x-two\r\n"), HeadFault::none);
  EXPECT_TRUE(named_by_connection(reader.head.fields, "x-one"));
  EXPECT_TRUE(named_by_connection(reader.head.fields, "X-TWO"));
  EXPECT_FALSE(named_by_connection(reader.head.fields, "x-three"));
  EXPECT_FALSE(named_by_connection(reader.head.fields, "x"));
}

// Each of them is looked for among all fields: without a bound one head could cost the product of both.
TEST(RequestHead, NamesNoMoreThanSixtyFourFieldsInConnection) {
  Reader reader;
  std::string names = "a";
  for (int i = 1; i < 64; ++i) names += ",a";
  EXPECT_EQ(reader.with("Connection: " + names + "\r\n"), HeadFault::none);
  EXPECT_EQ(reader.with("Connection: " + names + "\r\nConnection: a\r\n"), HeadFault::bad);
}

TEST(RequestHead, ExpectsAContinueOrNothing) {
  Reader reader;
  ASSERT_EQ(reader.with("Expect: 100-Continue\r\n"), HeadFault::none);
  EXPECT_TRUE(reader.head.expect_continue);
  ASSERT_EQ(reader.with(""), HeadFault::none);
  EXPECT_FALSE(reader.head.expect_continue) << "a record that is reused must not remember";
  for (const char* value : {"", "200-ok", "100-continue, x", "100-continuex", "100"}) {
    EXPECT_EQ(reader.with("Expect: " + std::string(value) + "\r\n"), HeadFault::expectation_failed) << value;
  }
  ASSERT_EQ(reader.read("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"), HeadFault::none);
  EXPECT_FALSE(reader.head.expect_continue);
}

TEST(RequestHead, ForgetsTheRequestBeforeIt) {
  Reader reader;
  ASSERT_EQ(reader.read("HEAD http://a/x?y HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"),
            HeadFault::none);
  ASSERT_EQ(reader.read("POST /z HTTP/1.1\r\nHost: b\r\n\r\n"), HeadFault::none);
  const RequestHead& head = reader.head;
  EXPECT_EQ(head.target.authority, "");
  EXPECT_FALSE(head.target.has_query);
  EXPECT_EQ(head.host, "b");
  EXPECT_EQ(head.fields.size(), 1U);
  EXPECT_EQ(head.body, BodyKind::none);
  EXPECT_EQ(head.content_length, 0U);
  EXPECT_FALSE(head.http_1_0 || head.is_head || head.is_idempotent);
  EXPECT_TRUE(head.keep_alive);
}

RC_GTEST_PROP(RequestHead, OfAnyBytesIsReadOrRefusedWithinThem, ()) {
  // Fragments that mean something, in any order: the parser may refuse, but never reads what is not there.
  const auto parts = *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
      "GET", " ", "/", "HTTP/1.1", "\r\n", "Host", ":", "a", "Content-Length", "5", "chunked", "Transfer-Encoding",
      "\t", ",", "\r", std::string(1, '\0'), "%2e", "?", "http://", "Connection", "close", "\xff"));
  std::string text = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (const auto& part : parts) text += part;
  text += "\r\n\r\n";
  HeadScanner scanner;
  if (scanner.scan(text) != Scan::complete) return;
  const std::string_view exact = std::string_view(text).substr(0, scanner.bytes());
  RequestHead head;
  if (head.parse(exact, {}) != HeadFault::none) return;
  for (const Field& field : head.fields) {
    RC_ASSERT(is_token(field.name));
    RC_ASSERT(is_field_value(field.value));
    RC_ASSERT(field.value.data() + field.value.size() <= exact.data() + exact.size());
  }
}

}  // namespace
}  // namespace tollgate::gateway
