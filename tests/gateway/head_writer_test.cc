#include "gateway/head_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace tollgate::gateway {
namespace {

// Reads a request, writes it as the upstream would see it and gives the lines.
class Forwarded {
 public:
  explicit Forwarded(const std::string& text, bool trust = false, bool tls = false) : text_(text) {
    EXPECT_EQ(request.parse(text_, {}), HeadFault::none) << text;
    write_request_head(out, request, {"10.0.0.7:9000", "acme", "detect", "req-1", "192.0.2.9", trust, tls});
    EXPECT_TRUE(out.ends_with("\r\n\r\n"));
    for (std::size_t at = 0; at < out.size();) {
      const auto end = out.find("\r\n", at);
      if (end != at) lines.push_back(out.substr(at, end - at));
      at = end + 2;
    }
  }
  [[nodiscard]] bool has(std::string_view line) const { return std::count(lines.begin(), lines.end(), line) == 1; }
  [[nodiscard]] std::size_t named(std::string_view lower_name) const {
    return static_cast<std::size_t>(std::count_if(lines.begin(), lines.end(), [&](const std::string& line) {
      return equals_ignoring_case(std::string_view(line).substr(0, line.find(':')), lower_name);
    }));
  }

  RequestHead request;
  std::string out;
  std::vector<std::string> lines;

