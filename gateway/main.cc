// The command line: serve, check, ctl. It parses and dispatches; the work is elsewhere.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "gateway/app.h"
#include "gateway/app_price_lists.h"
#include "gateway/config.h"
#include "gateway/ctl.h"
#include "gateway/tls_contexts.h"
#include "gateway/version.h"

namespace {
using tollgate::gateway::ConfigSource;

constexpr auto kExamples =
    "Examples:\n"
    "  tollgate serve                                   with the defaults, data in ./tollgate-data\n"
    "  tollgate serve --config conf/tollgate.yaml --set log.format=text\n"
    "  tollgate check --config conf/tollgate.yaml       names every fault with its line\n"
    "  tollgate ctl apply -f conf/demo.yaml             services and accounts to try\n"
    "  tollgate ctl --help                              all that an operator can do";

struct ServeOptions {
  std::string config;
  std::string data_dir;
  std::string listen;
  std::string admin_listen;
  std::vector<std::string> sets;
};

void add_serve(CLI::App& root, ServeOptions& options) {
  CLI::App* serve = root.add_subcommand("serve", "Run the gateway with the billing core inside");
  serve->add_option("--config", options.config, "YAML file; without it the built-in defaults serve");
  serve->add_option("--data-dir", options.data_dir, "Folder of the database, the journal and the admin token");
  serve->add_option("--listen", options.listen, "Where clients call, address:port");
  serve->add_option("--admin-listen", options.admin_listen, "Where the admin API and /metrics are, address:port");
  serve->add_option("--set", options.sets, "Any key of the configuration as key=value; wins over the file")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  serve->footer(
      "SIGHUP reads the file again (a bad one changes nothing and is said); SIGTERM finishes what is in flight.\n"
      "The admin token: TOLLGATE_ADMIN_TOKEN, else admin_token_file, else DATA_DIR/admin-token, made at the first "
      "start.");
}

// The flags as the keys they stand for; --set may override them, as it comes last.
bool to_source(const ServeOptions& options, ConfigSource& source) {
  source.path = options.config;
  if (!options.data_dir.empty()) source.sets.emplace_back("data_dir", options.data_dir);
  if (!options.listen.empty()) source.sets.emplace_back("listen", options.listen);
  if (!options.admin_listen.empty()) source.sets.emplace_back("admin_listen", options.admin_listen);
  for (const auto& set : options.sets) {
    const auto equals = set.find('=');
    if (equals == std::string::npos || equals == 0) {
      fmt::print(stderr, "tollgate: --set takes key=value, not '{}'\n", set);
      return false;
    }
    source.sets.emplace_back(set.substr(0, equals), set.substr(equals + 1));
  }
  return true;
}

// True if the configuration is good; else every fault has been said.
bool print_faults(const tollgate::gateway::LoadedConfig& loaded) {
  for (const auto& fault : loaded.faults) fmt::print(stderr, "{}: {}\n", fault.where, fault.message);
  return loaded.faults.empty();
}

int serve(const ServeOptions& options) {
  ConfigSource source;
  if (!to_source(options, source)) return 2;
  const auto loaded = tollgate::gateway::load_config(source.path, source.sets);
  if (!print_faults(loaded)) return 1;
  return tollgate::gateway::run_serve(loaded.config, source);
}

// True if what `serve` would read for TLS is good.
bool check_tls(const tollgate::gateway::LoadedConfig& loaded, const std::string& path) {
  if (loaded.config.tls.listen.empty()) return true;
  const auto read = tollgate::gateway::TlsContexts::load(loaded.config.tls);
  if (read) return true;
  const auto place = loaded.places.find(read.error().field);
  fmt::print(stderr, "{}: {}\n", place == loaded.places.end() ? path : place->second, read.error().message);
  return false;
}

int check(const std::string& path) {
  const auto loaded = tollgate::gateway::load_config(path, {});
  const bool good = print_faults(loaded);
  const auto lists = tollgate::gateway::read_price_lists(loaded.config.billing);
  for (const auto& fault : lists.faults) {
    fmt::print(stderr, "{}: {}: {}\n", place_of(fault, loaded, path), fault.key, fault.message);
  }
  if (!good || !lists.faults.empty() || !check_tls(loaded, path)) return 1;
  fmt::print("{}: ok\n", path);
  return 0;
}

int run(int argc, char** argv) {
  CLI::App root(
      "tollgate stands in front of model endpoints: it lets in what an account may call, counts what it used, "
      "and charges for it.",
      "tollgate");
  root.footer(kExamples);
  root.set_version_flag("--version", std::string("tollgate ") + tollgate::gateway::version());
  root.require_subcommand(1);
  ServeOptions serve_options;
  add_serve(root, serve_options);
  std::string checked;
  CLI::App* check_command = root.add_subcommand("check", "Check a configuration file: every fault with its line");
  check_command->add_option("--config", checked, "The file")->required();
  check_command->footer("");
  tollgate::gateway::Ctl ctl(root);
  try {
    root.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return root.exit(error) == 0 ? 0 : 2;
  }
  if (ctl.chosen()) return ctl.run();
  if (*check_command) return check(checked);
  return serve(serve_options);
}
}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a peer that closed is an error code where it is written to
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "tollgate: {}\n", error.what());
    return 1;
  }
}
