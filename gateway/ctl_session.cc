#include "gateway/ctl_session.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "base/clock.h"
#include "base/ids.h"
#include "gateway/ctl_table.h"

namespace tollgate::gateway {
namespace json = boost::json;

namespace {
// Where `tollgate serve` without a configuration keeps it.
constexpr auto kDefaultTokenFile = "tollgate-data/admin-token";

std::optional<std::string> first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }
}  // namespace

Result<std::string> CtlSession::find_token() const {
  if (!token_file.empty()) {
    if (auto line = first_line(token_file)) return *line;
    return invalid("token-file", fmt::format("cannot read a token from {}", token_file));
  }
  const char* given = std::getenv("TOLLGATE_ADMIN_TOKEN");
  if (given != nullptr && *given != '\0') return std::string(given);
  if (auto line = first_line(kDefaultTokenFile)) return *line;
  return invalid("token",
                 "no admin token: give --token-file (serve keeps it in DATA_DIR/admin-token), or set "
                 "TOLLGATE_ADMIN_TOKEN");
}

Result<CtlClient*> CtlSession::client() {
  if (!client_) {
    auto found = find_token();
    if (found.has_error()) return found.error();
    client_.emplace(CtlClientOptions{address, *std::move(found)});
  }
  return &*client_;
}

int CtlSession::show(std::string_view method, const std::string& target, const json::value* body,
                     std::string_view idempotency_key) {
  auto connected = client();
  if (connected.has_error()) return refuse(connected.error());
  const auto answer = (*connected)->send(method, target, body, idempotency_key);
  if (answer.has_error()) return refuse(answer.error());
  if (as_json || !answer->body.is_object()) {
    print(json::serialize(answer->body) + "\n");
  } else {
    print(fields(answer->body.get_object()));
  }
  return CtlExit::kDone;
}

int CtlSession::pay(const std::string& target, const json::value& body, std::string idempotency_key) {
  if (idempotency_key.empty()) idempotency_key = random_id("ctl");
  const int code = show("POST", target, &body, idempotency_key);
  // Without an answer nobody knows whether money moved; the key makes asking again safe. A refusal would be repeated
  // with its key, so there it is not said.
  const int status = client_ ? client_->last().status : 0;
  if (code == CtlExit::kRefused && (status == 0 || status >= 500))
    fmt::print(stderr, "to repeat it safely: --idempotency-key {}\n", idempotency_key);
  return code;
}

WallTime CtlSession::now() {
  const WallTime here = SystemClock().now();
  auto connected = client();
  if (connected.has_error()) return here;
  const auto answer = (*connected)->get("/v1/clock");
  if (answer.has_error()) return here;
  return parse_time(json::value_to<std::string>(answer->body.at("now"))).value_or(here);
}

int CtlSession::show_list(const std::string& target, const std::vector<std::string_view>& columns) {
  auto connected = client();
  if (connected.has_error()) return refuse(connected.error());
  const auto items = (*connected)->all(target);
  return items.has_error() ? refuse(items.error()) : show_items(*items, columns);
}

int CtlSession::show_items(const json::array& items, const std::vector<std::string_view>& columns) const {
  if (as_json) {
    print(json::serialize(json::value{{"items", items}, {"next", nullptr}}) + "\n");
  } else {
    print(table(items, columns));
  }
  return CtlExit::kDone;
}

int CtlSession::done(std::string_view method, const std::string& target, std::string_view what) {
  auto connected = client();
  if (connected.has_error()) return refuse(connected.error());
  const auto answer = (*connected)->send(method, target);
  if (answer.has_error()) return refuse(answer.error());
  print(as_json ? std::string("{}\n") : fmt::format("{}\n", what));
  return CtlExit::kDone;
}

json::value CtlSession::problem_of(const Fault& fault) const {
  const json::value* problem = client_ ? &client_->last().problem : nullptr;
  const json::object* object = problem == nullptr ? nullptr : problem->if_object();
  const json::value* code = object == nullptr ? nullptr : object->if_contains("code");
  // Some faults are this side's own and come after an answer that has nothing to do with them.
  const bool of_answer = code != nullptr && code->is_string() && code->get_string() == fault.code;
  return of_answer ? *problem : json::value();
}

int CtlSession::refuse(const Fault& fault) const {
  if (const auto problem = problem_of(fault); as_json && problem.is_object()) print(json::serialize(problem) + "\n");
  return refuse_quietly(fault);
}

int CtlSession::refuse_quietly(const Fault& fault) {
  fmt::print(stderr, "tollgate ctl: {}\n", fault.message);
  return fault.field == "token" || fault.field == "token-file" || fault.field == "address" ? CtlExit::kUsage
                                                                                           : CtlExit::kRefused;
}

int CtlSession::refuse_usage(std::string_view message) {
  fmt::print(stderr, "tollgate ctl: {}\n", message);
  return CtlExit::kUsage;
}

}  // namespace tollgate::gateway
