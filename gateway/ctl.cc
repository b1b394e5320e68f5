#include "gateway/ctl.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <iterator>

#include "gateway/ctl_commands.h"

namespace tollgate::gateway {

CLI::App* CtlCommandLine::command(CLI::App* noun, const std::string& name, const std::string& help,
                                  std::function<int()> action) {
  CLI::App* command = noun->add_subcommand(name, help);
  command->callback([this, action = std::move(action)] { chosen = action; });
  return command;
}

CLI::App* add_noun(CLI::App* ctl, const std::string& name, const std::string& help) {
  CLI::App* noun = ctl->add_subcommand(name, help);
  noun->require_subcommand(1);
  return noun;
}

std::string account_path(const std::string& account) { return "/v1/accounts/" + percent_encoded(account); }

std::string subscription_path(const std::string& account, const std::string& service) {
  return account_path(account) + "/subscriptions/" + percent_encoded(service);
}

Result<std::string> read_file(const std::string& path) {
  if (path == "-") return std::string(std::istreambuf_iterator<char>(std::cin), {});
  std::ifstream file(path, std::ios::binary);
  if (!file) return Fault{FaultKind::unavailable, "file", fmt::format("{}: cannot be read", path), {}};
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class Ctl::Commands {
 public:
  explicit Commands(CLI::App& root) {
    CLI::App* ctl = root.add_subcommand("ctl", "Work with a running tollgate over its admin API");
    ctl->require_subcommand(1);
    ctl->fallthrough();  // so that --json may stand anywhere
    CtlSession& session = line_.session;
    ctl->add_option("--address", session.address, "Admin API, host:port")->capture_default_str();
    ctl->add_option("--token-file", session.token_file,
                    "File with the admin token. Without it: TOLLGATE_ADMIN_TOKEN, then tollgate-data/admin-token");
    ctl->add_flag("--json", session.as_json, "JSON instead of tables");
    ctl->footer(
        "Examples:\n"
        "  tollgate ctl apply -f conf/demo.yaml --keys-file keys.txt\n"
        "  tollgate ctl services put classify --model image-classification/high-performance \\\n"
        "      --upstream 127.0.0.1:8081 --path-prefix /v1/classify\n"
        "  tollgate ctl accounts put acme --name 'Acme Ltd'\n"
        "  tollgate ctl deposits create acme --amount 100\n"
        "  tollgate ctl subscriptions put acme classify --paid\n"
        "  tollgate ctl keys create acme --name laptop\n"
        "  tollgate ctl usage list acme --json\n\n"
        "Exit codes: 0 done, 1 refused by the server or no answer, 2 wrong command.");
    add_services(ctl, line_);
    add_accounts(ctl, line_);
    add_subscriptions(ctl, line_);
    add_billing(ctl, line_);
    add_system(ctl, line_);
    add_audit_log(ctl, line_);
    for (CLI::App* noun : ctl->get_subcommands({})) {
      noun->fallthrough()->footer("");
      for (CLI::App* verb : noun->get_subcommands({})) verb->fallthrough()->footer("");
    }
  }

  CtlCommandLine line_;
};

Ctl::Ctl(CLI::App& root) : commands_(std::make_unique<Commands>(root)) {}
Ctl::~Ctl() = default;

bool Ctl::chosen() const noexcept { return static_cast<bool>(commands_->line_.chosen); }

int Ctl::run() {
  try {
    return commands_->line_.chosen();
  } catch (const std::exception& error) {  // an answer that does not have the form the API promises
    fmt::print(stderr, "tollgate ctl: {}\n", error.what());
    return CtlExit::kRefused;
  }
}

}  // namespace tollgate::gateway
