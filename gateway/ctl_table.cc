#include "gateway/ctl_table.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstdint>

namespace tollgate::gateway {
namespace json = boost::json;

namespace {
struct Range {
  std::uint32_t first;
  std::uint32_t last;
};
// The blocks of East Asian characters that terminals show in two columns (Unicode annex 11, W and F, by block).
constexpr Range kWide[] = {{0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3},   {0xf900, 0xfaff},  {0xfe30, 0xfe6f},
                           {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1faff}, {0x20000, 0x3fffd}};

// Columns of valid UTF-8 (the JSON parser has checked it).
std::size_t width(std::string_view text) {
  std::size_t columns = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    std::uint32_t point = length == 1 ? lead : lead & (0xffU >> (length + 1));
    for (std::size_t k = 1; k < length && i + k < text.size(); ++k) {
      point = point << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3fU);
    }
    i += length;
    const auto holds = [&](const Range& range) { return point >= range.first && point <= range.last; };
    columns += std::any_of(std::begin(kWide), std::end(kWide), holds) ? 2 : 1;
  }
  return columns;
}

std::string cell(const json::value& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get_string().empty() ? "-" : json::value_to<std::string>(value);
  if (const json::array* items = value.if_array()) {
    std::string joined;
    for (const auto& item : *items) joined += (joined.empty() ? "" : ", ") + cell(item);
    return joined.empty() ? "-" : joined;
  }
  return json::serialize(value);
}

std::string cell_at(const json::value& item, std::string_view column) {
  const json::value* value = &item;
  while (!column.empty()) {
    const auto part = column.substr(0, column.find('.'));
    column.remove_prefix(std::min(part.size() + 1, column.size()));
    const json::object* object = value->if_object();
    value = object == nullptr ? nullptr : object->if_contains(part);
    if (value == nullptr) return "-";
  }
  return cell(*value);
}

bool is_number(std::string_view text) {
  return text == "-" || text.find_first_not_of("-.0123456789") == std::string_view::npos;
}

void pad(std::string& line, std::string_view text, std::size_t to, bool right) {
  const std::string blanks(to - std::min(to, width(text)), ' ');
  line += right ? blanks + std::string(text) : std::string(text) + blanks;
}

void finish(std::string& out, std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  out += line + "\n";
}
}  // namespace

std::string table(const json::array& items, const std::vector<std::string_view>& columns) {
  std::vector<std::vector<std::string>> rows(1);
  for (auto column : columns) rows[0].emplace_back(column.substr(column.rfind('.') + 1));
  for (const auto& item : items) {
    auto& row = rows.emplace_back();
    for (auto column : columns) row.push_back(cell_at(item, column));
  }
  std::vector<std::size_t> widths(columns.size(), 0);
  std::vector<bool> right(columns.size(), !items.empty());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t c = 0; c < columns.size(); ++c) {
      widths[c] = std::max(widths[c], width(rows[r][c]));
      if (r > 0 && !is_number(rows[r][c])) right[c] = false;
    }
  }
  std::string out;
  for (auto& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      if (c > 0) line += "  ";
      pad(line, row[c], widths[c], right[c]);
    }
    finish(out, std::move(line));
  }
  return out;
}

std::string fields(const json::object& object) {
  std::size_t widest = 0;
  for (const auto& field : object) widest = std::max(widest, width({field.key().data(), field.key().size()}));
  std::string out;
  for (const auto& field : object) {
    std::string line;
    pad(line, {field.key().data(), field.key().size()}, widest, false);
    finish(out, line + "  " + cell(field.value()));
  }
  return out;
}

}  // namespace tollgate::gateway
