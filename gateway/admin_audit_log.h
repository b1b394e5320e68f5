// What the audit log keeps of a request to the admin API: which requests, and what of their bodies, without secrets.
// It writes nothing; the billing core does, with the change.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "billing/audit_log.h"
#include "gateway/admin_routes.h"

namespace tollgate::gateway {

inline constexpr std::size_t kRecordedBodyBytesMax = 16 * 1024;  // of a longer one its hash and length

// A call that may change something. Reading calls, quotes among them, leave no row.
[[nodiscard]] bool is_recorded(const AdminRoute& route) noexcept;

// Canonical JSON in which "[redacted]" stands for the value of every field that is named like a secret, for whatever
// looks like a key of ours, and for `secrets` wherever they stand.
[[nodiscard]] std::string recorded_body(const boost::json::value& body, const std::vector<std::string>& secrets);

[[nodiscard]] billing::AuditOutcome outcome_of(const AdminAnswer& answer);

[[nodiscard]] std::string_view name_of(AdminRole role) noexcept;

boost::json::object view(const billing::AuditRow& row);

}  // namespace tollgate::gateway
