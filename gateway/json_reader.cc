#include "gateway/json_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace tollgate::gateway {
namespace json = boost::json;

ObjectReader::ObjectReader(const json::value& value, std::string path)
    : object_(value.if_object()), path_(std::move(path)) {
  if (object_ == nullptr) refuse(path_, path_.empty() ? "the body must be a JSON object" : "must be an object");
}

std::string ObjectReader::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

bool ObjectReader::has(std::string_view key) const {
  const json::value* value = object_ == nullptr ? nullptr : object_->if_contains(key);
  return value != nullptr && !value->is_null();
}

void ObjectReader::refuse(std::string path, std::string message) {
  if (fault_) return;
  if (!path.empty()) message = fmt::format("{}: {}", path, message);
  fault_ = invalid(std::move(path), std::move(message));
}

void ObjectReader::refuse(Fault fault) {
  if (!fault_) fault_ = std::move(fault);
}

const json::value* ObjectReader::find(std::string_view key) {
  asked_.emplace(key);
  return object_ == nullptr ? nullptr : object_->if_contains(key);
}

const json::value* ObjectReader::find_given(std::string_view key) {
  const json::value* value = find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

const json::value* ObjectReader::need(std::string_view key) {
  const json::value* value = find(key);
  if (value == nullptr) {
    refuse(path_of(key), "is required");
  } else if (value->is_null()) {
    refuse(path_of(key), "is required, and null is no value");
    return nullptr;
  }
  return value;
}

std::optional<std::string> ObjectReader::optional_text(std::string_view key, std::size_t bytes_max) {
  auto text = optional_lines(key, bytes_max);
  if (text && text->find_first_of("\r\n") != std::string::npos) refuse(path_of(key), "contains control characters");
  return text;
}

std::optional<std::string> ObjectReader::optional_lines(std::string_view key, std::size_t bytes_max) {
  const json::value* value = find_given(key);
  if (value == nullptr) return std::nullopt;
  const json::string* text = value->if_string();
  if (text == nullptr) {
    refuse(path_of(key), "must be a string");
    return std::nullopt;
  }
  if (text->size() > bytes_max) {
    refuse(path_of(key), fmt::format("is longer than {} bytes", bytes_max));
    return std::nullopt;
  }
  return std::string(text->data(), text->size());
}

std::string ObjectReader::text(std::string_view key, std::size_t bytes_max) {
  if (need(key) == nullptr) return {};
  return optional_text(key, bytes_max).value_or(std::string());
}

std::optional<std::size_t> ObjectReader::optional_one_of(std::string_view key,
                                                         const std::vector<std::string_view>& allowed) {
  if (!has(key)) {
    asked_.emplace(key);
    return std::nullopt;
  }
  const auto value = optional_text(key);
  if (!value) return std::nullopt;
  const auto found = std::find(allowed.begin(), allowed.end(), *value);
  if (found == allowed.end()) {
    refuse(path_of(key), fmt::format("must be one of: {}", fmt::join(allowed, ", ")));
    return std::nullopt;
  }
  return static_cast<std::size_t>(found - allowed.begin());
}

std::size_t ObjectReader::one_of(std::string_view key, const std::vector<std::string_view>& allowed) {
  if (need(key) == nullptr) return 0;
  return optional_one_of(key, allowed).value_or(0);
}

std::optional<std::int64_t> ObjectReader::optional_integer(std::string_view key, std::int64_t min, std::int64_t max) {
  const json::value* value = find_given(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_int64() && !value->is_uint64()) {
    refuse(path_of(key), "must be an integer");
    return std::nullopt;
  }
  // uint64 is how Boost.JSON keeps what int64 cannot hold, so it is beyond every maximum.
  const std::int64_t* number = value->if_int64();
  if (number == nullptr || *number < min || *number > max) {
    refuse(path_of(key), fmt::format("must be from {} to {}", min, max));
    return std::nullopt;
  }
  return *number;
}

std::int64_t ObjectReader::integer(std::string_view key, std::int64_t min, std::int64_t max) {
  if (need(key) == nullptr) return min;
  return optional_integer(key, min, max).value_or(min);
}

std::optional<bool> ObjectReader::optional_boolean(std::string_view key) {
  const json::value* value = find_given(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_bool()) return value->get_bool();
  refuse(path_of(key), "must be true or false");
  return std::nullopt;
}

bool ObjectReader::boolean(std::string_view key) {
  return need(key) != nullptr && optional_boolean(key).value_or(false);
}

std::optional<WallTime> ObjectReader::optional_instant(std::string_view key) {
  const auto value = optional_text(key);
  if (!value) return std::nullopt;
  const auto instant = parse_time(*value);
  if (!instant) refuse(path_of(key), "must be a time like 2021-08-20T00:00:00+08:00");
  return instant;
}

WallTime ObjectReader::instant(std::string_view key) {
  if (need(key) == nullptr) return {};
  return optional_instant(key).value_or(WallTime());
}

MicroYuan ObjectReader::money(std::string_view key) {
  constexpr auto wanted = "must be a decimal string in yuan with up to six digits after the point, like \"12.50\"";
  const json::value* value = need(key);
  if (value == nullptr) return {};
  const json::string* text = value->if_string();
  const auto amount = text == nullptr ? std::nullopt : parse_yuan({text->data(), text->size()});
  if (!amount) refuse(path_of(key), wanted);
  return amount.value_or(MicroYuan());
}

void ObjectReader::object(std::string_view key, const std::function<void(ObjectReader&)>& read) {
  const json::value* value = need(key);
  if (value == nullptr) return;
  ObjectReader nested(*value, path_of(key));
  read(nested);
  if (auto fault = nested.finish()) refuse(*std::move(fault));
}

void ObjectReader::array(std::string_view key, std::size_t items_min, std::size_t items_max, const ReadItem& read) {
  if (need(key) != nullptr) optional_array(key, items_min, items_max, read);
}

void ObjectReader::optional_array(std::string_view key, std::size_t items_min, std::size_t items_max,
                                  const ReadItem& read) {
  const json::value* value = find_given(key);
  if (value == nullptr) return;
  const std::string path = path_of(key);
  const json::array* items = value->if_array();
  if (items == nullptr) return refuse(path, "must be an array");
  if (items->size() < items_min || items->size() > items_max) {
    return refuse(path, fmt::format("must have {} to {} items", items_min, items_max));
  }
  for (std::size_t i = 0; i < items->size() && !fault_; ++i) read((*items)[i], fmt::format("{}[{}]", path, i));
}

std::optional<Fault> ObjectReader::finish() {
  if (object_ == nullptr) return fault_;
  for (const auto& field : *object_) {
    const std::string_view name(field.key().data(), field.key().size());
    if (asked_.find(name) != asked_.end()) continue;
    return invalid(path_of(name),
                   fmt::format("{}: is not a field here; there are: {}", path_of(name), fmt::join(asked_, ", ")));
  }
  return fault_;
}

}  // namespace tollgate::gateway
