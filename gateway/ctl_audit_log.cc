// tollgate ctl audit-log
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <cstdio>

#include "gateway/ctl_commands.h"

namespace tollgate::gateway {
namespace {
namespace json = boost::json;

int verify(CtlSession& session, const std::string& kept) {
  auto client = session.client();
  if (client.has_error()) return session.refuse(client.error());
  const std::string query = kept.empty() ? "" : "?head=" + percent_encoded(kept);
  const auto answer = (*client)->get("/v1/audit-log/verification" + query);
  if (answer.has_error()) return session.refuse(answer.error());
  const auto& body = answer->body;
  const bool holds = body.at("ok").as_bool();
  if (session.as_json) {
    fmt::print("{}\n", json::serialize(body));
  } else {
    fmt::print("{} rows, head {}\n", body.at("rows").as_int64(), json::value_to<std::string>(body.at("head")));
  }
  std::fflush(stdout);
  if (holds) return CtlExit::kDone;
  const auto& broken = body.at("first_break");
  fmt::print(stderr, "tollgate ctl: the audit log does not hold from row {} on: {}\n", broken.at("sequence").as_int64(),
             json::value_to<std::string>(broken.at("reason")));
  return CtlExit::kRefused;
}
}  // namespace

void add_audit_log(CLI::App* ctl, CtlCommandLine& line) {
  CLI::App* noun = add_noun(ctl, "audit-log", "Who changed what over the admin API");
  auto after = options<std::string>();
  line.command(noun, "list", "List the changes, oldest first",
               [&line, after] {
                 const std::string query = after->empty() ? "" : "?after=" + percent_encoded(*after);
                 return line.session.show_list("/v1/audit-log" + query, {"sequence", "at", "role", "address", "method",
                                                                         "path", "status", "made"});
               })
      ->add_option("--after", *after, "Only those after this sequence number");
  auto kept = options<std::string>();
  line.command(noun, "verify", "Recompute every hash; exit code 1 if a row was changed, or is missing",
               [&line, kept] { return verify(line.session, *kept); })
      ->add_option("--head", *kept, "A head SEQUENCE:HASH that was kept elsewhere: finds rows cut off at the end too");
}

}  // namespace tollgate::gateway
