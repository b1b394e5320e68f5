"""Guarantees, permits, rates, packs and spare capacity over real sockets, against an upstream that holds calls until
the test lets them go, so that "at once" means at once whatever the machine is doing."""

import time
import unittest

import wire
from admin import instant
from gated import GatedUpstream
from harness import AUTODL, FAST, Background, GatewayTest, at_once, eventually
from wire import Connection


class LimitTest(GatewayTest):
    def setUp(self):
        self.upstream = GatedUpstream()
        self.addCleanup(self.upstream.close)

    def gated(self, model=FAST, paid=True, **more):
        return self.one(model, paid=paid, upstreams=[self.upstream.address], **more)

    def hold(self, account, service, count, suffix=""):
        """`count` calls that are held at the upstream."""
        before = self.upstream.held
        calls = [Background(lambda: account.call(service, suffix=suffix, timeout=60)) for _ in range(count)]
        eventually(lambda: self.upstream.held == before + count,
                   lambda: f"{before + count} calls held, {self.upstream.held} are")
        return calls


class Guarantee(LimitTest):
    def exactly(self, model, limit, callers):
        service, account = self.gated(model)
        refused = []

        def call(_):
            response = account.call(service, timeout=90)
            if response.status != 200:
                refused.append(response)
            return response.status
        all_calls = Background(at_once, callers, call)
        eventually(lambda: len(refused) == callers - limit, lambda: f"{callers - limit} refused, {len(refused)} were",
                   within=30)
        self.assertEqual(account.subscription(service)["in_flight"], limit)
        self.assertEqual(self.admin.metric("in_flight", service=service.id, **{"class": "paid"}), limit)
        eventually(lambda: self.upstream.held == limit, lambda: f"{limit} held, {self.upstream.held} are")
        self.upstream.open()
        self.assertEqual(sorted(all_calls.result(90)), [200] * limit + [429] * (callers - limit))
        eventually(lambda: self.upstream.served == limit, lambda: f"{limit} served, {self.upstream.served} were")
        self.assertEqual(self.upstream.held_max, limit)
        for response in refused:
            self.refused(response, 429, "limit_reached")
            self.assertGreaterEqual(int(response.header("retry-after")), 1)
        account.wait_idle(service)
        account.wait_usage(service, calls_succeeded=limit, calls_failed=0)

    def test_forty_at_once_on_guarantee_ten_let_in_exactly_ten(self):
        self.exactly(FAST, 10, 40)

    def test_other_models_have_four(self):
        self.exactly(AUTODL, 4, 24)

    def test_the_limit_belongs_to_the_subscription_not_to_the_key(self):
        service, account = self.gated(AUTODL)
        second = self.admin.create_key(account.id)["key"]
        held = self.hold(account, service, 4)
        eventually(lambda: wire.call(self.port, service.path, second).status == 429, "the same limit", within=2)
        other = self.account(service, paid=True)
        self.assertEqual(other.call(service, suffix="?quick").status, 200)
        self.upstream.open(4)
        self.assertEqual([call.result().status for call in held], [200] * 4)

    def test_the_models_own_count_never_passes_the_guarantee(self):
        """Eight threads without pause on a guarantee of four; the fake model says how many it saw at once."""
        service, account = self.one(AUTODL, paid=True)
        self.model.reset()
        raw = wire.request("GET", service.path, self.port, account.key, fields={"X-Fake-Delay-Ms": "3"})

        def hammer(_):
            served = 0
            with Connection(self.port) as connection:
                for _ in range(150):
                    connection.send(raw)
                    status = connection.response().status
                    self.assertIn(status, (200, 429))
                    served += status == 200
            return served
        served = sum(at_once(8, hammer))
        self.assertGreater(served, 100)
        self.assertEqual(self.model.stats()["in_flight_max"], 4)
        eventually(lambda: self.model.stats()["served"] >= served, f"the model has counted {served} answers")
        self.assertEqual(self.model.stats()["served"], served)
        account.wait_idle(service)
        account.wait_usage(service, calls_succeeded=served)


