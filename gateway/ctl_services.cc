// tollgate ctl services
#include <CLI/CLI.hpp>
#include <boost/json.hpp>

#include "gateway/ctl_apply.h"
#include "gateway/ctl_commands.h"

namespace tollgate::gateway {
namespace {
namespace json = boost::json;

struct PutService {
  std::string id;
  std::string file;
  std::string model;
  std::vector<std::string> upstreams;
  std::string path_prefix;
  std::string host;
  std::optional<std::int64_t> timeout_ms;
  std::optional<std::int64_t> capacity;
  std::optional<std::int64_t> paid_reserve_percent;
  std::string limit_by;
  std::vector<std::string> failure_statuses;
  std::string error_dialect;
  bool rate_limit_headers = false;
  bool retry_unsafe = false;
};

std::string service_path(const std::string& id) { return "/v1/services/" + percent_encoded(id); }

// The definition as the flags say it; the server checks it.
json::value definition_of(const PutService& put) {
  json::object body;
  body["model"] = put.model;
  body["upstreams"] = json::value_from(put.upstreams);
  auto& route = body["route"].emplace_object();
  route["path_prefix"] = put.path_prefix;
  if (!put.host.empty()) route["host"] = put.host;
  if (put.timeout_ms) body["timeout_ms"] = *put.timeout_ms;
  if (put.capacity) body["capacity"] = *put.capacity;
  if (put.paid_reserve_percent) body["paid_reserve_percent"] = *put.paid_reserve_percent;
  if (!put.limit_by.empty()) body["limit_by"] = put.limit_by;
  if (!put.failure_statuses.empty()) body["failure_statuses"] = json::value_from(put.failure_statuses);
  if (!put.error_dialect.empty()) body["error_dialect"] = put.error_dialect;
  if (put.rate_limit_headers) body["rate_limit_headers"] = true;
  if (put.retry_unsafe) body["retry_unsafe"] = true;
  return body;
}

int put_service(CtlSession& session, const PutService& put) {
  if (put.file.empty()) {
    if (put.model.empty() || put.upstreams.empty() || put.path_prefix.empty()) {
      return CtlSession::refuse_usage("services put needs --model, --upstream and --path-prefix, or --file");
    }
    const auto body = definition_of(put);
    return session.show("PUT", service_path(put.id), &body);
  }
  const auto text = read_file(put.file);
  if (text.has_error()) return session.refuse(text.error());
  const auto body = read_yaml(*text, put.file, process_environment());
  if (body.has_error()) return session.refuse(body.error());
  return session.show("PUT", service_path(put.id), &*body);
}

void add_put(CLI::App* noun, CtlCommandLine& line) {
  auto put = options<PutService>();
  CLI::App* command = line.command(noun, "put", "Publish a service, or replace its definition",
                                   [&line, put] { return put_service(line.session, *put); });
  command->add_option("service", put->id, "The service's id")->required();
  command->add_option("-f,--file", put->file, "The whole definition as YAML or JSON, instead of the flags below");
  command->add_option("--model", put->model, "A model of the catalogue (tollgate ctl catalog)");
  command->add_option("--upstream", put->upstreams, "host:port of an inference server; may be repeated");
  command->add_option("--path-prefix", put->path_prefix, "Paths that begin with it are this service's");
  command->add_option("--host", put->host, "Only requests for this host");
  command->add_option("--timeout-ms", put->timeout_ms, "The longest silence of an upstream");
  command->add_option("--capacity", put->capacity, "Calls in flight the upstreams can take");
  command->add_option("--paid-reserve-percent", put->paid_reserve_percent, "Share of it that free calls leave free");
  command->add_option("--limit-by", put->limit_by, "concurrency or qps");
  command->add_option("--failure-status", put->failure_statuses, "503 or 5xx: counted as failed; may be repeated");
  command->add_option("--error-dialect", put->error_dialect, "problem, openai or baidu");
  command->add_flag("--rate-limit-headers", put->rate_limit_headers, "RateLimit headers on answers");
  command->add_flag("--retry-unsafe", put->retry_unsafe, "A POST may be sent again after a broken reused connection");
}
}  // namespace

void add_services(CLI::App* ctl, CtlCommandLine& line) {
  CLI::App* noun = add_noun(ctl, "services", "Published APIs: a model, a route and its upstreams");
  add_put(noun, line);
  auto got = options<std::string>();
  line.command(noun, "get", "Show a service", [&line, got] { return line.session.show("GET", service_path(*got)); })
      ->add_option("service", *got)
      ->required();
  line.command(noun, "list", "List the services", [&line] {
    return line.session.show_list(
        "/v1/services", {"id", "model", "route.path_prefix", "route.host", "upstreams", "limit_by", "capacity"});
  });
  auto gone = options<std::string>();
  line.command(noun, "delete", "Take a service off the air; what was used stays known",
               [&line, gone] { return line.session.done("DELETE", service_path(*gone), "deleted " + *gone); })
      ->add_option("service", *gone)
      ->required();
}

}  // namespace tollgate::gateway
