// Cutting a list into the pages that the admin API shows: the store is asked for one item more than is shown, and
// that item only tells that there is a next page. It does not order or filter anything.
#pragma once

#include <algorithm>
#include <utility>

#include "billing/core.h"

namespace tollgate::billing {

[[nodiscard]] inline int page_limit(int limit) noexcept { return std::clamp(limit, 1, kPageItemsMax); }

// `rows` were read with a limit of page_limit(limit) + 1. `show` turns a row into an item, `cursor` into its cursor.
template <class Item, class Row, class Show, class Cursor>
Page<Item> make_page(const std::vector<Row>& rows, int limit, Show show, Cursor cursor) {
  Page<Item> page;
  const auto shown = std::min(rows.size(), static_cast<std::size_t>(page_limit(limit)));
  page.items.reserve(shown);
  for (std::size_t i = 0; i < shown; ++i) page.items.push_back(show(rows[i]));
  if (shown < rows.size()) page.next = cursor(rows[shown - 1]);
  return page;
}

}  // namespace tollgate::billing
