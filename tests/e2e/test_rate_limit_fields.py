"""The rate limit fields of answers: there only where the service says so and the limit is what an answer is about, and
exact, against an upstream that holds calls until the test lets them go."""

import unittest

import wire
from admin import instant
from harness import AUTODL, FAST, ReservedPort, eventually
from test_limits import LimitTest
from wire import Connection

FIELDS = ("ratelimit-policy", "ratelimit", "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests",
          "x-ratelimit-reset-requests")


class FieldsTest(LimitTest):
    def says(self, response, limit, remaining):
        """Each field once, and all of them of one mind."""
        self.assertEqual([response.all(name) for name in FIELDS],
                         [[f'"guarantee";q={limit}'], [f'"guarantee";r={remaining};t=1'], [str(limit)],
                          [str(remaining)], ["1s"]], response)

    def says_nothing(self, response):
        self.assertEqual([response.all(name) for name in FIELDS], [[]] * len(FIELDS), response)

    def quick(self, account, service):
        response = account.call(service, suffix="?quick")
        self.assertEqual(response.status, 200, response)
        return response

    def remaining(self, response):
        return int(response.header("x-ratelimit-remaining-requests"))


class Switch(FieldsTest):
    def test_without_the_switch_no_answer_has_them(self):
        for more in ({}, {"rate_limit_headers": False}):
            service, account = self.gated(AUTODL, **more)
            self.says_nothing(self.quick(account, service))
            held = self.hold(account, service, 4)
            response = account.call(service)
            self.refused(response, 429, "limit_reached")
            self.says_nothing(response)
            self.upstream.open(4)
            for call in held:
                self.says_nothing(call.result())

    def test_the_switch_holds_from_the_next_call_on(self):
        service, account = self.gated(AUTODL)
        self.says_nothing(self.quick(account, service))
        for switch, fields in ((True, 1), (False, 0)):
            self.assertEqual(self.admin.put_service(service.id, AUTODL, [self.upstream.address], service.path,
                                                    rate_limit_headers=switch).status, 200)
            eventually(lambda: len(self.quick(account, service).all("ratelimit")) == fields, f"switched {switch}")


class Concurrency(FieldsTest):
    def test_what_is_left_is_the_guarantee_less_the_calls_in_flight(self):
        service, account = self.gated(FAST, rate_limit_headers=True)
        held = []
        for in_flight in range(10):
            self.says(self.quick(account, service), 10, 9 - in_flight)
            held += self.hold(account, service, 1)
        for _ in range(2):
            response = account.call(service)
            self.refused(response, 429, "limit_reached")
            self.says(response, 10, 0)
        self.upstream.open(10)
        for number, call in enumerate(held):
            self.says(call.result(), 10, 9 - number)
        account.wait_idle(service)
        self.says(self.quick(account, service), 10, 9)

    def test_the_number_belongs_to_the_subscription(self):
        service, account = self.gated(AUTODL, rate_limit_headers=True)
        other = self.account(service, paid=True)
        held = self.hold(account, service, 3)
        self.says(self.quick(account, service), 4, 0)
        self.says(self.quick(other, service), 4, 3)
        self.upstream.open(3)
        self.assertEqual([call.result().status for call in held], [200] * 3)

    def test_a_free_subscription_is_told_its_cap(self):
        service, account = self.gated(AUTODL, paid=False, rate_limit_headers=True)
        held = self.hold(account, service, 2)
        self.says(self.quick(account, service), 4, 1)
        self.upstream.open(2)
        self.assertEqual([call.result().status for call in held], [200] * 2)

    def test_a_pack_is_part_of_the_number_while_it_lasts(self):
        service = self.service(AUTODL, [self.upstream.address], rate_limit_headers=True)
        account = self.account(service, paid=True, deposit="100000.00")
        bought = self.admin.buy_qps_pack(account.id, service.id, 5, "metered", instant(-1), instant(86_000))
        self.assertEqual(bought.status, 201, bought)
        eventually(lambda: self.quick(account, service).header("x-ratelimit-limit-requests") == "9", "4 and 5")
        held = self.hold(account, service, 6)
        self.says(self.quick(account, service), 9, 2)
        self.upstream.open(6)
        self.assertEqual([call.result().status for call in held], [200] * 6)


class Rate(FieldsTest):
    """The first call of a subscription finds its whole burst, however fast the machine is."""

    def test_the_first_call_leaves_one_less_than_the_rate(self):
        for model, rate in ((AUTODL, 4), (FAST, 10)):
            service, account = self.gated(model, limit_by="qps", rate_limit_headers=True)
            self.says(self.quick(account, service), rate, rate - 1)

    def test_calls_in_flight_take_nothing_from_a_rate(self):
        service, account = self.gated(AUTODL, limit_by="qps", rate_limit_headers=True)
        held = self.hold(account, service, 1) + self.hold(account, service, 2)
        # A rate of four is whole again after a second: then three in flight must not show.
        eventually(lambda: self.remaining(self.quick(account, service)) == 3, "the whole rate", every=1.1, within=30)
        self.upstream.open(3)
        answers = [call.result() for call in held]
        self.says(answers[0], 4, 3)
        for answer in answers:
            self.says(answer, 4, self.remaining(answer))

    def test_at_the_rate_nothing_is_left(self):
        service, account = self.gated(AUTODL, limit_by="qps", rate_limit_headers=True)
        burst = wire.request("GET", service.path + "?quick", self.port, account.key) * 40

        def refused():
            with Connection(self.port) as connection:
                connection.send(burst)
                answers = [connection.response() for _ in range(40)]
            for answer in answers:
                left = self.remaining(answer)
                self.says(answer, 4, left)
                self.assertIn(left, (0, 1, 2, 3) if answer.status == 200 else (0,))
            return [answer for answer in answers if answer.status == 429]
        for answer in eventually(refused, "forty in a row are more than four a second", within=60):
            self.refused(answer, 429, "limit_reached")


class Refusals(FieldsTest):
    def test_a_refusal_for_another_reason_promises_nothing(self):
        service, account = self.gated(FAST, paid=False, rate_limit_headers=True)
        stranger = self.account()
        self.leave_points(account, service, 3)
        for answer, status, code in ((account.call(service), 429, "quota_exhausted"),
                                     (stranger.call(service), 403, "not_subscribed"),
                                     (wire.call(self.port, service.path), 401, "invalid_key")):
            self.refused(answer, status, code)
            self.says_nothing(answer)

    def test_shed_calls_are_told_no_number(self):
        service, free = self.gated(FAST, paid=False, capacity=2, rate_limit_headers=True)
        paid = self.account(service, paid=True)
        held = self.hold(paid, service, 2)
        answer = free.call(service)
        self.refused(answer, 503, "no_capacity")
        self.says_nothing(answer)
        self.upstream.open(2)
        self.assertEqual([call.result().status for call in held], [200] * 2)

    def test_a_call_that_was_let_in_is_told_also_when_its_upstream_fails(self):
        dead = ReservedPort()
        self.addCleanup(dead.close)
        service, account = self.one(FAST, paid=True, upstreams=[dead.address], rate_limit_headers=True)
        answer = account.call(service)
        self.refused(answer, 502, "upstream_unreachable")
        self.says(answer, 10, 9)


if __name__ == "__main__":
    unittest.main()
