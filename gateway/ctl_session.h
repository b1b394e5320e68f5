// What every ctl command shares: the connection's options, the token, and the two ways of showing an answer.
// It knows no command.
#pragma once

#include <boost/json/value.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/calendar.h"
#include "gateway/ctl_client.h"

namespace tollgate::gateway {

struct CtlExit {
  static constexpr int kDone = 0;
  static constexpr int kRefused = 1;  // by the server or the world
  static constexpr int kUsage = 2;
};

class CtlSession {
 public:
  std::string address = "127.0.0.1:9901";
  std::string token_file;  // else TOLLGATE_ADMIN_TOKEN, ./tollgate-data/admin-token; never an argument: all see those
  bool as_json = false;

  // Made at the first use; what is wrong with the options is said there.
  Result<CtlClient*> client();

  // The server's time, which may be a test clock's; this machine's otherwise.
  WallTime now();

  // Each gives the exit code. One object; a list over all its pages; nothing but success; a fault.
  int show(std::string_view method, const std::string& target, const boost::json::value* body = nullptr,
           std::string_view idempotency_key = {});
  // A POST that moves money. Without a key one is made, and it is said when nobody knows what became of it.
  int pay(const std::string& target, const boost::json::value& body, std::string idempotency_key);
  int show_list(const std::string& target, const std::vector<std::string_view>& columns);
  int show_items(const boost::json::array& items, const std::vector<std::string_view>& columns) const;
  int done(std::string_view method, const std::string& target, std::string_view what);
  // Says the fault; with --json, the document of the answer that it is goes to standard output.
  int refuse(const Fault& fault) const;
  // The document of the last answer, if `fault` is what became of it; null otherwise.
  [[nodiscard]] boost::json::value problem_of(const Fault& fault) const;
  static int refuse_quietly(const Fault& fault);  // on standard error alone
  static int refuse_usage(std::string_view message);

 private:
  Result<std::string> find_token() const;
  std::optional<CtlClient> client_;
};

}  // namespace tollgate::gateway
