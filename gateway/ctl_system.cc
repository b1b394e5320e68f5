// tollgate ctl catalog, audit, clock, apply
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <cstdio>

#include "gateway/ctl_apply.h"
#include "gateway/ctl_commands.h"

namespace tollgate::gateway {
namespace {
namespace json = boost::json;

struct ApplyOptions {
  std::string file;
  std::string keys_file;
};

// The answer of a GET, or nullopt after the fault was said.
std::optional<json::value> fetch(CtlSession& session, const std::string& target, int& code) {
  auto client = session.client();
  auto answer = client.has_error() ? Result<CtlAnswer>(client.error()) : (*client)->get(target);
  if (answer.has_value()) return std::move(answer->body);
  code = session.refuse(answer.error());
  return std::nullopt;
}

int show_catalog(CtlSession& session) {
  int code = CtlExit::kDone;
  const auto catalog = fetch(session, "/v1/catalog", code);
  if (!catalog) return code;
  if (session.as_json) {
    fmt::print("{}\n", json::serialize(*catalog));
    return code;
  }
  session.show_items(catalog->at("models").as_array(), {"name", "title", "direction", "points", "class"});
  fmt::print("\n");
  return session.show_items(catalog->at("plans").as_array(),
                            {"id", "title", "free_quota.points", "free_quota.period", "arrears_check"});
}

int show_audit(CtlSession& session) {
  int code = CtlExit::kDone;
  const auto audit = fetch(session, "/v1/audit", code);
  if (!audit) return code;
  if (session.as_json) {
    fmt::print("{}\n", json::serialize(*audit));
  } else {
    session.show_items(audit->at("invariants").as_array(), {"name", "left", "right", "ok"});
  }
  if (audit->at("ok").as_bool()) return CtlExit::kDone;
  fmt::print(stderr, "tollgate ctl: the books do not agree\n");
  return CtlExit::kRefused;
}

// The steps of `apply` as they are made: lines for people, one JSON array for programs. Each leaves at once, since a
// new key's secret is shown nowhere else.
class ApplyReport {
 public:
  explicit ApplyReport(bool as_json) : as_json_(as_json) {}

  void add(const ApplyStep& step, const json::value& problem = nullptr) {
    if (as_json_) {
      json::object item = {{"kind", step.kind}, {"id", step.id}, {"result", step.result}, {"note", step.note}};
      if (problem.is_object()) item["problem"] = problem;
      fmt::print("{}{}", begun_ ? ",\n" : "[", json::serialize(item));
    } else {
      fmt::print("{:<13} {:<40} {:<10} {}\n", step.kind, step.id, step.result, step.note);
    }
    begun_ = true;
    std::fflush(stdout);
  }

  int end() const {
    if (as_json_) fmt::print("{}]\n", begun_ ? "" : "[");
    return CtlExit::kDone;
  }

 private:
  bool as_json_;
  bool begun_ = false;
};

int apply_file(CtlSession& session, const ApplyOptions& options) {
  const auto text = read_file(options.file);
  if (text.has_error()) return session.refuse(text.error());
  const auto file = parse_apply_file(*text, options.file, process_environment());
  if (file.has_error()) return session.refuse(file.error());
  auto client = session.client();
  if (client.has_error()) return session.refuse(client.error());
  ApplyReport report(session.as_json);
  const auto done = apply(*file, **client, options.keys_file, [&](const ApplyStep& step) { report.add(step); });
  if (done.has_value()) return report.end();
  // The array is the one document of the output, so what ended it is its last item.
  if (!session.as_json) return session.refuse(done.error());
  report.add({{}, {}, "failed", done.error().message}, session.problem_of(done.error()));
  report.end();
  return CtlSession::refuse_quietly(done.error());
}
}  // namespace

void add_system(CLI::App* ctl, CtlCommandLine& line) {
  line.command(ctl, "catalog", "Show the models with their points, and the plans",
               [&line] { return show_catalog(line.session); });
  line.command(ctl, "audit", "Recompute every invariant of the books; exit code 1 if one does not hold",
               [&line] { return show_audit(line.session); });

  CLI::App* clock = add_noun(ctl, "clock", "The test clock (billing.clock: manual)");
  line.command(clock, "get", "Show its time", [&line] { return line.session.show("GET", "/v1/clock"); });
  auto now = options<std::string>();
  line.command(clock, "set", "Move it forward; everything due up to then is run",
               [&line, now] {
                 const json::value body = {{"now", *now}};
                 return line.session.show("POST", "/v1/clock", &body);
               })
      ->add_option("now", *now, "A time like 2030-01-01T00:00:00+08:00")
      ->required();

  auto applied = options<ApplyOptions>();
  CLI::App* command = line.command(ctl, "apply", "Make the server agree with a file of services and accounts",
                                   [&line, applied] { return apply_file(line.session, *applied); });
  command->add_option("-f,--file", applied->file, "YAML; \"-\": standard input. ${NAME:-default} is filled in")
      ->required();
  command->add_option("--keys-file", applied->keys_file,
                      "Keep new keys here as lines \"account key\"; an account with a line gets no other key");
}

}  // namespace tollgate::gateway
