// What happens to one request of the admin API between its head and its answer: token, route, checks, idempotency,
// and the handler on the right thread. It does not read or write sockets; admin_server.cc does.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/beast/http/message.hpp>
#include <optional>
#include <string>
#include <unordered_set>

#include "gateway/admin_callers.h"
#include "gateway/admin_message.h"
#include "gateway/admin_routes.h"
#include "gateway/billing_thread.h"

namespace tollgate::gateway {

using AdminHead = boost::beast::http::request_header<>;

class AdminApi {
 public:
  AdminApi(AdminContext context, AdminTokens tokens, BillingThread& billing);

  // Decided by the head alone, so that a body is only read for a caller who may send it.
  struct Opening {
    AdminCaller caller;
    std::string peer;
    std::string request_id;  // that the answer will carry
    AdminMatch match;
    std::string query;                   // the target after '?', as sent
    std::optional<AdminAnswer> refusal;  // then there is nothing more to do
  };
  [[nodiscard]] Opening open(const AdminHead& head, const boost::asio::ip::address& peer);

  // After open() without a refusal. Server thread.
  boost::asio::awaitable<AdminAnswer> answer(const AdminHead& head, const Opening& opening, const std::string& body);

 private:
  [[nodiscard]] AdminCaller caller_of(const AdminHead& head) const;
  AdminAnswer refuse_token(const boost::asio::ip::address* guesser);  // null: no token came
  billing::AuditChange change_of(const AdminHead& head, const Opening& opening, const boost::json::value& body) const;
  // Billing thread: the handler, and where it may change something the row of the audit log with it.
  AdminAnswer run_handler(const AdminRoute& route, const AdminRequest& request, const billing::AuditChange& change);
  AdminAnswer run_for_account(const AdminRoute& route, const AdminRequest& request);  // billing thread
  AdminAnswer run_recorded(const AdminRoute& route, const AdminRequest& request, const billing::AuditChange& change);
  boost::asio::awaitable<AdminAnswer> answer_once(const AdminHead& head, const AdminRoute& route,
                                                  const AdminRequest& request, const billing::AuditChange& change);

  AdminContext context_;
  AdminTokens tokens_;
  BillingThread& billing_;
  std::unordered_set<std::string>
      keys_in_use_;  // Idempotency-Keys whose first request runs; server thread only, as the next
  WrongTokens wrong_tokens_;
};

}  // namespace tollgate::gateway
