#include "gateway/http_target.h"

#include <gtest/gtest.h>

#include <rapidcheck/gtest.h>
#include <optional>

#include <string>

namespace tollgate::gateway {
namespace {

std::optional<Target> parsed(std::string_view text) {
  Target target;
  target.authority = "of the one before";
  target.has_query = target.is_https = true;
  if (!parse_target(text, target)) return std::nullopt;
  return target;
}

TEST(Target, IsPathAndQueryAsTheyWereWritten) {
  const auto target = parsed("/v1/detect?a=b&c=%20%2F");
  ASSERT_TRUE(target.has_value());
  EXPECT_EQ(target->authority, "");
  EXPECT_EQ(target->path, "/v1/detect");
  EXPECT_TRUE(target->has_query);
  EXPECT_EQ(target->query, "a=b&c=%20%2F");
}

TEST(Target, WithAnEmptyQueryIsNotOneWithout) {
  EXPECT_TRUE(parsed("/a?")->has_query);
  EXPECT_FALSE(parsed("/a")->has_query);
  EXPECT_EQ(parsed("/a?b?c")->query, "b?c");
}

TEST(Target, MayBeAbsoluteOverHttp) {
  const auto target = parsed("HTTP://Example.com:8080/a?b");
  ASSERT_TRUE(target.has_value());
  EXPECT_EQ(target->authority, "Example.com:8080");
  EXPECT_EQ(target->path, "/a");
  EXPECT_EQ(target->query, "b");
  EXPECT_EQ(parsed("https://[::1]")->path, "/");
  for (const char* text :
       {"ftp://a/b", "http:/a", "http:///b", "http://user@a/b", "http://user:pw@a/", "http://a:99999/", "http://a b/",
        "http://a?x", "http://a:x/", "javascript://a/", "http//a"}) {
    EXPECT_FALSE(parsed(text).has_value()) << text;
  }
}

TEST(Target, ThatCouldBeReadInTwoWaysIsRefused) {
  for (const char* text :
       {"",          "*",         "a",         "a/b",     "?a",       "//",           "//a",     "/a//b", "/a/b//",
        "/.",        "/..",       "/./",       "/a/.",    "/a/..",    "/a/./b",       "/a/../b", "/%2e",  "/%2E",
        "/a/%2e%2e", "/a/%2e.",   "/a/.%2E/b", "/a/..;x", "/a/.;x/b", "/a/%2e%2e;/b", "/%41",    "/a%7e", "/a;x=1",
        "/a%2fb",    "/a%2Fb",    "/a%5cb",    "/a%5Cb",  "/a%00",    "/a%0d%0ab",    "/a%1f",   "/a%7f", "/a%",
        "/a%4",      "/a%4g",     "/a%g4",     "/a\\b",   "/a#b",     "/a?b#c",       "/a b",    "/a\tb", "/a\x01",
        "/a\x7f",    "/\xc3\xa9", "/a?\xff",   "/a?%zz",  "/a?%4",    "/a?%"}) {
    EXPECT_FALSE(parsed(text).has_value()) << text;
  }
  EXPECT_FALSE(parsed(std::string_view("/a\0b", 4)).has_value());
}

TEST(Target, WithDotsInsideASegmentIsAPlainPath) {
  for (const char* text : {"/", "/a.b", "/...", "/a..b", "/.well-known", "/a/", "/a/..b", "/a/b..", "/a%20b",
                           "/a?b=../..&c=//&d=%2e%2e%2f%00", "/%E4%BD%A0"}) {
    EXPECT_TRUE(parsed(text).has_value()) << text;
  }
}

RC_GTEST_PROP(Target, IsTheVeryBytesItWasReadFrom, ()) {
  // Nothing is rewritten: path and query, put together again, are the text.
  const auto text = "/" + *rc::gen::container<std::string>(rc::gen::elementOf(std::string("/.%2eEfFa5;?&=#\\ :")));
  const auto target = parsed(text);
  if (!target) return;
  std::string again(target->path);
  if (target->has_query) again += "?" + std::string(target->query);
  RC_ASSERT(again == text);
  RC_ASSERT(target->path.find("//") == std::string_view::npos);
}

TEST(Authority, IsAHostAndAtMostOnePort) {
  for (const char* text : {"a", "example.com", "Example.COM:80", "10.0.0.1", "10.0.0.1:65535", "[::1]", "[::1]:8080",
                           "a_b", "[2001:db8::1]", "a:0"}) {
    EXPECT_TRUE(is_valid_authority(text)) << text;
  }
  for (const char* text :
       {"",     ":80", "a:", "a:65536", "a:123456", "a:-1",   "a:8o", "a:80:80", "user@a", "a/b",      "a b",   "a,b",
        "[::1", "::1", "[]", "[::1]80", "[::1]:",   "[g::1]", "a?b",  "a#",      "a\\b",   "\xc3\xa9", "[::1]]"}) {
    EXPECT_FALSE(is_valid_authority(text)) << text;
  }
  EXPECT_TRUE(is_valid_authority(std::string(255, 'a')));
  EXPECT_FALSE(is_valid_authority(std::string(256, 'a')));
}

TEST(Authority, HasAHostWithoutItsPort) {
  EXPECT_EQ(host_of("Example.com:8080"), "Example.com");
  EXPECT_EQ(host_of("example.com"), "example.com");
  EXPECT_EQ(host_of("[::1]:80"), "[::1]");
  EXPECT_EQ(host_of("[::1]"), "[::1]");
}

}  // namespace

}  // namespace tollgate::gateway
