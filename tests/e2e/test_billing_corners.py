"""Where billing meets the rest: calls that are open when their hour ends, services that are deleted before they are
paid for, moves to another plan that are refused, sums at the edge, and everything at once."""

import re
import shutil
import tempfile
import unittest
from pathlib import Path

from admin import fresh
from billing_model_case import LEGACY, POINTS, BillingTest
from billing_model_units import DAY, HOUR, hour_of, instant, micro, written, yuan
from billing_model_view import pages
from gated import GatedUpstream
from harness import DETECTION, REPOSITORY, Background, at_once, eventually


class CallsAndHours(BillingTest):
    def test_calls_just_counted_are_in_the_settlement_of_their_hour(self):
        service, account = self.customer(cash="1.00")
        for count in range(1, 6):
            for _ in range(3):
                self.assertEqual(account.call(service).status, 200)
            self.next_hour()             # at once: the journal has not been collected since
            self.assertEqual(micro(self.cash(account)), 1_000_000 - 3 * count * 5_000)
        self.assertEqual([line["kind"] for line in self.bill(account, "2021-08")["lines"]], ["tier"])

    def test_no_call_is_lost_or_paid_twice_while_hours_fly_by(self):
        service, account = self.customer(cash="100.00")
        calling = Background(lambda: [account.call(service).status for _ in range(400)])
        while calling.thread.is_alive():
            self.next_hour()
        self.assertEqual(set(calling.result()), {200})
        self.wait_usage(account, service, calls_succeeded=400, billable_points=2_000)
        self.next_hour(2)
        self.assertEqual((self.usage(account, service)["settled"], self.cash(account)), (2_000, "98.00"))
        self.assertEqual(sum(line["points"] for month in ("2021-08", "2021-09", "2021-10")
                             for line in self.bill(account, month)["lines"]), 2_000)

    def test_a_call_over_the_end_of_an_hour_belongs_to_the_hour_it_began_in(self):
        gated = GatedUpstream()
        self.addCleanup(gated.close)
        service, account = self.customer(cash="1.00")
        answer = self.admin.put_service(service.id, DETECTION, [gated.address], service.path)
        self.assertEqual(answer.status, 200, answer)
        begun = hour_of(self.now)
        call = Background(account.call, service)
        eventually(lambda: gated.held == 1, "the call is at the upstream")
        self.next_hour()
        self.assertEqual(self.cash(account), "1.00")
        gated.open()
        self.assertEqual(call.result().status, 200)
        self.wait_usage(account, service, billable_points=5)
        self.assertEqual(self.settled(account, service, begun), 0)
        self.next_hour()
        self.assertEqual(self.settled(account, service, begun), 5)
        self.assertEqual(self.cash(account), "0.995")
        self.assertEqual([(line["kind"], line["hour"]) for line in self.bill(account, "2021-08")["lines"]],
                         [("adjustment", written(begun))])


