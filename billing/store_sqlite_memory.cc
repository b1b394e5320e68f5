// The callbacks by which SQLite reads a table in memory: an eponymous virtual table (sqlite.org/vtab.html, 2.1.2),
// which belongs to no schema and is read from its first row to its last.
#include "billing/store_sqlite_memory.h"

#include <SQLiteCpp/Exception.h>
#include <sqlite3.h>

#include <memory>

namespace tollgate::billing {
namespace {

struct Table : sqlite3_vtab {
  const MemoryTable* rows;
};

struct Cursor : sqlite3_vtab_cursor {
  const MemoryTable* rows;
  std::size_t row;
};

int connect(sqlite3* database, void* rows, int, const char* const*, sqlite3_vtab** made, char**) {
  const auto* table = static_cast<const MemoryTable*>(rows);
  const int code = sqlite3_declare_vtab(database, ("CREATE TABLE x(" + table->columns() + ")").c_str());
  if (code == SQLITE_OK) *made = new Table{{}, table};
  return code;
}

int disconnect(sqlite3_vtab* table) {
  delete static_cast<Table*>(table);
  return SQLITE_OK;
}

int only_from_first_to_last(sqlite3_vtab* table, sqlite3_index_info* plan) {
  plan->estimatedRows = static_cast<sqlite3_int64>(static_cast<Table*>(table)->rows->size()) + 1;
  return SQLITE_OK;
}

int open_cursor(sqlite3_vtab* table, sqlite3_vtab_cursor** made) {
  *made = new Cursor{{}, static_cast<Table*>(table)->rows, 0};
  return SQLITE_OK;
}

int close_cursor(sqlite3_vtab_cursor* cursor) {
  delete static_cast<Cursor*>(cursor);
  return SQLITE_OK;
}

int go_to_first(sqlite3_vtab_cursor* cursor, int, const char*, int, sqlite3_value**) {
  static_cast<Cursor*>(cursor)->row = 0;
  return SQLITE_OK;
}

int go_on(sqlite3_vtab_cursor* cursor) {
  ++static_cast<Cursor*>(cursor)->row;
  return SQLITE_OK;
}

int is_behind_last(sqlite3_vtab_cursor* cursor) {
  const auto* at = static_cast<Cursor*>(cursor);
  return at->row >= at->rows->size() ? 1 : 0;
}

int read_column(sqlite3_vtab_cursor* cursor, sqlite3_context* context, int column) {
  const auto* at = static_cast<Cursor*>(cursor);
  at->rows->give(at->row, static_cast<std::size_t>(column), Cell(context));
  return SQLITE_OK;
}

int read_row_number(sqlite3_vtab_cursor* cursor, sqlite3_int64* number) {
  *number = static_cast<sqlite3_int64>(static_cast<Cursor*>(cursor)->row);
  return SQLITE_OK;
}

sqlite3_module make_module() {
  sqlite3_module module{};  // without xCreate: there is nothing to create
  module.xConnect = connect;
  module.xDisconnect = disconnect;
  module.xBestIndex = only_from_first_to_last;
  module.xOpen = open_cursor;
  module.xClose = close_cursor;
  module.xFilter = go_to_first;
  module.xNext = go_on;
  module.xEof = is_behind_last;
  module.xColumn = read_column;
  module.xRowid = read_row_number;
  return module;
}
}  // namespace

void Cell::take(std::int64_t value) noexcept { sqlite3_result_int64(context_, value); }

void Cell::take(std::string_view value) noexcept {
  sqlite3_result_text64(context_, value.data(), value.size(), SQLITE_STATIC, SQLITE_UTF8);
}

void offer(sqlite3* database, const char* name, const MemoryTable& table) {
  static const sqlite3_module module = make_module();
  // SQLite hands the pointer back as it is, and connect() only reads what it points to.
  const int code = sqlite3_create_module_v2(database, name, &module, const_cast<MemoryTable*>(&table), nullptr);
  if (code != SQLITE_OK) throw SQLite::Exception(database, code);
}

}  // namespace tollgate::billing
