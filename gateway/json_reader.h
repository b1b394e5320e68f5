// Strict JSON in: a whole document within bounds or a fault that names the field, and a typed reader of its objects.
// It knows no particular request, and it writes no JSON.
#pragma once

#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/amount.h"
#include "base/calendar.h"
#include "base/fault.h"

namespace tollgate::gateway {

inline constexpr std::size_t kJsonDepthMax = 32;

// Refuses what Boost.JSON lets pass or resolves in silence: repeated keys, and control characters in strings
// (raw or escaped), but for ends of lines in values, which most readers refuse. Syntax, depth and invalid UTF-8 are
// refused too, all with the place or the field's path
// ("totals[3].hour"). The size of `text` is the caller's bound.
Result<boost::json::value> parse_json(std::string_view text);

// One JSON text per value, with the keys of objects in order: what fingerprints are made of.
std::string canonical_json(const boost::json::value& value);

// Takes the fields of one object by name and type. The first fault is kept, reading goes on with empty values, and
// finish() has the verdict: fields that nobody asked for come first, since a misspelt name causes the others.
class ObjectReader {
 public:
  // `path` is what faults put before the field's name: "" for the document, "route", "totals[3]".
  explicit ObjectReader(const boost::json::value& value, std::string path = {});

  std::string text(std::string_view key, std::size_t bytes_max = 1024);
  // Of the optional ones: null is as good as absent, so that an answer can be sent back.
  std::optional<std::string> optional_text(std::string_view key, std::size_t bytes_max = 1024);  // one line
  std::optional<std::string> optional_lines(std::string_view key, std::size_t bytes_max);
  // The position of the value in `allowed`.
  std::size_t one_of(std::string_view key, const std::vector<std::string_view>& allowed);
  std::optional<std::size_t> optional_one_of(std::string_view key, const std::vector<std::string_view>& allowed);
  std::int64_t integer(std::string_view key, std::int64_t min, std::int64_t max);
  std::optional<std::int64_t> optional_integer(std::string_view key, std::int64_t min, std::int64_t max);
  bool boolean(std::string_view key);
  std::optional<bool> optional_boolean(std::string_view key);
  WallTime instant(std::string_view key);
  std::optional<WallTime> optional_instant(std::string_view key);
  MicroYuan money(std::string_view key);  // a decimal string in yuan

  // Nested: `read` gets the object of `key`; its faults and unknown fields are this reader's.
  void object(std::string_view key, const std::function<void(ObjectReader&)>& read);
  // `read` gets each item with its path.
  using ReadItem = std::function<void(const boost::json::value& item, const std::string& path)>;
  void array(std::string_view key, std::size_t items_min, std::size_t items_max, const ReadItem& read);
  void optional_array(std::string_view key, std::size_t items_min, std::size_t items_max, const ReadItem& read);

  void ask(std::string_view key) { asked_.emplace(key); }  // the caller reads this field himself
  [[nodiscard]] bool has(std::string_view key) const;      // null is none
  [[nodiscard]] std::string path_of(std::string_view key) const;
  // For rules that types cannot say. `path` as path_of() gives it.
  void refuse(std::string path, std::string message);
  void refuse(Fault fault);  // of a reader inside this one
  // To be called once, at the end.
  [[nodiscard]] std::optional<Fault> finish();

 private:
  const boost::json::value* find(std::string_view key);
  const boost::json::value* find_given(std::string_view key);  // null is none
  const boost::json::value* need(std::string_view key);

  const boost::json::object* object_ = nullptr;  // null: the value is none, which is the fault
  std::string path_;
  std::set<std::string, std::less<>> asked_;
  std::optional<Fault> fault_;
};

}  // namespace tollgate::gateway
