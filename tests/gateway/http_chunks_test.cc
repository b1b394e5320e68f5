#include "gateway/http_chunks.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace tollgate::gateway {
namespace {

struct Decoded {
  std::string data;
  std::size_t consumed = 0;
  bool done = false;
  bool bad = false;
};

// Feeds `encoded` in pieces that end at `cuts` (ascending, inside), as a connection would.
Decoded decode(const std::string& encoded, const std::vector<std::size_t>& cuts) {
  ChunkDecoder decoder;
  Decoded result;
  std::string held;  // bytes that were read but not consumed yet
  std::size_t from = 0;
  std::vector<std::size_t> ends = cuts;
  ends.push_back(encoded.size());
  for (const std::size_t end : ends) {
    held += encoded.substr(from, end - from);
    from = end;
    const auto piece = decoder.decode(held);
    result.data.append(piece.data.data(), piece.data.size());
    result.consumed += piece.consumed;
    held.erase(0, piece.consumed);
    result.done = piece.done;
    result.bad = piece.bad;
    if (piece.done || piece.bad) break;
  }
  return result;
}

Decoded decode_whole(const std::string& encoded) { return decode(encoded, {}); }

std::vector<std::size_t> every_byte(const std::string& text) {
  std::vector<std::size_t> cuts;
  for (std::size_t i = 1; i < text.size(); ++i) cuts.push_back(i);
  return cuts;
}

std::string hex(std::size_t n, bool upper, int zeros) {
  char digits[32];
  const int size = std::snprintf(digits, sizeof digits, upper ? "%zX" : "%zx", n);
  return std::string(static_cast<std::size_t>(zeros), '0') + std::string(digits, static_cast<std::size_t>(size));
}

TEST(ChunkDecoder, GivesTheDataOfAllChunksWithoutExtensionsAndTrailers) {
  const std::string encoded =
      "5;name=\"v\"\r\nhello\r\n1;x\r\n \r\n5\r\nworld\r\n0;end\r\nX-Account: me\r\nHost: b\r\n\r\n";
  for (const auto& decoded : {decode_whole(encoded), decode(encoded, every_byte(encoded))}) {
    EXPECT_TRUE(decoded.done);
    EXPECT_FALSE(decoded.bad);
    EXPECT_EQ(decoded.data, "hello world");
    EXPECT_EQ(decoded.consumed, encoded.size());
  }
}

TEST(ChunkDecoder, OfAnEmptyBodyIsDone) {
  const auto decoded = decode_whole("0\r\n\r\n");
  EXPECT_TRUE(decoded.done);
  EXPECT_EQ(decoded.data, "");
}

TEST(ChunkDecoder, IsNotDoneBeforeTheLastByte) {
  const std::string encoded = "3\r\nabc\r\n0\r\nA: b\r\n\r\n";
  for (std::size_t n = 0; n < encoded.size(); ++n) {
    const auto decoded = decode_whole(encoded.substr(0, n));
    EXPECT_FALSE(decoded.done || decoded.bad) << n;
    EXPECT_EQ(decoded.consumed, n);
  }
}

TEST(ChunkDecoder, LeavesWhatFollowsTheBodyAlone) {
  std::string input = "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
  ChunkDecoder decoder;
  const auto piece = decoder.decode(input);
  EXPECT_TRUE(piece.done);
  EXPECT_EQ(std::string_view(piece.data.data(), piece.data.size()), "abcde");
  EXPECT_EQ(input.substr(piece.consumed), "GET / HTTP/1.1\r\n");
}

// RFC 9112 7.1.1 without blanks: any number of ";name", ";name=token" and ";name=\"quoted\"".
std::string extensions() {
  const auto token = rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::elementOf(std::string("abz09-_~!|"))));
  const auto quoted = rc::gen::container<std::string>(rc::gen::elementOf(std::string("ab; \t:,=\xff\\\"")));
  std::string text;
  for (int n = *rc::gen::inRange(0, 3); n > 0; --n) {
    text += ";" + *token;
    const int kind = *rc::gen::inRange(0, 3);
    if (kind == 1) text += "=" + *token;
    if (kind != 2) continue;
    text += "=\"";
    for (const char c : *quoted) {
      text += c == '\\' || c == '"' ? std::string("\\") + c : std::string(1, c);
    }
    text += '"';
  }
  return text;
}

RC_GTEST_PROP(ChunkDecoder, DecodesAnyChunkingTheSameHoweverItIsCut, ()) {
  const auto chunks = *rc::gen::container<std::vector<std::string>>(rc::gen::nonEmpty(rc::gen::string<std::string>()));
  const auto text_char = rc::gen::elementOf(std::string("abz09-_=\"; \t:,\\\xff"));
  std::string encoded;
  std::string data;
  for (const auto& chunk : chunks) {
    data += chunk;
    encoded += hex(chunk.size(), *rc::gen::arbitrary<bool>(), *rc::gen::inRange(0, 4));
    encoded += extensions() + "\r\n" + chunk + "\r\n";
  }
  encoded += hex(0, false, *rc::gen::inRange(0, 4)) + extensions() + "\r\n";
  for (int lines = *rc::gen::inRange(0, 3); lines > 0; --lines) {
    encoded += "T: " + *rc::gen::container<std::string>(text_char) + "\r\n";
  }
  encoded += "\r\n";
  const std::string behind = *rc::gen::string<std::string>();

  auto cuts = *rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(0, encoded.size()));
  std::sort(cuts.begin(), cuts.end());
  for (const auto& decoded : {decode(encoded + behind, cuts), decode_whole(encoded + behind),
                              decode(encoded + behind, every_byte(encoded))}) {
    RC_ASSERT(decoded.done && !decoded.bad);
    RC_ASSERT(decoded.data == data);
    RC_ASSERT(decoded.consumed == encoded.size());
  }
}

