// Admin API: accounts' own read-only tokens, and what only they read.
#include "gateway/admin_handlers.h"
#include "gateway/json_reader.h"

namespace tollgate::gateway::handlers {
namespace {
boost::json::object shown(const billing::AccountToken& token) {
  boost::json::object out;
  out["id"] = token.id;
  out["name"] = token.name;
  out["prefix"] = token.prefix;
  out["created_at"] = format_time(token.created_at);
  out["expires_at"] = nullptr;
  if (token.expires_at) out["expires_at"] = format_time(*token.expires_at);
  return out;
}

boost::json::object shown_once(const billing::NewAccountToken& made) {
  auto out = shown(made.token);
  out["token"] = made.secret;
  return out;
}

// How its delivery to the operator's webhook went is no business of the account.
boost::json::object shown_to_account(const billing::Notification& notification) {
  auto out = view(notification);
  for (const auto* field : {"state", "attempts", "next_attempt_at", "delivered_at", "last_error"}) out.erase(field);
  return out;
}
}  // namespace

AdminAnswer create_account_token(AdminContext& context, const AdminRequest& request) {
  ObjectReader body(request.body);
  const auto name = body.optional_text("name", billing::kNameBytesMax).value_or("");
  const auto expires_at = body.optional_instant("expires_at");
  if (const auto fault = body.finish()) return problem(*fault);
  return answer_with(201, context.core.create_account_token(request.id("account"), name, expires_at), shown_once);
}

AdminAnswer list_account_tokens(AdminContext& context, const AdminRequest& request) {
  const auto read = [&](auto after, int limit) {
    return context.core.account_tokens(request.id("account"), std::move(after), limit);
  };
  return answer_with_page(request.query, read, shown);
}

AdminAnswer revoke_account_token(AdminContext& context, const AdminRequest& request) {
  const auto done = context.core.revoke_account_token(request.id("account"), request.id("token"));
  return done.has_error() ? problem(done.error()) : no_content();
}

AdminAnswer list_notifications_of(AdminContext& context, const AdminRequest& request) {
  const auto read = [&](auto after, int limit) {
    return context.core.notifications_of(request.id("account"), std::move(after), limit);
  };
  return answer_with_page(request.query, read, shown_to_account);
}

}  // namespace tollgate::gateway::handlers
