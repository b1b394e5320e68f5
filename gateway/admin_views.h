// The JSON forms of what the billing core shows: field names and units as api.md fixes them.
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
boost::json::object view(const billing::Subscription& subscription, std::int32_t in_flight);
boost::json::object view(const billing::UsageRow& row);
boost::json::object view(const billing::Transfer& transfer);
boost::json::object view(const billing::Invariant& invariant);
boost::json::object view(const billing::Model& model);
boost::json::object view(const billing::Plan& plan);

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