class Ends(BillingTest):
    def test_a_deleted_service_is_paid_for_all_the_same(self):
        service, account = self.customer(cash="10.00")
        self.use(account, service, billable=1_000)
        self.assertEqual(self.admin.delete_service(service.id).status, 204)
        self.next_hour()
        self.assertEqual(self.cash(account), "9.00")
        self.assertEqual(self.bill(account, "2021-08")["total"], "1.00")

    def test_a_subscription_that_is_free_again_pays_for_what_it_used(self):
        service, account = self.customer(cash="190.00")
        self.assertEqual(self.buy(account, service, "packages", points=200_000).status, 201)
        self.use(account, service, billable=201_000)
        self.subscribe(account, service, paid=False)
        self.next_hour()
        self.assertEqual((self.cash(account), account.subscription(service)["state"]), ("9.00", "free"))

    def test_ten_quiet_years(self):
        service, account = self.customer(cash="10.00")
        self.use(account, service, billable=1_000)
        self.clock("2031-08-20T09:30:00+08:00")
        self.assertEqual(self.cash(account), "9.00")
        self.use(account, service, billable=1_000)
        self.next_hour()
        self.assertEqual(self.cash(account), "8.00")

    def test_usage_beyond_all_bounds_harms_no_other_account(self):
        service, account = self.customer(cash="10.00")
        usual, other = self.customer(cash="10.00")
        self.use(account, service, billable=2 ** 53)
        self.use(other, usual, billable=1_000)
        self.next_hour()
        self.assertEqual(self.cash(other), "9.00")
        settled = self.usage(account, service)["settled"]
        self.assertEqual(self.cash(account) == "10.00", settled == 0, "nothing half done")

    def test_the_most_that_can_be_reported(self):
        """What is accepted is settled, if need be in pieces, and keeps nothing else of the account waiting."""
        service, account = self.customer(cash="1000000000.00")
        other = self.service(DETECTION)
        self.subscribe(account, other)
        row = {"account": account.id, "service": service.id, "hour": written(hour_of(self.now)), "calls_succeeded": 0,
               "calls_failed": 0, "calls_unmetered": 0, "free_points": 0, "billable_points": 2 ** 53}
        answer = self.admin.report_usage(*self.source, [row])
        self.assertIn(answer.status, (204, 400), answer)
        self.use(account, other, billable=1_000)
        for _ in range(12):
            self.next_hour()
        self.assertEqual(self.settled(account, other, instant(row["hour"])), 1_000)
        settled, charged = self.settled(account, service, instant(row["hour"])), 0
        if answer.status == 204:
            self.assertEqual(settled, 2 ** 53)
            charged = (1_000 + 3_200) * 10 ** 6 + (settled - 5_000_000) * 640
        self.assertEqual(micro(self.cash(account)), 10 ** 15 - charged - 10 ** 6)


    def test_a_report_that_no_ledger_could_hold_is_refused_whole(self):
        service, account = self.customer(cash="10.00")
        other = self.service(DETECTION)
        self.subscribe(account, other)
        self.use(account, service, billable=2 ** 53)
        second = ("gw-second", self.admin.open_epoch("gw-second")["epoch"])
        row = {"account": account.id, "service": service.id, "hour": written(hour_of(self.now)), "calls_succeeded": 0,
               "calls_failed": 0, "calls_unmetered": 0, "free_points": 0, "billable_points": 2 ** 53}
        answer = self.admin.report_usage(*second, [{**row, "service": other.id, "billable_points": 1_000}, row])
        self.refuse(answer, 422)
        self.assertEqual((answer["code"], answer["field"]), ("usage_too_large", "totals[1].billable_points"))
        self.assertEqual(self.usage(account, other)["billable_points"], 0)
        self.next_hour()
        self.assertEqual(self.settled(account, service, instant(row["hour"])), 2 ** 53)
        self.assertEqual(self.gateway.admin.samples()["tollgate_settlement_put_off"], 0)


class Moves(BillingTest):
    start = "2021-08-10T09:30:00+08:00"

    def migrate(self, account, service, *plan):
        return self.admin.request("POST", f"/v1/accounts/{account.id}/subscriptions/{service.id}/migrate",
                                  {"plan": each for each in plan})

    def test_refusals(self):
        service, account = self.customer(plan=LEGACY)
        modern, customer = self.customer(plan=POINTS)
        self.clock("2021-08-20T10:00:00+08:00")
        self.assertIn(self.migrate(account, service, "no-such-plan").status, (400, 404, 409, 410))
        self.assertIn(self.migrate(account, service, LEGACY).status, (409, 410))
        self.assertIn(self.migrate(customer, modern, POINTS).status, (200, 409))
        self.assertEqual(self.migrate(customer, modern, LEGACY).status, 410)
        self.refuse(self.migrate(account, service), 400)
        answer = self.migrate(account, service, POINTS)
        self.assertIn(answer.status, (200, 201, 202), answer)
        self.assertEqual(answer["effective_hour"], "2021-08-20T11:00:00+08:00", "the next hour, also on the hour")
        self.clock("2021-08-20T10:59:59+08:00")
        self.assertEqual(account.subscription(service)["plan"], LEGACY)
        self.gateway.kill9()
        self.gateway.start()
        self.clock("2021-08-20T11:00:00+08:00")
        self.assertEqual(account.subscription(service)["plan"], POINTS)

    def test_points_that_are_no_whole_call_wait_until_they_are(self):
        per_call = [micro(each["yuan_per_call"]) for plan in self.admin.catalog()["plans"] if plan["id"] == LEGACY
                    for each in plan["calls"] if each["model"] == DETECTION][0]
        service, account = self.customer(plan=LEGACY, cash="1.00")
        for points, calls in ((4, 0), (4, 1), (1, 1), (6, 3), (5, 4)):
            self.use(account, service, billable=points)
            self.next_hour()
            self.assertEqual(micro(self.cash(account)), 10 ** 6 - calls * per_call)

    def test_a_count_pack_pays_for_the_hour_it_was_bought_in_and_not_for_earlier_ones(self):
        service, account = self.customer(plan=LEGACY, cash="100.00")
        offer = [each for plan in self.admin.catalog()["plans"] if plan["id"] == LEGACY
                 for each in plan["calls"] if each["model"] == DETECTION][0]
        self.use(account, service, billable=5 * 10)
        self.clock("2021-08-10T09:59:59+08:00")
        self.assertEqual(self.buy(account, service, "count-packs", calls=offer["count_packs"][0]["calls"]).status, 201)
        cash = micro(self.cash(account))
        self.next_hour()
        self.use(account, service, billable=5 * 3, at=self.now - 2 * HOUR)
        self.next_hour()
        pack = account.subscription(service)["count_packs"][0]
        self.assertEqual(pack["calls"] - pack["calls_left"], 10)
        self.assertEqual(micro(self.cash(account)), cash - 3 * micro(offer["yuan_per_call"]))

    def test_no_plan_changes_by_put(self):
        service, account = self.customer(plan=LEGACY)
        self.refuse(self.admin.put_subscription(account.id, service.id, True, plan=POINTS), 409)
        self.assertEqual(account.subscription(service)["plan"], LEGACY)


