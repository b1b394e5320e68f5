#include "gateway/admin_api.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/beast/core/string.hpp>

#include "base/ids.h"
#include "gateway/admin_audit_log.h"
#include "gateway/json_reader.h"

namespace tollgate::gateway {
namespace {
namespace asio = boost::asio;
namespace beast = boost::beast;
using beast::http::field;

std::string_view view_of(beast::string_view text) { return {text.data(), text.size()}; }

std::optional<AdminAnswer> wrong_ids(const AdminMatch& match) {
  for (const auto& [part, id] : match.ids) {
    if (is_valid_id(id)) continue;
    const auto method = match.route->method;
    // What cannot be made cannot be there either; only who makes something needs to hear about the form.
    if (method != "PUT" && method != "POST") {
      return problem(404, part + "_not_found", fmt::format("there is no such {}", part), part);
    }
    return problem(
        invalid(part, fmt::format("{}: an id is 1 to 63 of a-z, 0-9 and '-', and begins with no '-'", part)));
  }
  return std::nullopt;
}

std::optional<AdminAnswer> wrong_query(const AdminRoute& route, const AdminQuery& query) {
  for (const auto& [name, value] : query.all()) {
    if (std::find(route.query.begin(), route.query.end(), name) != route.query.end()) continue;
    if (route.query.empty()) return problem(invalid(name, fmt::format("{}: this call takes no query", name)));
    return problem(invalid(
        name, fmt::format("{}: is not a query parameter here; there are: {}", name, fmt::join(route.query, ", "))));
  }
  if (const auto after = query.after(); route.pages_by_id && after && !is_valid_id(*after)) {
    return problem(invalid("after", "not a cursor of this list"));
  }
  return std::nullopt;
}

// application/x-www-form-urlencoded is what curl -d says when nobody tells it what it sends.
bool is_json_type(std::string_view content_type) {
  auto type = content_type.substr(0, content_type.find(';'));
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  return beast::iequals({type.data(), type.size()}, "application/json") ||
         beast::iequals({type.data(), type.size()}, "application/x-www-form-urlencoded");
}

Result<boost::json::value> read_body(const AdminRoute& route, const std::string& body) {
  if (body.empty() && route.body != AdminBody::required) return boost::json::value(boost::json::object());
  if (body.empty()) return Fault{FaultKind::invalid, "invalid_json", "a JSON object is required as the body", {}};
  auto value = parse_json(body);
  if (value.has_error()) return value.error();
  const auto* object = value->if_object();
  if (object == nullptr) return invalid({}, "the body must be a JSON object");
  if (route.body == AdminBody::none && !object->empty()) {
    const std::string name(object->begin()->key().data(), object->begin()->key().size());
    return invalid(name, fmt::format("{}: is not a field here; this call takes no body", name));
  }
  return value;
}

// The one Idempotency-Key of a request, if it has the form of one.
std::optional<std::string> idempotency_key(const AdminHead& head) {
  if (head.count("Idempotency-Key") != 1) return std::nullopt;
  const auto key = view_of(head["Idempotency-Key"]);
  const auto is_visible = [](char c) { return c > 0x20 && c < 0x7f; };
  if (key.empty() || key.size() > billing::kIdempotencyKeyBytesMax) return std::nullopt;
  if (!std::all_of(key.begin(), key.end(), is_visible)) return std::nullopt;
  return std::string(key);
}

std::string_view path_of(const AdminHead& head) {
  const auto target = view_of(head.target());
  return target.substr(0, target.find('?'));
}

// What makes two requests the same: method, path and the value of the body, however it was spelt.
std::string fingerprint(const AdminHead& head, const boost::json::value& body) {
  return fmt::format("{}\n{}\n{}", view_of(head.method_string()), path_of(head), canonical_json(body));
}

// A key in use for as long as its first request runs, whatever way that ends.
class KeyInUse {
 public:
  KeyInUse(std::unordered_set<std::string>& keys, const std::string& key) : keys_(keys), key_(key) {
    taken_ = keys_.insert(key_).second;
  }
  KeyInUse(const KeyInUse&) = delete;
  KeyInUse& operator=(const KeyInUse&) = delete;
  ~KeyInUse() {
    if (taken_) keys_.erase(key_);
  }
  [[nodiscard]] bool taken() const noexcept { return taken_; }

