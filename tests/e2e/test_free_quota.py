"""Free points are exact: never one call too many under any concurrency, never given back by a restart, and the hold of
a call that reached nobody is returned."""

import threading
import unittest

import wire
from harness import AUTODL, FAST, GatewayTest, ReservedPort, at_once, eventually
from wire import Connection, ScriptedUpstream


class FreeQuota(GatewayTest):
    def use_all(self, account, service, threads=8):
        """Threads call until the quota is used up; how many calls were let in."""
        raw = wire.request("POST", service.path, self.port, account.key, b"x")
        busy = {429: "limit_reached", 503: "no_capacity"}  # eight threads, and free calls are capped at the base
        done = threading.Event()

        def caller(_):
            count = 0
            with Connection(self.port) as connection:
                while not done.is_set():
                    connection.send(raw)
                    response = connection.response()
                    if response.status == 200:
                        count += 1
                    elif response.json()["code"] == "quota_exhausted":
                        done.set()
                    else:
                        self.assertEqual(response.json()["code"], busy.get(response.status), response)
            return count
        return sum(at_once(threads, caller))

    def test_ten_thousand_points_of_a_six_point_model_are_exactly_1666_calls(self):
        service, account = self.one(AUTODL)
        self.assertEqual(self.use_all(account, service), 1_666)
        self.assertEqual(len(self.model.recorded(1_666, service.id)), 1_666)
        account.wait_usage(service, calls_succeeded=1_666, calls_failed=0, free_points=9_996, billable_points=0)
        self.assertEqual(account.subscription(service)["free_points_left"], 4)
        self.refused(account.call(service), 429, "quota_exhausted")
        # A restart gives nothing back: an orderly one, and kill -9.
        for end in (self.gateway.terminate, self.gateway.kill9):
            end()
            self.gateway.start()
            self.assertEqual(account.subscription(service)["free_points_left"], 4)
            self.refused(account.call(service), 429, "quota_exhausted")
            self.assertEqual(account.usage(service)["free_points"], 9_996)
        self.assertEqual(len(self.model.record(service.id)), 1_666)

    def test_a_race_for_the_last_points_is_won_by_as_many_as_they_pay_for(self):
        service = self.service(FAST)
        for round_number in range(12):
            account = self.account(service)
            points = round_number % 4 + 4 * (1 + round_number % 3)
            self.leave_points(account, service, points)
            statuses = at_once(10, lambda _: account.call(service).status)
            self.assertEqual((statuses.count(200), statuses.count(429)), (points // 4, 10 - points // 4),
                             f"{points} points: {statuses}")
            eventually(lambda: account.subscription(service)["free_points_left"] == points % 4, "the rest is left")

    def test_failed_calls_use_free_points(self):
        service, account = self.one(FAST)
        for status in (400, 404, 500, 503):
            self.assertEqual(account.call(service, fields={"X-Fake-Status": status}).status, status)
        account.wait_usage(service, calls_failed=4, calls_succeeded=0, free_points=16, billable_points=0)
        self.assertEqual(account.subscription(service)["free_points_left"], 9_984)

    def test_which_statuses_are_failures_is_the_services_choice(self):
        service, account = self.one(FAST, failure_statuses=["5xx", "404"])
        for status in (400, 404, 422, 500):
            self.assertEqual(account.call(service, fields={"X-Fake-Status": status}).status, status)
        account.wait_usage(service, calls_failed=2, calls_succeeded=2, free_points=16)

    def test_an_unreachable_upstream_gives_the_hold_back(self):
        dead = ReservedPort()
        self.addCleanup(dead.close)
        service, account = self.one(FAST, upstreams=[dead.address])
        self.leave_points(account, service, 4)
        with Connection(self.port) as connection:  # one after the other: each call has ended before the next begins
            for _ in range(5):
                connection.send(wire.request("POST", service.path, self.port, account.key, b"x"))
                self.refused(connection.response(), 502, "upstream_unreachable")
        account.wait_idle(service)
        self.assertEqual(account.subscription(service)["free_points_left"], 4)
        self.assertEqual(account.usage(service)["calls_failed"], 0)
        answer = self.admin.put_service(service.id, FAST, [self.model.address], service.path)
        self.assertEqual(answer.status, 200)
        eventually(lambda: account.call(service).status == 200, "the points are still there to be used", within=2)

    def test_a_call_that_was_forwarded_uses_them_even_when_cut(self):
        upstream = ScriptedUpstream(lambda peer, _: peer.request())
        self.addCleanup(upstream.close)
        service, account = self.one(FAST, upstreams=[upstream.address])
        self.refused(account.call(service, "POST", b"x"), 502, "upstream_failed")
        account.wait_usage(service, calls_failed=1, free_points=4)

    def test_a_free_subscription_below_the_cost_keeps_its_points(self):
        service, account = self.one(AUTODL)
        self.leave_points(account, service, 4)
        self.refused(account.call(service), 429, "quota_exhausted")
        self.assertEqual(account.subscription(service)["free_points_left"], 4)

    def test_a_paid_one_uses_four_free_and_two_billable(self):
        service = self.service(AUTODL)
        for fields, billable in (({}, 2), ({"X-Fake-Status": "500"}, 0), ({"X-Fake-Outcome": "failed"}, 0)):
            with self.subTest(fields=fields):
                account = self.account(service, paid=True)
                self.leave_points(account, service, 4)
                account.call(service, fields=fields)
                account.wait_usage(service, free_points=10_000, billable_points=billable)
                self.assertEqual(account.subscription(service)["free_points_left"], 0)
                self.assertEqual(account.call(service).status, 200)
                account.wait_usage(service, free_points=10_000, billable_points=billable + 6)

    def test_a_paid_race_over_the_end_of_the_free_points(self):
        service = self.service(AUTODL)
        account = self.account(service, paid=True)
        self.leave_points(account, service, 10)
        statuses = at_once(4, lambda _: account.call(service).status)
        self.assertEqual(statuses, [200] * 4)
        account.wait_usage(service, calls_succeeded=4, free_points=10_000, billable_points=14)

    def test_each_subscription_has_points_of_its_own(self):
        one, two = self.service(FAST), self.service(FAST)
        account, other = self.account(one, two), self.account(one)
        self.leave_points(account, one, 0)
        self.refused(account.call(one), 429, "quota_exhausted")
        self.assertEqual((account.call(two).status, other.call(one).status), (200, 200))

    def test_becoming_paid_opens_the_door_at_once(self):
        service, account = self.one(FAST)
        self.leave_points(account, service, 0)
        with Connection(self.port) as connection:
            def status():
                connection.send(wire.request("GET", service.path, self.port, account.key))
                return connection.response().status
            self.assertEqual(status(), 429)
            self.assertEqual(self.admin.put_subscription(account.id, service.id, True).status, 200)
            eventually(lambda: status() == 200, "paid within 1 s, on the open connection", within=1.5)
            self.assertEqual(self.admin.put_subscription(account.id, service.id, False).status, 200)
            eventually(lambda: status() == 429, "free again within 1 s", within=1.5)


if __name__ == "__main__":
    unittest.main()
