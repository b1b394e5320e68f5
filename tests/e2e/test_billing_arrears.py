"""Vouchers, arrears on the traffic within a second both ways, reminders and notices, and their way to a webhook."""

import http.server
import json
import threading
import time
import unittest

from billing_model_units import HOUR, hour_of, written
from billing_model_case import FREE, BillingTest
from harness import FAST, eventually

EFFECTIVE_WITHIN_S = 1.0


class Vouchers(BillingTest):
    def test_the_earliest_expiry_pays_first_and_an_expired_one_not_at_all(self):
        service, account = self.customer(cash="10.00")
        hour = hour_of(self.now)
        self.pay_in(account, "4.00", "voucher")                                       # never expires: last
        self.pay_in(account, "2.00", "voucher", expires_at=written(hour + 3 * HOUR))
        self.pay_in(account, "1.00", "voucher", expires_at=written(hour + 2 * HOUR))
        self.assertEqual(self.money(account), ("10.00", "7.00", "active"))
        self.use(account, service, billable=1_500)
        self.next_hour()                                                              # 1.00 and 0.50 of the 2.00
        self.assertEqual(self.money(account), ("10.00", "5.50", "active"))
        self.use(account, service, billable=1_000)
        self.next_hour()
        self.assertEqual(self.money(account), ("10.00", "4.50", "active"))
        self.use(account, service, billable=1_000)
        self.next_hour()                                                              # at its end it pays no more
        self.assertEqual(self.money(account), ("10.00", "3.00", "active"))
        self.use(account, service, billable=5_000)
        self.next_hour()
        self.assertEqual(self.money(account), ("8.00", "0.00", "active"))

    def test_a_voucher_pays_a_debt_first(self):
        service, account = self.customer(cash="1.00")
        self.use(account, service, billable=4_000)
        self.next_hour()
        self.assertEqual(self.money(account), ("-3.00", "0.00", "arrears"))
        self.pay_in(account, "2.50", "voucher")
        self.assertEqual(self.money(account), ("-0.50", "0.00", "arrears"))
        self.pay_in(account, "2.00", "voucher")
        self.assertEqual(self.money(account), ("0.00", "1.50", "active"))

    def test_the_last_money_to_the_digit_is_no_arrears(self):
        service, account = self.customer(cash="1.00")
        self.pay_in(account, "3.00", "voucher")
        self.use(account, service, billable=4_000)
        self.next_hour()
        self.assertEqual(self.money(account), ("0.00", "0.00", "active"))
        self.assertEqual(account.subscription(service)["state"], "paid")


