// One request to the admin API and its answer, freed of sockets, and the problems (RFC 9457) that answers may be.
// It knows no particular call; those are in admin_routes.cc.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/fault.h"
#include "billing/core.h"
#include "gateway/traffic.h"

namespace tollgate::gateway {

// What the handlers work on. All of it outlives the server.
struct AdminContext {
  billing::Core& core;
  Traffic& traffic;
  const Clock& clock;
  ManualClock* manual_clock = nullptr;  // null: the system's clock, which nobody sets
  // Everything due up to the manual clock's new time; empty: the core's own run_due().
  std::function<Result<void>(WallTime)> run_due;
  // Billing thread, and may be empty: a call that may have changed the books succeeded and is not answered yet; an
  // audit ended, with so many invariants that do not hold.
  std::function<void()> changed;
  std::function<void(std::int64_t)> audited;
  std::function<void()> wrong_token = {};  // server thread: a request under /v1 came without a right token
};

// `after`, `limit` and the filters of a query, percent-decoded. '+' is itself: times carry their offset with it.
class AdminQuery {
 public:
  static Result<AdminQuery> parse(std::string_view text);

  [[nodiscard]] std::optional<std::string> text(std::string_view name) const;
  [[nodiscard]] Result<WallTime> instant(std::string_view name) const;  // required
  [[nodiscard]] std::optional<std::string> after() const { return text("after"); }
  [[nodiscard]] Result<int> limit() const;  // 1 to kPageItemsMax
  [[nodiscard]] const std::map<std::string, std::string, std::less<>>& all() const noexcept { return values_; }

 private:
  std::map<std::string, std::string, std::less<>> values_;
};

struct AdminRequest {
  std::map<std::string, std::string, std::less<>> ids;  // the {parts} of the route's pattern: valid ids
  AdminQuery query;
  boost::json::value body;  // an object where the route takes none or none was sent

  [[nodiscard]] const std::string& id(std::string_view part) const;  // of the route's pattern, so it is there
};

struct AdminAnswer {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::string allow;               // 405
  std::int64_t retry_after_s = 0;  // 429
  bool replayed = false;           // the stored answer of an Idempotency-Key
  std::string audit_head;          // "SEQUENCE:HASH" of the row that tells of the change; empty: there is none
};

AdminAnswer json_answer(int status, const boost::json::object& body);
AdminAnswer no_content();
AdminAnswer problem(int status, std::string_view code, std::string_view detail, std::string_view field = {});
AdminAnswer problem(const Fault& fault);

// The phrase of RFC 9110 for the statuses that the admin API answers with.
[[nodiscard]] std::string_view status_title(int status) noexcept;

}  // namespace tollgate::gateway
