#include <fmt/format.h>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse_options.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_stack.hpp>

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "gateway/json_reader.h"

namespace tollgate::gateway {
namespace json = boost::json;

namespace {
using boost::system::error_code;
using View = json::string_view;

// Hears of every token, builds the value, and stops the parser at the first thing we do not take.
class StrictHandler {
 public:
  static constexpr std::size_t max_object_size = json::object::max_size();
  static constexpr std::size_t max_array_size = json::array::max_size();
  static constexpr std::size_t max_key_size = json::string::max_size();
  static constexpr std::size_t max_string_size = json::string::max_size();

  std::optional<Fault> fault;
  json::value_stack values;

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code&) { return open(true); }
  bool on_object_end(std::size_t n, error_code&) {
    values.push_object(n);
    return close();
  }
  bool on_array_begin(error_code&) { return open(false); }
  bool on_array_end(std::size_t n, error_code&) {
    values.push_array(n);
    return close();
  }
  bool on_key_part(View part, std::size_t, error_code&) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool on_key(View part, std::size_t, error_code& ec) {
    text_.append(part.data(), part.size());
    Frame& frame = frames_.back();
    frame.key = std::exchange(text_, {});
    if (has_control_characters(frame.key)) return refuse(ec, "a key contains control characters", container_path());
    if (!frame.keys.insert(frame.key).second) return refuse(ec, "appears twice", path());
    values.push_key(frame.key);
    return true;
  }
  bool on_string_part(View part, std::size_t, error_code&) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool on_string(View part, std::size_t, error_code& ec) {
    text_.append(part.data(), part.size());
    const std::string text = std::exchange(text_, {});
    // Ends of lines are for the few fields that hold a text of lines: ObjectReader refuses them in all others.
    if (has_control_characters(text, true)) return refuse(ec, "contains control characters", path());
    values.push_string(text);
    return next();
  }
  bool on_number_part(View, error_code&) { return true; }
  bool on_int64(std::int64_t number, View, error_code&) {
    values.push_int64(number);
    return next();
  }
  bool on_uint64(std::uint64_t number, View, error_code&) {
    values.push_uint64(number);
    return next();
  }
  bool on_double(double number, View, error_code& ec) {  // kept so that the reader can name the type it wants
    if (!std::isfinite(number)) return refuse(ec, "is a number beyond all bounds", path());
    values.push_double(number);
    return next();
  }
  bool on_bool(bool value, error_code&) {
    values.push_bool(value);
    return next();
  }
  bool on_null(error_code&) {
    values.push_null();
    return next();
  }
  bool on_comment_part(View, error_code&) { return true; }
  bool on_comment(View, error_code&) { return true; }

 private:
  struct Frame {
    bool is_object = false;
    std::unordered_set<std::string> keys;
    std::string key;        // of the value that is being read
    std::size_t index = 0;  // the same in an array
  };

  // C0, DEL, and C1 as UTF-8 has them: nothing that a log line or a terminal would act on.
  static bool has_control_characters(std::string_view text, bool lines_allowed = false) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      if (lines_allowed && (byte == '\n' || byte == '\r')) continue;
      if (byte < 0x20 || byte == 0x7f) return true;
      if (byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0) return true;
    }
    return false;
  }

  bool open(bool is_object) {
    frames_.emplace_back().is_object = is_object;
    return true;
  }
  bool close() {
    frames_.pop_back();
    return next();
  }
  bool next() {  // a value has ended
    if (!frames_.empty()) ++frames_.back().index;
    return true;
  }

  static std::string path_to(const std::vector<Frame>& frames, std::size_t count) {
    std::string path;
    for (std::size_t i = 0; i < count; ++i) {
      if (!frames[i].is_object) {
        path += fmt::format("[{}]", frames[i].index);
      } else {
        path += (path.empty() ? "" : ".") + frames[i].key;
      }
    }
    return path;
  }
  [[nodiscard]] std::string path() const { return path_to(frames_, frames_.size()); }
  [[nodiscard]] std::string container_path() const { return path_to(frames_, frames_.size() - 1); }

  bool refuse(error_code& ec, std::string_view message, const std::string& path) {
    fault = invalid(path, path.empty() ? std::string(message) : fmt::format("{}: {}", path, message));
    ec = boost::system::errc::make_error_code(boost::system::errc::invalid_argument);
    return false;
  }

  std::vector<Frame> frames_;
  std::string text_;  // of a key or string that comes in parts
};

Fault malformed(const std::string& why, std::size_t at) {
  return {FaultKind::invalid, "invalid_json", fmt::format("the body is not JSON: {} at byte {}", why, at), {}};
}

void write_canonical(const json::value& value, std::string& out) {
  if (const auto* object = value.if_object()) {
    std::vector<const json::key_value_pair*> fields;
    for (const auto& field : *object) fields.push_back(&field);
    std::sort(fields.begin(), fields.end(), [](const auto* a, const auto* b) { return a->key() < b->key(); });
    out += '{';
    for (const auto* field : fields) {
      if (out.back() != '{') out += ',';
      out += json::serialize(field->key());
      out += ':';
      write_canonical(field->value(), out);
    }
    out += '}';
  } else if (const auto* array = value.if_array()) {
    out += '[';
    for (std::size_t i = 0; i < array->size(); ++i) {
      if (i != 0) out += ',';
      write_canonical((*array)[i], out);
    }
    out += ']';
  } else {
    out += json::serialize(value);
  }
}
}  // namespace

Result<json::value> parse_json(std::string_view text) {
  json::parse_options options;
  options.max_depth = kJsonDepthMax;
  json::basic_parser<StrictHandler> parser(options);
  parser.handler().values.reset();
  error_code ec;
  const std::size_t consumed = parser.write_some(false, text.data(), text.size(), ec);
  if (parser.handler().fault) return *parser.handler().fault;
  if (ec) return malformed(ec.message(), consumed);
  if (consumed < text.size()) return malformed("there is more after the value", consumed);
  return parser.handler().values.release();
}

std::string canonical_json(const json::value& value) {
  std::string out;
  write_canonical(value, out);
  return out;
}

}  // namespace tollgate::gateway
