#include "gateway/config.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include "base/yaml_text.h"
#include "gateway/config_keys.h"

namespace tollgate::gateway {
namespace {

constexpr std::size_t kFileBytesMax = 1024 * 1024;

// Where a document of a file has its first content, if it has any.
class ContentMark : public YAML::EventHandler {
 public:
  std::optional<YAML::Mark> mark;
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark& at, YAML::anchor_t) override { note(at); }
  void OnScalar(const YAML::Mark& at, const std::string&, YAML::anchor_t, const std::string&) override { note(at); }
  void OnSequenceStart(const YAML::Mark& at, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    note(at);
  }
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark& at, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    note(at);
  }
  void OnMapEnd() override {}

 private:
  void note(const YAML::Mark& at) {
    if (!mark) mark = at;
  }
};

// Where a file goes on after its first document. Not by YAML::LoadAll: on some texts that are no YAML, as one that
// begins with a comma, it finds empty documents for ever.
std::optional<YAML::Mark> rest_of(const std::string& text) {
  std::istringstream in(text);
  YAML::Parser parser(in);
  ContentMark first;
  ContentMark second;
  if (parser.HandleNextDocument(first)) parser.HandleNextDocument(second);
  if (!second.mark && parser) second.mark = first.mark.value_or(YAML::Mark());
  return second.mark;
}

class FileReader {
 public:
  FileReader(std::string path, LoadedConfig& loaded) : path_(std::move(path)), loaded_(loaded) {}

  void read() {
    const auto text = read_text();
    if (!text) return;
    if (const auto line = line_of_control(*text)) {
      loaded_.faults.push_back({fmt::format("{}:{}", path_, *line), std::string(kControlInYaml)});
      return;
    }
    try {
      if (const auto rest = rest_of(*text)) fault(*rest, "a configuration is one YAML document, and nothing else");
      if (const YAML::Node first = YAML::Load(*text); !first.IsNull()) read_map(first, "");
    } catch (const YAML::Exception& error) {
      fault(error.mark, error.msg);
    }
  }

  void tell_places() {
    for (const auto& [key, line] : lines_) loaded_.places.emplace(key, fmt::format("{}:{}", path_, line));
  }

  // "file:line" of a key that the file has; the file otherwise.
  [[nodiscard]] std::string where(std::string_view key) const {
    const auto found = lines_.find(key);
    return found == lines_.end() ? path_ : fmt::format("{}:{}", path_, found->second);
  }

 private:
  std::optional<std::string> read_text() {
    std::error_code ignored;
    if (std::filesystem::is_directory(path_, ignored)) {
      loaded_.faults.push_back({path_, "is a folder, not a file"});
      return std::nullopt;
    }
    std::ifstream file(path_, std::ios::binary);
    if (!file) {
      loaded_.faults.push_back({path_, fmt::format("cannot be read: {}", std::strerror(errno))});
      return std::nullopt;
    }
    std::string text(kFileBytesMax + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    if (text.size() <= kFileBytesMax) return text;
    loaded_.faults.push_back({path_, fmt::format("is larger than {} bytes", kFileBytesMax)});
    return std::nullopt;
  }

  void fault(const YAML::Mark& mark, std::string message) {
    loaded_.faults.push_back({mark.is_null() ? path_ : fmt::format("{}:{}", path_, mark.line + 1), std::move(message)});
  }

  // `section` is "" or "limits.": what the names of the map's keys begin with.
  void read_map(const YAML::Node& map, const std::string& section) {
    if (map.IsNull()) return;  // an empty file or section leaves the defaults
    if (!map.IsMap()) {
      return fault(map.Mark(), section.empty()
                                   ? "a configuration is a map of keys and values"
                                   : fmt::format("{}: must be a map", section.substr(0, section.size() - 1)));
    }
    for (const auto& entry : map) {
      if (!entry.first.IsScalar()) {
        fault(entry.first.Mark(), "a key must be a plain name");
        continue;
      }
      read_entry(section + entry.first.Scalar(), entry.first, entry.second, section.empty());
    }
  }

  void read_entry(const std::string& name, const YAML::Node& key, const YAML::Node& value, bool top) {
    const int line = key.Mark().line + 1;
    if (const auto [earlier, is_new] = lines_.emplace(name, line); !is_new) {
      return fault(key.Mark(), fmt::format("{}: appears twice, first in line {}", name, earlier->second));
    }
    if (top && is_section(name)) return read_map(value, name + ".");
    const ConfigKey* known = find_config_key(name);
    if (known == nullptr || (top && name.find('.') != std::string::npos)) {
      return fault(key.Mark(), fmt::format("{}: there is no such key", name));
    }
    if (auto wrong = set(*known, value)) fault(value.Mark(), fmt::format("{}: {}", name, *wrong));
  }

  static bool is_section(const std::string& name) {
    for (const auto& key : config_keys()) {
      if (key.name.starts_with(name + ".")) return true;
    }
    return false;
  }

  std::optional<std::string> set(const ConfigKey& key, const YAML::Node& value) {
    if (value.IsScalar()) {
      // A list of one must be written as a list: a path may contain commas.
      if (std::holds_alternative<TextList>(key.kind)) return "must be a list";
      // Quotes make text of a number, and a flag is no text either.
      const bool is_quoted = value.Tag() == "!";
      if (is_quoted && !std::holds_alternative<Text>(key.kind)) return "must not be quoted";
      return set_config_value(loaded_.config, key, value.Scalar());
    }
    if (value.IsNull()) return "has no value";
    if (!value.IsSequence()) return "must be one value, not a map";
    std::vector<std::string> items;
    for (const auto& item : value) {
      if (!item.IsScalar()) return "must be a list of texts";
      items.push_back(item.Scalar());
    }
    return set_config_list(loaded_.config, key, std::move(items));
  }

  std::string path_;
  LoadedConfig& loaded_;
  std::map<std::string, int, std::less<>> lines_;
};

// The nearest thing that is helpful without a dictionary: keys that end alike.
std::string unknown_key(std::string_view name) {
  const auto last = name.substr(name.rfind('.') == std::string_view::npos ? 0 : name.rfind('.') + 1);
  for (const auto& key : config_keys()) {
    if (key.name.ends_with(fmt::format(".{}", last))) {
      return fmt::format("{}: there is no such key; is {} meant?", name, key.name);
    }
  }
  return fmt::format("{}: there is no such key", name);
}
}  // namespace

LoadedConfig load_config(const std::string& path, const std::vector<std::pair<std::string, std::string>>& sets) {
  LoadedConfig loaded;
  FileReader file(path, loaded);
  if (!path.empty()) file.read();
  std::map<std::string, std::string, std::less<>> flags;
  for (const auto& [name, value] : sets) {
    const ConfigKey* key = find_config_key(name);
    if (key == nullptr) {
      loaded.faults.push_back({"--set", unknown_key(name)});
    } else if (auto wrong = set_config_value(loaded.config, *key, value)) {
      loaded.faults.push_back({"--set", fmt::format("{}: {}", name, *wrong)});
    }
    flags[name] = value;
  }
  // As a shell completes a folder's name; its parent would else be the folder itself.
  auto& folder = loaded.config.data_dir;
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  file.tell_places();
  for (const auto& [key, wrong] : config_conflicts(loaded.config)) {
    const bool is_flag = path.empty() || flags.find(key) != flags.end();
    loaded.faults.push_back({is_flag ? "--set" : file.where(key), fmt::format("{}: {}", key, wrong)});
  }
  return loaded;
}

}  // namespace tollgate::gateway