 private:
  std::unordered_set<std::string>& keys_;
  std::string key_;
  bool taken_ = false;
};

AdminAnswer from_stored(const billing::StoredAnswer& stored, bool replayed) {
  AdminAnswer answer;
  answer.status = stored.status;
  answer.body = stored.body;
  if (stored.status >= 400) answer.content_type = "application/problem+json";
  answer.replayed = replayed;
  return answer;
}
}  // namespace

AdminApi::AdminApi(AdminContext context, AdminTokens tokens, BillingThread& billing)
    : context_(std::move(context)), tokens_(std::move(tokens)), billing_(billing) {}

AdminCaller AdminApi::caller_of(const AdminHead& head) const {
  constexpr std::string_view scheme = "Bearer ";
  if (head.count(field::authorization) != 1) return {};
  const auto value = view_of(head[field::authorization]);
  if (value.size() <= scheme.size() || !beast::iequals({value.data(), scheme.size()}, "Bearer ")) return {};
  const auto presented = value.substr(scheme.size());
  auto caller = identify_caller(tokens_, presented);
  if (caller.role != AdminRole::nobody || !presented.starts_with(kAccountTokenPrefix)) return caller;
  auto account = context_.core.token_holders().account_of(sha256(presented), context_.clock.now());
  if (account) caller = {AdminRole::account, *std::move(account)};
  return caller;
}

AdminAnswer AdminApi::refuse_token(const asio::ip::address* guesser) {
  if (context_.wrong_token) context_.wrong_token();
  const auto wait_s = guesser == nullptr ? 0 : wrong_tokens_.count(*guesser, steady_ns());
  if (wait_s == 0) return problem(401, "invalid_admin_token", "Authorization: Bearer <admin token> is required");
  auto refusal = problem(429, "too_many_wrong_tokens", "too many requests without a right token from this address");
  refusal.retry_after_s = wait_s;
  return refusal;
}

AdminApi::Opening AdminApi::open(const AdminHead& head, const asio::ip::address& peer) {
  Opening opening;
  opening.peer = peer.to_string();
  opening.request_id = random_id("adm");
  const auto path = path_of(head);
  const bool is_v1 = path == "/v1" || path.starts_with("/v1/");
  if (is_v1) opening.caller = caller_of(head);
  if (is_v1 && opening.caller.role == AdminRole::nobody) {
    // Nothing was guessed where no token is; the answer to it costs no comparison.
    opening.refusal = refuse_token(head.count(field::authorization) != 0 ? &peer : nullptr);
    return opening;
  }
  const auto target = view_of(head.target());
  if (path.size() < target.size()) opening.query = target.substr(path.size() + 1);
  opening.match = match_admin_route(view_of(head.method_string()), path);
  if (opening.match.route != nullptr) {
    const auto account = opening.match.ids.find("account");
    const std::string_view of_account = account == opening.match.ids.end() ? std::string_view() : account->second;
    if (!may_call(*opening.match.route, opening.caller, of_account)) {
      opening.refusal = problem(403, "not_allowed", "this token may not make this call");
    } else {
      opening.refusal = wrong_ids(opening.match);
    }
  } else if (!opening.match.allow.empty()) {
    opening.refusal = problem(405, "method_not_allowed", fmt::format("this path takes {}", opening.match.allow));
    opening.refusal->allow = opening.match.allow;
  } else {
    opening.refusal = problem(404, "not_found", "the admin API has no such path");
  }
  return opening;
}

asio::awaitable<AdminAnswer> AdminApi::answer(const AdminHead& head, const Opening& opening, const std::string& body) {
  const AdminRoute& route = *opening.match.route;
  if (!body.empty() && head.count(field::content_type) != 0 && !is_json_type(view_of(head[field::content_type]))) {
    co_return problem(415, "unsupported_media_type", "the body must be application/json");
  }
  auto query = AdminQuery::parse(route.ignores_query ? std::string_view() : std::string_view(opening.query));
  if (query.has_error()) co_return problem(query.error());
  if (auto refusal = wrong_query(route, *query)) co_return *std::move(refusal);
  auto value = read_body(route, body);
  if (value.has_error()) co_return problem(value.error());
  const AdminRequest request{opening.match.ids, *std::move(query), *std::move(value)};
  if (route.thread == AdminThread::server) co_return route.handler(context_, request);
  if (route.in_turns != nullptr) {
    auto turns = route.in_turns(context_, billing_, request);
    co_return co_await std::move(turns);
  }
  const auto change =
      is_recorded(route) ? change_of(head, opening, request.body) : billing::AuditChange{};  // needs no billing thread
  if (route.idempotent) {
    auto once = answer_once(head, route, request, change);
    co_return co_await std::move(once);
  }
  const bool is_account = opening.caller.role == AdminRole::account;
  auto work = [&] { return is_account ? run_for_account(route, request) : run_handler(route, request, change); };
  co_return co_await billing_.run(work);
}

// To an account's own token, what is not its own is as if it were not there: which services others have, too.
AdminAnswer AdminApi::run_for_account(const AdminRoute& route, const AdminRequest& request) {
  auto nothing = problem(404, "not_found", "this account has no such thing");
  if (const auto service = request.query.text("service")) {
    const auto own = context_.core.subscription(request.id("account"), *service);
    if (own.has_error() && own.error().kind != FaultKind::unavailable) return nothing;
  }
  auto answer = route.handler(context_, request);
  return answer.status == 404 ? nothing : answer;
}

billing::AuditChange AdminApi::change_of(const AdminHead& head, const Opening& opening,
                                         const boost::json::value& body) const {
  return {std::string(name_of(opening.caller.role)),
          opening.peer,
          opening.request_id,
          std::string(opening.match.route->method),
          std::string(path_of(head)),
          recorded_body(body, {tokens_.admin, tokens_.billing_read})};
}

AdminAnswer AdminApi::run_handler(const AdminRoute& route, const AdminRequest& request,
                                  const billing::AuditChange& change) {
  if (route.flushes_usage) context_.traffic.flush_usage();
  auto answer = is_recorded(route) ? run_recorded(route, request, change) : route.handler(context_, request);
  if (context_.changed && route.method != "GET" && answer.status < 400) context_.changed();
  return answer;
}

AdminAnswer AdminApi::run_recorded(const AdminRoute& route, const AdminRequest& request,
                                   const billing::AuditChange& change) {
  AdminAnswer answer;
  Result<std::optional<billing::AuditHead>> head = std::optional<billing::AuditHead>();
  if (route.is_one_transaction) {
    head = context_.core.record_change(change, [&] {
      answer = route.handler(context_, request);
      return outcome_of(answer);
    });
  } else {
    answer = route.handler(context_, request);
    if (answer.status >= 400) return answer;
    const auto after = context_.core.record_after(change, outcome_of(answer));
    if (after.has_error()) return problem(after.error());
    head = std::optional(*after);
  }
  if (head.has_error()) return problem(head.error());
  if (*head) answer.audit_head = billing::format_audit_head(**head);
  return answer;
}

asio::awaitable<AdminAnswer> AdminApi::answer_once(const AdminHead& head, const AdminRoute& route,
                                                   const AdminRequest& request, const billing::AuditChange& change) {
  const auto key = idempotency_key(head);
  if (!key) {
    co_return problem(400, "idempotency_key_required",
                      fmt::format("this call moves money: send an Idempotency-Key of 1 to {} visible ASCII characters",
                                  billing::kIdempotencyKeyBytesMax),
                      "Idempotency-Key");
  }
  const KeyInUse in_use(keys_in_use_, *key);
  if (!in_use.taken()) {
    co_return problem(409, "idempotency_key_in_use", "a request with this Idempotency-Key is still running");
  }
  const auto print = fingerprint(head, request.body);
  auto work = [&]() -> AdminAnswer {
    std::optional<AdminAnswer> ran;
    const auto stored = context_.core.once(*key, print, [&] {
      ran = run_recorded(route, request, change);
      return billing::StoredAnswer{ran->status, ran->body};
    });
    if (context_.changed && ran && stored) context_.changed();
    if (stored.has_error()) return problem(stored.error());
    auto answer = from_stored(*stored, !ran);
    if (ran) answer.audit_head = ran->audit_head;
    return answer;
  };
  co_return co_await billing_.run(work);
}

}  // namespace tollgate::gateway