 private:
  std::string text_;
};

std::string get(const std::string& fields) { return "GET / HTTP/1.1\r\nHost: api.example.com\r\n" + fields + "\r\n"; }

TEST(RequestHeadWriter, WritesTheRequestAnewWithTheFieldsOfTheGateway) {
  const Forwarded forwarded(
      "POST /v1/x?a=1 HTTP/1.1\r\nHost: api.example.com:8080\r\nAccept: */*\r\nContent-Length: 7\r\n\r\n");
  EXPECT_EQ(forwarded.lines.at(0), "POST /v1/x?a=1 HTTP/1.1");
  EXPECT_TRUE(forwarded.has("Host: 10.0.0.7:9000"));
  EXPECT_TRUE(forwarded.has("Accept: */*"));
  EXPECT_TRUE(forwarded.has("X-Account: acme"));
  EXPECT_TRUE(forwarded.has("X-Service: detect"));
  EXPECT_TRUE(forwarded.has("X-Request-Id: req-1"));
  EXPECT_TRUE(forwarded.has("X-Forwarded-For: 192.0.2.9"));
  EXPECT_TRUE(forwarded.has("X-Forwarded-Proto: http"));
  EXPECT_TRUE(forwarded.has("X-Forwarded-Host: api.example.com:8080"));
  EXPECT_TRUE(forwarded.has("Via: 1.1 tollgate"));
  EXPECT_TRUE(forwarded.has("Content-Length: 7"));
  EXPECT_EQ(forwarded.named("host"), 1U);
}

TEST(RequestHeadWriter, WritesTheRequestsOwnFraming) {
  const Forwarded chunked("POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: CHUNKED\r\n\r\n");
  EXPECT_TRUE(chunked.has("Transfer-Encoding: chunked"));
  EXPECT_EQ(chunked.named("content-length"), 0U);
  const Forwarded none(get(""));
  EXPECT_EQ(none.named("content-length") + none.named("transfer-encoding"), 0U);
  const Forwarded empty("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 000\r\n\r\n");
  EXPECT_TRUE(empty.has("Content-Length: 0"));
  // HTTP/1.0 comes out as our own version.
  EXPECT_EQ(Forwarded("GET / HTTP/1.0\r\n\r\n").lines.at(0), "GET / HTTP/1.1");
}

TEST(RequestHeadWriter, DropsHopByHopFields) {
  const Forwarded forwarded(
      get("Connection: keep-alive\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\n"
          "Proxy-Authenticate: x\r\nTE: trailers\r\nTrailer: x\r\nUpgrade: websocket\r\nExpect: 100-continue\r\n"));
  for (const char* name : {"connection", "keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate",
                           "te", "trailer", "upgrade", "expect"}) {
    EXPECT_EQ(forwarded.named(name), 0U) << name;
  }
}

TEST(RequestHeadWriter, DropsWhatConnectionNamesButNeverItsOwnFraming) {
  const Forwarded forwarded(
      "POST / HTTP/1.1\r\nHost: a\r\nX-Hop: 1\r\nX-Stays: 2\r\nContent-Length: 3\r\n"
      "Connection: close, x-HOP, x-account, content-length, host\r\n\r\n");
  EXPECT_EQ(forwarded.named("x-hop"), 0U);
  EXPECT_TRUE(forwarded.has("X-Stays: 2"));
  EXPECT_TRUE(forwarded.has("X-Account: acme"));
  EXPECT_TRUE(forwarded.has("Content-Length: 3"));
  EXPECT_TRUE(forwarded.has("Host: 10.0.0.7:9000"));
}

TEST(RequestHeadWriter, DropsTheClientsOwnOfEveryOwnedNameAndItsTwins) {
  const Forwarded forwarded(
      get("X-Account: evil\r\nx-service: evil\r\nX-REQUEST-ID: evil\r\nX-Real-IP: evil\r\nForwarded: for=evil\r\n"
          "X_Account: evil\r\nX-Request_Id: evil\r\nContent_Length: 9\r\nTransfer_Encoding: evil\r\nX_Forwarded_For: "
          "evil\r\n"
          "X_Api_Key: evil\r\nX-Forwarded-Port: evil\r\nX-Call-Outcome: evil\r\n"));
  EXPECT_EQ(forwarded.out.find("evil"), std::string::npos) << forwarded.out;
  EXPECT_EQ(forwarded.named("content_length"), 0U);
  EXPECT_EQ(forwarded.named("x-account"), 1U);
}

TEST(RequestHeadWriter, ReplacesForwardedFieldsOfThoseItDoesNotTrust) {
  const Forwarded forwarded(get("X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: other\r\n"));
  EXPECT_TRUE(forwarded.has("X-Forwarded-For: 192.0.2.9"));
  EXPECT_TRUE(forwarded.has("X-Forwarded-Proto: http"));
  EXPECT_TRUE(forwarded.has("X-Forwarded-Host: api.example.com"));
}

TEST(RequestHeadWriter, ExtendsForwardedFieldsOfThoseItTrusts) {
  const Forwarded forwarded(
      get("X-Forwarded-For: 1.2.3.4, 5.6.7.8\r\nx-forwarded-for: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n"
          "X-Forwarded-Host: other\r\n"),
      true);
  EXPECT_TRUE(forwarded.has("X-Forwarded-For: 1.2.3.4, 5.6.7.8, 9.9.9.9, 192.0.2.9"));
  EXPECT_TRUE(forwarded.has("X-Forwarded-Proto: https"));
  EXPECT_TRUE(forwarded.has("X-Forwarded-Host: other"));
  EXPECT_EQ(forwarded.named("x-forwarded-for"), 1U);
}

TEST(RequestHeadWriter, SaysWhetherTheClientSpokeTls) {
  EXPECT_TRUE(Forwarded(get("X-Forwarded-Proto: gopher\r\n"), false, true).has("X-Forwarded-Proto: https"));
  EXPECT_TRUE(Forwarded(get("X-Forwarded-Proto: https\r\n"), false, false).has("X-Forwarded-Proto: http"));
}

TEST(RequestHeadWriter, ExtendsVia) {
  const Forwarded forwarded(get("Via: 1.0 earlier\r\n"));
  EXPECT_TRUE(forwarded.has("Via: 1.0 earlier"));
  EXPECT_TRUE(forwarded.has("Via: 1.1 tollgate"));
}

TEST(RequestHeadWriter, LeavesTheKeyOut) {
  const Forwarded forwarded(
      "GET /x?access_token=secret1&a=1&access_token=secret1&b HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer secret1\r\n"
      "X-Api-Key: secret1\r\n\r\n");
  EXPECT_EQ(forwarded.out.find("secret1"), std::string::npos) << forwarded.out;
  EXPECT_EQ(forwarded.lines.at(0), "GET /x?a=1&b HTTP/1.1");
  EXPECT_EQ(Forwarded("GET /x?access_token=s HTTP/1.1\r\nHost: a\r\n\r\n").lines.at(0), "GET /x HTTP/1.1");
  EXPECT_EQ(Forwarded("GET /x?my_access_token=s& HTTP/1.1\r\nHost: a\r\n\r\n").lines.at(0),
            "GET /x?my_access_token=s& HTTP/1.1");
}

TEST(RequestHeadWriter, PassesAnAuthorizationThatIsNoKeyOfOurs) {
  EXPECT_TRUE(
      Forwarded(get("X-Api-Key: k\r\nAuthorization: Basic dXNlcjpwdw==\r\n")).has("Authorization: Basic dXNlcjpwdw=="));
}

TEST(RequestHeadWriter, PassesADateAndATraceAsTheyCame) {
  const Forwarded forwarded(get("Date: x\r\ntraceparent: not-one\r\nTraceState: a=1, b=2\r\ntracestate: c=3\r\n"));
  for (const char* line : {"Date: x", "traceparent: not-one", "TraceState: a=1, b=2", "tracestate: c=3"}) {
    EXPECT_TRUE(forwarded.has(line)) << line;
  }
}

// The room is made before: for what grows, too.
TEST(RequestHeadWriter, HasRoomForHeadsThatGrow) {
  for (const std::size_t count : {0, 1, 50, 98}) {
    for (const char* line : {"a:b\r\n", "a:\r\n", "X-Forwarded-For:1\r\n", "Via:x\r\n", "Accept: y\r\n"}) {
      std::string fields;
      for (std::size_t i = 0; i < count; ++i) fields += line;
      const Forwarded forwarded(get(fields + "X-Forwarded-Proto:gopher\r\n"), true, true);
      EXPECT_TRUE(forwarded.has("X-Forwarded-Proto: gopher"));
      EXPECT_TRUE(forwarded.has("Via: 1.1 tollgate"));
    }
  }
  const Forwarded longest("POST /?access_token=k&access_token=k&b HTTP/1.1\r\nHost:a\r\nContent-Length:" +
                          std::string(18, '9') + "\r\n\r\n");
  EXPECT_TRUE(longest.has("POST /?b HTTP/1.1"));
  EXPECT_TRUE(longest.has("Content-Length: " + std::string(18, '9')));
}

TEST(RequestHeadWriter, AppendsToWhatIsThere) {
  Forwarded forwarded(get(""));
  std::string out = "before";
  write_request_head(out, forwarded.request, {"u:1", "a", "s", "r", "p", false});
  EXPECT_TRUE(out.starts_with("beforeGET / HTTP/1.1\r\n"));
}

std::string answer(const std::string& text, const AnswerHead& head, bool to_head = false) {
  ResponseHead response;
  EXPECT_TRUE(response.parse(text, to_head, {})) << text;
  std::string out;
  write_response_head(out, response, head);
  return out;
}

TEST(ResponseHeadWriter, PassesTheAnswerWithTheGatewaysFraming) {
  EXPECT_EQ(
      answer("HTTP/1.1 200 Fine\r\nContent-Type: a/b\r\nContent-Length: 5\r\nX-Request-Id: theirs\r\nX-Call-Outcome: "
             "failed\r\n\r\n",
             {"req-1", BodyKind::length, true, nullptr}),
      "HTTP/1.1 200 Fine\r\nContent-Type: a/b\r\nX-Request-Id: req-1\r\nVia: 1.1 tollgate\r\nContent-Length: 5\r\n"
      "Connection: keep-alive\r\n\r\n");
  EXPECT_EQ(answer("HTTP/1.0 200\r\n\r\n", {"req-1", BodyKind::chunked, true, nullptr}),
            "HTTP/1.1 200 \r\nX-Request-Id: req-1\r\nVia: 1.1 tollgate\r\nTransfer-Encoding: chunked\r\nConnection: "
            "keep-alive\r\n\r\n");
  EXPECT_EQ(
      answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", {"req-1", BodyKind::until_close, false, nullptr}),
      "HTTP/1.1 200 OK\r\nX-Request-Id: req-1\r\nVia: 1.1 tollgate\r\nConnection: close\r\n\r\n");
}

TEST(ResponseHeadWriter, AddsADateToAFinalAnswerThatHasNone) {
  AnswerHead head{"req-1", BodyKind::length, true, nullptr};
  head.date = "Sun, 06 Nov 1994 08:49:37 GMT";
  const std::string ours = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
  EXPECT_NE(answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", head).find(ours), std::string::npos);
  EXPECT_NE(answer("HTTP/1.1 200 OK\r\nConnection: date\r\nDate: x\r\n\r\n", head).find(ours), std::string::npos);
  const auto theirs = answer("HTTP/1.1 200 OK\r\ndate: Fri, 20 Aug 2021 00:00:00 GMT\r\n\r\n", head);
  EXPECT_EQ(theirs.find(ours), std::string::npos);
  EXPECT_NE(theirs.find("date: Fri, 20 Aug 2021 00:00:00 GMT\r\n"), std::string::npos);
  EXPECT_EQ(answer("HTTP/1.1 103 Early Hints\r\n\r\n", head).find("Date"), std::string::npos);
}

TEST(ResponseHeadWriter, DropsHopByHopFieldsAndWhatConnectionNames) {
  const auto out = answer(
      "HTTP/1.1 200 OK\r\nConnection: x-hop, close\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\nTrailer: x\r\n"
      "Proxy-Authenticate: x\r\nX-Stays: 2\r\nContent-Length: 0\r\n\r\n",
      {"req-1", BodyKind::none, true, nullptr});
  for (const char* name : {"X-Hop", "Keep-Alive", "Upgrade", "Trailer", "Proxy-Authenticate", "close"}) {
    EXPECT_EQ(out.find(name), std::string::npos) << name;
  }
  EXPECT_NE(out.find("X-Stays: 2\r\n"), std::string::npos);
}

TEST(ResponseHeadWriter, KeepsTheLengthOfAnAnswerToHead) {
  EXPECT_NE(answer("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", {"r", BodyKind::none, true, nullptr}, true)
                .find("Content-Length: 99\r\n"),
            std::string::npos);
}

// RFC 9110 8.6 and 15.3.5: no Content-Length in 1xx and 204.
TEST(ResponseHeadWriter, WritesNoFramingWhereNoneMayBe) {
  for (const char* status : {"100 Continue", "103 Early Hints", "204 No Content"}) {
    const auto out = answer("HTTP/1.1 " + std::string(status) + "\r\nContent-Length: 5\r\n\r\n",
                            {"r", BodyKind::none, true, nullptr});
    EXPECT_EQ(out.find("Content-Length"), std::string::npos) << out;
    EXPECT_EQ(out.find("Transfer-Encoding"), std::string::npos) << out;
  }
}

// RFC 9112 9.6: a connection that will be closed is announced, whatever the status of the last answer on it.
TEST(ResponseHeadWriter, SaysThatTheConnectionClosesAlsoWithA204) {
  for (const char* status : {"200 OK", "204 No Content", "304 Not Modified"}) {
    const auto out =
        answer("HTTP/1.1 " + std::string(status) + "\r\n\r\n", {"r", BodyKind::none, false, nullptr}, true);
    EXPECT_NE(out.find("Connection: close\r\n"), std::string::npos) << out;
  }
}

TEST(ResponseHeadWriter, TellsTheLimitWhereAsked) {
  const RateLimitState state{10, 3, 1};
  const auto out = answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", {"r", BodyKind::none, true, &state});
  EXPECT_NE(out.find("RateLimit-Policy: \"guarantee\";q=10\r\n"), std::string::npos);
  EXPECT_NE(out.find("RateLimit: \"guarantee\";r=3;t=1\r\n"), std::string::npos);
  EXPECT_TRUE(out.ends_with("\r\n\r\n"));
}

// Two that contradict each other would leave the client to guess.
TEST(ResponseHeadWriter, DropsTheUpstreamsLimitWhereItTellsItsOwn) {
  const std::string theirs =
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nRateLimit: \"theirs\";r=1;t=9\r\nRateLimit-Policy: \"theirs\";q=7\r\n"
      "X-RateLimit-Limit-Requests: 77\r\nX-RateLimit-Remaining-Requests: 78\r\nX-RateLimit-Reset-Requests: 79s\r\n\r\n";
  const RateLimitState state{10, 3, 1};
  const auto ours = answer(theirs, {"r", BodyKind::none, true, &state});
  for (const char* value : {"theirs", "77", "78", "79s"}) EXPECT_EQ(ours.find(value), std::string::npos) << value;
  const auto passed = answer(theirs, {"r", BodyKind::none, true, nullptr});
  for (const char* value : {"r=1;t=9", "q=7", "77", "78", "79s"}) {
    EXPECT_NE(passed.find(value), std::string::npos) << value;
  }
}

PresentedKey key_of(const std::string& target, const std::string& fields) {
  static std::string text;  // the key points into it
  text = "GET " + target + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
  RequestHead request;
  EXPECT_EQ(request.parse(text, {}), HeadFault::none);
  return presented_key(request);
}

TEST(PresentedKeyOf, ARequestIsReadFromItsThreePlaces) {
  EXPECT_EQ(key_of("/", "Authorization: Bearer k1\r\n").key, "k1");
  EXPECT_EQ(key_of("/", "authorization: bEARER   k1\r\n").key, "k1");
  EXPECT_EQ(key_of("/", "X-Api-Key: k2\r\n").key, "k2");
  EXPECT_EQ(key_of("/?a=b&access_token=k3&c", "").key, "k3");
}

TEST(PresentedKeyOf, ARequestWithoutOneIsEmpty) {
  for (const auto& presented :
       {key_of("/", ""), key_of("/", "Authorization: Basic k1\r\n"), key_of("/", "Authorization: Bearer\r\n"),
        key_of("/", "Authorization: Bearerk1\r\n"), key_of("/?xaccess_token=k3", ""), key_of("/?access_token=", ""),
        key_of("/?access_token", ""), key_of("/", "X-Api-Key:\r\n"), key_of("/", "X_Api_Key: k\r\n")}) {
    EXPECT_EQ(presented.key, "");
    EXPECT_FALSE(presented.conflict);
  }
}

TEST(PresentedKeyOf, ARequestWithTwoThatDifferIsAConflict) {
  EXPECT_TRUE(key_of("/", "Authorization: Bearer k1\r\nX-Api-Key: k2\r\n").conflict);
  EXPECT_TRUE(key_of("/?access_token=k2", "X-Api-Key: k1\r\n").conflict);
  EXPECT_TRUE(key_of("/", "X-Api-Key: k1\r\nX-Api-Key: k2\r\n").conflict);
  EXPECT_TRUE(key_of("/?access_token=k1&access_token=k2", "").conflict);
  EXPECT_TRUE(key_of("/?access_token=k1", "X-Api-Key: k2\r\nAuthorization: Bearer k1\r\n").conflict);
  const auto same = key_of("/?access_token=k1", "X-Api-Key: k1\r\nAuthorization: Bearer k1\r\n");
  EXPECT_FALSE(same.conflict);
  EXPECT_EQ(same.key, "k1");
}

}  // namespace
}  // namespace tollgate::gateway