class OnTheTraffic(BillingTest):
    def statuses_become(self, account, service, status):
        begin = time.monotonic()
        eventually(lambda: account.call(service).status == status, f"calls get {status}", within=EFFECTIVE_WITHIN_S)
        return time.monotonic() - begin

    def test_arrears_and_their_end_within_a_second(self):
        service, account = self.customer(cash="200.00")
        other = self.service(FAST)
        self.subscribe(account, other)
        self.assertEqual((account.call(service).status, account.call(other).status), (200, 200))
        for qps, kind, starts_at, hours in ((3, "metered", self.now, 24), (1, "unlimited", self.now + 3 * HOUR, 1)):
            answer = self.buy(account, other, "qps-packs", qps=qps, kind=kind, starts_at=written(starts_at),
                              ends_at=written(starts_at + hours * HOUR))
            self.assertEqual(answer.status, 201, answer)
        self.assertEqual(account.subscription(other)["guarantee"], 13)
        self.use(account, service, billable=200_000)
        self.wait_usage(account, other, calls_succeeded=1)
        self.next_hour()
        self.statuses_become(account, service, 402)
        self.refused(account.call(service), 402, "arrears")
        self.assertEqual(account.call(other).status, 200, "free points are used in arrears too")
        for each in (service, other):
            shown = account.subscription(each)
            self.assertEqual((shown["state"], shown["guarantee"]), ("arrears", 0))
        self.clock(self.now + 150 * 60)
        before = self.usage(account, other)["free_points"]
        self.assertEqual(account.call(other).status, 200)
        self.wait_usage(account, other, calls_unmetered=0, free_points=before + 4)       # the pack is suspended
        debt = self.cash(account)
        self.assertTrue(debt.startswith("-"), debt)
        self.pay_in(account, debt[1:])
        self.statuses_become(account, service, 200)
        self.assertEqual(account.subscription(service)["state"], "paid")
        self.assertEqual(account.call(other).status, 200)
        self.wait_usage(account, other, calls_unmetered=1, free_points=before + 4)       # and its time has run on

    def test_a_voucher_ends_it_too_and_a_kill_does_not(self):
        service, account = self.customer(cash="1.00")
        self.use(account, service, billable=2_000)
        self.next_hour()
        self.statuses_become(account, service, 402)
        self.gateway.kill9()
        self.gateway.start()
        self.refused(account.call(service), 402, "arrears")
        self.pay_in(account, "1.00", "voucher")
        self.statuses_become(account, service, 200)

    def test_a_free_subscription_of_an_account_in_arrears_is_just_free(self):
        service, account = self.customer(cash="1.00")
        free, _ = self.customer(paid=False)
        self.subscribe(account, free, paid=False)
        self.use(account, free, free=FREE, at=hour_of(self.now) - HOUR)
        self.use(account, service, billable=2_000)
        self.next_hour()
        self.statuses_become(account, service, 402)
        self.assertEqual(account.subscription(free)["state"], "free")
        self.refused(account.call(free), 429, "quota_exhausted")

    def test_usage_in_arrears_is_settled_all_the_same(self):
        service, account = self.customer(cash="1000.00")
        self.assertEqual(self.buy(account, service, "packages", points=200_000).status, 201)
        self.use(account, service, billable=1_100_000)
        self.next_hour()
        self.assertEqual(self.money(account), ("-80.00", "0.00", "arrears"))
        self.use(account, service, billable=100_001, at=hour_of(self.now) - HOUR)
        self.next_hour()
        self.assertEqual(self.cash(account), "-180.0008")


