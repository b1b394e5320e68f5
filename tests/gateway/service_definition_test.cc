#include "gateway/service_definition.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace tollgate::gateway {
namespace {

constexpr auto kSmallest = R"({"model":"m","upstreams":["127.0.0.1:8081"],"route":{"path_prefix":"/v1"}})";

// The smallest definition with one more member at its top.
std::string with(std::string_view member) {
  return fmt::format(R"({{"model":"m","upstreams":["127.0.0.1:8081"],"route":{{"path_prefix":"/v1"}},{}}})", member);
}
std::string with_prefix(std::string_view prefix) {
  return fmt::format(R"({{"model":"m","upstreams":["h:1"],"route":{{"path_prefix":"{}"}}}})", prefix);
}
std::string with_upstreams(std::string_view list) {
  return fmt::format(R"({{"model":"m","upstreams":{},"route":{{"path_prefix":"/"}}}})", list);
}
std::string refused_field(std::string_view text) {
  const auto definition = parse_service_definition(text);
  return definition.has_error() ? definition.error().field : "accepted";
}

TEST(ServiceDefinition, NeedsModelUpstreamsAndRouteOnly) {
  const auto definition = parse_service_definition(kSmallest).value();
  EXPECT_EQ(definition.model, "m");
  ASSERT_EQ(definition.upstreams.size(), 1U);
  EXPECT_EQ(definition.upstreams[0].text(), "127.0.0.1:8081");
  EXPECT_EQ(definition.path_prefix, "/v1");
  EXPECT_FALSE(definition.host);
  EXPECT_EQ(definition.limit_by, LimitBy::concurrency);
  EXPECT_EQ(refused_field(R"({"upstreams":["h:1"],"route":{"path_prefix":"/"}})"), "model");
  EXPECT_EQ(refused_field(R"({"model":"m","route":{"path_prefix":"/"}})"), "upstreams");
  EXPECT_EQ(refused_field(R"({"model":"m","upstreams":["h:1"]})"), "route");
  EXPECT_EQ(refused_field(R"({"model":"m","upstreams":["h:1"],"route":{}})"), "route.path_prefix");
}

TEST(ServiceDefinition, ItsJsonReadsBackTheSame) {
  const auto text =
      R"({"model":"m","upstreams":["a.example:80","[::1]:8081"],"route":{"path_prefix":"/v1/x","host":"API.example"},
    "timeout_ms":5,"capacity":7,"paid_reserve_percent":0,"limit_by":"qps","failure_statuses":["503","4xx"],
    "error_dialect":"baidu","rate_limit_headers":true,"retry_unsafe":true})";
  const auto definition = parse_service_definition(text).value();
  EXPECT_EQ(definition.host, "api.example");
  EXPECT_EQ(definition.upstreams[1].host, "::1");
  EXPECT_EQ(to_json(parse_service_definition(to_json(definition)).value()), to_json(definition));
  const auto smallest = to_json(parse_service_definition(kSmallest).value());
  EXPECT_EQ(to_json(parse_service_definition(smallest).value()), smallest);
}

TEST(ServiceDefinition, EveryFieldIsCheckedAndNamed) {
  for (const auto& [member, field] :
       std::vector<std::pair<std::string, std::string>>{{R"("timeout_ms":0)", "timeout_ms"},
                                                        {R"("timeout_ms":86400001)", "timeout_ms"},
                                                        {R"("timeout_ms":1.5)", "timeout_ms"},
                                                        {R"("capacity":0)", "capacity"},
                                                        {R"("capacity":1000001)", "capacity"},
                                                        {R"("paid_reserve_percent":101)", "paid_reserve_percent"},
                                                        {R"("limit_by":"rate")", "limit_by"},
                                                        {R"("error_dialect":"soap")", "error_dialect"},
                                                        {R"("failure_statuses":["200"])", "failure_statuses[0]"},
                                                        {R"("failure_statuses":["5xx","6xx"])", "failure_statuses[1]"},
                                                        {R"("failure_statuses":[600])", "failure_statuses[0]"},
                                                        {R"("failure_statuses":"5xx")", "failure_statuses"},
                                                        {R"("rate_limit_headers":"yes")", "rate_limit_headers"},
                                                        {R"("retry_unsafe":1)", "retry_unsafe"},
                                                        {R"("retries":1)", "retries"},
                                                        {R"("model":"again")", "model"}}) {
    EXPECT_EQ(refused_field(with(member)), field) << member;
  }
}

TEST(ServiceDefinition, UpstreamsAreHostAndPort) {
  for (const auto* good : {"h:1", "127.0.0.1:65535", "[::1]:80", "my_model.svc:8080"}) {
    EXPECT_EQ(refused_field(with_upstreams(fmt::format(R"(["{}"])", good))), "accepted") << good;
  }
  for (const auto* bad : {"h", "h:", ":1", "h:0", "h:65536", "h:+1", "::1:80", "[::1]", "[h]:1", "http://h:1", "h:1/x",
                          "a b:1", "h:1 ", "-h:1"}) {
    EXPECT_EQ(refused_field(with_upstreams(fmt::format(R"(["{}"])", bad))), "upstreams[0]") << bad;
  }
  EXPECT_EQ(refused_field(with_upstreams("[]")), "upstreams");
  EXPECT_EQ(refused_field(with_upstreams(R"(["h:1","H:1"])")), "upstreams[1]");
  EXPECT_EQ(refused_field(with_upstreams(R"([8081])")), "upstreams[0]");
}

TEST(ServiceDefinition, PathPrefixesHaveOneSpelling) {
  const auto prefix = [](std::string_view text) {
    return parse_service_definition(with_prefix(text)).value().path_prefix;
  };
  EXPECT_EQ(prefix("/"), "/");
  EXPECT_EQ(prefix("/v1/"), "/v1");
  EXPECT_EQ(prefix("/v1/a.b/~x"), "/v1/a.b/~x");
  for (const auto* bad :
       {"", "v1", "//", "/a//b", "/a/./b", "/..", "/a/..", "/a%2fb", "/a;b", "/a b", "/a?b", "/a#b", "/文"}) {
    EXPECT_EQ(refused_field(with_prefix(bad)), "route.path_prefix") << bad;
  }
}

TEST(ServiceDefinition, FailureStatusesAreAClassOrOneStatus) {
  const auto definition = parse_service_definition(with(R"("failure_statuses":["5xx", 404])")).value();
  const auto set = definition.failure_status_set();
  EXPECT_TRUE(set[500] && set[599] && set[404]);
  EXPECT_FALSE(set[400] || set[499] || set[200]);
  EXPECT_EQ(set.count(), 101U);
  const auto none = parse_service_definition(with(R"("failure_statuses":[])")).value();
  EXPECT_TRUE(none.failure_status_set().none());
}

}  // namespace
}  // namespace tollgate::gateway
