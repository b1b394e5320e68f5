// Admin API: bills, what stands behind their lines and behind transfers, and the notifications of balances.
#include <charconv>

#include "gateway/admin_handlers.h"

namespace tollgate::gateway::handlers {
namespace {
Result<Month> month_of(const AdminQuery& query) {
  const auto text = query.text("month");
  if (!text) return invalid("month", "month: is required");
  const auto month = parse_month(*text);
  if (!month) return invalid("month", "month: must be a month like 2021-08");
  return *month;
}

AdminAnswer as_csv(const billing::Bill& bill) {
  AdminAnswer answer;
  answer.body = csv(bill);
  answer.content_type = "text/csv; charset=utf-8; header=present";
  return answer;
}
}  // namespace

AdminAnswer get_bill(AdminContext& context, const AdminRequest& request) {
  const auto month = month_of(request.query);
  if (month.has_error()) return problem(month.error());
  const auto format = request.query.text("format").value_or("json");
  if (format != "json" && format != "csv") return problem(invalid("format", "format: must be one of: json, csv"));
  const auto bill = context.core.bill(request.id("account"), *month);
  if (bill.has_error()) return problem(bill.error());
  return format == "csv" ? as_csv(*bill) : json_answer(200, view(*bill));
}

AdminAnswer explain_line(AdminContext& context, const AdminRequest& request) {
  const auto month = month_of(request.query);
  if (month.has_error()) return problem(month.error());
  const auto line = request.query.text("line");
  if (!line) return problem(invalid("line", "line: is required: the id of a line of the bill"));
  return answer_with(200, context.core.explain_line(request.id("account"), *month, *line), kAsView);
}

AdminAnswer explain_transfer(AdminContext& context, const AdminRequest& request) {
  const auto& text = request.id("transfer");
  std::int64_t transfer = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, transfer);
  if (error != std::errc() || at != end) {
    return problem(404, "transfer_not_found", "there is no such transfer", "transfer");
  }
  return answer_with(200, context.core.explain_transfer(request.id("account"), transfer), kAsView);
}

AdminAnswer list_notifications(AdminContext& context, const AdminRequest& request) {
  const auto read = [&](auto after, int limit) { return context.core.notifications(std::move(after), limit); };
  return answer_with_page(request.query, read, kAsView);
}

}  // namespace tollgate::gateway::handlers
