"""Limits under a race, again and again: the last free points, and the guarantee. What happens at their edges in time (packs,
deposits, keys) is in tests/e2e: test_limits, test_billing_arrears, test_operations."""

import unittest

from battery import row
from harness import AUTODL, FAST, GatewayTest, at_once
from wire import Connection, request


class Races(GatewayTest):
    @row("50 at once for the last 10 points", few=3, full=200)
    def test_last_points(self, rounds):
        service = self.service(FAST)
        for number in range(rounds):
            account = self.account(service)
            self.leave_points(account, service, 10)
            answers = at_once(50, lambda _: account.call(service).status)
            self.assertEqual(answers.count(200), 2, f"round {number}: 4 points a call")
            self.assertEqual(set(answers) - {200, 429, 503}, set())
            account.wait_idle(service)
            self.assertEqual(account.subscription(service)["free_points_left"], 2)
            self.model.recorded(2, service.id)
            self.model.reset()
        return f"{2 * rounds} of {50 * rounds} calls let in, 0 too many"

    @row("8 threads on a guarantee of 4", few=1, full=20)
    def test_guarantee(self, rounds):
        service, account = self.one(AUTODL, paid=True)
        let_in = refused = 0
        for _ in range(rounds):
            self.model.reset()

            def client(_):
                statuses = []
                with Connection(self.port) as connection:
                    for number in range(150):
                        connection.send(request("GET", service.path, self.port, account.key,
                                                fields={"X-Fake-Delay-Ms": str(number % 3)}))
                        statuses.append(connection.response().status)
                return statuses
            statuses = sum(at_once(8, client), [])
            self.assertEqual(set(statuses) - {200, 429}, set())
            self.assertLessEqual(self.model.stats()["in_flight_max"], 4)
            let_in, refused = let_in + statuses.count(200), refused + statuses.count(429)
            account.wait_idle(service)
            account.wait_usage(service, calls_succeeded=let_in)
        self.assertGreater(refused, 0, "it was at the limit")
        self.assertEqual(at_once(4, lambda _: account.call(service, fields={"X-Fake-Delay-Ms": "50"}).status), [200] * 4,
                         "no permit has leaked")
        return f"{let_in} let in, {refused} refused, never more than 4 at once"


if __name__ == "__main__":
    unittest.main()
