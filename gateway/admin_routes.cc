#include "gateway/admin_routes.h"

#include <array>

#include "gateway/admin_handlers.h"

namespace tollgate::gateway {
namespace {
using namespace handlers;

constexpr std::size_t kUsageBodyBytesMax = 16 * 1024 * 1024;
constexpr auto kAnyone = AdminAccess::anyone;
constexpr auto kOwn = AdminAccess::own;
constexpr auto kReaders = AdminAccess::readers;
constexpr auto kAdmin = AdminAccess::admin;
constexpr auto kNone = AdminBody::none;
constexpr auto kOptional = AdminBody::optional;
constexpr auto kRequired = AdminBody::required;

const std::vector<std::string_view> kPages = {"after", "limit"};

// clang-format off
const std::array kRoutes = {
    AdminRoute{kReaders, "GET", "/v1/catalog", get_catalog},

    AdminRoute{.access = kReaders, .method = "GET", .pattern = "/v1/services",
               .handler = list_services, .query = kPages,
               .pages_by_id = true},
    AdminRoute{kAdmin, "PUT", "/v1/services/{service}", put_service, kRequired},
    AdminRoute{kReaders, "GET", "/v1/services/{service}", get_service},
    AdminRoute{kAdmin, "DELETE", "/v1/services/{service}", delete_service},

    AdminRoute{.access = kReaders, .method = "GET", .pattern = "/v1/accounts",
               .handler = list_accounts, .query = kPages,
               .pages_by_id = true},
    AdminRoute{kAdmin, "PUT", "/v1/accounts/{account}", put_account, kRequired},
    AdminRoute{kOwn, "GET", "/v1/accounts/{account}", get_account},
    AdminRoute{kAdmin, "POST", "/v1/accounts/{account}/keys", create_key, kOptional},
    AdminRoute{.access = kOwn, .method = "GET", .pattern = "/v1/accounts/{account}/keys",
               .handler = list_keys, .query = kPages,
               .pages_by_id = true},
    AdminRoute{kAdmin, "DELETE", "/v1/accounts/{account}/keys/{key}", revoke_key},
    AdminRoute{kAdmin, "POST", "/v1/accounts/{account}/tokens", create_account_token, kOptional},
    AdminRoute{.access = kReaders, .method = "GET", .pattern = "/v1/accounts/{account}/tokens",
               .handler = list_account_tokens, .query = kPages,
               .pages_by_id = true},
    AdminRoute{kAdmin, "DELETE", "/v1/accounts/{account}/tokens/{token}", revoke_account_token},
    AdminRoute{.access = kAdmin, .method = "POST", .pattern = "/v1/accounts/{account}/deposits",
               .handler = create_deposit,
               .body = kRequired, .idempotent = true},
    AdminRoute{kOwn, "GET", "/v1/accounts/{account}/transfers", list_transfers, kNone, kPages},
    AdminRoute{kOwn, "GET", "/v1/accounts/{account}/transfers/{transfer}/explain", explain_transfer},
    AdminRoute{kOwn, "GET", "/v1/accounts/{account}/bills", get_bill, kNone, {"month", "format"}},
    AdminRoute{kOwn, "GET", "/v1/accounts/{account}/bills/explain", explain_line, kNone, {"month", "line"}},

    AdminRoute{.access = kOwn, .method = "GET", .pattern = "/v1/accounts/{account}/subscriptions",
               .handler = list_subscriptions, .query = kPages,
               .pages_by_id = true},
    AdminRoute{.access = kAdmin, .method = "PUT", .pattern = "/v1/accounts/{account}/subscriptions/{service}",
               .handler = put_subscription, .body = kRequired, .flushes_usage = true},
    AdminRoute{kOwn, "GET", "/v1/accounts/{account}/subscriptions/{service}", get_subscription},
    AdminRoute{.access = kAdmin, .method = "POST",
               .pattern = "/v1/accounts/{account}/subscriptions/{service}/qps-packs",
               .handler = buy_qps_pack, .body = kRequired, .idempotent = true},
    AdminRoute{.access = kAdmin, .method = "POST", .pattern = "/v1/accounts/{account}/subscriptions/{service}/packages",
               .handler = buy_package, .body = kRequired, .idempotent = true},
    AdminRoute{.access = kAdmin, .method = "POST",
               .pattern = "/v1/accounts/{account}/subscriptions/{service}/count-packs",
               .handler = buy_count_pack, .body = kRequired, .idempotent = true},
    AdminRoute{kAdmin, "POST", "/v1/accounts/{account}/subscriptions/{service}/migrate", migrate, kRequired},

    AdminRoute{kOwn, "GET", "/v1/accounts/{account}/usage", list_usage, kNone,
               {"service", "from", "to", "after", "limit"}},
    AdminRoute{kOwn, "GET", "/v1/accounts/{account}/notifications", list_notifications_of, kNone, kPages},
    AdminRoute{kAdmin, "POST", "/v1/gateways/{gateway}/epochs", open_epoch},
    AdminRoute{.access = kAdmin, .method = "POST", .pattern = "/v1/usage", .handler = report_usage, .body = kRequired,
               .body_bytes_max = kUsageBodyBytesMax},

    AdminRoute{kReaders, "POST", "/v1/quotes", quote, kRequired},
    AdminRoute{kReaders, "GET", "/v1/notifications", list_notifications, kNone, kPages},

    AdminRoute{kReaders, "GET", "/v1/audit", get_audit},
    AdminRoute{kReaders, "GET", "/v1/audit-log", list_audit_log, kNone, kPages},
    AdminRoute{.access = kReaders, .method = "GET", .pattern = "/v1/audit-log/verification", .query = {"head"},
               .in_turns = verify_audit_log},
    AdminRoute{kReaders, "GET", "/v1/clock", get_clock},
    AdminRoute{.access = kAdmin, .method = "POST", .pattern = "/v1/clock", .handler = set_clock, .body = kRequired,
               .is_one_transaction = false},

    AdminRoute{.access = kAnyone, .method = "GET", .pattern = "/metrics", .handler = get_metrics,
               .thread = AdminThread::server, .ignores_query = true},
    AdminRoute{.access = kAnyone, .method = "GET", .pattern = "/healthz", .handler = get_healthz,
               .thread = AdminThread::server, .ignores_query = true},
    AdminRoute{.access = kAnyone, .method = "GET", .pattern = "/readyz", .handler = get_readyz,
               .thread = AdminThread::server, .ignores_query = true},
};
// clang-format on

std::string_view take_part(std::string_view& path) {
  path.remove_prefix(1);  // the '/'
  const auto part = path.substr(0, path.find('/'));
  path.remove_prefix(part.size());
  return part;
}

bool matches(std::string_view pattern, std::string_view path, std::map<std::string, std::string, std::less<>>& ids) {
  ids.clear();
  while (!pattern.empty() && !path.empty()) {
    const auto wanted = take_part(pattern);
    const auto part = take_part(path);
    if (wanted.starts_with('{')) {
      if (part.empty()) return false;
      ids.emplace(wanted.substr(1, wanted.size() - 2), part);
    } else if (wanted != part) {
      return false;
    }
  }
  return pattern.empty() && path.empty();
}
}  // namespace

std::span<const AdminRoute> admin_routes() { return kRoutes; }

bool may_call(const AdminRoute& route, const AdminCaller& caller, std::string_view account) noexcept {
  switch (route.access) {
    case AdminAccess::undecided: return false;
    case AdminAccess::anyone: return true;
    case AdminAccess::admin: return caller.role == AdminRole::admin;
    case AdminAccess::readers: return caller.role == AdminRole::admin || caller.role == AdminRole::billing_read;
    case AdminAccess::own:
      if (caller.role == AdminRole::account) return !account.empty() && caller.account == account;
      return caller.role != AdminRole::nobody;
  }
  return false;
}

AdminMatch match_admin_route(std::string_view method, std::string_view path) {
  AdminMatch match;
  if (!path.starts_with('/')) return match;
  for (const auto& route : kRoutes) {
    if (!matches(route.pattern, path, match.ids)) continue;
    if (route.method == (method == "HEAD" ? "GET" : method)) {
      match.route = &route;
      match.allow.clear();
      return match;
    }
    match.allow += (match.allow.empty() ? "" : ", ") + std::string(route.method);
    if (route.method == "GET") match.allow += ", HEAD";
  }
  return match;
}

}  // namespace tollgate::gateway
