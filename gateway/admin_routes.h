// Every call of the admin API in one table: method, pattern, handler, and what is checked before the handler runs.
// It finds a call for a request; it neither authenticates nor runs anything.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/admin_message.h"

namespace tollgate::gateway {

using AdminHandler = AdminAnswer (*)(AdminContext&, const AdminRequest&);

enum class AdminThread { server, billing };  // where the handler runs
enum class AdminBody { none, optional, required };

struct AdminRoute {
  std::string_view method;
  std::string_view pattern;  // "/v1/accounts/{account}": a part in braces is an id
  AdminHandler handler = nullptr;
  AdminBody body = AdminBody::none;
  std::vector<std::string_view> query = {};  // the parameters it takes
  bool idempotent = false;                   // needs an Idempotency-Key, and then runs once
  AdminThread thread = AdminThread::billing;
  bool with_token = true;
  std::size_t body_bytes_max = 1024 * 1024;
  bool pages_by_id = false;    // its cursor `after` is an id
  bool ignores_query = false;  // a probe is answered whatever follows its path
};

std::span<const AdminRoute> admin_routes();

struct AdminMatch {
  const AdminRoute* route = nullptr;                    // null: no call
  std::map<std::string, std::string, std::less<>> ids;  // as they stand in the path
  std::string allow;                                    // the methods of a path that is known, but not with this method
};

// HEAD is a GET whose body the listener leaves out. `path` is the target before '?', as it was sent: ids need no
// percent-encoding, so there is no decoding.
AdminMatch match_admin_route(std::string_view method, std::string_view path);

}  // namespace tollgate::gateway