class Reminders(BillingTest):
    """One yuan an hour: the burn is known, so hours left are the yuan that are left."""

    def hours(self, account, service, count):
        for _ in range(count):
            self.use(account, service, billable=1_000)
            self.next_hour()

    def test_each_level_once_and_then_the_notice(self):
        service, account = self.customer(cash="100.00")
        self.hours(account, service, 24)         # 24 yuan in 24 hours, 76 left
        self.assertEqual(self.kinds(account), [])
        self.hours(account, service, 5)
        self.assertEqual(self.kinds(account), ["reminder_72h"])
        self.hours(account, service, 23)
        self.assertEqual(self.kinds(account), ["reminder_72h", "reminder_48h"])
        self.hours(account, service, 24)
        self.assertEqual(self.kinds(account), ["reminder_72h", "reminder_48h", "reminder_24h"])
        self.hours(account, service, 25)
        self.assertEqual(self.money(account), ("-1.00", "0.00", "arrears"))
        self.assertEqual(self.kinds(account)[3:], ["arrears_notice"])
        self.hours(account, service, 3)
        self.assertEqual(len(self.kinds(account)), 4, "in arrears there is one notice and no reminder")

    def test_a_deposit_above_a_level_arms_it_again(self):
        service, account = self.customer(cash="70.00")
        self.hours(account, service, 24)
        self.assertEqual(self.kinds(account)[-1:], ["reminder_48h"])
        before = len(self.kinds(account))
        self.pay_in(account, "1.00")             # 47: not above
        self.hours(account, service, 1)
        self.assertEqual(len(self.kinds(account)), before)
        self.pay_in(account, "5.00", "voucher")  # above 48, not above 72
        self.hours(account, service, 4)
        self.assertEqual(self.kinds(account)[before:], ["reminder_48h"])

    def test_the_most_urgent_only_when_several_are_crossed(self):
        service, account = self.customer(cash="1000.00")
        self.hours(account, service, 24)
        self.assertEqual(self.kinds(account), [])
        self.use(account, service, billable=960_000)
        self.next_hour()
        self.assertEqual(self.kinds(account), ["reminder_24h"])
        self.hours(account, service, 2)
        self.assertEqual(self.kinds(account), ["reminder_24h"])

    def test_the_burn_is_that_of_the_last_168_hours(self):
        """A large charge at T counts 167 hours later and no more after 168."""
        service, account = self.customer(cash="3202.00")
        other, last = self.service(FAST), self.customer(cash="3202.00")
        accounts = ((account, service), (last[1], last[0]))
        for each, used in accounts:
            self.subscribe(each, other)
            self.use(each, used, billable=800_000)
        self.next_hour()
        for each, used in accounts:
            self.assertEqual(self.buy(each, other, "packages", points=3_000_000).status, 201)
            self.assertEqual(self.cash(each), "152.00")
        self.next_hour(166)
        self.use(account, service, billable=1_000)
        self.next_hour()
        self.assertEqual(self.kinds(account), ["reminder_48h"])
        self.use(last[1], last[0], billable=1_000)
        self.next_hour()
        self.assertEqual((self.cash(last[1]), self.kinds(last[1])), ("151.00", []))

    def test_ids_are_unique_and_the_log_delivers(self):
        service, account = self.customer(cash="2.00")
        self.use(account, service, billable=3_000)
        self.next_hour()
        self.assertEqual(self.kinds(account), ["arrears_notice"])
        eventually(lambda: self.notifications(account)[0]["state"] == "delivered", "delivered to the log")
        shown = self.notifications()
        self.assertEqual(len({each["id"] for each in shown}), len(shown))
        self.assertEqual(shown[0]["created_at"], written(self.now))
        self.assertEqual(self.admin.metric("accounts", state="arrears"), 1)
        self.assertEqual(self.admin.metric("settlement_lag_hours"), 0)
        self.assertEqual(self.admin.metric("settlement_last_success_timestamp_seconds"), self.now)
        eventually(lambda: self.admin.metric("notifications_total") == 1, "the notice is counted")


class Receiver:
    """A webhook that answers with the statuses it is given, then 204."""

    def __init__(self, *statuses):
        self.statuses, self.seen = list(statuses), []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.seen.append((dict(self.headers), body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Webhook(BillingTest):
    def setUp(self):
        self.receiver = Receiver(500)
        self.addCleanup(self.receiver.close)
        self.more_sets = {"billing.webhook_url": self.receiver.url, "billing.webhook_allow_private": "true"}
        super().setUp()

    def test_a_failed_delivery_is_tried_again_with_the_same_id(self):
        service, account = self.customer(cash="2.00")
        self.use(account, service, billable=3_000)
        self.next_hour()
        eventually(lambda: len(self.receiver.seen) >= 1, "a first attempt")
        eventually(lambda: self.notifications(account)[0]["attempts"] >= 1, "the attempt is on record")
        self.assertEqual(self.notifications(account)[0]["state"], "pending")
        self.gateway.kill9()
        self.gateway.start()
        self.clock(self.now + 60)                # the pause before the next attempt is over
        eventually(lambda: self.notifications(account)[0]["state"] == "delivered", "delivered", within=20)
        bodies = [json.loads(body) for _, body in self.receiver.seen]
        self.assertGreaterEqual(len(bodies), 2)
        self.assertEqual({body["id"] for body in bodies}, {self.notifications(account)[0]["id"]})
        self.assertEqual((bodies[0]["kind"], bodies[0]["account"]), ("arrears_notice", account.id))
        for headers, _ in self.receiver.seen:
            self.assertTrue([name for name in headers if "signature" in name.lower()], headers)


if __name__ == "__main__":
    unittest.main()
