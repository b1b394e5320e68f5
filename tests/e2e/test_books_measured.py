"""What /metrics shows of the books: fresh soon after a change, right at the first look, and true during a catch-up; and
that nothing is due at the time a manual clock shows."""

import http.client
import threading
import time
import unittest
from pathlib import Path

from billing_model_case import BillingTest
from billing_model_units import HOUR, hour_of, written
from harness import DETECTION, eventually


class BooksMeasured(BillingTest):
    # Far from any of the looks that are taken without a change.
    more_sets = {"journal.collect_interval_ms": 60_000}

    def accounts(self):
        return self.admin.metric("accounts", state="active"), self.admin.metric("accounts", state="arrears")

    def test_accounts_are_counted_as_they_change(self):
        self.assertEqual(self.accounts(), (0, 0))
        service, account = self.customer(cash="1.00")
        self.account()
        eventually(lambda: self.accounts() == (2, 0), lambda: f"two active accounts: {self.accounts()}", within=1)
        self.use(account, service, billable=2_000)
        self.next_hour()
        eventually(lambda: self.accounts() == (1, 1), lambda: f"one is in arrears: {self.accounts()}", within=1)
        self.pay_in(account, "5.00")
        eventually(lambda: self.accounts() == (2, 0), lambda: f"and no longer: {self.accounts()}", within=1)

    def test_the_first_look_after_a_start_is_right(self):
        service, account = self.customer(cash="1.00")
        self.use(account, service, billable=2_000)
        self.next_hour()
        self.gateway.kill9()
        self.gateway.start()
        self.assertEqual(self.accounts(), (0, 1))

    def test_an_import_of_old_usage_is_a_lag_until_it_is_settled(self):
        service, account = self.customer(cash="100.00")
        self.next_hour()
        self.assertEqual(self.admin.metric("settlement_lag_hours"), 0)
        self.use(account, service, billable=5, at=hour_of(self.now) - 5 * HOUR)
        eventually(lambda: self.admin.metric("settlement_lag_hours") == 5, "five hours behind", within=1)
        self.next_hour()
        self.assertEqual(self.admin.metric("settlement_lag_hours"), 0)

    def test_the_last_audit_is_told(self):
        self.assertEqual(self.admin.metric("audit_last_timestamp_seconds"), 0)
        self.assertEqual(self.admin.metric("audit_broken_invariants"), 0)
        self.assertIs(self.admin.audit()["ok"], True)
        self.assertEqual(self.admin.metric("audit_broken_invariants"), 0)
        self.assertEqual(self.admin.metric("audit_last_timestamp_seconds"), self.now)


class ManualClockRestart(BillingTest):
    def test_a_move_that_a_kill_cut_short_is_done_before_anything_is_answered(self):
        service, account = self.customer(cash="100000.00")
        hour, hours = hour_of(self.now), 500
        each = {"account": account.id, "service": service.id, "calls_succeeded": 0, "calls_failed": 0,
                "calls_unmetered": 0, "free_points": 0, "billable_points": 1_000}
        answer = self.admin.report_usage(*self.source, [{**each, "hour": written(hour + n * HOUR)}
                                                        for n in range(hours)])
        self.assertEqual(answer.status, 204, answer)
        there = hour + (hours + 1) * HOUR
        kept = Path(self.gateway.data_dir, "manual-clock")

        def move():
            try:
                self.admin.set_clock(written(there))
            except (OSError, http.client.HTTPException):
                pass                                                # the kill

        before = kept.read_text("utf-8")
        moving = threading.Thread(target=move)
        moving.start()
        eventually(lambda: kept.read_text("utf-8") != before, "the move has begun")
        self.gateway.kill9()
        moving.join()
        self.gateway.start()
        self.assertEqual(self.admin.metric("settlement_lag_hours"), 0)
        self.assertEqual(self.now, there)
        self.assertEqual(self.usage(account, service)["settled"], hours * 1_000)


class CatchUp(BillingTest):
    def test_the_lag_is_told_while_it_is_caught_up(self):
        hour, hours = hour_of(int(time.time())), 1_000
        self.clock(hour - hours * HOUR)
        service = self.service(DETECTION)
        for account in (self.account(deposit="1000.00") for _ in range(3)):
            self.subscribe(account, service)
            answer = self.admin.report_usage(*self.source, [
                {"account": account.id, "service": service.id, "hour": written(hour - n * HOUR), "calls_succeeded": 0,
                 "calls_failed": 0, "calls_unmetered": 0, "free_points": 0, "billable_points": 1}
                for n in range(1, hours + 1)])
            self.assertEqual(answer.status, 204, answer)
        self.gateway.kill9()
        self.gateway.sets["billing.clock"] = "system"       # and the time that no process ran is over at once
        self.gateway.start()
        seen = [self.admin.metric("settlement_lag_hours")]

        def looked():
            seen.append(self.admin.metric("settlement_lag_hours"))
            return seen[-1] == 0

        eventually(looked, lambda: f"no lag in the end: {seen[-1]}", within=60)
        self.assertGreater(seen[0], 0, "told at once")
        self.assertEqual(seen, sorted(seen, reverse=True))
        self.assertGreater(len(set(seen)), 2, "and all the way down")


if __name__ == "__main__":
    unittest.main()
