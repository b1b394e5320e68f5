// Admin API: accounts, their keys, and their money.
#include "gateway/admin_handlers.h"
#include "gateway/json_reader.h"

namespace tollgate::gateway::handlers {

AdminAnswer put_account(AdminContext& context, const AdminRequest& request) {
  ObjectReader body(request.body);
  const auto name = body.text("name", billing::kNameBytesMax);
  if (const auto fault = body.finish()) return problem(*fault);
  const auto put = context.core.put_account(request.id("account"), name);
  if (put.has_error()) return problem(put.error());
  return json_answer(200, view(put->account));
}

AdminAnswer get_account(AdminContext& context, const AdminRequest& request) {
  return answer_with(200, context.core.account(request.id("account")), kAsView);
}

AdminAnswer list_accounts(AdminContext& context, const AdminRequest& request) {
  const auto read = [&](auto after, int limit) { return context.core.accounts(std::move(after), limit); };
  return answer_with_page(request.query, read, kAsView);
}

AdminAnswer create_key(AdminContext& context, const AdminRequest& request) {
  ObjectReader body(request.body);
  const auto name = body.optional_text("name", billing::kNameBytesMax).value_or("");
  const auto expires_at = body.optional_instant("expires_at");
  if (const auto fault = body.finish()) return problem(*fault);
  return answer_with(201, context.core.create_key(request.id("account"), name, expires_at), kAsView);
}

AdminAnswer list_keys(AdminContext& context, const AdminRequest& request) {
  const auto read = [&](auto after, int limit) {
    return context.core.keys(request.id("account"), std::move(after), limit);
  };
  return answer_with_page(request.query, read, kAsView);
}

AdminAnswer revoke_key(AdminContext& context, const AdminRequest& request) {
  const auto done = context.core.revoke_key(request.id("account"), request.id("key"));
  return done.has_error() ? problem(done.error()) : no_content();
}

AdminAnswer create_deposit(AdminContext& context, const AdminRequest& request) {
  ObjectReader body(request.body);
  const auto amount = body.money("amount");
  const auto kind = static_cast<billing::DepositKind>(body.one_of("kind", {"cash", "voucher"}));
  const auto expires_at = body.optional_instant("expires_at");
  if (const auto fault = body.finish()) return problem(*fault);
  const auto deposited = context.core.deposit(request.id("account"), amount, kind, expires_at);
  if (deposited.has_error()) return problem(deposited.error());
  boost::json::object answer;
  answer["id"] = deposited->id;
  answer["account"] = view(deposited->account);
  return json_answer(201, answer);
}

AdminAnswer list_transfers(AdminContext& context, const AdminRequest& request) {
  const auto read = [&](auto after, int limit) {
    return context.core.transfers(request.id("account"), std::move(after), limit);
  };
  return answer_with_page(request.query, read, kAsView);
}

}  // namespace tollgate::gateway::handlers
