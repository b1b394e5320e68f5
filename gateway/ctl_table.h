// JSON answers as people read them: a table of some fields of each item, or the fields of one object below each other.
// It prints nothing; the text is the caller's.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace tollgate::gateway {

// `columns` are fields, "route.path_prefix" for nested ones; a column's title is its last part. Columns that hold
// numbers only stand to the right; wide characters (Chinese) count as two.
std::string table(const boost::json::array& items, const std::vector<std::string_view>& columns);

std::string fields(const boost::json::object& object);

}  // namespace tollgate::gateway
