// Rows in memory as a table that SQL can read, so that one statement writes very many of them: what a statement costs
// by itself is then paid once. It is no cache, and nothing can be written to it by SQL.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/amount.h"
#include "base/calendar.h"

struct sqlite3;
struct sqlite3_context;

namespace tollgate::billing {

// Takes one value of a row. A text must stay until the statement that reads it has ended.
class Cell {
 public:
  explicit Cell(sqlite3_context* context) noexcept : context_(context) {}
  void take(std::int64_t value) noexcept;
  void take(std::string_view value) noexcept;
  void take(Hour value) noexcept { take(std::int64_t{value.since_epoch}); }
  void take(Month value) noexcept { take(std::int64_t{value.year} * 12 + value.month - 1); }
  void take(std::int32_t value) noexcept { take(std::int64_t{value}); }
  void take(std::uint32_t value) noexcept { take(std::int64_t{value}); }
  void take(const std::string& value) noexcept { take(std::string_view(value)); }
  void take(Points value) noexcept { take(value.count()); }
  void take(MicroYuan value) noexcept { take(value.count()); }
  void take(WallTime value) noexcept { take(std::int64_t{value.time_since_epoch().count()}); }

 private:
  sqlite3_context* context_;
};

class MemoryTable {
 public:
  virtual ~MemoryTable() = default;
  [[nodiscard]] virtual std::string columns() const = 0;  // their names, with commas
  [[nodiscard]] virtual std::size_t size() const noexcept = 0;
  virtual void give(std::size_t row, std::size_t column, Cell cell) const noexcept = 0;
};

// `table` must outlive the connection. Its rows may change between statements, not within one. Throws
// SQLite::Exception.
void offer(sqlite3* database, const char* name, const MemoryTable& table);

template <class Row>
struct MemoryColumn {
  const char* name;
  void (*give)(const Row&, Cell);
};

template <class Row>
class RowsInMemory final : public MemoryTable {
 public:
  explicit RowsInMemory(std::span<const MemoryColumn<Row>> columns) noexcept : columns_(columns) {}  // which stay
  [[nodiscard]] std::string columns() const override {
    std::string names;
    for (const auto& column : columns_) names += (names.empty() ? "" : ", ") + std::string(column.name);
    return names;
  }
  [[nodiscard]] std::size_t size() const noexcept override { return rows.size(); }
  void give(std::size_t row, std::size_t column, Cell cell) const noexcept override {
    columns_[column].give(rows[row], cell);
  }

  std::vector<Row> rows;

 private:
  std::span<const MemoryColumn<Row>> columns_;
};

}  // namespace tollgate::billing