TEST(ChunkDecoder, RefusesWhatIsMalformedHoweverItIsCut) {
  const std::vector<std::string> cases = {"\r\n",
                                          ";a\r\n",
                                          "-5\r\nhello\r\n",
                                          "+5\r\nhello\r\n",
                                          "0x5\r\nhello\r\n",
                                          " 5\r\nhello\r\n",
                                          "5 \r\nhello\r\n",
                                          "5 ;a\r\nhello\r\n",
                                          "5\thello",
                                          "g\r\n",
                                          "5\nhello\r\n",
                                          "5\rhello\r\n",
                                          "5\r\rhello",
                                          "5\r\nhello\n",
                                          "5\r\nhelloX",
                                          "5\r\nhello\rX",
                                          "5\r\nhello0\r\n\r\n",
                                          "5\r\nhello\r\n\r\n0\r\n\r\n",
                                          "12345678123456781\r\n",
                                          "0000000000000000000\r\n",
                                          "5,5\r\n",
                                          "5;a\nb\r\nhello\r\n",
                                          std::string("5;a\0b\r\nhello\r\n", 15),
                                          "5;a\rb\r\nhello\r\n",
                                          "5;a\x7f\r\nhello\r\n",
                                          "5;\r\nhello\r\n",
                                          "5;=a\r\nhello\r\n",
                                          "5;a=\r\nhello\r\n",
                                          "5;a b\r\nhello\r\n",
                                          "5; a\r\nhello\r\n",
                                          "5;a=\"x\r\nhello\r\n",
                                          "5;a=\"x\"y\r\nhello\r\n",
                                          "5;a=x\"y\"\r\nhello\r\n",
                                          "5;a=\"\\\r\nhello\r\n",
                                          "5;;a\r\nhello\r\n",
                                          "0\r\n: b\r\n\r\n",
                                          "5;a=\"\x01\"\r\nhello\r\n",
                                          "0\r\nA: b\n\r\n",
                                          "0\r\n\n",
                                          "0\r\n\rX",
                                          "0\r\n A: b\r\n\r\n",
                                          "0\r\n\tA: b\r\n\r\n",
                                          "0\r\nA: \x01\r\n\r\n",
                                          "0\r\nA: b\rX\r\n\r\n",
                                          std::string("0\r\nA: \0\r\n\r\n", 11),
                                          "\xff\r\n"};
  for (const auto& encoded : cases) {
    for (const auto& decoded : {decode_whole(encoded), decode(encoded, every_byte(encoded))}) {
      EXPECT_TRUE(decoded.bad) << encoded;
      EXPECT_FALSE(decoded.done) << encoded;
    }
  }
}

TEST(ChunkDecoder, StaysBadOnceItIs) {
  ChunkDecoder decoder;
  std::string bad = "x";
  ASSERT_TRUE(decoder.decode(bad).bad);
  std::string good = "0\r\n\r\n";
  const auto piece = decoder.decode(good);
  EXPECT_TRUE(piece.bad);
  EXPECT_FALSE(piece.done);
}

TEST(ChunkDecoder, BoundsExtensionsAndTrailers) {
  const std::string much(64 * 1024, 'e');
  EXPECT_TRUE(decode_whole("5;" + much).bad);
  EXPECT_TRUE(decode_whole("5;a=\"" + much).bad) << "a quote that is never closed";
  EXPECT_TRUE(decode_whole("0\r\nA: " + much).bad);
  std::string lines = "0\r\n";
  for (int i = 0; i < 10'000; ++i) lines += "A: b\r\n";
  EXPECT_TRUE(decode_whole(lines).bad);
  EXPECT_TRUE(decode_whole("0;" + much).bad);
}

// 1 MB as chunks of one byte, each with a little extension: legitimate, and the bound on extensions is per chunk.
TEST(ChunkDecoder, TakesAMegabyteOfOneByteChunks) {
  std::string encoded;
  for (int i = 0; i < 1'000'000; ++i) encoded += "1;a\r\nx\r\n";
  encoded += "0\r\n\r\n";
  const auto decoded = decode_whole(encoded);
  EXPECT_TRUE(decoded.done);
  EXPECT_EQ(decoded.data, std::string(1'000'000, 'x'));
}

TEST(ChunkDecoder, CountsDownAChunkThatIsLargerThanAnyBuffer) {
  ChunkDecoder decoder;
  std::string head = "7fffffffffffff\r\n";
  EXPECT_EQ(decoder.decode(head).consumed, head.size());
  std::string data(1000, 'd');
  for (int i = 0; i < 10; ++i) {
    const auto piece = decoder.decode(data);
    EXPECT_EQ(piece.data.size(), 1000U);
    EXPECT_FALSE(piece.done || piece.bad);
  }
}

}  // namespace
}  // namespace tollgate::gateway
