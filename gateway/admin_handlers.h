// The handlers of the admin API's calls, grouped by subject in admin_<subject>.cc; admin_routes.cc is their only user.
// They run on the billing thread unless their route says otherwise, and trust what their route has checked.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "gateway/admin_message.h"
#include "gateway/admin_views.h"
#include "gateway/billing_thread.h"

namespace tollgate::gateway::handlers {

// admin_services.cc
AdminAnswer put_service(AdminContext&, const AdminRequest&);
AdminAnswer get_service(AdminContext&, const AdminRequest&);
AdminAnswer list_services(AdminContext&, const AdminRequest&);
AdminAnswer delete_service(AdminContext&, const AdminRequest&);
AdminAnswer get_catalog(AdminContext&, const AdminRequest&);

// admin_accounts.cc
AdminAnswer put_account(AdminContext&, const AdminRequest&);
AdminAnswer get_account(AdminContext&, const AdminRequest&);
AdminAnswer list_accounts(AdminContext&, const AdminRequest&);
AdminAnswer create_key(AdminContext&, const AdminRequest&);
AdminAnswer list_keys(AdminContext&, const AdminRequest&);
AdminAnswer revoke_key(AdminContext&, const AdminRequest&);
AdminAnswer create_deposit(AdminContext&, const AdminRequest&);
AdminAnswer list_transfers(AdminContext&, const AdminRequest&);

// admin_account_tokens.cc
AdminAnswer create_account_token(AdminContext&, const AdminRequest&);
AdminAnswer list_account_tokens(AdminContext&, const AdminRequest&);
AdminAnswer revoke_account_token(AdminContext&, const AdminRequest&);
AdminAnswer list_notifications_of(AdminContext&, const AdminRequest&);

// admin_subscriptions.cc
AdminAnswer put_subscription(AdminContext&, const AdminRequest&);
AdminAnswer get_subscription(AdminContext&, const AdminRequest&);
AdminAnswer list_subscriptions(AdminContext&, const AdminRequest&);

// admin_purchases.cc
AdminAnswer buy_package(AdminContext&, const AdminRequest&);
AdminAnswer buy_count_pack(AdminContext&, const AdminRequest&);
AdminAnswer buy_qps_pack(AdminContext&, const AdminRequest&);
AdminAnswer migrate(AdminContext&, const AdminRequest&);
AdminAnswer quote(AdminContext&, const AdminRequest&);

// admin_bills.cc
AdminAnswer get_bill(AdminContext&, const AdminRequest&);
AdminAnswer explain_line(AdminContext&, const AdminRequest&);
AdminAnswer explain_transfer(AdminContext&, const AdminRequest&);
AdminAnswer list_notifications(AdminContext&, const AdminRequest&);

// admin_usage.cc
AdminAnswer list_usage(AdminContext&, const AdminRequest&);
AdminAnswer open_epoch(AdminContext&, const AdminRequest&);
AdminAnswer report_usage(AdminContext&, const AdminRequest&);

// admin_audit_log.cc
AdminAnswer list_audit_log(AdminContext&, const AdminRequest&);
boost::asio::awaitable<AdminAnswer> verify_audit_log(AdminContext&, BillingThread&, const AdminRequest&);

// admin_system.cc
AdminAnswer get_audit(AdminContext&, const AdminRequest&);
AdminAnswer get_clock(AdminContext&, const AdminRequest&);
AdminAnswer set_clock(AdminContext&, const AdminRequest&);
AdminAnswer get_metrics(AdminContext&, const AdminRequest&);
AdminAnswer get_healthz(AdminContext&, const AdminRequest&);
AdminAnswer get_readyz(AdminContext&, const AdminRequest&);

// What most handlers end with: the view of a result, or its fault as a problem.
template <class T, class View>
AdminAnswer answer_with(int status, const Result<T>& result, View view_of) {
  if (result.has_error()) return problem(result.error());
  return json_answer(status, view_of(*result));
}

inline constexpr auto kAsView = [](const auto& item) { return view(item); };

// A list: `read(after, limit)` gives a Result<Page<T>>.
template <class Read, class View>
AdminAnswer answer_with_page(const AdminQuery& query, Read read, View view_of) {
  const auto limit = query.limit();
  if (limit.has_error()) return problem(limit.error());
  const auto page = read(query.after(), *limit);
  if (page.has_error()) return problem(page.error());
  return json_answer(200, page_view(*page, view_of));
}

}  // namespace tollgate::gateway::handlers
