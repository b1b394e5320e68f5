#include "gateway/admin_audit_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "base/ids.h"
#include "gateway/admin_handlers.h"
#include "gateway/json_reader.h"

namespace tollgate::gateway {
namespace {
namespace json = boost::json;
namespace asio = boost::asio;

constexpr std::string_view kRedacted = "[redacted]";
constexpr std::size_t kSecretBytesMin = 12;  // a shorter one may stand in any text by chance
constexpr std::size_t kKeyBytesMin = 20;     // after its prefix

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_named_like_a_secret(std::string_view name) {
  std::string low(name.size(), '\0');
  std::transform(name.begin(), name.end(), low.begin(), lower);
  constexpr std::array names = {"secret", "password", "passphrase", "token", "authorization", "api_key", "private_key"};
  const auto stands = [&](std::string_view part) { return low.find(part) != std::string::npos; };
  return low == "key" || std::any_of(names.begin(), names.end(), stands);
}

void redact_keys(std::string& text, std::string_view prefix) {
  const auto is_of_key = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  for (std::size_t at = 0; (at = text.find(prefix, at)) != std::string::npos;) {
    const auto begin = text.begin() + static_cast<std::ptrdiff_t>(at + prefix.size());
    const auto bytes = static_cast<std::size_t>(std::find_if_not(begin, text.end(), is_of_key) - begin);
    if (bytes >= kKeyBytesMin) text.replace(at, prefix.size() + bytes, kRedacted);
    at += 1;
  }
}

std::string redacted_text(std::string text, const std::vector<std::string>& secrets) {
  if (text.find("PRIVATE KEY-----") != std::string::npos) return std::string(kRedacted);
  for (const auto& secret : secrets) {
    if (secret.size() < kSecretBytesMin) continue;
    for (std::size_t at = 0; (at = text.find(secret, at)) != std::string::npos;) {
      text.replace(at, secret.size(), kRedacted);
      at += kRedacted.size();
    }
  }
  redact_keys(text, "tg_");
  redact_keys(text, "tgr_");
  return text;
}

json::value redacted(const json::value& value, const std::vector<std::string>& secrets) {
  if (const auto* text = value.if_string()) {
    const std::string clean = redacted_text(std::string(text->data(), text->size()), secrets);
    return json::value(json::string(clean));
  }
  if (const auto* items = value.if_array()) {
    json::array out;
    for (const auto& item : *items) out.push_back(redacted(item, secrets));
    return out;
  }
  if (const auto* object = value.if_object()) {
    json::object out;
    for (const auto& [name, item] : *object) {
      out[name] =
          is_named_like_a_secret({name.data(), name.size()}) ? json::value(kRedacted.data()) : redacted(item, secrets);
    }
    return out;
  }
  return value;
}
}  // namespace

bool is_recorded(const AdminRoute& route) noexcept {
  return route.method != "GET" && route.access == AdminAccess::admin;
}

std::string recorded_body(const json::value& body, const std::vector<std::string>& secrets) {
  std::string text = canonical_json(redacted(body, secrets));
  if (text.size() <= kRecordedBodyBytesMax) return text;
  const Sha256 digest = sha256(text);
  return fmt::format(R"({{"body_bytes":{},"body_sha256":"{}"}})", text.size(),
                     to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()}));
}

billing::AuditOutcome outcome_of(const AdminAnswer& answer) {
  billing::AuditOutcome outcome{answer.status, {}};
  if (answer.status != 201) return outcome;
  boost::system::error_code error;
  const auto value = json::parse(answer.body, error);
  const auto* object = error ? nullptr : value.if_object();
  const auto* id = object == nullptr ? nullptr : object->if_contains("id");
  if (id != nullptr && id->is_string()) outcome.made = json::value_to<std::string>(*id);
  return outcome;
}

std::string_view name_of(AdminRole role) noexcept {
  switch (role) {
    case AdminRole::admin: return "admin";
    case AdminRole::billing_read: return "billing-read";
    case AdminRole::account: return "account";
    case AdminRole::nobody: break;
  }
  return "nobody";
}

json::object view(const billing::AuditRow& row) {
  json::object out;
  out["sequence"] = row.sequence;
  out["at"] = format_time(row.at);
  out["role"] = row.change.role;
  out["address"] = row.change.address;
  out["request_id"] = row.change.request_id;
  out["method"] = row.change.method;
  out["path"] = row.change.path;
  out["status"] = row.outcome.status;
  out["made"] = row.outcome.made;
  out["body"] = row.change.body;  // as text: these very bytes are hashed
  out["previous_hash"] = row.previous_hash;
  out["hash"] = row.hash;
  return out;
}

namespace handlers {

namespace {
json::object view_of(const billing::AuditVerification& verified) {
  json::object body;
  body["ok"] = !verified.first_break;
  body["rows"] = verified.head.sequence;
  body["head"] = billing::format_audit_head(verified.head);
  body["first_break"] = nullptr;
  if (const auto& broken = verified.first_break) {
    body["first_break"] = json::object{{"sequence", broken->sequence}, {"reason", broken->reason}};
  }
  return body;
}
}  // namespace

AdminAnswer list_audit_log(AdminContext& context, const AdminRequest& request) {
  const auto read = [&](auto after, int limit) { return context.core.audit_log(std::move(after), limit); };
  return answer_with_page(request.query, read, [](const auto& row) { return gateway::view(row); });
}

asio::awaitable<AdminAnswer> verify_audit_log(AdminContext& context, BillingThread& billing,
                                              const AdminRequest& request) {
  std::optional<billing::AuditHead> kept;
  if (const auto text = request.query.text("head")) {
    kept = billing::parse_audit_head(*text);
    if (!kept) co_return problem(invalid("head", "head: must be SEQUENCE:HASH, as a verification gives it"));
  }
  billing::AuditVerifier verifier(std::move(kept));
  auto piece = [&] { return context.core.verify_audit_log_piece(verifier); };
  for (bool more = true; more;) {
    auto turn = billing.run(piece);
    const auto done = co_await std::move(turn);
    if (done.has_error()) co_return problem(done.error());
    more = *done;
  }
  co_return json_answer(200, view_of(verifier.end()));
}

}  // namespace handlers
}  // namespace tollgate::gateway
