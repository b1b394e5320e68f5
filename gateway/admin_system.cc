// Admin API: what concerns the process and the books as a whole: audit, clock, metrics and probes.
#include <algorithm>

#include "gateway/admin_handlers.h"
#include "gateway/json_reader.h"

namespace tollgate::gateway::handlers {
namespace {
AdminAnswer plain_text(std::string text) {
  AdminAnswer answer;
  answer.body = std::move(text);
  answer.content_type = "text/plain; charset=utf-8";
  return answer;
}

AdminAnswer clock_not_manual() {
  return problem(409, "clock_not_manual",
                 "this is the system's clock; only billing.clock=manual, for tests, can be seen and set here");
}

Result<void> run_due(billing::Core& core, WallTime now) {
  const auto run = core.run_due(now);
  if (run.has_error()) return run.error();
  return {};
}

AdminAnswer shown(const Clock& clock) {
  boost::json::object body;
  body["now"] = format_time(clock.now());
  return json_answer(200, body);
}
}  // namespace

AdminAnswer get_audit(AdminContext& context, const AdminRequest&) {
  const auto invariants = context.core.audit();
  boost::json::object body;
  const auto broken = std::count_if(invariants.begin(), invariants.end(), [](const auto& each) { return !each.ok; });
  if (context.audited) context.audited(broken);
  body["ok"] = broken == 0;
  auto& shown_invariants = body["invariants"].emplace_array();
  for (const auto& invariant : invariants) shown_invariants.emplace_back(view(invariant));
  return json_answer(200, body);
}

AdminAnswer get_clock(AdminContext& context, const AdminRequest&) {
  return context.manual_clock == nullptr ? clock_not_manual() : shown(*context.manual_clock);
}

AdminAnswer set_clock(AdminContext& context, const AdminRequest& request) {
  if (context.manual_clock == nullptr) return clock_not_manual();
  ObjectReader body(request.body);
  const auto now = body.instant("now");
  if (const auto fault = body.finish()) return problem(*fault);
  context.traffic.flush_usage();  // the usage of the hours that end now
  // Back only while nothing has happened: a test may begin in any year, but what is recorded stays in the past.
  if (now < context.manual_clock->now()) {
    const auto history = context.core.has_history();
    if (history.has_error()) return problem(history.error());
    if (*history)
      return problem(409, "clock_backwards", "time does not go back once money or usage is recorded", "now");
  }
  context.manual_clock->set(now);
  const auto done = context.run_due ? context.run_due(now) : run_due(context.core, now);
  if (done.has_error()) return problem(done.error());
  return shown(*context.manual_clock);
}

AdminAnswer get_metrics(AdminContext& context, const AdminRequest&) {
  auto answer = plain_text(context.traffic.metrics());
  answer.content_type = "text/plain; version=0.0.4; charset=utf-8";
  return answer;
}

AdminAnswer get_healthz(AdminContext&, const AdminRequest&) { return plain_text("ok\n"); }

AdminAnswer get_readyz(AdminContext& context, const AdminRequest&) {
  const auto why = context.traffic.not_ready_because();
  return why.empty() ? plain_text("ready\n") : problem(503, "not_ready", why);
}

}  // namespace tollgate::gateway::handlers