class Permits(LimitTest):
    def full_with(self, suffix):
        service, account = self.gated(AUTODL)
        return service, account, self.hold(account, service, 4, suffix)

    def test_held_to_the_last_byte_of_the_answer(self):
        service, account, held = self.full_with("?halfway")
        self.refused(account.call(service), 429, "limit_reached")
        self.upstream.open(1)
        eventually(lambda: account.call(service, suffix="?quick").status == 200, "one permit is back")
        self.upstream.open(3)
        self.assertEqual({call.result().body for call in held}, {b"halfrest"})

    def test_held_while_a_slow_reader_has_not_taken_its_answer(self):
        service, account = self.one(AUTODL, paid=True)
        size = 48 << 20
        with Connection(self.port, receive_buffer=65536) as connection:
            connection.send(wire.request("GET", service.path, self.port, account.key,
                                         fields={"X-Fake-Response-Bytes": size}))
            response = connection.head()
            self.assertEqual(account.subscription(service)["in_flight"], 1)
            self.assertEqual(account.usage(service)["calls_succeeded"], 0)
            self.assertEqual(len(connection.body(response).body), size)
        account.wait_idle(service)
        account.wait_usage(service, calls_succeeded=1)

    def test_clients_that_vanish_before_the_head_give_theirs_back(self):
        service, account = self.gated(AUTODL)
        connections = [Connection(self.port) for _ in range(4)]
        for connection in connections:
            connection.send(wire.request("GET", service.path, self.port, account.key))
        eventually(lambda: self.upstream.held == 4, "four are held")
        for index, connection in enumerate(connections):
            connection.reset() if index % 2 else connection.close()
        account.wait_idle(service)
        self.assertEqual(account.call(service, suffix="?quick").status, 200)
        account.wait_usage(service, calls_failed=4, calls_succeeded=1)

    def test_clients_that_vanish_in_the_answer_give_theirs_back(self):
        service, account = self.gated(AUTODL)
        connections = [Connection(self.port) for _ in range(4)]
        for connection in connections:
            connection.send(wire.request("GET", service.path + "?halfway", self.port, account.key))
            self.assertEqual(connection.head().status, 200)
        for connection in connections:
            connection.reset()
        self.upstream.open()
        account.wait_idle(service)
        account.wait_usage(service, calls_succeeded=4, calls_failed=0)

    def test_an_upstream_that_dies_gives_them_back(self):
        for suffix, status in (("", 502), ("?halfway", 200)):
            with self.subTest(suffix=suffix):
                self.upstream = GatedUpstream()
                self.addCleanup(self.upstream.close)
                service, account, held = self.full_with(suffix)
                self.upstream.drop()
                for call in held:
                    response = call.result()
                    self.assertEqual((response.status, response.truncated), (status, status == 200))
                account.wait_idle(service)
                account.wait_usage(service, calls_failed=4, calls_succeeded=0)

    def test_refused_requests_take_none(self):
        service, account = self.gated(AUTODL)
        for _ in range(30):
            with Connection(self.port) as connection:
                connection.send(wire.head("GET", service.path, self.port, account.key, {"Host": "another"}))
                self.assertEqual(connection.response().status, 400)
        self.assertEqual(account.subscription(service)["in_flight"], 0)
        self.assertEqual(account.call(service, suffix="?quick").status, 200)


class Packs(LimitTest):
    def buyer(self, kind, qps, starts, ends, model=AUTODL):
        service, account = self.gated(model)
        self.assertEqual(self.admin.deposit(account.id, "1000000").status, 201)
        begins = time.time() + starts
        answer = self.admin.buy_qps_pack(account.id, service.id, qps, kind, instant(starts), instant(ends))
        self.assertEqual(answer.status, 201, answer)
        return service, account, begins, begins + ends - starts

    def test_the_guarantee_rises_and_falls_with_the_packs_window_on_running_traffic(self):
        service, account, begins, ends = self.buyer("metered", 2, 1.5, 4.0)
        held = self.hold(account, service, 4)
        if time.time() < begins - 0.2:
            self.assertEqual(account.subscription(service)["guarantee"], 4)
            self.refused(account.call(service, suffix="?quick"), 429, "limit_reached")
        eventually(lambda: account.call(service, suffix="?quick").status == 200, "a fifth call", within=10)
        self.assertGreaterEqual(time.time(), begins - 0.05, "the pack was active before its window")
        self.assertLess(time.time(), begins + 1.5)
        if time.time() < ends - 0.5:
            self.assertEqual(account.subscription(service)["guarantee"], 6)
        held += self.hold(account, service, 1)  # in flight when the pack ends: not touched
        eventually(lambda: account.call(service, suffix="?quick").status == 429, "the pack ends", within=10)
        self.assertGreaterEqual(time.time(), ends - 0.05, "the pack ended before its window did")
        self.assertLess(time.time(), ends + 1.5)
        eventually(lambda: account.subscription(service)["guarantee"] == 4, "guarantee shown as 4", within=2)
        self.upstream.open()
        self.assertEqual([call.result().status for call in held], [200] * 5)

    def test_packs_add_up(self):
        service, account, *_ = self.buyer("metered", 2, 0.5, 3600)
        self.assertEqual(self.admin.buy_qps_pack(account.id, service.id, 3, "metered", instant(0.5),
                                                 instant(3600)).status, 201)
        eventually(lambda: account.subscription(service)["guarantee"] == 9, "4 + 2 + 3")
        held = self.hold(account, service, 9)
        self.refused(account.call(service), 429, "limit_reached")
        self.upstream.open()
        self.assertEqual([call.result().status for call in held], [200] * 9)
        account.wait_usage(service, calls_succeeded=9, calls_unmetered=0, free_points=54)

    def test_under_an_unlimited_pack_no_call_costs_anything(self):
        service, account, *_ = self.buyer("unlimited", 1, 0.3, 3.0)
        eventually(lambda: account.subscription(service)["guarantee"] == 5, "the pack is active")
        for _ in range(5):
            self.assertEqual(account.call(service, suffix="?quick").status, 200)
        account.wait_usage(service, calls_unmetered=5, calls_succeeded=0, free_points=0, billable_points=0)
        self.assertEqual(account.subscription(service)["free_points_left"], 10_000)
        eventually(lambda: account.subscription(service)["guarantee"] == 4, "the pack has ended")
        self.assertEqual(account.call(service, suffix="?quick").status, 200)
        account.wait_usage(service, calls_unmetered=5, calls_succeeded=1, free_points=6)

    def test_a_pack_survives_a_restart(self):
        service, account, *_ = self.buyer("metered", 2, 0.2, 3600)
        eventually(lambda: account.subscription(service)["guarantee"] == 6, "the pack is active")
        self.gateway.kill9()
        self.gateway.start()
        held = self.hold(account, service, 6)
        self.refused(account.call(service), 429, "limit_reached")
        self.upstream.open()
        self.assertEqual([call.result().status for call in held], [200] * 6)


