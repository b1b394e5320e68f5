#include "gateway/admin_views.h"

#include <boost/json/parse.hpp>

#include "base/calendar.h"

namespace tollgate::gateway {
namespace json = boost::json;

namespace {
json::value time_or_null(const std::optional<WallTime>& instant) {
  if (!instant) return nullptr;
  return json::value(format_time(*instant));
}

std::string_view name_of(billing::SubscriptionState state) noexcept {
  switch (state) {
    case billing::SubscriptionState::free: return "free";
    case billing::SubscriptionState::paid: return "paid";
    case billing::SubscriptionState::arrears: return "arrears";
  }
  return "";
}

std::string_view name_of(billing::FreeQuotaPeriod period) noexcept {
  switch (period) {
    case billing::FreeQuotaPeriod::once: return "once";
    case billing::FreeQuotaPeriod::day: return "day";
    case billing::FreeQuotaPeriod::month: return "month";
  }
  return "";
}

json::object price_of_calls(const billing::CallPrice& price) {
  json::object out;
  out["model"] = price.model;
  out["yuan_per_call"] = format_yuan(price.per_call);
  auto& packs = out["count_packs"].emplace_array();
  for (const auto& offer : price.count_packs) {
    auto& shown = packs.emplace_back(json::object()).get_object();
    shown["calls"] = offer.calls;
    shown["price"] = format_yuan(offer.price);
  }
  return out;
}
}  // namespace

json::object view(const billing::Account& account) {
  json::object out;
  out["id"] = account.id;
  out["name"] = account.name;
  out["state"] = account.in_arrears ? "arrears" : "active";
  out["cash"] = format_yuan(account.cash);
  out["vouchers"] = format_yuan(account.vouchers);
  out["created_at"] = format_time(account.created_at);
  return out;
}

json::object view(const billing::Key& key) {
  json::object out;
  out["id"] = key.id;
  out["name"] = key.name;
  out["created_at"] = format_time(key.created_at);
  out["expires_at"] = time_or_null(key.expires_at);
  return out;
}

json::object view(const billing::NewKey& key) {
  auto out = view(key.key);
  out["key"] = key.secret;
  return out;
}

json::object view(const billing::ServiceRecord& service) {
  json::object out;
  out["id"] = service.id;
  // The stored text is what to_json(ServiceDefinition) wrote; text that is none is an empty definition.
  boost::system::error_code ec;
  const json::value definition = json::parse(service.definition, ec);
  if (const json::object* fields = definition.if_object()) {
    for (const auto& field : *fields) out[field.key()] = field.value();
  }
  return out;
}

json::object view(const billing::QpsPack& pack) {
  json::object out;
  out["id"] = pack.id;
  out["qps"] = pack.qps;
  out["kind"] = pack.unlimited ? "unlimited" : "metered";
  out["starts_at"] = format_time(pack.starts_at);
  out["ends_at"] = format_time(pack.ends_at);
  out["price"] = format_yuan(pack.price);
  out["bought_at"] = format_time(pack.bought_at);
  return out;
}

json::object view(const billing::Package& package) {
  json::object out;
  out["id"] = package.id;
  out["points"] = package.points.count();
  out["points_left"] = package.points_left.count();
  out["price"] = format_yuan(package.price);
  out["bought_at"] = format_time(package.bought_at);
  out["expires_at"] = format_time(package.expires_at);
  return out;
}

json::object view(const billing::CountPack& pack) {
  json::object out;
  out["id"] = pack.id;
  out["calls"] = pack.calls;
  out["calls_left"] = pack.calls_left;
  out["price"] = format_yuan(pack.price);
  out["bought_at"] = format_time(pack.bought_at);
  return out;
}

json::object view(const billing::Migration& migration) {
  json::object out;
  out["plan"] = migration.plan;
  out["effective_hour"] = format_time(begin_of(migration.from));
  return out;
}

json::object view(const billing::Subscription& subscription, std::int32_t in_flight) {
  json::object out;
  out["account"] = subscription.account;
  out["service"] = subscription.service;
  out["state"] = name_of(subscription.state);
  out["paid"] = subscription.paid;
  out["plan"] = subscription.plan;
  out["guarantee"] = subscription.guarantee;
  out["in_flight"] = in_flight;
  out["free_points_left"] = subscription.free_points_left.count();
  out["month_points"] = subscription.month_points.count();
  auto& packages = out["packages"].emplace_array();
  for (const auto& package : subscription.packages) packages.emplace_back(view(package));
  auto& count_packs = out["count_packs"].emplace_array();
  for (const auto& pack : subscription.count_packs) count_packs.emplace_back(view(pack));
  auto& packs = out["qps_packs"].emplace_array();
  for (const auto& pack : subscription.qps_packs) packs.emplace_back(view(pack));
  out["migration"] = nullptr;
  if (subscription.migration) out["migration"] = view(*subscription.migration);
  out["created_at"] = format_time(subscription.created_at);
  return out;
}

json::object view(const billing::UsageRow& row) {
  json::object out;
  out["service"] = row.service;
  out["hour"] = format_time(begin_of(row.hour));
  out["calls_succeeded"] = row.totals.calls_succeeded;
  out["calls_failed"] = row.totals.calls_failed;
  out["calls_unmetered"] = row.totals.calls_unmetered;
  out["free_points"] = row.totals.free_points.count();
  out["billable_points"] = row.totals.billable_points.count();
  out["settled"] = row.settled.count();
  return out;
}

json::object view(const billing::Transfer& transfer) {
  json::object out;
  out["id"] = transfer.id;
  out["at"] = format_time(transfer.at);
  out["debit"] = transfer.debit;
  out["credit"] = transfer.credit;
  out["amount"] = format_yuan(transfer.amount);
  out["reason"] = transfer.reason;
  out["reference"] = transfer.reference;
  return out;
}

json::object view(const billing::Invariant& invariant) {
  json::object out;
  out["name"] = invariant.name;
  out["left"] = invariant.left;
  out["right"] = invariant.right;
  out["ok"] = invariant.ok;
  return out;
}

json::object view(const billing::Model& model) {
  json::object out;
  out["model"] = model.name;  // as services and prices refer to it
  out["name"] = model.name;
  out["title"] = model.title;
  out["direction"] = model.direction;
  out["points"] = model.cost.count();
  out["class"] = model.fast ? "fast" : "standard";
  out["base_guarantee"] = billing::base_guarantee(model);
  return out;
}

json::object view(const billing::Plan& plan) {
  json::object out;
  out["id"] = plan.id;
  out["title"] = plan.title;
  auto& quota = out["free_quota"].emplace_object();
  quota["points"] = plan.free_quota.count();
  quota["period"] = name_of(plan.free_quota_period);
  out["arrears_check"] = plan.arrears_check == billing::ArrearsCheck::realtime ? "realtime" : "hourly";
  out["sold_until"] = time_or_null(plan.sold_until);
  auto& tiers = out["tiers"].emplace_array();
  for (const auto& tier : plan.tiers) {
    auto& shown = tiers.emplace_back(json::object()).get_object();
    if (tier.up_to) shown["up_to"] = tier.up_to->count();
    shown["yuan_per_point"] = format_yuan(tier.per_point);
  }
  auto& calls = out["calls"].emplace_array();
  for (const auto& price : plan.calls) calls.emplace_back(price_of_calls(price));
  auto& packages = out["packages"].emplace_array();
  for (const auto& offer : plan.packages) {
    auto& shown = packages.emplace_back(json::object()).get_object();
    shown["points"] = offer.points.count();
    shown["price"] = format_yuan(offer.price);
  }
  auto& packs = out["qps_packs"].emplace_array();
  for (const auto& price : plan.qps_packs) {
    auto& shown = packs.emplace_back(json::object()).get_object();
    shown["model"] = price.model;
    shown["metered"] = format_yuan(price.metered);
    shown["unlimited"] = format_yuan(price.unlimited);
  }
  return out;
}

}  // namespace tollgate::gateway