class Ledger(BillingTest):
    def balance(self, account, name):
        rows = pages(self.admin, f"/v1/accounts/{account.id}/transfers")
        return (sum(micro(row["amount"]) for row in rows if row["credit"] == name) -
                sum(micro(row["amount"]) for row in rows if row["debit"] == name))

    def test_balances_are_what_the_transfers_say(self):
        service, account = self.customer(cash="200.00")
        self.assertEqual(self.buy(account, service, "packages", points=200_000).status, 201)
        self.pay_in(account, "5.00", "voucher", expires_at=written(self.now + DAY))
        self.use(account, service, billable=230_000)
        self.next_hour()
        self.assertEqual(self.money(account), ("-5.00", "0.00", "arrears"))
        self.assertEqual(self.balance(account, f"cash:{account.id}"), -5_000_000)
        self.pay_in(account, "8.00", "voucher")
        self.assertEqual(self.balance(account, f"cash:{account.id}"), 0)
        for row in pages(self.admin, f"/v1/accounts/{account.id}/transfers"):
            self.assertTrue(row["reason"] and row["reference"], row)
            self.assertGreater(micro(row["amount"]), 0, row)
            self.assertNotEqual(row["debit"], row["credit"], row)

    def test_one_key_never_stands_for_two_requests(self):
        service, account = self.customer(cash="1000.00")
        key = fresh("idem")
        self.assertEqual(self.buy(account, service, "packages", key, points=200_000).status, 201)
        self.refuse(self.admin.deposit(account.id, "5.00", idempotency_key=key), 422)
        other = self.service(DETECTION)
        self.subscribe(account, other)
        self.refuse(self.buy(account, other, "packages", key, points=200_000), 422)
        self.assertEqual(self.cash(account), "820.00")

    def test_everything_at_once(self):
        """Reports, purchases, deposits and the clock from eight threads: the sums do not depend on the order."""
        service, account = self.customer(cash="10000.00")
        start = hour_of(self.now)
        source = [(f"gw-{index}", self.admin.open_epoch(f"gw-{index}")["epoch"]) for index in range(8)]

        def work(index):
            for step in range(1, 16):
                row = {"account": account.id, "service": service.id, "hour": written(start), "calls_succeeded": step,
                       "calls_failed": 0, "calls_unmetered": 0, "free_points": 0, "billable_points": step * 1000}
                self.assertEqual(self.admin.report_usage(*source[index], [row]).status, 204)
                if index == 0:
                    self.assertEqual(self.admin.set_clock(written(start + step * HOUR)).status, 200)
                elif index == 1:
                    self.assertEqual(self.admin.deposit(account.id, "1.00").status, 201)
                elif index == 2 and step % 5 == 0:
                    window = (written(start + 20 * DAY), written(start + 21 * DAY))
                    answer = self.admin.buy_qps_pack(account.id, service.id, 1, "metered", *window)
                    self.assertEqual(answer.status, 201, answer)
        at_once(8, work)
        self.next_hour()
        self.assertEqual(self.settled(account, service, start), 8 * 15_000)
        bill = self.bill(account, "2021-08")
        spent = sum(micro(line["amount"]) for line in bill["lines"] if line["kind"] == "purchase")
        self.assertEqual(micro(bill["total"]) - spent, 120 * 10 ** 6)
        self.assertEqual(self.cash(account), yuan(10_000 * 10 ** 6 + 15 * 10 ** 6 - spent - 120 * 10 ** 6))
        samples = self.gateway.admin.samples()
        self.assertEqual(samples.get("tollgate_ledger_imbalance"), 0)


