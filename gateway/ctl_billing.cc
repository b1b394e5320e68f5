// tollgate ctl packages, count-packs, bills, explain, quote, notifications
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>

#include "base/clock.h"
#include "base/ids.h"
#include "gateway/ctl_commands.h"
#include "gateway/ctl_table.h"

namespace tollgate::gateway {
namespace {
namespace json = boost::json;

struct PurchaseOptions {
  std::string account;
  std::string service;
  std::int64_t amount = 0;  // points or calls
  std::string idempotency_key;
};

struct BillOptions {
  std::string account;
  std::string month;
  bool csv = false;
};

struct ExplainOptions {
  std::string account;
  std::string transfer;
  std::string line;
  std::string month;
};

struct QuoteOptions {
  std::string model;
  std::int64_t points = 0;
  std::int64_t calls = 0;
  std::int64_t month_points = 0;
  std::string plan;
};

// One kind of thing that is bought by its size: `what` is the path's last part, `field` the body's field.
void add_purchase(CLI::App* ctl, CtlCommandLine& line, const std::string& what, const std::string& field,
                  const std::string& noun_help, const std::string& help) {
  CLI::App* noun = add_noun(ctl, what, noun_help);
  auto bought = options<PurchaseOptions>();
  CLI::App* buy = line.command(noun, "buy", help, [&line, bought, what, field] {
    json::object body;
    body[field] = bought->amount;
    return line.session.pay(fmt::format("{}/{}", subscription_path(bought->account, bought->service), what), body,
                            bought->idempotency_key);
  });
  buy->add_option("account", bought->account)->required();
  buy->add_option("service", bought->service)->required();
  buy->add_option("--" + field, bought->amount, "One of the sizes that the plan sells (tollgate ctl --json catalog)")
      ->required();
  buy->add_option("--idempotency-key", bought->idempotency_key, "The same key never buys twice");
}

std::string this_month(CtlSession& session) { return format_month(month_of(session.now())); }

int show_bill(CtlSession& session, BillOptions options) {
  if (options.month.empty()) options.month = this_month(session);
  const auto target = fmt::format("{}/bills?month={}{}", account_path(options.account), percent_encoded(options.month),
                                  options.csv ? "&format=csv" : "");
  auto client = session.client();
  if (client.has_error()) return session.refuse(client.error());
  const auto answer = (*client)->get(target);
  if (answer.has_error()) return session.refuse(answer.error());
  if (options.csv) {
    fmt::print("{}", answer->text);
  } else if (session.as_json) {
    fmt::print("{}\n", json::serialize(answer->body));
  } else {
    fmt::print("{}", table(answer->body.at("lines").as_array(), {"service", "kind", "paid_from", "item", "points",
                                                                 "calls", "unit_price", "amount", "hour", "id"}));
    fmt::print("\ntotal {}\n", json::value_to<std::string>(answer->body.at("total")));
  }
  return CtlExit::kDone;
}

void add_bills(CLI::App* ctl, CtlCommandLine& line) {
  CLI::App* noun = add_noun(ctl, "bills", "What a month cost");
  auto shown = options<BillOptions>();
  CLI::App* show = line.command(noun, "show", "Show an account's bill of a month",
                                [&line, shown] { return show_bill(line.session, *shown); });
  show->add_option("account", shown->account)->required();
  show->add_option("--month", shown->month, "Like 2021-08; this month otherwise");
  show->add_flag("--csv", shown->csv, "As CSV");
}

void print_settlement(const json::value& settlement) {
  json::object head = settlement.as_object();
  const auto parts = head["parts"].as_array();
  const auto transfers = head["transfers"].as_array();
  const auto reported = head["reported"].as_array();
  for (const auto* list : {"parts", "transfers", "reported"}) head.erase(list);
  fmt::print("\nsettlement\n{}", fields(head));
  fmt::print("\npaid for by\n{}", table(parts, {"paid_from", "item", "points", "calls", "unit_price", "amount"}));
  fmt::print("\ntransfers\n{}", table(transfers, {"id", "at", "debit", "credit", "amount", "reason"}));
  fmt::print("\nreported by\n{}", table(reported, {"gateway", "epoch", "calls_succeeded", "calls_failed",
                                                   "calls_unmetered", "free_points", "billable_points"}));
}

int explain(CtlSession& session, ExplainOptions options) {
  if (options.transfer.empty() == options.line.empty()) {
    return CtlSession::refuse_usage("explain: give --transfer or --line");
  }
  if (options.month.empty() && !options.line.empty()) options.month = this_month(session);
  const auto target =
      options.line.empty()
          ? fmt::format("{}/transfers/{}/explain", account_path(options.account), percent_encoded(options.transfer))
          : fmt::format("{}/bills/explain?month={}&line={}", account_path(options.account),
                        percent_encoded(options.month), percent_encoded(options.line));
  auto client = session.client();
  if (client.has_error()) return session.refuse(client.error());
  const auto answer = (*client)->get(target);
  if (answer.has_error()) return session.refuse(answer.error());
  if (session.as_json) {
    fmt::print("{}\n", json::serialize(answer->body));
    return CtlExit::kDone;
  }
  const auto& body = answer->body.as_object();
  if (const auto* transfer = body.if_contains("transfer")) fmt::print("transfer\n{}", fields(transfer->as_object()));
  for (const auto& settlement : body.at("settlements").as_array()) print_settlement(settlement);
  return CtlExit::kDone;
}

void add_explain(CLI::App* ctl, CtlCommandLine& line) {
  auto asked = options<ExplainOptions>();
  CLI::App* command = line.command(ctl, "explain", "The hours, prices and gateways behind a transfer or a bill's line",
                                   [&line, asked] { return explain(line.session, *asked); });
  command->add_option("account", asked->account)->required();
  command->add_option("--transfer", asked->transfer, "Id of a transfer");
  command->add_option("--line", asked->line, "Id of a line of the bill");
  command->add_option("--month", asked->month, "The bill's month, like 2021-08; this month otherwise");
}

int show_quote(CtlSession& session, const QuoteOptions& asked, bool by_points) {
  json::object body;
  body["model"] = asked.model;
  body[by_points ? "points" : "calls"] = by_points ? asked.points : asked.calls;
  if (asked.month_points != 0) body["month_points"] = asked.month_points;
  if (!asked.plan.empty()) body["plan"] = asked.plan;
  auto client = session.client();
  if (client.has_error()) return session.refuse(client.error());
  const json::value value = body;
  const auto answer = (*client)->send("POST", "/v1/quotes", &value);
  if (answer.has_error()) return session.refuse(answer.error());
  if (session.as_json) {
    fmt::print("{}\n", json::serialize(answer->body));
    return CtlExit::kDone;
  }
  fmt::print("{}", table(answer->body.at("lines").as_array(), {"points", "calls", "unit_price", "amount"}));
  fmt::print("\ntotal {}\n", json::value_to<std::string>(answer->body.at("total")));
  return CtlExit::kDone;
}

void add_quote(CLI::App* ctl, CtlCommandLine& line) {
  auto asked = options<QuoteOptions>();
  CLI::App* command = ctl->add_subcommand("quote", "What usage of a model would cost, tier by tier");
  command->add_option("model", asked->model)->required();
  CLI::Option_group* amount = command->add_option_group("amount", "One of");
  CLI::Option* points = amount->add_option("--points", asked->points, "Points to be paid for");
  amount->add_option("--calls", asked->calls, "Calls to be paid for");
  amount->require_option(1);
  command->add_option("--month-points", asked->month_points, "Points already charged in the month; 0 otherwise");
  command->add_option("--plan", asked->plan, "A plan; that of new subscriptions otherwise");
  command->callback([&line, asked, points] {
    const bool by_points = points->count() > 0;
    line.chosen = [&line, asked, by_points] { return show_quote(line.session, *asked, by_points); };
  });
}

void add_notifications(CLI::App* ctl, CtlCommandLine& line) {
  CLI::App* noun = add_noun(ctl, "notifications", "Reminders and notices, and whether they were delivered");
  line.command(noun, "list", "List them, oldest first", [&line] {
    return line.session.show_list("/v1/notifications", {"id", "kind", "account", "created_at", "state", "attempts",
                                                        "delivered_at", "last_error"});
  });
}
}  // namespace

void add_billing(CLI::App* ctl, CtlCommandLine& line) {
  add_purchase(ctl, line, "packages", "points", "Prepaid points of a subscription",
               "Buy a package from the account's cash");
  add_purchase(ctl, line, "count-packs", "calls", "Prepaid calls of a subscription (older plans)",
               "Buy a count pack from the account's cash");
  add_bills(ctl, line);
  add_explain(ctl, line);
  add_quote(ctl, line);
  add_notifications(ctl, line);
}

}  // namespace tollgate::gateway
