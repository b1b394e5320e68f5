// tollgate ctl subscriptions, qps-packs, usage
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>

#include "base/calendar.h"
#include "gateway/ctl_commands.h"

namespace tollgate::gateway {
namespace {
namespace json = boost::json;

struct SubscriptionOptions {
  std::string account;
  std::string service;
  bool paid = false;
  bool free = false;
  std::string plan;
};

struct PackOptions {
  std::string account;
  std::string service;
  std::int64_t qps = 0;
  std::string kind = "metered";
  std::string starts_at;
  std::string ends_at;
  std::string idempotency_key;
};

struct UsageOptions {
  std::string account;
  std::string service;
  std::string from;
  std::string to;
};

void add_subscription_commands(CLI::App* ctl, CtlCommandLine& line) {
  CLI::App* noun = add_noun(ctl, "subscriptions", "An account's use of a service");
  auto put = options<SubscriptionOptions>();
  CLI::App* command = line.command(noun, "put", "Subscribe, or change between free and paid", [&line, put] {
    json::object body;
    body["paid"] = put->paid;
    if (!put->plan.empty()) body["plan"] = put->plan;
    const json::value value = body;
    return line.session.show("PUT", subscription_path(put->account, put->service), &value);
  });
  command->add_option("account", put->account)->required();
  command->add_option("service", put->service)->required();
  CLI::Option_group* terms = command->add_option_group("terms", "One of");
  terms->add_flag("--paid", put->paid, "Pays for what the free quota does not cover, and has the guarantee");
  terms->add_flag("--free", put->free, "The free quota only");
  terms->require_option(1);
  command->add_option("--plan", put->plan, "A plan; the default one otherwise");

  auto got = options<SubscriptionOptions>();
  CLI::App* get = line.command(noun, "get", "Show a subscription as it is now", [&line, got] {
    return line.session.show("GET", subscription_path(got->account, got->service));
  });
  get->add_option("account", got->account)->required();
  get->add_option("service", got->service)->required();

  auto listed = options<std::string>();
  line.command(noun, "list", "List the subscriptions of an account",
               [&line, listed] {
                 return line.session.show_list(
                     account_path(*listed) + "/subscriptions",
                     {"service", "state", "plan", "guarantee", "in_flight", "free_points_left", "month_points"});
               })
      ->add_option("account", *listed)
      ->required();

  auto moved = options<SubscriptionOptions>();
  CLI::App* migrate = line.command(noun, "migrate", "Move to another plan from the next hour on", [&line, moved] {
    const json::value body = {{"plan", moved->plan}};
    return line.session.show("POST", subscription_path(moved->account, moved->service) + "/migrate", &body);
  });
  migrate->add_option("account", moved->account)->required();
  migrate->add_option("service", moved->service)->required();
  migrate->add_option("--plan", moved->plan, "A plan that is still sold")->required();
}

int buy_pack(CtlSession& session, const PackOptions& bought) {
  const json::value body = {
      {"qps", bought.qps}, {"kind", bought.kind}, {"starts_at", bought.starts_at}, {"ends_at", bought.ends_at}};
  return session.pay(subscription_path(bought.account, bought.service) + "/qps-packs", body, bought.idempotency_key);
}

void add_qps_packs(CLI::App* ctl, CtlCommandLine& line) {
  CLI::App* noun = add_noun(ctl, "qps-packs", "Bought additions to a subscription's concurrency");
  auto bought = options<PackOptions>();
  CLI::App* buy = line.command(noun, "buy", "Buy a QPS pack from the account's cash",
                               [&line, bought] { return buy_pack(line.session, *bought); });
  buy->add_option("account", bought->account)->required();
  buy->add_option("service", bought->service)->required();
  buy->add_option("--qps", bought->qps, "Calls in flight to add to the guarantee")->required();
  buy->add_option("--kind", bought->kind, "metered: calls cost points; unlimited: they cost nothing")
      ->capture_default_str();
  buy->add_option("--starts-at", bought->starts_at, "A time like 2030-01-01T00:00:00+08:00")->required();
  buy->add_option("--ends-at", bought->ends_at, "The same; each started day from --starts-at is paid")->required();
  buy->add_option("--idempotency-key", bought->idempotency_key, "The same key never buys twice");
}

int list_usage(CtlSession& session, UsageOptions usage) {
  if (usage.from.empty() || usage.to.empty()) {
    const WallTime now = session.now();
    if (usage.from.empty()) usage.from = format_time(begin_of(month_of(now)));
    if (usage.to.empty()) usage.to = format_time(begin_of(hour_of(now).next()));
  }
  auto target = fmt::format("{}/usage?from={}&to={}", account_path(usage.account), percent_encoded(usage.from),
                            percent_encoded(usage.to));
  if (!usage.service.empty()) target += "&service=" + percent_encoded(usage.service);
  return session.show_list(target, {"hour", "service", "calls_succeeded", "calls_failed", "calls_unmetered",
                                    "free_points", "billable_points", "settled"});
}

void add_usage(CLI::App* ctl, CtlCommandLine& line) {
  CLI::App* noun = add_noun(ctl, "usage", "What was used, by hour");
  auto usage = options<UsageOptions>();
  CLI::App* list = line.command(noun, "list", "List usage by service and hour",
                                [&line, usage] { return list_usage(line.session, *usage); });
  list->add_option("account", usage->account)->required();
  list->add_option("--service", usage->service, "Only this service");
  list->add_option("--from", usage->from, "A time like 2030-01-01T00:00:00+08:00; this month's beginning otherwise");
  list->add_option("--to", usage->to, "Up to here, without it; the end of this hour otherwise");
}
}  // namespace

void add_subscriptions(CLI::App* ctl, CtlCommandLine& line) {
  add_subscription_commands(ctl, line);
  add_qps_packs(ctl, line);
  add_usage(ctl, line);
}

}  // namespace tollgate::gateway