class ImportedUsage(BillingTest):
    def test_more_free_points_than_were_granted_are_taken_and_the_audit_holds(self):
        service, account = self.customer(cash="1.00")
        self.use(account, service, free=10_000)
        self.next_hour()
        self.assertEqual(self.usage(account, service)["free_points"], 20_000)
        self.assertEqual(account.subscription(service)["free_points_left"], 0)
        self.assertEqual(self.cash(account), "1.00")         # and what the audit says, tearDown asks


class ModelsOfAnOlderPlan(BillingTest):
    """A price list by the call that has no price for one model of the catalogue."""
    start = "2021-08-10T09:30:00+08:00"

    def setUp(self):
        folder = tempfile.mkdtemp(prefix="tollgate-e2e-plans-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        newer, older = (REPOSITORY / "conf" / "plans" / f"{name}.yaml" for name in (POINTS, LEGACY))
        shipped = older.read_text("utf-8")
        without = re.sub(r"  - model: sound-classification\n(    .*\n)+", "", shipped)
        self.assertNotEqual(shipped, without)
        Path(folder, older.name).write_text(without, "utf-8")
        self.more_sets = {"billing.plans": f"{newer},{Path(folder, older.name)}"}
        super().setUp()

    def test_a_service_does_not_move_to_a_model_without_a_price(self):
        service, _ = self.customer(plan=LEGACY)
        route = {"upstreams": [self.model.address], "path_prefix": f"/{service.id}"}
        answer = self.admin.put_service(service.id, "sound-classification", **route)
        self.assertEqual(self.refuse(answer, 409), "model_not_priced")
        self.assertIn(LEGACY, answer.text)
        self.assertEqual(self.admin.service(service.id)["model"], DETECTION)
        self.assertIn(self.admin.put_service(service.id, DETECTION, **route).status, (200, 201))


class RealTimeGuard(BillingTest):
    """The same price list, but an account whose money is used up is not served until the hour is over."""

    def setUp(self):
        folder = tempfile.mkdtemp(prefix="tollgate-e2e-plans-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        shipped = (REPOSITORY / "conf" / "plans" / f"{POINTS}.yaml").read_text("utf-8")
        path = Path(folder, "guarded.yaml")
        path.write_text(shipped.replace(f"id: {POINTS}", "id: guarded\narrears_check: realtime"), "utf-8")
        self.more_sets = {"billing.plans": str(path)}
        super().setUp()

    def test_the_plan_says_that_it_watches_and_the_metrics_how_well(self):
        shown = {plan["id"]: plan["arrears_check"] for plan in self.admin.catalog()["plans"]}
        self.assertEqual(shown, {"guarded": "realtime"})
        service, account = self.customer(cash="0.01")
        self.use(account, service, billable=1_000)
        self.assertEqual(account.subscription(service)["state"], "arrears")
        eventually(lambda: self.gateway.admin.samples()['tollgate_accounts{state="arrears"}'] == 1,
                   "a guarded account counts as it is shown", within=15)
        eventually(lambda: 0 < self.gateway.admin.samples()["tollgate_usage_merge_age_seconds"] < 5, "usage is merged")

    def test_calls_stop_when_the_money_does_and_go_on_when_it_comes(self):
        service, account = self.customer(cash="0.10")         # twenty calls of five points
        served = 0
        while served < 200 and account.call(service).status == 200:
            served += 1
            if served >= 20:
                account.subscription(service)                 # merges what was counted
        self.assertLess(served, 40)
        self.assertGreaterEqual(served, 20)
        self.refused(account.call(service), 402, "arrears")
        self.assertEqual(self.refuse(self.buy(account, service, "packages", points=200_000), 402), "arrears")
        self.assertEqual(self.kinds(account), [], "the notice comes with the bill")
        self.assertEqual(self.cash(account), "0.10", "and nothing is charged before")
        self.pay_in(account, "1.00")
        eventually(lambda: account.call(service).status == 200, "calls are let in again", within=1)
        total = 5 * (served + 1)
        self.wait_usage(account, service, billable_points=total)
        self.next_hour()
        self.assertEqual(micro(self.cash(account)), 1_100_000 - 1000 * total)


if __name__ == "__main__":
    unittest.main()
