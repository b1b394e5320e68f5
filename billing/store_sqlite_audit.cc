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
    // One account after the other: the two sums by themselves may be beyond 64 bits.
    {"ledger_debits_equal_credits", "SELECT coalesce(sum(debits - credits), 0) FROM balances", "SELECT 0"},
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
     "SELECT count(*) FROM deposits d WHERE 1 <> (SELECT count(*) FROM transfers t WHERE t.reason = 'deposit' AND "
     "t.reason <> 'usage' "
     "AND t.reference = d.id AND t.amount = d.amount AND t.account = d.account "
     "AND t.credit = iif(d.kind = 'cash', 'cash:' || d.account, 'voucher:' || d.id))",
     "SELECT 0"},
    {"qps_packs_equal_transfers", "SELECT coalesce(sum(price), 0) FROM qps_packs",
     "SELECT coalesce(sum(amount), 0) FROM transfers WHERE reason = 'qps_pack'"},
    {"qps_packs_without_their_transfer",
     "SELECT count(*) FROM qps_packs p JOIN subscriptions s ON s.number = p.subscription "
     "WHERE 1 <> (SELECT count(*) FROM transfers t WHERE t.reason = 'qps_pack' AND t.reason <> 'usage' AND t.reference "
     "= p.id "
     "AND t.amount = p.price AND t.debit = 'cash:' || s.account)",
     "SELECT 0"},
    {"packages_equal_transfers", "SELECT coalesce(sum(price), 0) FROM packages",
     "SELECT coalesce(sum(amount), 0) FROM transfers WHERE reason = 'package'"},
    {"packages_without_their_transfer",
     "SELECT count(*) FROM packages p JOIN subscriptions s ON s.number = p.subscription "
     "WHERE 1 <> (SELECT count(*) FROM transfers t WHERE t.reason = 'package' AND t.reason <> 'usage' AND t.reference "
     "= p.id "
     "AND t.amount = p.price AND t.debit = 'cash:' || s.account)",
     "SELECT 0"},
    {"count_packs_equal_transfers", "SELECT coalesce(sum(price), 0) FROM count_packs",
     "SELECT coalesce(sum(amount), 0) FROM transfers WHERE reason = 'count_pack'"},
    {"count_packs_without_their_transfer",
     "SELECT count(*) FROM count_packs p JOIN subscriptions s ON s.number = p.subscription "
     "WHERE 1 <> (SELECT count(*) FROM transfers t WHERE t.reason = 'count_pack' AND t.reason <> 'usage' AND "
     "t.reference = p.id "
     "AND t.amount = p.price AND t.debit = 'cash:' || s.account)",
     "SELECT 0"},
    {"cash_short_of_purchases",  // purchases are paid from cash alone, so cash that came in covers them
     "WITH bought AS (SELECT subscription, price FROM qps_packs UNION ALL SELECT subscription, price FROM packages "
     "UNION ALL SELECT subscription, price FROM count_packs), "
     "spent AS (SELECT s.account, sum(price) AS price FROM bought b JOIN subscriptions s ON s.number = b.subscription "
     "GROUP BY s.account) SELECT count(*) FROM spent WHERE price > "
     "coalesce((SELECT credits FROM balances WHERE ledger_account = 'cash:' || spent.account), 0)",
     "SELECT 0"},
    {"vouchers_overdrawn",
     "SELECT count(*) FROM deposits d JOIN balances b ON b.ledger_account = 'voucher:' || d.id "
     "WHERE b.debits > b.credits",
     "SELECT 0"},
    {"points_metered", "SELECT coalesce(sum(free_points), 0) + coalesce(sum(billable_points), 0) FROM usage_reports",
     "SELECT coalesce(sum(free_points), 0) + coalesce(sum(billable_points), 0) FROM usage_hours"},
    {"calls_metered", "SELECT coalesce(sum(calls_succeeded + calls_failed + calls_unmetered), 0) FROM usage_reports",
     "SELECT coalesce(sum(calls_succeeded + calls_failed + calls_unmetered), 0) FROM usage_hours"},
    {"free_points_used", "SELECT coalesce(sum(free_points_used), 0) FROM subscriptions",
     "SELECT coalesce(sum(free_points), 0) FROM usage_hours"},
    {"free_points_used_off_by_subscription",
     "WITH sums AS (SELECT subscription, sum(free_points) AS points FROM usage_hours GROUP BY subscription) "
     "SELECT count(*) FROM subscriptions s LEFT JOIN sums u ON u.subscription = s.number "
     "WHERE s.free_points_used <> coalesce(u.points, 0)",
     "SELECT 0"},
    {"usage_transfers_off_from_their_account",  // only the account itself pays, with cash or a voucher that is valid
     "SELECT count(*) FROM transfers t WHERE t.reason = 'usage' AND (t.credit <> 'income:usage' OR "
     "(t.debit <> 'cash:' || t.account AND NOT EXISTS (SELECT 1 FROM deposits d WHERE t.debit = 'voucher:' || d.id "
     "AND d.id = substr(t.debit, 9) AND d.account = t.account AND d.kind = 'voucher' "
     "AND (d.expires_at IS NULL OR d.expires_at > t.at))))",
     "SELECT 0"},
    {"usage_charges_equal_transfers", "SELECT coalesce(sum(amount), 0) FROM settlements",
     "SELECT coalesce(sum(amount), 0) FROM transfers WHERE reason = 'usage'"},
    {"usage_transfers_of_settlements", "SELECT coalesce(sum(transfers), 0) FROM settlements",
     "SELECT count(*) FROM transfers WHERE reason = 'usage'"},
    {"settlements_without_their_transfers",
     "SELECT count(*) FROM settlements s JOIN subscriptions b ON b.number = s.subscription "
     "WHERE (s.transfers, s.amount) IS NOT (SELECT count(*), coalesce(sum(t.amount), 0) FROM transfers t "
     "WHERE t.id >= s.first_transfer AND t.id < s.first_transfer + s.transfers AND t.reason = 'usage' "
     "AND t.account = b.account AND t.reference = s.subscription || '/' || s.hour || '/' || s.revision)",
     "SELECT 0"},
    {"settlements_off_from_their_parts",
     "SELECT count(*) FROM settlements s WHERE (s.billable_points, s.amount) IS NOT "
     "(SELECT coalesce(sum(p.points), 0), coalesce(sum(p.amount), 0) FROM settlement_parts p "
     "WHERE p.hour = s.hour AND p.subscription = s.subscription AND p.revision = s.revision)",
     "SELECT 0"},
    {"parts_of_settlements", "SELECT coalesce(sum(points), 0) FROM settlement_parts",
     "SELECT coalesce(sum(billable_points), 0) FROM settlements"},
    {"settlements_off_from_usage",
     "SELECT count(*) FROM usage_hours h LEFT JOIN (SELECT subscription, hour, sum(free_points) AS free, "
     "sum(billable_points) AS billable, sum(calls_unmetered) AS unmetered, max(revision) AS revision, "
     "count(*) AS settlements FROM settlements GROUP BY subscription, hour) s USING (subscription, hour) "
     "WHERE (h.settled_free, h.settled_billable, h.settled_unmetered, h.revision, h.revision) IS NOT "
     "(coalesce(s.free, 0), coalesce(s.billable, 0), coalesce(s.unmetered, 0), coalesce(s.revision, 0), "
     "coalesce(s.settlements, 0)) OR h.settled_billable > h.billable_points OR h.settled_free > h.free_points "
     "OR (h.open = 0 AND (h.settled_free, h.settled_billable, h.settled_unmetered) IS NOT "
     "(h.free_points, h.billable_points, h.calls_unmetered))",
     "SELECT 0"},
    {"hours_not_settled", "SELECT count(*) FROM usage_hours WHERE open = 1",
     "SELECT count(*) FROM usage_hours WHERE open = 1 OR (settled_free, settled_billable, settled_unmetered) IS NOT "
     "(free_points, billable_points, calls_unmetered)"},
    {"charges_equal_settlements", "SELECT coalesce(sum(amount), 0) FROM charges",
     "SELECT coalesce(sum(amount), 0) FROM settlements"},
    {"charges_off_by_account",  // at each boundary: reminders ask for the charges of a week
     "WITH sums AS (SELECT b.account, s.at, sum(s.amount) AS amount FROM settlements s "
     "JOIN subscriptions b ON b.number = s.subscription WHERE s.amount > 0 GROUP BY b.account, s.at) "
     "SELECT (SELECT count(*) FROM charges) - (SELECT count(*) FROM sums) + 2 * (SELECT count(*) FROM sums "
     "LEFT JOIN charges c USING (account, at) WHERE sums.amount IS NOT c.amount)",
     "SELECT 0"},
    // PaidFrom: 0 tier, 1 call, 2 package, 3 count pack.
    {"parts_off_from_their_price",
     "SELECT count(*) FROM settlement_parts WHERE CASE paid_from "
     "WHEN 0 THEN amount <> points * unit_price OR calls <> 0 OR item <> '' "
     "WHEN 1 THEN amount <> calls * unit_price OR item <> '' "
     "WHEN 2 THEN amount <> 0 OR unit_price <> 0 OR calls <> 0 OR item = '' "
     "WHEN 3 THEN amount <> 0 OR unit_price <> 0 OR item = '' ELSE 1 END",
     "SELECT 0"},
    {"call_remainders_out_of_bounds",  // less than any call may cost, and only after calls that were charged
     "SELECT count(*) FROM subscriptions s WHERE s.call_remainder <> 0 AND (s.call_remainder NOT BETWEEN 0 AND 999999 "
     "OR s.number NOT IN (SELECT subscription FROM settlement_parts WHERE paid_from = 1))",
     "SELECT 0"},
    // usage = free + package + count pack + charged + unsettled
    {"points_used", "SELECT coalesce(sum(free_points + billable_points), 0) FROM usage_hours",
     "SELECT (SELECT coalesce(sum(points), 0) FROM point_ledger "
     "WHERE reason IN ('used_free', 'used_package', 'used_count_pack', 'charged')) + "
     "(SELECT coalesce(sum(free_points - settled_free + billable_points - settled_billable), 0) FROM usage_hours)"},
    {"points_used_off_by_subscription",
     "WITH metered AS (SELECT subscription, sum(settled_free + settled_billable) AS points FROM usage_hours "
     "GROUP BY subscription), posted AS (SELECT subscription, sum(free_points + billable_points) AS points "
     "FROM settlements GROUP BY subscription) "
     "SELECT count(*) FROM metered m LEFT JOIN posted p USING (subscription) WHERE m.points <> coalesce(p.points, 0)",
     "SELECT 0"},
    {"points_unmetered", "SELECT coalesce(sum(unmetered_points), 0) FROM settlements",
     "SELECT coalesce(sum(points), 0) FROM point_ledger WHERE reason = 'unmetered'"},
    {"points_granted_off_from_subscriptions",  // what a plan of `once` grants, and grants again in each period
     "SELECT count(*) FROM subscriptions s WHERE s.free_points_granted > 0 AND NOT EXISTS (SELECT 1 "
     "FROM point_transfers t WHERE t.subscription = s.number AND t.reason = 'granted')",
     "SELECT 0"},
    {"package_points_left_off",
     "WITH used AS (SELECT item, sum(points) AS points FROM settlement_parts WHERE paid_from = 2 GROUP BY item) "
     "SELECT count(*) FROM packages p LEFT JOIN used u ON u.item = p.id WHERE p.points_left <> "
     "p.points - coalesce(u.points, 0) OR p.points <> coalesce((SELECT sum(t.points) FROM point_transfers t "
     "WHERE t.subscription = p.subscription AND t.reason = 'bought' AND t.credit = 'package:' || p.id), 0)",
     "SELECT 0"},
    {"count_pack_calls_left_off",
     "WITH used AS (SELECT item, sum(calls) AS calls FROM settlement_parts WHERE paid_from = 3 GROUP BY item) "
     "SELECT count(*) FROM count_packs p LEFT JOIN used u ON u.item = p.id "
     "WHERE p.calls_left <> p.calls - coalesce(u.calls, 0)",
     "SELECT 0"},
    {"month_points_off_from_settlements",  // a Beijing month begins 8 hours before that of UTC
     "WITH sums AS (SELECT CAST(strftime('%Y', (hour + 8) * 3600, 'unixepoch') AS INTEGER) * 12 + "
     "CAST(strftime('%m', (hour + 8) * 3600, 'unixepoch') AS INTEGER) - 1 AS month, subscription, "
     "sum(month_points_after - month_points_before) AS tier, sum(free_points) AS free, "
     "sum(billable_points) AS billable, sum(unmetered_points) AS unmetered FROM settlements GROUP BY 1, 2) "
     "SELECT (SELECT count(*) FROM sums LEFT JOIN subscription_months m USING (month, subscription) "
     "WHERE (sums.tier, sums.free, sums.billable, sums.unmetered) IS NOT "
     "(m.tier_points, m.free_points, m.billable_points, m.unmetered_points)) + "
     "(SELECT count(*) FROM subscription_months m WHERE NOT EXISTS "
     "(SELECT 1 FROM sums WHERE sums.month = m.month AND sums.subscription = m.subscription))",
     "SELECT 0"},
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

// Of a plan that grants once; a migration may have left a quota that is no sum of grants.
constexpr const char* kGrantsOff =
    "SELECT count(*) FROM subscriptions s WHERE s.plan = ? "
    "AND NOT EXISTS (SELECT 1 FROM migrations m WHERE m.subscription = s.number) "
    "AND s.free_points_granted <> (SELECT coalesce(sum(t.points), 0) FROM point_transfers t "
    "WHERE t.subscription = s.number AND t.reason = 'granted')";

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
  std::int64_t grants_off = 0;
  for (const auto& plan : granted_once) {
    Query query(
        prepared("SELECT coalesce(sum(max(free_points_counted - free_points_granted, 0)), 0) "
                 "FROM subscriptions WHERE plan = ?"));
    query.bind(plan).step();
    over_grant += query.integer();
    Query grants(prepared(kGrantsOff));
    grants.bind(plan).step();
    grants_off += grants.integer();
  }
  invariants.push_back(compared("free_points_over_grant", over_grant, 0));
  invariants.push_back(compared("free_points_granted_off_from_grants", grants_off, 0));
  return invariants;
}

}  // namespace tollgate::billing
