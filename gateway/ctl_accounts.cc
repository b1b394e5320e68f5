// tollgate ctl accounts, keys, tokens, deposits, transfers
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>

#include "gateway/ctl_commands.h"

namespace tollgate::gateway {
namespace {
namespace json = boost::json;

struct PutAccount {
  std::string id;
  std::string name;
};

struct KeyOptions {
  std::string account;
  std::string name;
  std::string expires_at;
  std::string id;
};

struct DepositOptions {
  std::string account;
  std::string amount;
  std::string kind = "cash";
  std::string expires_at;
  std::string idempotency_key;
};

void add_account_commands(CLI::App* ctl, CtlCommandLine& line) {
  CLI::App* noun = add_noun(ctl, "accounts", "Customers");
  auto put = options<PutAccount>();
  CLI::App* command = line.command(noun, "put", "Make an account, or rename it", [&line, put] {
    const json::value body = {{"name", put->name}};
    return line.session.show("PUT", account_path(put->id), &body);
  });
  command->add_option("account", put->id, "The account's id: a-z, 0-9 and '-'")->required();
  command->add_option("--name", put->name, "A name for people")->required();
  auto got = options<std::string>();
  line.command(noun, "get", "Show an account and its balance",
               [&line, got] { return line.session.show("GET", account_path(*got)); })
      ->add_option("account", *got)
      ->required();
  line.command(noun, "list", "List the accounts", [&line] {
    return line.session.show_list("/v1/accounts", {"id", "name", "state", "cash", "vouchers", "created_at"});
  });
}

void add_keys(CLI::App* ctl, CtlCommandLine& line) {
  CLI::App* noun = add_noun(ctl, "keys", "Keys of an account");
  auto made = options<KeyOptions>();
  CLI::App* create = line.command(noun, "create", "Make a key; it is shown once", [&line, made] {
    json::object body;
    if (!made->name.empty()) body["name"] = made->name;
    if (!made->expires_at.empty()) body["expires_at"] = made->expires_at;
    const json::value value = body;
    return line.session.show("POST", account_path(made->account) + "/keys", &value);
  });
  create->add_option("account", made->account)->required();
  create->add_option("--name", made->name, "A name for people");
  create->add_option("--expires-at", made->expires_at, "A time like 2030-01-01T00:00:00+08:00");

  auto listed = options<std::string>();
  line.command(
          noun, "list", "List the keys, without their secrets",
          [&line, listed] {
            return line.session.show_list(account_path(*listed) + "/keys", {"id", "name", "created_at", "expires_at"});
          })
      ->add_option("account", *listed)
      ->required();

  auto gone = options<KeyOptions>();
  CLI::App* revoke =
      line.command(noun, "revoke", "Revoke a key: calls with it are refused within a second", [&line, gone] {
        return line.session.done("DELETE", account_path(gone->account) + "/keys/" + percent_encoded(gone->id),
                                 "revoked " + gone->id);
      });
  revoke->add_option("account", gone->account)->required();
  revoke->add_option("key", gone->id, "The key's id (not the key)")->required();
}

void add_tokens(CLI::App* ctl, CtlCommandLine& line) {
  CLI::App* noun = add_noun(ctl, "tokens", "Read-only tokens of an account, for what is its own in the admin API");
  auto made = options<KeyOptions>();
  CLI::App* create = line.command(noun, "create", "Make a token; it is shown once", [&line, made] {
    json::object body;
    if (!made->name.empty()) body["name"] = made->name;
    if (!made->expires_at.empty()) body["expires_at"] = made->expires_at;
    const json::value value = body;
    return line.session.show("POST", account_path(made->account) + "/tokens", &value);
  });
  create->add_option("account", made->account)->required();
  create->add_option("--name", made->name, "A name for people");
  create->add_option("--expires-at", made->expires_at, "A time like 2030-01-01T00:00:00+08:00");

  auto listed = options<std::string>();
  line.command(noun, "list", "List the tokens, without the tokens themselves",
               [&line, listed] {
                 return line.session.show_list(account_path(*listed) + "/tokens",
                                               {"id", "name", "prefix", "created_at", "expires_at"});
               })
      ->add_option("account", *listed)
      ->required();

  auto gone = options<KeyOptions>();
  CLI::App* revoke = line.command(noun, "revoke", "Revoke a token: the next request with it is refused", [&line, gone] {
    return line.session.done("DELETE", account_path(gone->account) + "/tokens/" + percent_encoded(gone->id),
                             "revoked " + gone->id);
  });
  revoke->add_option("account", gone->account)->required();
  revoke->add_option("token", gone->id, "The token's id (not the token)")->required();
}

int create_deposit(CtlSession& session, const DepositOptions& made) {
  json::object body;
  body["amount"] = made.amount;
  body["kind"] = made.kind;
  if (!made.expires_at.empty()) body["expires_at"] = made.expires_at;
  return session.pay(account_path(made.account) + "/deposits", body, made.idempotency_key);
}

void add_money(CLI::App* ctl, CtlCommandLine& line) {
  CLI::App* noun = add_noun(ctl, "deposits", "Money put into an account");
  auto made = options<DepositOptions>();
  CLI::App* create = line.command(noun, "create", "Deposit money; debts are paid first",
                                  [&line, made] { return create_deposit(line.session, *made); });
  create->add_option("account", made->account)->required();
  create->add_option("--amount", made->amount, "Yuan, like 100 or 12.50")->required();
  create->add_option("--kind", made->kind, "cash or voucher")->capture_default_str();
  create->add_option("--expires-at", made->expires_at, "Vouchers: a time like 2030-01-01T00:00:00+08:00");
  create->add_option("--idempotency-key", made->idempotency_key, "The same key never deposits twice");

  CLI::App* transfers = add_noun(ctl, "transfers", "The ledger of an account");
  auto listed = options<std::string>();
  line.command(transfers, "list", "List the transfers, oldest first",
               [&line, listed] {
                 return line.session.show_list(account_path(*listed) + "/transfers",
                                               {"id", "at", "debit", "credit", "amount", "reason", "reference"});
               })
      ->add_option("account", *listed)
      ->required();
}
}  // namespace

void add_accounts(CLI::App* ctl, CtlCommandLine& line) {
  add_account_commands(ctl, line);
  add_keys(ctl, line);
  add_tokens(ctl, line);
  add_money(ctl, line);
}

}  // namespace tollgate::gateway
