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

// As it stands in JSON: a certificate of an authority of these tests.
constexpr std::string_view kAuthority =
    "-----BEGIN CERTIFICATE-----\\n"
    "MIIBfzCCASWgAwIBAgIUJg6FBkGPBzrsRaXR1A+XuRH/zqIwCgYIKoZIzj0EAwIw\\n"
    "FDESMBAGA1UEAwwJYSB0ZXN0IENBMCAXDTI2MTEyMzE0MTQzOFoYDzIxMjYxMDMw\\n"
    "MTQxNDM4WjAUMRIwEAYDVQQDDAlhIHRlc3QgQ0EwWTATBgcqhkjOPQIBBggqhkjO\\n"
    "PQMBBwNCAAQY0UIhsqSRfhf0sLSHXQDsApoFLaFzMyWATEgM661yQb0qJ9SC2Z61\\n"
    "yCEI2UykMvNhCuZceEcrvvtY847bC+Z5o1MwUTAdBgNVHQ4EFgQU+nQ5fr9kLfws\\n"
    "3r7eeVUi51i+LDEwHwYDVR0jBBgwFoAU+nQ5fr9kLfws3r7eeVUi51i+LDEwDwYD\\n"
    "VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA8V4tEZINIdl2LlEg9SkZ\\n"
    "kLoHDIUzDvH8iacjvhPsmCMCIDYqrirdDWePBzT2TYZ/aYJvMPetarHCijPM6s3C\\n"
    "i9lE\\n"
    "-----END CERTIFICATE-----\\n";

TEST(ServiceDefinition, TlsOfTheUpstreamsReadsBackTheSame) {
  EXPECT_FALSE(parse_service_definition(kSmallest).value().tls);
  const auto plainest = parse_service_definition(with(R"("tls":{})")).value();
  ASSERT_TRUE(plainest.tls);
  EXPECT_TRUE(plainest.tls->verify);
  EXPECT_FALSE(plainest.tls->ca || plainest.tls->server_name);
  const auto full =
      parse_service_definition(with(fmt::format(R"("tls":{{"ca":"{}","server_name":"models.example"}})", kAuthority)))
          .value();
  EXPECT_EQ(full.tls->server_name, "models.example");
  EXPECT_TRUE(full.tls->ca && full.tls->ca->starts_with("-----BEGIN CERTIFICATE-----\n"));
  for (const auto& definition : {plainest, full}) {
    EXPECT_EQ(to_json(parse_service_definition(to_json(definition)).value()), to_json(definition));
  }
}

TEST(ServiceDefinition, TlsThatWouldTrustNobodyOrAnybodyUnseenIsRefused) {
  for (const auto& [tls, field] : std::vector<std::pair<std::string, std::string>>{
           {R"(true)", "tls"},
           {R"({"verify":"no"})", "tls.verify"},
           {R"({"ca":""})", "tls.ca"},
           {R"({"ca":"/etc/ssl/ca.pem"})", "tls.ca"},
           {fmt::format(R"({{"ca":"{}","verify":false}})", kAuthority), "tls.ca"},
           {R"({"server_name":"https://models"})", "tls.server_name"},
           {R"({"server_name":""})", "tls.server_name"},
           {R"({"certificate":""})", "tls.certificate"}}) {
    EXPECT_EQ(refused_field(with(fmt::format(R"("tls":{})", tls))), field) << tls;
  }
}

TEST(UpstreamTls, IsMadeOfCertificatesAndNothingElse) {
  const auto authority =
      *parse_service_definition(with(fmt::format(R"("tls":{{"ca":"{}"}})", kAuthority))).value().tls->ca;
  const auto is_made = [](const std::string& ca) { return UpstreamTls::make({true, ca, {}}).has_value(); };
  const std::string broken = authority.substr(0, 100) + authority.substr(110);
  EXPECT_TRUE(is_made(authority));
  EXPECT_TRUE(is_made("a comment\n" + authority + authority));
  EXPECT_FALSE(is_made(broken));
  EXPECT_FALSE(is_made(authority + broken));
  EXPECT_FALSE(is_made(authority + "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"))
      << "it would be kept, and shown to whoever may read the service";
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
