#include "gateway/ctl_apply.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>

#include "gateway/json_reader.h"

namespace tollgate::gateway {
namespace json = boost::json;

namespace {
using Report = std::function<void(const ApplyStep&)>;

// Keys that were made earlier, by account, and the place for new ones.
class KeysFile {
 public:
  explicit KeysFile(std::string path) : path_(std::move(path)) {
    std::ifstream file(path_);
    for (std::string line; !path_.empty() && std::getline(file, line);) {
      const auto end = line.find(' ');
      if (end != std::string::npos && !line.starts_with('#')) accounts_.insert(line.substr(0, end));
    }
  }
  [[nodiscard]] bool in_use() const noexcept { return !path_.empty(); }
  [[nodiscard]] bool has(const std::string& account) const { return accounts_.count(account) != 0; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  // Before a key is made, so that no secret is lost to a file that cannot be written.
  Result<void> check_writable() { return add(""); }

  Result<void> add(const std::string& line) {
    const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const auto size = static_cast<ssize_t>(line.size());
    const bool done =
        fd >= 0 && ::fchmod(fd, 0600) == 0 && ::write(fd, line.data(), line.size()) == size && ::fsync(fd) == 0;
    const int reason = errno;
    if (fd >= 0) ::close(fd);
    if (done) return {};
    return Fault{FaultKind::unavailable, "keys_file", fmt::format("{}: {}", path_, std::strerror(reason)), {}};
  }

 private:
  std::string path_;
  std::set<std::string> accounts_;
};

class Applying {
 public:
  Applying(CtlClient& client, KeysFile& keys, const Report& report) : client_(client), keys_(keys), report_(report) {}

  // PUTs `body`, and says what that changed: `same` compares what was there with the answer.
  template <class Same>
  Result<void> put(const std::string& kind, const std::string& id, const std::string& target, const json::value& body,
                   Same same) {
    const auto before = client_.get(target);
    if (before.has_error() && before.error().kind != FaultKind::not_found) return at(kind, id, before.error());
    const auto after = client_.put(target, body);
    if (after.has_error()) return at(kind, id, after.error());
    const bool was_there = before.has_value();
    report_({kind, id, !was_there ? "created" : same(before->body, after->body) ? "unchanged" : "updated", {}});
    return {};
  }

  Result<void> account(const ApplyAccount& account) {
    const auto path = "/v1/accounts/" + account.id;
    const auto same_name = [](const json::value& a, const json::value& b) { return a.at("name") == b.at("name"); };
    if (auto done = put("account", account.id, path, account.body, same_name); done.has_error()) return done;
    for (const auto& each : account.deposits) {
      if (auto done = deposit(account.id, each); done.has_error()) return done;
    }
    if (auto done = keys(account); done.has_error()) return done;
    const auto same_terms = [](const json::value& a, const json::value& b) {
      return a.at("paid") == b.at("paid") && a.at("plan") == b.at("plan");
    };
    for (const auto& each : account.subscriptions) {
      auto done =
          put("subscription", account.id + "/" + each.id, path + "/subscriptions/" + each.id, each.body, same_terms);
      if (done.has_error()) return done;
    }
    return {};
  }

 private:
  static Fault at(const std::string& kind, const std::string& id, Fault fault) {
    fault.message = fmt::format("{} {}: {}", kind, id, fault.message);
    return fault;
  }

  Result<void> deposit(const std::string& account, const ApplyEntry& deposit) {
    const auto id = account + "/" + deposit.id;
    const auto made = client_.send("POST", fmt::format("/v1/accounts/{}/deposits", account), &deposit.body,
                                   fmt::format("apply/{}", id));
    if (made.has_error()) return at("deposit", id, made.error());
    report_({"deposit", id, made->replayed ? "unchanged" : "created", {}});
    return {};
  }

  Result<void> keys(const ApplyAccount& account) {
    if (account.keys.empty()) return {};
    const auto there = client_.all(fmt::format("/v1/accounts/{}/keys", account.id));
    if (there.has_error()) return at("keys of", account.id, there.error());
    if (keys_.has(account.id)) {
      report_({"key", account.id, "unchanged",
               there->empty() ? fmt::format("{} has a line for it, but the server no key", keys_.path()) : ""});
      return {};
    }
    for (const auto& name : account.keys) {
      if (auto done = key(account.id, name, *there); done.has_error()) return done;
    }
    return {};
  }

  Result<void> key(const std::string& account, const std::string& name, const json::array& there) {
    const auto id = account + "/" + name;
    const auto has_name = [&](const json::value& key) { return key.at("name").as_string() == name; };
    if (!keys_.in_use() && std::any_of(there.begin(), there.end(), has_name)) {
      report_({"key", id, "unchanged", {}});
      return {};
    }
    if (keys_.in_use()) {
      if (auto writable = keys_.check_writable(); writable.has_error()) return writable;
    }
    const json::value body = {{"name", name}};
    const auto made = client_.send("POST", fmt::format("/v1/accounts/{}/keys", account), &body);
    if (made.has_error()) return at("key", id, made.error());
    const auto secret = json::value_to<std::string>(made->body.at("key"));
    report_({"key", id, "created", secret});
    return keys_.in_use() ? keys_.add(fmt::format("{} {}\n", account, secret)) : Result<void>();
  }

  CtlClient& client_;
  KeysFile& keys_;
  const Report& report_;
};
}  // namespace

Result<void> apply(const ApplyFile& file, CtlClient& client, const std::string& keys_file, const Report& report) {
  KeysFile keys(keys_file);
  Applying applying(client, keys, report);
  const auto same = [](const json::value& a, const json::value& b) { return canonical_json(a) == canonical_json(b); };
  for (const auto& service : file.services) {
    auto done = applying.put("service", service.id, "/v1/services/" + service.id, service.body, same);
    if (done.has_error()) return done;
  }
  for (const auto& account : file.accounts) {
    if (auto done = applying.account(account); done.has_error()) return done;
  }
  return {};
}

}  // namespace tollgate::gateway
