#include "gateway/http_field.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tollgate::gateway {
namespace {

TEST(FieldNames, AreKnownInAnyCase) {
  EXPECT_EQ(classify_field("Host"), FieldId::host);
  EXPECT_EQ(classify_field("CONTENT-LENGTH"), FieldId::content_length);
  EXPECT_EQ(classify_field("transfer-Encoding"), FieldId::transfer_encoding);
  EXPECT_EQ(classify_field("connection"), FieldId::connection);
  EXPECT_EQ(classify_field("Expect"), FieldId::expect);
  EXPECT_EQ(classify_field("Authorization"), FieldId::authorization);
  EXPECT_EQ(classify_field("X-Api-Key"), FieldId::api_key);
  EXPECT_EQ(classify_field("X-Call-Outcome"), FieldId::call_outcome);
  EXPECT_EQ(classify_field("Via"), FieldId::via);
  EXPECT_EQ(classify_field("X-Forwarded-For"), FieldId::forwarded_for);
  EXPECT_EQ(classify_field("X-Forwarded-Proto"), FieldId::forwarded_proto);
  EXPECT_EQ(classify_field("X-Forwarded-Host"), FieldId::forwarded_host);
}

// RFC 9110 7.6.1: what is between two neighbours is not passed on.
TEST(FieldNames, OfOneHopAreKnown) {
  for (const char* name :
       {"Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer", "Upgrade"}) {
    EXPECT_EQ(classify_field(name), FieldId::hop_by_hop) << name;
  }
}

TEST(FieldNames, OfTheGatewayTowardsUpstreamsAreOwned) {
  for (const char* name : {"X-Account", "x-service", "X-REQUEST-ID", "X-Real-IP", "Forwarded"}) {
    EXPECT_EQ(classify_field(name), FieldId::owned) << name;
  }
}

TEST(FieldNames, ThatDifferOnlyByUnderscoresAreOwned) {
  for (const char* name : {"X_Account", "X-Request_Id", "x_service", "Content_Length", "Transfer_Encoding", "X_Api_Key",
                           "X_Forwarded_For", "X_Call_Outcome", "x_real_ip"}) {
    EXPECT_EQ(classify_field(name), FieldId::owned) << name;
  }
}

TEST(FieldNames, OfOthersPass) {
  for (const char* name : {"", "A", "Accept", "X-Accounts", "X-Accoun", "Hosts", "X_Accept", "Via_", "Content-Type",
                           "A-Name-That-Is-Longer-Than-All-The-Known-Ones"}) {
    EXPECT_EQ(classify_field(name), FieldId::other) << name;
  }
}

// RFC 9110 5.6.2, byte by byte.
TEST(Tokens, AreLettersDigitsAndFifteenSigns) {
  for (int c = 0; c < 256; ++c) {
    const char byte = static_cast<char>(c);
    const bool expected = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                          (byte >= '0' && byte <= '9') ||
                          (byte != 0 && std::string_view("!#$%&'*+-.^_`|~").find(byte) != std::string_view::npos);
    EXPECT_EQ(is_token(std::string("a") + byte + "b"), expected) << c;
  }
  EXPECT_FALSE(is_token(""));
}

TEST(FieldValues, HoldNoControlsButTheTab) {
  for (int c = 0; c < 256; ++c) {
    const bool expected = (c >= 0x20 && c != 0x7f) || c == '\t';
    EXPECT_EQ(is_field_value(std::string("a") + static_cast<char>(c) + "b"), expected) << c;
  }
  EXPECT_TRUE(is_field_value(""));
}

// Every known name and its neighbours, by a plain comparison.
TEST(FieldNames, AreToldApartByEveryCharacter) {
  for (const std::string known :
       {"te", "via", "host", "expect", "upgrade", "x-api-key", "connection", "authorization", "content-length",
        "x-forwarded-host", "transfer-encoding", "x-ratelimit-limit-requests"}) {
    ASSERT_NE(classify_field(known), FieldId::other);
    for (std::size_t at = 0; at < known.size(); ++at) {
      for (int c = 0; c < 256; ++c) {
        const char byte = static_cast<char>(c);
        std::string name = known;
        name[at] = byte;
        if (!is_token(name)) continue;
        const bool same =
            byte == known[at] || (known[at] >= 'a' && known[at] <= 'z' && byte == known[at] - ('a' - 'A'));
        const FieldId expected = same                              ? classify_field(known)
                                 : byte == '_' && known[at] == '-' ? FieldId::owned
                                                                   : FieldId::other;
        EXPECT_EQ(classify_field(name), expected) << name;
      }
    }
  }
}

TEST(Lists, AreCutAtCommasWithBlanksAndEmptyElementsLeftOut) {
  std::vector<std::string> seen;
  for_each_element(" a ,\tb,, c d ,", [&](std::string_view element) { seen.emplace_back(element); });
  EXPECT_EQ(seen, (std::vector<std::string>{"a", "b", "c d"}));
  for_each_element(" , ,", [&](std::string_view) { ADD_FAILURE(); });
}

}  // namespace
}  // namespace tollgate::gateway
