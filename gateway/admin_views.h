// The JSON (and of bills the CSV) forms of what the billing core shows: field names and units as api.md fixes them.
// It reads nothing and decides nothing.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>

#include "billing/core.h"

namespace tollgate::gateway {

boost::json::object view(const billing::Account& account);
boost::json::object view(const billing::Key& key);
boost::json::object view(const billing::NewKey& key);
boost::json::object view(const billing::ServiceRecord& service);
boost::json::object view(const billing::QpsPack& pack);
boost::json::object view(const billing::Package& package);
boost::json::object view(const billing::CountPack& pack);
boost::json::object view(const billing::Migration& migration);
boost::json::object view(const billing::Subscription& subscription, std::int32_t in_flight);
boost::json::object view(const billing::UsageRow& row);
boost::json::object view(const billing::Transfer& transfer);
boost::json::object view(const billing::Invariant& invariant);
boost::json::object view(const billing::Model& model);
boost::json::object view(const billing::Plan& plan);

// admin_bill_views.cc
boost::json::object view(const billing::Bill& bill);
boost::json::object view(const billing::Explanation& explanation);
boost::json::object view(const billing::Quote& quote);
boost::json::object view(const billing::Notification& notification);
std::string csv(const billing::Bill& bill);  // RFC 4180: a head line, one for each line of the bill, the total

// {"items": [...], "next": cursor or null}
template <class T, class View>
boost::json::object page_view(const billing::Page<T>& page, View view_of) {
  boost::json::object out;
  auto& items = out["items"].emplace_array();
  for (const auto& item : page.items) items.emplace_back(view_of(item));
  if (page.next) {
    out["next"] = *page.next;
  } else {
    out["next"] = nullptr;
  }
  return out;
}

}  // namespace tollgate::gateway