class Rate(LimitTest):
    def test_limit_by_qps_is_a_rate_with_a_burst_of_the_same_number(self):
        service, account = self.gated(AUTODL, limit_by="qps")
        began = time.monotonic()
        statuses = at_once(16, lambda _: account.call(service, suffix="?quick").status)
        took = time.monotonic() - began
        admitted = statuses.count(200)
        self.assertEqual(set(statuses), {200, 429}) if took < 2.9 else None
        self.assertGreaterEqual(admitted, 4)
        self.assertLessEqual(admitted, 4 + int(4 * took) + 1)

        # And it goes on: as many again as the rate brings, neither sooner than that nor never.
        admitted = 0

        def one_more():
            nonlocal admitted
            admitted += account.call(service, suffix="?quick").status == 200
            return admitted == 12
        began = time.monotonic()
        eventually(one_more, lambda: f"12 calls at four a second, {admitted} were let in", within=60, every=0)
        self.assertLessEqual(12, 4 + int(4 * (time.monotonic() - began)) + 1)

    def test_a_rate_does_not_limit_parallelism(self):
        service, account = self.gated(AUTODL, limit_by="qps")
        held = self.hold(account, service, 4)
        eventually(lambda: account.call(service, suffix="?quick").status == 200, "a fifth while four are held")
        self.upstream.open()
        self.assertEqual([call.result().status for call in held], [200] * 4)


class SpareCapacity(LimitTest):
    def test_free_calls_are_capped_at_the_base(self):
        service, account = self.gated(AUTODL, paid=False)
        held = self.hold(account, service, 4)
        response = account.call(service)
        self.assertIn(response.status, (429, 503))  # domain.md names the cap, not its refusal
        self.refused(response, response.status, {429: "limit_reached", 503: "no_capacity"}[response.status])
        self.assertGreaterEqual(int(response.header("retry-after")), 1)
        self.upstream.open()
        self.assertEqual([call.result().status for call in held], [200] * 4)

    def test_free_calls_yield_to_paid_ones(self):
        service, free = self.gated(FAST, paid=False, capacity=8)
        paid = self.account(service, paid=True)
        held = self.hold(paid, service, 8)
        response = free.call(service)
        self.refused(response, 503, "no_capacity")
        self.assertGreaterEqual(int(response.header("retry-after")), 1)
        self.assertEqual(free.subscription(service)["free_points_left"], 10_000)
        self.upstream.open(8)
        self.assertEqual([call.result().status for call in held], [200] * 8)
        eventually(lambda: free.call(service, suffix="?quick").status == 200, "capacity is spare again", within=3)

    def test_free_calls_never_fill_the_paid_reserve(self):
        service, free = self.gated(FAST, paid=False, capacity=10)
        others = [self.account(service) for _ in range(2)]
        shed = []

        def flood(index):
            response = ([free] + others)[index % 3].call(service, timeout=90)
            if response.status != 200:
                shed.append(response.status)
            return response.status
        flooding = Background(at_once, 24, flood)
        eventually(lambda: len(shed) + self.upstream.held == 24, "every call was decided")
        in_flight = self.upstream.held
        self.assertGreaterEqual(in_flight, 1)
        self.assertLess(in_flight, 10)
        self.assertEqual(set(shed), {503})
        paid = self.account(service, paid=True)
        held = self.hold(paid, service, 10)  # the guarantee holds whatever free calls do
        self.upstream.open()
        self.assertEqual([call.result().status for call in held], [200] * 10)
        self.assertEqual(flooding.result(90).count(200), in_flight)


if __name__ == "__main__":
    unittest.main()
