// The admin token and the webhook's secret: where they come from, and their making at a first start.
// It does not check requests; admin_api.cc does.
#pragma once

#include <string>
#include <string_view>

#include "base/fault.h"
#include "gateway/config.h"

namespace tollgate::gateway {

struct AdminToken {
  std::string token;
  std::string source;      // "TOLLGATE_ADMIN_TOKEN", or the file's path
  bool generated = false;  // now, into that file
};

// TOLLGATE_ADMIN_TOKEN as it is; else config.admin_token_file; else data_dir/admin-token, which is made with mode
// 0600 (and the folder with 0700) if it is not there. Logs where the token is, never the token. Faults: a token of
// no or of other than visible ASCII characters, a file that others may read or that cannot be read or written.
Result<AdminToken> load_admin_token(const Config& config);

// TOLLGATE_BILLING_READ_TOKEN, else config.admin_billing_read_token_file; else empty: there is none, and none is made.
// The same rules, and a fault if it is `admin_token` too: a reader would then be able to change everything.
Result<std::string> load_billing_read_token(const Config& config, std::string_view admin_token);

// config.billing.webhook_secret_file; else data_dir/webhook-secret, by the same rules.
Result<std::string> load_webhook_secret(const Config& config);

}  // namespace tollgate::gateway
