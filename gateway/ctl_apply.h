// `tollgate ctl apply`: a file of services and accounts, and the calls that make the server agree with it.
// Applying a file again changes nothing; what a file does not name is left alone, never deleted.
#pragma once

#include <boost/json/value.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fault.h"
#include "gateway/ctl_client.h"

namespace tollgate::gateway {

struct ApplyEntry {  // something with an id of its own, and the body to send for it
  std::string id;
  boost::json::value body;
};

struct ApplyAccount {
  std::string id;
  boost::json::value body;
  std::vector<ApplyEntry> deposits;       // the id becomes the idempotency key, so each is made once
  std::vector<std::string> keys;          // names
  std::vector<ApplyEntry> subscriptions;  // by service
};

struct ApplyFile {
  std::vector<ApplyEntry> services;
  std::vector<ApplyAccount> accounts;
};

using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment process_environment();

// YAML (or JSON) as a JSON value. In texts, ${NAME} becomes the environment's value and ${NAME:-text} has a default.
// Faults name `source` and the line.
Result<boost::json::value> read_yaml(std::string_view yaml, std::string_view source, const Environment& environment);

// Everything that can be wrong with the file itself is found here, before the first call.
Result<ApplyFile> parse_apply_file(std::string_view yaml, std::string_view source, const Environment& environment);

struct ApplyStep {
  std::string kind;  // service, account, deposit, key, subscription
  std::string id;
  std::string result;  // created, updated, unchanged
  std::string note;    // a new key's secret, which is shown here and nowhere else; or a remark
};

// `keys_file` (may be empty) keeps new keys as lines "account key", mode 0600; an account with a line there gets no
// other key. Without it, a key is made unless the account has one of that name. `report` hears of each step at once,
// so that nothing is lost when a later one fails.
Result<void> apply(const ApplyFile& file, CtlClient& client, const std::string& keys_file,
                   const std::function<void(const ApplyStep&)>& report);

}  // namespace tollgate::gateway
