// Admin API: usage by hour, the epochs of gateways, and the reports they send.
#include "gateway/admin_handlers.h"
#include "gateway/json_reader.h"

namespace tollgate::gateway::handlers {
namespace {
constexpr std::size_t kTotalsMax = 100'000;  // lines of one report; 16 MiB hold no more

billing::NamedUsage read_total(ObjectReader& line) {
  const auto whole = [&](std::string_view field) { return line.integer(field, 0, billing::kUsageTotalMax); };
  billing::NamedUsage usage;
  usage.account = line.text("account");
  usage.service = line.text("service");
  const WallTime hour = line.instant("hour");
  usage.hour = hour_of(hour);
  if (begin_of(usage.hour) != hour) line.refuse(line.path_of("hour"), "must be the instant an hour begins");
  usage.totals.calls_succeeded = whole("calls_succeeded");
  usage.totals.calls_failed = whole("calls_failed");
  usage.totals.calls_unmetered = whole("calls_unmetered");
  usage.totals.free_points = Points(whole("free_points"));
  usage.totals.billable_points = Points(whole("billable_points"));
  return usage;
}
}  // namespace

AdminAnswer list_usage(AdminContext& context, const AdminRequest& request) {
  const auto from = request.query.instant("from");
  if (from.has_error()) return problem(from.error());
  const auto to = request.query.instant("to");
  if (to.has_error()) return problem(to.error());
  if (*to < *from) return problem(invalid("to", "to: must not be before from"));
  context.traffic.flush_usage();
  const auto read = [&](auto after, int limit) {
    return context.core.usage(request.id("account"), request.query.text("service"), *from, *to, std::move(after),
                              limit);
  };
  return answer_with_page(request.query, read, kAsView);
}

AdminAnswer open_epoch(AdminContext& context, const AdminRequest& request) {
  const std::uint32_t epoch = context.core.open_epoch(request.id("gateway"));
  // The id was checked with the route, so 0 says that the store refused.
  if (epoch == 0) return problem(503, "store_unavailable", "the store could not keep a new epoch; try again");
  boost::json::object body;
  body["gateway"] = request.id("gateway");
  body["epoch"] = epoch;
  return json_answer(201, body);
}

AdminAnswer report_usage(AdminContext& context, const AdminRequest& request) {
  ObjectReader body(request.body);
  const auto gateway = body.text("gateway");
  if (body.has("gateway") && !is_valid_id(gateway)) body.refuse("gateway", "must be an id: a-z, 0-9 and '-'");
  // 0 is what a gateway says that was given none: never given out, as any other number that was not.
  const auto epoch = body.integer("epoch", 0, std::numeric_limits<std::int64_t>::max());
  std::vector<billing::NamedUsage> totals;
  body.array("totals", 0, kTotalsMax, [&](const boost::json::value& item, const std::string& path) {
    ObjectReader line(item, path);
    totals.push_back(read_total(line));
    if (auto fault = line.finish()) body.refuse(*std::move(fault));
  });
  if (const auto fault = body.finish()) return problem(*fault);
  const auto merged = context.core.merge(gateway, epoch, totals);
  return merged.has_error() ? problem(merged.error()) : no_content();
}

}  // namespace tollgate::gateway::handlers
