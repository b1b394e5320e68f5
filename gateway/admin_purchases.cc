// Admin API: what is bought for a subscription (packages, count packs, QPS packs), its migration, and quotes.
#include "gateway/admin_handlers.h"
#include "gateway/json_reader.h"

namespace tollgate::gateway::handlers {
namespace {
constexpr std::size_t kPlanBytesMax = 64;
}  // namespace

AdminAnswer buy_package(AdminContext& context, const AdminRequest& request) {
  ObjectReader body(request.body);
  const auto points = Points(body.integer("points", 1, billing::kUsageTotalMax));
  if (const auto fault = body.finish()) return problem(*fault);
  return answer_with(201, context.core.buy_package(request.id("account"), request.id("service"), points), kAsView);
}

AdminAnswer buy_count_pack(AdminContext& context, const AdminRequest& request) {
  ObjectReader body(request.body);
  const auto calls = body.integer("calls", 1, billing::kUsageTotalMax);
  if (const auto fault = body.finish()) return problem(*fault);
  return answer_with(201, context.core.buy_count_pack(request.id("account"), request.id("service"), calls), kAsView);
}

AdminAnswer buy_qps_pack(AdminContext& context, const AdminRequest& request) {
  ObjectReader body(request.body);
  const auto qps = static_cast<std::int32_t>(body.integer("qps", 1, billing::kPackQpsMax));
  const bool unlimited = body.one_of("kind", {"metered", "unlimited"}) == 1;
  const auto starts_at = body.instant("starts_at");
  const auto ends_at = body.instant("ends_at");
  if (const auto fault = body.finish()) return problem(*fault);
  const auto bought =
      context.core.buy_qps_pack(request.id("account"), request.id("service"), qps, unlimited, starts_at, ends_at);
  return answer_with(201, bought, kAsView);
}

AdminAnswer migrate(AdminContext& context, const AdminRequest& request) {
  ObjectReader body(request.body);
  const auto plan = body.text("plan", kPlanBytesMax);
  if (const auto fault = body.finish()) return problem(*fault);
  return answer_with(200, context.core.migrate(request.id("account"), request.id("service"), plan), kAsView);
}

AdminAnswer quote(AdminContext& context, const AdminRequest& request) {
  ObjectReader body(request.body);
  const auto model = body.text("model", billing::kNameBytesMax);
  const auto points = body.optional_integer("points", 0, billing::kUsageTotalMax);
  const auto calls = body.optional_integer("calls", 0, billing::kUsageTotalMax);
  const auto month_points = body.optional_integer("month_points", 0, billing::kUsageTotalMax);
  auto plan = body.optional_text("plan", kPlanBytesMax);
  if (body.has("points") && body.has("calls")) body.refuse("calls", "give points or calls, not both");
  if (!body.has("points") && !body.has("calls")) body.refuse("points", "is required, or calls");
  if (const auto fault = body.finish()) return problem(*fault);
  const auto wanted = points ? std::optional<Points>(Points(*points)) : std::nullopt;
  return answer_with(200, context.core.quote(model, wanted, calls, Points(month_points.value_or(0)), std::move(plan)),
                     kAsView);
}

}  // namespace tollgate::gateway::handlers
