// The commands of `tollgate ctl`, grouped by noun: each function adds one noun's commands to the command line.
// A command's action runs after parsing and gives the exit code.
#pragma once

#include <CLI/App.hpp>
#include <functional>
#include <memory>
#include <string>

#include "gateway/ctl_session.h"

namespace tollgate::gateway {

struct CtlCommandLine {
  CtlSession session;
  std::function<int()> chosen;  // the action of the command that was given

  // Adds the command `name` to `noun`; `action` runs if it is given.
  CLI::App* command(CLI::App* noun, const std::string& name, const std::string& help, std::function<int()> action);
};

CLI::App* add_noun(CLI::App* ctl, const std::string& name, const std::string& help);

// Where the options of a command are kept until it runs: one for each command.
template <class T>
std::shared_ptr<T> options() {
  return std::make_shared<T>();
}

void add_services(CLI::App* ctl, CtlCommandLine& line);       // ctl_services.cc
void add_accounts(CLI::App* ctl, CtlCommandLine& line);       // ctl_accounts.cc: accounts, keys, tokens, deposits, ...
void add_subscriptions(CLI::App* ctl, CtlCommandLine& line);  // ctl_subscriptions.cc: with qps-packs, usage
void add_billing(CLI::App* ctl, CtlCommandLine& line);        // ctl_billing.cc: packages, bills, explain, quote, ...
void add_system(CLI::App* ctl, CtlCommandLine& line);         // ctl_system.cc: catalog, audit, clock, apply
void add_audit_log(CLI::App* ctl, CtlCommandLine& line);      // ctl_audit_log.cc

std::string account_path(const std::string& account);
std::string subscription_path(const std::string& account, const std::string& service);

// The text of a file, or of standard input for "-".
Result<std::string> read_file(const std::string& path);

}  // namespace tollgate::gateway
