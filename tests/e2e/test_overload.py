"""A gateway that cannot keep up sheds free calls with a reason of its own, serves paid ones, and comes back; connections
that idle cost next to no memory or time, and the descriptors that calls need are not theirs."""

import os
import resource
import time
import unittest

import wire
from harness import AUTODL, GatewayTest, Tollgate, eventually, pass_time
from wire import Connection


class Lag(GatewayTest):
    # Paid calls are refused above four times this, which stalls of half a second never add up to.
    sets = {"workers": 1, "limits.overload_lag_ms": 150}

    def stand_still(self):
        """No event loop runs for a while: what a machine with too much to do looks like from inside."""
        with self.gateway.paused():
            pass_time(0.5)

    def test_free_calls_are_shed_paid_ones_are_served_and_free_ones_come_back(self):
        service = self.service(AUTODL)
        free, paid = self.account(service), self.account(service, paid=True)
        calls = b"".join(wire.request("GET", service.path, self.port, each.key) for each in (free, paid, free))

        def shed():
            self.stand_still()
            with Connection(self.port) as connection:
                connection.send(calls)
                answers = [connection.response() for _ in range(3)]
            # Shed before and after the paid call: that one came while free calls are shed.
            return answers if answers[0].status == answers[2].status == 503 else None
        first, served, _ = eventually(shed, "a late event loop sheds free calls", within=60)
        self.assertEqual(served.status, 200)
        self.refused(first, 503, "no_capacity")
        self.assertTrue(first.header("retry-after"))
        self.assertGreaterEqual(self.admin.metric("refusals_total", service=service.id, reason="overloaded"), 2)
        eventually(lambda: free.call(service).status == 200, "free calls are served again", within=60)

    def held_back(self):
        return self.admin.metric("refused_held_back_total")

    def test_who_was_refused_is_heard_again_after_a_pause_and_who_was_served_at_once(self):
        service, account = self.one(AUTODL, paid=True)

        def statuses(path):
            self.stand_still()
            with Connection(self.port) as connection:
                connection.send(wire.request("GET", path, self.port, account.key) * 3)
                return [connection.response().status for _ in range(3)]
        before = self.held_back()
        for _ in range(3):
            self.assertEqual(statuses(service.path), [200] * 3)
        self.assertEqual(self.held_back(), before)

        def held():
            self.assertEqual(statuses("/nowhere"), [404] * 3)
            return self.held_back() > before
        eventually(held, "a late event loop holds back a refused client", within=60)

    def test_a_held_back_client_that_leaves_is_gone(self):
        account = self.account()
        before = self.held_back()

        def left_while_held():
            self.stand_still()
            with Connection(self.port) as connection:
                connection.send(wire.request("GET", "/nowhere", self.port, account.key) * 8)
                connection.response()
            return self.held_back() > before
        eventually(left_while_held, "a client left in its pause", within=60)
        eventually(lambda: self.admin.metric("client_connections") == 0, "its connection is gone")


class Turns(GatewayTest):
    """A client with many requests in one packet, and another with a single one just behind it. A request's id holds its
    number on the worker: the order in which they were taken up."""
    sets = {"workers": 1}
    MANY = 40

    def test_one_request_has_its_turn_before_the_rest_of_many(self):
        _, account = self.one(AUTODL, paid=True)
        asked = wire.request("GET", "/nowhere", self.port, account.key)

        def number(connection):
            return int(connection.response().header("x-request-id")[12:], 16)
        with Connection(self.port) as greedy, Connection(self.port) as other:
            for connection in (greedy, other):
                connection.send(asked)
                number(connection)
            with self.gateway.paused():
                greedy.send(asked * self.MANY)
                other.send(asked)
            many = [number(greedy) for _ in range(self.MANY)]
            self.assertEqual(many, sorted(many))
            self.assertLess(number(other), many[self.MANY // 2])


class Idle(GatewayTest):
    """The heads of 2,000 connections were answered, and then they say nothing."""
    COUNT = 2000

    def rss(self):
        with open(f"/proc/{self.gateway.process.pid}/statm", encoding="ascii") as pages:
            return int(pages.read().split()[1]) * resource.getpagesize()

    def cpu(self):
        with open(f"/proc/{self.gateway.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def test_two_thousand_cost_little_memory_and_nothing_spins(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < self.COUNT + 200:
            self.skipTest(f"{hard} descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, self.COUNT + 200), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        with open(f"/proc/{self.gateway.process.pid}/maps", encoding="utf-8") as maps:
            loaded = maps.read()
        sanitized = "libasan" in loaded or "libtsan" in loaded
        service, account = self.one(AUTODL, paid=True)
        account.call(service)
        before = self.rss()
        connections = []
        try:
            for _ in range(self.COUNT):
                connections.append(Connection(self.port))
                connections[-1].send(wire.request("GET", "/nowhere", self.port, account.key))
                self.assertEqual(connections[-1].response().status, 404)
            if not sanitized:
                self.assertLess((self.rss() - before) / self.COUNT, 20 * 1024)
            used, until = self.cpu(), time.monotonic() + 1.0
            eventually(lambda: time.monotonic() >= until, "a second")
            self.assertLess(self.cpu() - used, 0.5, "it spins over idle connections")
            self.assertEqual(account.call(service).status, 200)
        finally:
            for connection in connections:
                connection.close()


class FewDescriptors(GatewayTest):
    """Of 100 descriptors, those that calls need for their upstreams are kept from clients that only connect."""

    def test_a_flood_of_idle_clients_leaves_room_for_a_call_upstream(self):
        gateway = Tollgate({"workers": 1})
        self.addCleanup(gateway.close)
        gateway.prefix = ["prlimit", "--nofile=100:100"]
        gateway.start()
        self.assertIn("descriptors allow", gateway.stderr())
        gateway.admin.put_service("s", AUTODL, [self.model.address], "/s")
        gateway.admin.put_account("a")
        gateway.admin.put_subscription("a", "s", True)
        key = gateway.admin.create_key("a")["key"]
        eventually(lambda: wire.call(gateway.port, "/s", key).status == 200, "the service is known")
        idle = []
        try:
            for _ in range(150):
                idle.append(Connection(gateway.port))
            eventually(lambda: gateway.admin.metric("client_connections_evicted_total") > 100, "they push each other out")
            with Connection(gateway.port) as late:
                for _ in range(5):
                    late.send(wire.request("GET", "/s", gateway.port, key))
                    self.assertEqual(late.response().status, 200)
        finally:
            for connection in idle:
                connection.close()


if __name__ == "__main__":
    unittest.main()
