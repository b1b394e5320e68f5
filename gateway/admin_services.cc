// Admin API: services and the catalogue they choose their model from.
#include "gateway/admin_handlers.h"
#include "gateway/json_reader.h"
#include "gateway/service_definition.h"

namespace tollgate::gateway::handlers {

AdminAnswer put_service(AdminContext& context, const AdminRequest& request) {
  const auto definition = read_service_definition(request.body);
  if (definition.has_error()) return problem(definition.error());
  const auto& id = request.id("service");
  const bool is_new = context.core.service(id).has_error();
  const auto put = context.core.put_service(id, definition->model, to_json(*definition));
  return answer_with(is_new ? 201 : 200, put, kAsView);
}

AdminAnswer get_service(AdminContext& context, const AdminRequest& request) {
  return answer_with(200, context.core.service(request.id("service")), kAsView);
}

AdminAnswer list_services(AdminContext& context, const AdminRequest& request) {
  const auto read = [&](auto after, int limit) { return context.core.services(std::move(after), limit); };
  return answer_with_page(request.query, read, kAsView);
}

AdminAnswer delete_service(AdminContext& context, const AdminRequest& request) {
  const auto done = context.core.delete_service(request.id("service"));
  return done.has_error() ? problem(done.error()) : no_content();
}

AdminAnswer get_catalog(AdminContext& context, const AdminRequest&) {
  boost::json::object body;
  auto& models = body["models"].emplace_array();
  for (const auto& model : context.core.catalog().models()) models.emplace_back(view(model));
  auto& plans = body["plans"].emplace_array();
  for (const auto& plan : context.core.plans()) plans.emplace_back(view(plan));
  return json_answer(200, body);
}

}  // namespace tollgate::gateway::handlers
