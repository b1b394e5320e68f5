// Admin API: subscriptions, as they are put and as they are now.
#include "gateway/admin_handlers.h"
#include "gateway/json_reader.h"

namespace tollgate::gateway::handlers {
namespace {
boost::json::object shown(AdminContext& context, const billing::Subscription& subscription) {
  return view(subscription, context.traffic.in_flight(subscription.number));
}
}  // namespace

AdminAnswer put_subscription(AdminContext& context, const AdminRequest& request) {
  ObjectReader body(request.body);
  const bool paid = body.boolean("paid");
  auto plan = body.optional_text("plan");
  if (const auto fault = body.finish()) return problem(*fault);
  const auto put = context.core.put_subscription(request.id("account"), request.id("service"), paid, std::move(plan));
  if (put.has_error()) return problem(put.error());
  return json_answer(200, shown(context, put->subscription));
}

AdminAnswer get_subscription(AdminContext& context, const AdminRequest& request) {
  context.traffic.flush_usage();
  const auto found = context.core.subscription(request.id("account"), request.id("service"));
  return answer_with(200, found, [&](const auto& subscription) { return shown(context, subscription); });
}

AdminAnswer list_subscriptions(AdminContext& context, const AdminRequest& request) {
  context.traffic.flush_usage();
  const auto read = [&](auto after, int limit) {
    return context.core.subscriptions(request.id("account"), std::move(after), limit);
  };
  return answer_with_page(request.query, read, [&](const auto& item) { return shown(context, item); });
}

}  // namespace tollgate::gateway::handlers
