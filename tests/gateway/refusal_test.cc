#include "gateway/refusal.h"

#include <gtest/gtest.h>

#include <array>
#include <boost/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "meter/metrics.h"

namespace tollgate::gateway {
namespace {
namespace json = boost::json;

struct Row {
  Reason reason;
  const char* code;
  int status;
  bool retry_after;
  const char* openai_code;
  int openai_status;
  int baidu_code;
};

// The table of refusals that the contract fixes (architecture, section 6).
const std::vector<Row> kContract = {
    {Reason::invalid_key, "invalid_key", 401, false, "invalid_api_key", 401, 110},
    {Reason::not_subscribed, "not_subscribed", 403, false, "permission_denied", 403, 6},
    {Reason::unknown_service, "unknown_service", 404, false, "not_found", 404, 3},
    {Reason::quota_exhausted, "quota_exhausted", 429, false, "insufficient_quota", 429, 19},
    {Reason::limit_reached, "limit_reached", 429, true, "rate_limit_exceeded", 429, 18},
    {Reason::arrears, "arrears", 402, false, "insufficient_quota", 429, 17},
    {Reason::no_capacity, "no_capacity", 503, true, "server_error", 503, 2},
    {Reason::journal_full, "no_capacity", 503, true, "server_error", 503, 2},
    {Reason::draining, "no_capacity", 503, true, "server_error", 503, 2},
    {Reason::overloaded, "no_capacity", 503, true, "server_error", 503, 2},
    {Reason::buffers_full, "no_capacity", 503, true, "server_error", 503, 2},
    {Reason::too_many_failures, "too_many_failures", 429, true, "rate_limit_exceeded", 429, 18},
    {Reason::upstream_unreachable, "upstream_unreachable", 502, false, "server_error", 502, 282000},
    {Reason::upstream_failed, "upstream_failed", 502, false, "server_error", 502, 282000},
    {Reason::upstream_timeout, "upstream_timeout", 504, false, "server_error", 504, 282000},
};

constexpr std::array kDialects = {ErrorDialect::problem, ErrorDialect::openai, ErrorDialect::baidu};

// An answer taken apart with the gateway's own reader of responses.
struct Answer {
  explicit Answer(const RefusalAnswer& refusal) {
    write_refusal(text, refusal);
    const auto end = text.find("\r\n\r\n");
    EXPECT_NE(end, std::string::npos);
    EXPECT_TRUE(head.parse(std::string_view(text).substr(0, end + 4), refusal.without_body, {})) << text;
    body = text.substr(end + 4);
  }
  [[nodiscard]] std::string field(std::string_view lower_name) const {
    std::string found;
    for (const Field& one : head.fields) {
      if (equals_ignoring_case(one.name, lower_name)) found += (found.empty() ? "" : "|") + std::string(one.value);
    }
    return found;
  }
  [[nodiscard]] json::object object() const { return json::parse(body).as_object(); }

