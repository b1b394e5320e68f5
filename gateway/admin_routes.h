// Every call of the admin API in one table: method, pattern, handler, and what is checked before the handler runs.
// It finds a call for a request; it neither authenticates nor runs anything.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/admin_callers.h"
#include "gateway/admin_message.h"
#include "gateway/billing_thread.h"

namespace tollgate::gateway {

using AdminHandler = AdminAnswer (*)(AdminContext&, const AdminRequest&);
// On the server's thread, with many short turns on the billing thread.
using AdminTurnsHandler = boost::asio::awaitable<AdminAnswer> (*)(AdminContext&, BillingThread&, const AdminRequest&);

enum class AdminThread { server, billing };  // where the handler runs
enum class AdminBody { none, optional, required };

// Who may call a route: each may do what the ones before it in this list may not. A route that decides nothing is
// refused to everybody, and a test finds it.
enum class AdminAccess { undecided, admin, readers, own, anyone };

struct AdminRoute {
  AdminAccess access = AdminAccess::undecided;
  std::string_view method;
  std::string_view pattern;  // "/v1/accounts/{account}": a part in braces is an id
  AdminHandler handler = nullptr;
  AdminBody body = AdminBody::none;
  std::vector<std::string_view> query = {};  // the parameters it takes
  bool idempotent = false;                   // needs an Idempotency-Key, and then runs once
  AdminThread thread = AdminThread::billing;
  std::size_t body_bytes_max = 1024 * 1024;
  bool pages_by_id = false;    // its cursor `after` is an id
  bool ignores_query = false;  // a probe is answered whatever follows its path
  // What the traffic counted is merged first: never by the handler of a change, whose transaction may be taken back
  // when the journal has already let go of what was merged in it.
  bool flushes_usage = false;
  AdminTurnsHandler in_turns = nullptr;  // then there is no handler
  bool is_one_transaction = true;        // else the row of the audit log comes after the change, not with it
};

std::span<const AdminRoute> admin_routes();

// `account`: the {account} of the path, empty if it has none.
[[nodiscard]] bool may_call(const AdminRoute& route, const AdminCaller& caller, std::string_view account) noexcept;

struct AdminMatch {
  const AdminRoute* route = nullptr;                    // null: no call
  std::map<std::string, std::string, std::less<>> ids;  // as they stand in the path
  std::string allow;                                    // the methods of a path that is known, but not with this method
};

// HEAD is a GET whose body the listener leaves out. `path` is the target before '?', as it was sent: ids need no
// percent-encoding, so there is no decoding.
AdminMatch match_admin_route(std::string_view method, std::string_view path);

}  // namespace tollgate::gateway
