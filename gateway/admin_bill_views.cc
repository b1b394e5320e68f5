// The JSON and CSV forms of bills, of what explains them, of quotes and of notifications.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <boost/json/parse.hpp>

#include "base/calendar.h"
#include "gateway/admin_views.h"

namespace tollgate::gateway {
namespace json = boost::json;

namespace {
json::object shown(const billing::BillLine& line) {
  json::object out;
  out["id"] = line.id;
  out["service"] = line.service;
  out["kind"] = name_of(line.kind);
  out["paid_from"] = name_of(line.paid_from);
  if (!line.item.empty()) out["item"] = line.item;
  out["points"] = line.points.count();
  if (line.calls != 0) out["calls"] = line.calls;
  out["unit_price"] = format_yuan(line.unit_price);
  out["amount"] = format_yuan(line.amount);
  if (line.hour) out["hour"] = format_time(begin_of(*line.hour));
  auto& transfers = out["transfers"].emplace_array();
  for (const auto id : line.transfers) transfers.emplace_back(id);
  return out;
}

json::object shown(const billing::SettlementPart& part) {
  json::object out;
  out["paid_from"] = name_of(part.paid_from);
  if (!part.item.empty()) out["item"] = part.item;
  out["points"] = part.points.count();
  if (part.calls != 0) out["calls"] = part.calls;
  out["unit_price"] = format_yuan(part.unit_price);
  out["amount"] = format_yuan(part.amount);
  return out;
}

json::object shown(const billing::ReportedUsage& usage) {
  json::object out;
  out["gateway"] = usage.gateway;
  out["epoch"] = usage.epoch;
  out["calls_succeeded"] = usage.totals.calls_succeeded;
  out["calls_failed"] = usage.totals.calls_failed;
  out["calls_unmetered"] = usage.totals.calls_unmetered;
  out["free_points"] = usage.totals.free_points.count();
  out["billable_points"] = usage.totals.billable_points.count();
  return out;
}

json::object shown(const billing::Settlement& settlement) {
  json::object out;
  out["reference"] = settlement.reference;
  out["service"] = settlement.service;
  out["hour"] = format_time(begin_of(settlement.hour));
  out["revision"] = settlement.revision;
  out["at"] = format_time(settlement.at);
  out["plan"] = settlement.plan;
  out["free_points"] = settlement.free_points.count();
  out["billable_points"] = settlement.billable_points.count();
  out["calls_unmetered"] = settlement.calls_unmetered;
  out["month_points_before"] = settlement.month_points_before.count();
  out["month_points_after"] = settlement.month_points_after.count();
  out["amount"] = format_yuan(settlement.amount);
  auto& parts = out["parts"].emplace_array();
  for (const auto& part : settlement.parts) parts.emplace_back(shown(part));
  auto& transfers = out["transfers"].emplace_array();
  for (const auto& transfer : settlement.transfers) transfers.emplace_back(view(transfer));
  auto& reported = out["reported"].emplace_array();
  for (const auto& usage : settlement.reported) reported.emplace_back(shown(usage));
  return out;
}
}  // namespace

json::object view(const billing::Bill& bill) {
  json::object out;
  out["account"] = bill.account;
  out["month"] = format_month(bill.month);
  auto& lines = out["lines"].emplace_array();
  for (const auto& line : bill.lines) lines.emplace_back(shown(line));
  out["total"] = format_yuan(bill.total);
  return out;
}

// No value needs quotes: ids, names of kinds, numbers and times have no comma, quote or line break.
std::string csv(const billing::Bill& bill) {
  std::string out = "month,service,kind,paid_from,item,points,calls,unit_price,amount,hour,transfers,id\r\n";
  const auto month = format_month(bill.month);
  for (const auto& line : bill.lines) {
    out += fmt::format(
        "{},{},{},{},{},{},{},{},{},{},{},{}\r\n", month, line.service, name_of(line.kind), name_of(line.paid_from),
        line.item, line.points.count(), line.calls, format_yuan(line.unit_price), format_yuan(line.amount),
        line.hour ? format_time(begin_of(*line.hour)) : std::string(), fmt::join(line.transfers, " "), line.id);
  }
  out += fmt::format("{},,total,,,,,,{},,,\r\n", month, format_yuan(bill.total));
  return out;
}

json::object view(const billing::Explanation& explanation) {
  json::object out;
  if (explanation.transfer) out["transfer"] = view(*explanation.transfer);
  auto& settlements = out["settlements"].emplace_array();
  for (const auto& settlement : explanation.settlements) settlements.emplace_back(shown(settlement));
  return out;
}

json::object view(const billing::Quote& quote) {
  json::object out;
  out["model"] = quote.model;
  out["plan"] = quote.plan;
  out["points"] = quote.points.count();
  out["month_points"] = quote.month_points.count();
  auto& lines = out["lines"].emplace_array();
  for (const auto& line : quote.lines) {
    auto& row = lines.emplace_back(json::object()).get_object();
    row["points"] = line.points.count();
    if (line.calls != 0) row["calls"] = line.calls;
    row["unit_price"] = format_yuan(line.unit_price);
    row["amount"] = format_yuan(line.amount);
  }
  out["total"] = format_yuan(quote.total);
  return out;
}

json::object view(const billing::Notification& notification) {
  json::object out;
  out["id"] = notification.id;
  out["kind"] = name_of(notification.kind);
  out["account"] = notification.account;
  out["created_at"] = format_time(notification.created_at);
  out["state"] = name_of(notification.state);
  out["attempts"] = notification.attempts;
  out["next_attempt_at"] = nullptr;
  if (notification.state == billing::NotificationState::pending) {
    out["next_attempt_at"] = format_time(notification.next_attempt_at);
  }
  out["delivered_at"] = nullptr;
  if (notification.delivered_at) out["delivered_at"] = format_time(*notification.delivered_at);
  out["last_error"] = notification.last_error;
  boost::system::error_code not_json;
  out["payload"] = json::parse(notification.payload, not_json);
  return out;
}

}  // namespace tollgate::gateway