  std::string text;
  ResponseHead head;
  std::string body;
};

RefusalAnswer refusal(Reason reason, ErrorDialect dialect) {
  RefusalAnswer answer;
  answer.reason = reason;
  answer.dialect = dialect;
  answer.request_id = "req-1";
  answer.date = "Sun, 06 Nov 1994 08:49:37 GMT";
  answer.log_id = 12'345'678'901'234U;
  return answer;
}

TEST(Refusal, SaysInEachDialectWhatTheContractSays) {
  for (const Row& row : kContract) {
    const Answer problem(refusal(row.reason, ErrorDialect::problem));
    EXPECT_EQ(problem.head.status, row.status);
    EXPECT_EQ(problem.field("content-type"), "application/problem+json");
    EXPECT_EQ(problem.object().at("code").as_string(), row.code);
    EXPECT_EQ(problem.object().at("status").as_int64(), row.status);
    EXPECT_EQ(problem.object().at("request_id").as_string(), "req-1");
    EXPECT_FALSE(problem.object().at("title").as_string().empty());
    EXPECT_FALSE(problem.object().at("detail").as_string().empty());

    const Answer openai(refusal(row.reason, ErrorDialect::openai));
    EXPECT_EQ(openai.head.status, row.openai_status) << row.code;
    const auto error = openai.object().at("error").as_object();
    EXPECT_EQ(error.at("code").as_string(), row.openai_code) << row.code;
    EXPECT_FALSE(error.at("message").as_string().empty());
    EXPECT_FALSE(error.at("type").as_string().empty());
    EXPECT_TRUE(error.at("param").is_null());

    const Answer baidu(refusal(row.reason, ErrorDialect::baidu));
    EXPECT_EQ(baidu.head.status, row.status);
    EXPECT_EQ(baidu.object().at("error_code").as_int64(), row.baidu_code) << row.code;
    EXPECT_EQ(baidu.object().at("log_id").as_int64(), 12'345'678'901'234);
    EXPECT_FALSE(baidu.object().at("error_msg").as_string().empty());

    for (const Answer* answer : {&problem, &openai, &baidu}) {
      EXPECT_EQ(answer->field("date"), "Sun, 06 Nov 1994 08:49:37 GMT");
      EXPECT_EQ(!answer->field("retry-after").empty(), row.retry_after) << row.code;
    }
  }
}

TEST(Refusal, OfAnyReasonIsAWholeAnswerInEveryDialect) {
  for (std::size_t i = 0; i < reason_codes().size(); ++i) {
    for (const ErrorDialect dialect : kDialects) {
      const auto reason = static_cast<Reason>(i);
      const Answer answer(refusal(reason, dialect));
      EXPECT_EQ(answer.head.status, status_of(reason, dialect));
      EXPECT_GE(answer.head.status, 400);
      EXPECT_NE(answer.head.reason, "Error") << answer.head.status << " has no phrase";
      EXPECT_FALSE(code_of(reason).empty());
      EXPECT_EQ(answer.field("content-length"), std::to_string(answer.body.size()));
      EXPECT_EQ(answer.field("cache-control"), "no-store");
      EXPECT_EQ(answer.field("x-request-id"), "req-1");
      EXPECT_EQ(answer.field("connection"), "close");
      EXPECT_NO_THROW((void)answer.object()) << answer.body;
    }
  }
}

TEST(Refusal, OfTheRequestItselfHasItsStatus) {
  EXPECT_EQ(status_of(reason_of(HeadFault::bad), ErrorDialect::problem), 400);
  EXPECT_EQ(status_of(reason_of(HeadFault::method_not_allowed), ErrorDialect::problem), 405);
  EXPECT_EQ(status_of(reason_of(HeadFault::target_too_long), ErrorDialect::problem), 414);
  EXPECT_EQ(status_of(reason_of(HeadFault::too_many_fields), ErrorDialect::problem), 431);
  EXPECT_EQ(status_of(reason_of(HeadFault::expectation_failed), ErrorDialect::problem), 417);
  EXPECT_EQ(status_of(reason_of(HeadFault::not_implemented), ErrorDialect::problem), 501);
  EXPECT_EQ(status_of(reason_of(HeadFault::version), ErrorDialect::problem), 505);
  EXPECT_EQ(status_of(Reason::body_too_large, ErrorDialect::problem), 413);
  EXPECT_EQ(status_of(Reason::request_timeout, ErrorDialect::problem), 408);
}

TEST(Refusal, OfTheLimiterKeepsItsReason) {
  EXPECT_EQ(reason_of(limiter::Refusal::quota_exhausted), Reason::quota_exhausted);
  EXPECT_EQ(reason_of(limiter::Refusal::arrears), Reason::arrears);
  EXPECT_EQ(reason_of(limiter::Refusal::limit_reached), Reason::limit_reached);
  EXPECT_EQ(reason_of(limiter::Refusal::no_capacity), Reason::no_capacity);
}

TEST(Refusal, HasAMetricNameOfItsOwn) {
  const auto codes = reason_codes();
  EXPECT_EQ(std::set<std::string>(codes.begin(), codes.end()).size(), codes.size());
  for (const auto& code : codes) EXPECT_FALSE(code.empty());
  EXPECT_EQ(codes.at(static_cast<std::size_t>(Reason::limit_reached)), "limit_reached");
  EXPECT_LE(codes.size(), meter::kRefusalReasonsMax);
}

TEST(Refusal, ToHeadHasNoBodyAndTheLengthItWouldHave) {
  RefusalAnswer answer = refusal(Reason::limit_reached, ErrorDialect::problem);
  const Answer with(answer);
  answer.without_body = true;
  const Answer without(answer);
  EXPECT_EQ(without.body, "");
  EXPECT_EQ(without.field("content-length"), with.field("content-length"));
}

TEST(Refusal, SaysWhenToComeAgain) {
  EXPECT_EQ(Answer(refusal(Reason::limit_reached, ErrorDialect::problem)).field("retry-after"), "1");
  EXPECT_EQ(Answer(refusal(Reason::journal_full, ErrorDialect::problem)).field("retry-after"), "5");
}

TEST(Refusal, KeepsTheConnectionOnlyWhenTold) {
  RefusalAnswer answer = refusal(Reason::limit_reached, ErrorDialect::problem);
  answer.keep_alive = true;
  EXPECT_EQ(Answer(answer).field("connection"), "keep-alive");
}

// RFC 9110 11.6.1 and 15.5.6.
TEST(Refusal, BringsTheFieldsItsStatusDemands) {
  EXPECT_EQ(Answer(refusal(Reason::invalid_key, ErrorDialect::openai)).field("www-authenticate"), "Bearer");
  EXPECT_NE(Answer(refusal(Reason::method_not_allowed, ErrorDialect::problem)).field("allow").find("POST"),
            std::string::npos);
}

TEST(Refusal, TellsTheLimitWhereAsked) {
  const RateLimitState state{4, 0, 1};
  RefusalAnswer answer = refusal(Reason::limit_reached, ErrorDialect::openai);
  EXPECT_EQ(Answer(answer).field("ratelimit"), "");
  answer.rate_limit = &state;
  const Answer told(answer);
  EXPECT_EQ(told.field("ratelimit-policy"), "\"guarantee\";q=4");
  EXPECT_EQ(told.field("ratelimit"), "\"guarantee\";r=0;t=1");
  EXPECT_EQ(told.field("x-ratelimit-limit-requests"), "4");
  EXPECT_EQ(told.field("x-ratelimit-remaining-requests"), "0");
}

TEST(Refusal, LogIdsDifferOverWorkersAndFitADouble) {
  EXPECT_EQ(log_id(0, 1), 2U);
  EXPECT_EQ(log_id(kLogIdMax - 1, 0), kLogIdMax);
  EXPECT_EQ(log_id(kLogIdMax - 1, 1), 1U);
  EXPECT_EQ(kLogIdMax, 9'007'199'254'740'991U);
  std::set<std::uint64_t> seen;
  for (int worker = 0; worker < 100; ++worker) {
    const auto start = random_log_id_start();
    for (std::uint64_t number = 1; number <= 10; ++number) {
      const auto id = log_id(start, number);
      EXPECT_TRUE(id >= 1 && id <= kLogIdMax);
      EXPECT_TRUE(seen.insert(id).second);
    }
  }
}

TEST(Refusal, IsAppended) {
  std::string out = "before";
  write_refusal(out, refusal(Reason::bad_request, ErrorDialect::problem));
  EXPECT_TRUE(out.starts_with("beforeHTTP/1.1 400 "));
}

}  // namespace
}  // namespace tollgate::gateway
