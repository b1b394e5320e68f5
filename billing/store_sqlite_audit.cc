// The invariants of the stored rows as SQL. Each is a pair of sums that must be equal; where the rule is "never more
// than", the left side is what is too much and the right side 0.
#include "billing/store_sqlite.h"

namespace tollgate::billing {
namespace {

struct Check {
  const char* name;
  const char* left;
  const char* right;
};

constexpr Check kChecks[] = {
    {"ledger_debits_equal_credits", "SELECT coalesce(sum(debits), 0) FROM balances",
     "SELECT coalesce(sum(credits), 0) FROM balances"},
    {"ledger_balances_off_from_transfers",
     "WITH sides AS (SELECT debit AS name, amount AS debits, 0 AS credits FROM transfers "
     "UNION ALL SELECT credit, 0, amount FROM transfers), "
     "sums AS (SELECT name, sum(debits) AS debits, sum(credits) AS credits FROM sides GROUP BY name) "
     "SELECT (SELECT count(*) FROM sums LEFT JOIN balances b ON b.ledger_account = sums.name "
     "WHERE b.debits IS NOT sums.debits OR b.credits IS NOT sums.credits) + "
     "(SELECT count(*) FROM balances WHERE ledger_account NOT IN (SELECT name FROM sums))",
     "SELECT 0"},
    {"deposits_equal_transfers", "SELECT coalesce(sum(amount), 0) FROM deposits",
     "SELECT coalesce(sum(amount), 0) FROM transfers WHERE reason = 'deposit'"},
    {"deposits_without_their_transfer",
     "SELECT count(*) FROM deposits d WHERE 1 <> (SELECT count(*) FROM transfers t WHERE t.reason = 'deposit' "
     "AND t.reference = d.id AND t.amount = d.amount AND t.account = d.account "
     "AND t.credit = iif(d.kind = 'cash', 'cash:' || d.account, 'voucher:' || d.id))",
     "SELECT 0"},
    {"qps_packs_equal_transfers", "SELECT coalesce(sum(price), 0) FROM qps_packs",
     "SELECT coalesce(sum(amount), 0) FROM transfers WHERE reason = 'qps_pack'"},
    {"qps_packs_without_their_transfer",
     "SELECT count(*) FROM qps_packs p JOIN subscriptions s ON s.number = p.subscription "
     "WHERE 1 <> (SELECT count(*) FROM transfers t WHERE t.reason = 'qps_pack' AND t.reference = p.id "
     "AND t.amount = p.price AND t.debit = 'cash:' || s.account)",
     "SELECT 0"},
    {"cash_short_of_purchases",  // purchases are paid from cash alone, so cash that came in covers them
     "SELECT count(*) FROM accounts a WHERE "
     "(SELECT coalesce(sum(price), 0) FROM qps_packs p JOIN subscriptions s ON s.number = p.subscription "
     "WHERE s.account = a.id) > coalesce((SELECT credits FROM balances WHERE ledger_account = 'cash:' || a.id), 0)",
     "SELECT 0"},
    {"vouchers_overdrawn",
     "SELECT count(*) FROM deposits d JOIN balances b ON b.ledger_account = 'voucher:' || d.id "
     "WHERE b.debits > b.credits",
     "SELECT 0"},
    {"points_metered",
     "SELECT coalesce(sum(free_points), 0) + coalesce(sum(billable_points), 0) FROM usage_reports",
     "SELECT coalesce(sum(free_points), 0) + coalesce(sum(billable_points), 0) FROM usage_hours"},
    {"calls_metered",
     "SELECT coalesce(sum(calls_succeeded + calls_failed + calls_unmetered), 0) FROM usage_reports",
     "SELECT coalesce(sum(calls_succeeded + calls_failed + calls_unmetered), 0) FROM usage_hours"},
    {"free_points_used", "SELECT coalesce(sum(free_points_used), 0) FROM subscriptions",
     "SELECT coalesce(sum(free_points), 0) FROM usage_hours"},
};

constexpr const char* kHoursOff =
    "WITH sums AS (SELECT subscription, hour, sum(calls_succeeded) AS a, sum(calls_failed) AS b, "
    "sum(calls_unmetered) AS c, sum(free_points) AS d, sum(billable_points) AS e "
    "FROM usage_reports GROUP BY subscription, hour) "
    "SELECT (SELECT count(*) FROM sums LEFT JOIN usage_hours h USING (subscription, hour) "
    "WHERE (h.calls_succeeded, h.calls_failed, h.calls_unmetered, h.free_points, h.billable_points) "
    "IS NOT (sums.a, sums.b, sums.c, sums.d, sums.e)) + "
    "(SELECT count(*) FROM usage_hours h WHERE NOT EXISTS "
    "(SELECT 1 FROM sums WHERE sums.subscription = h.subscription AND sums.hour = h.hour))";

Invariant compared(std::string name, std::int64_t left, std::int64_t right) {
  return {std::move(name), left, right, left == right};
}
}  // namespace

std::vector<Invariant> SqliteStore::audit(const std::vector<std::string>& granted_once) {
  const auto sum = [this](const char* sql) {
    Query query(prepared(sql));
    query.step();
    return query.integer();
  };
  std::vector<Invariant> invariants;
  for (const auto& check : kChecks) invariants.push_back(compared(check.name, sum(check.left), sum(check.right)));
  invariants.push_back(compared("usage_hours_off_from_reports", sum(kHoursOff), 0));

  std::int64_t over_grant = 0;
  for (const auto& plan : granted_once) {
    Query query(prepared("SELECT coalesce(sum(max(free_points_used - free_points_granted, 0)), 0) "
                         "FROM subscriptions WHERE plan = ?"));
    query.bind(plan).step();
    over_grant += query.integer();
  }
  invariants.push_back(compared("free_points_over_grant", over_grant, 0));
  return invariants;
}

}  // namespace tollgate::billing
