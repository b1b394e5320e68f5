#include <gtest/gtest.h>

#include <string>

#include "gateway/http_head.h"

namespace tollgate::gateway {
namespace {

class Reader {
 public:
  bool read(const std::string& text, bool request_was_head = false, HeadLimits limits = {}) {
    text_ = text;
    return head.parse(text_, request_was_head, limits);
  }
  bool with(const std::string& fields, bool request_was_head = false) {
    return read("HTTP/1.1 200 OK\r\n" + fields + "\r\n", request_was_head);
  }

  ResponseHead head;

 private:
  std::string text_;
};

TEST(ResponseHead, IsReadInPlace) {
  Reader reader;
  ASSERT_TRUE(reader.read("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nX-Y:  z \r\n\r\n"));
  EXPECT_EQ(reader.head.status, 404);
  EXPECT_EQ(reader.head.reason, "Not Found");
  EXPECT_EQ(reader.head.body, BodyKind::length);
  EXPECT_EQ(reader.head.content_length, 5U);
  EXPECT_TRUE(reader.head.keep_alive);
  EXPECT_EQ(reader.head.fields[1].value, "z");
  ASSERT_TRUE(reader.read("HTTP/1.1 200\r\n\r\n"));
  EXPECT_EQ(reader.head.reason, "");
  ASSERT_TRUE(reader.read("HTTP/1.1 200 \r\n\r\n"));
}

TEST(ResponseHead, WithABadStatusLineIsRefused) {
  Reader reader;
  for (const char* line :
       {"HTTP/1.1 000 X",   "HTTP/1.1 099 X",   "HTTP/1.1 600 X",      "HTTP/1.1 999 X",    "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK", "HTTP/1.1  200 OK", "HTTP/1.1 200OK",      "HTTP/2.0 200 OK",   "HTTP/1.2 200 OK",
        "http/1.1 200 OK",  "HTTP/1.1 -20 OK",  "HTTP/1.1 2x0 OK",     "HTTP/1.1",          "ICY 200 OK",
        " HTTP/1.1 200 OK", "HTTP/1.1\t200 OK", "HTTP/1.1 200 O\x01K", "HTTP/1.1 200 O\rK", "HTTP/1.1 200 O\x7fK"}) {
    EXPECT_FALSE(reader.read(std::string(line) + "\r\nContent-Length: 0\r\n\r\n")) << line;
  }
}

TEST(ResponseHead, WithAmbiguousFramingIsRefused) {
  Reader reader;
  for (const char* fields :
       {"Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n", "Content-Length: -1\r\n", "Content-Length:\r\n",
        "Content-Length: 999999999999999999999\r\n", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"}) {
    EXPECT_FALSE(reader.with(fields)) << fields;
    EXPECT_FALSE(reader.with(fields, true)) << fields << " (to HEAD)";
  }
  EXPECT_FALSE(reader.read("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
}

TEST(ResponseHead, WithABadFieldIsRefused) {
  Reader reader;
  for (const char* fields : {" X: a\r\n", "X: a\r\n b\r\n", "X : a\r\n", "X\r\n", ": a\r\n", "X: a\rb\r\n",
                             "X: a\x01\r\n", "Connection: a b\r\n"}) {
    EXPECT_FALSE(reader.with(fields)) << fields;
  }
  EXPECT_FALSE(reader.with("X: a" + std::string(1, '\0') + "\r\n"));
  EXPECT_TRUE(reader.read("HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n", false, HeadLimits{2, 10}));
  EXPECT_FALSE(reader.read("HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\nE: f\r\n\r\n", false, HeadLimits{2, 10}));
}

// RFC 9112 6.3.
TEST(ResponseHead, HasTheBodyThatItsRequestStatusAndFieldsDemand) {
  Reader reader;
  ASSERT_TRUE(reader.with("Transfer-Encoding: chunked\r\n"));
  EXPECT_EQ(reader.head.body, BodyKind::chunked);
  ASSERT_TRUE(reader.with(""));
  EXPECT_EQ(reader.head.body, BodyKind::until_close);
  EXPECT_FALSE(reader.head.keep_alive) << "what ends with the connection cannot be followed by anything";
  ASSERT_TRUE(reader.with("Content-Length: 0\r\n"));
  EXPECT_EQ(reader.head.body, BodyKind::none);
  EXPECT_TRUE(reader.head.has_content_length);
  ASSERT_TRUE(reader.with("Content-Length: 5\r\n", true));
  EXPECT_EQ(reader.head.body, BodyKind::none);
  EXPECT_TRUE(reader.head.has_content_length);
  EXPECT_EQ(reader.head.content_length, 5U);
  EXPECT_TRUE(reader.head.keep_alive);
  for (const char* status : {"100", "101", "103", "204", "304"}) {
    ASSERT_TRUE(reader.read("HTTP/1.1 " + std::string(status) + " X\r\nContent-Length: 5\r\n\r\n")) << status;
    EXPECT_EQ(reader.head.body, BodyKind::none) << status;
    ASSERT_TRUE(reader.read("HTTP/1.1 " + std::string(status) + " X\r\n\r\n")) << status;
    EXPECT_EQ(reader.head.body, BodyKind::none) << status;
    EXPECT_TRUE(reader.head.keep_alive) << status;
  }
}

TEST(ResponseHead, KeepsTheConnectionOnlyInHttp11AndUnlessItSaysClose) {
  Reader reader;
  ASSERT_TRUE(reader.with("Content-Length: 0\r\nConnection: Close\r\n"));
  EXPECT_FALSE(reader.head.keep_alive);
  ASSERT_TRUE(reader.read("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"));
  EXPECT_FALSE(reader.head.keep_alive);
}

TEST(ResponseHead, SaysThatTheCallFailed) {
  Reader reader;
  ASSERT_TRUE(reader.with("X-Call-Outcome: Failed\r\n"));
  EXPECT_TRUE(reader.head.outcome_failed);
  ASSERT_TRUE(reader.with("X-Call-Outcome: succeeded\r\n"));
  EXPECT_FALSE(reader.head.outcome_failed);
  ASSERT_TRUE(reader.with("X-Call-Outcome: ok\r\nX-Call-Outcome: failed\r\n"));
  EXPECT_TRUE(reader.head.outcome_failed);
  ASSERT_TRUE(reader.with(""));
  EXPECT_FALSE(reader.head.outcome_failed) << "a record that is reused must not remember";
}

}  // namespace
}  // namespace tollgate::gateway
