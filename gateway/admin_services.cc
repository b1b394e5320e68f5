// Admin API: services and the catalogue they choose their model from.
#include "gateway/admin_handlers.h"
#include "gateway/json_reader.h"
#include "gateway/service_definition.h"

namespace tollgate::gateway::handlers {
namespace {
// The published service other than `id` that has the same host and prefix, or "". Two would take turns at one route.
Result<std::string> service_with_route(billing::Core& core, const ServiceDefinition& wanted, const std::string& id) {
  std::optional<std::string> after;
  do {
    auto page = core.services(after, billing::kPageItemsMax);
    if (page.has_error()) return page.error();
    for (const auto& service : page->items) {
      if (service.id == id) continue;
      const auto definition = parse_service_definition(service.definition);
      if (definition && definition->path_prefix == wanted.path_prefix && definition->host == wanted.host) {
        return service.id;
      }
    }
    after = std::move(page->next);
  } while (after);
  return std::string();
}
}  // namespace

AdminAnswer put_service(AdminContext& context, const AdminRequest& request) {
  const auto definition = read_service_definition(request.body);
  if (definition.has_error()) return problem(definition.error());
  if (definition->tls) {
    if (const auto made = UpstreamTls::make(*definition->tls); !made) return problem(made.error());
  }
  const auto& id = request.id("service");
  const auto other = service_with_route(context.core, *definition, id);
  if (other.has_error()) return problem(other.error());
  if (!other->empty()) {
    return problem(409, "route_taken", "service " + *other + " is published at this host and path_prefix", "route");
  }
  return answer_with(200, context.core.put_service(id, definition->model, to_json(*definition)), kAsView);
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
