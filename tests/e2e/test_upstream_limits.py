"""What the gateway holds towards upstreams has an end: idle connections by number, and connecting by time. The
upstreams here count what is open at them, or take no connection at all."""

import socket
import struct
import unittest

import wire
from gated import GatedUpstream
from harness import AUTODL, FAST, Background, GatewayTest, eventually
from wire import Connection

A_DAY_MS = 86_400_000


class CountedUpstream(GatedUpstream):
    """Knows how many connections are open at it now."""

    def __init__(self):
        self.open_now = 0
        super().__init__()

    def play(self, peer, number):
        with self.lock:
            self.open_now += 1
        try:
            super().play(peer, number)
        finally:
            with self.lock:
                self.open_now -= 1


class IdleTest(GatewayTest):
    def behind(self, count=1):
        upstreams = [CountedUpstream() for _ in range(count)]
        for upstream in upstreams:
            self.addCleanup(upstream.close)
        return upstreams, *self.one(FAST, paid=True, upstreams=[upstream.address for upstream in upstreams])

    def held(self, upstreams, calls, service, account):
        """`calls` calls that are in flight at once, let in one after the other so that they spread evenly."""
        began = []
        for number in range(1, calls + 1):
            began.append(Background(account.call, service))
            eventually(lambda: sum(upstream.held for upstream in upstreams) == number, f"{number} calls held")
        return began

    def finished(self, upstreams, calls):
        for upstream in upstreams:
            upstream.open(upstream.held)
        self.assertEqual([call.result().status for call in calls], [200] * len(calls))

    def left_open(self, upstreams, counts, service):
        eventually(lambda: [upstream.open_now for upstream in upstreams] == counts,
                   lambda: f"{counts} connections left, there are {[upstream.open_now for upstream in upstreams]}")
        idle = sum(counts)
        eventually(lambda: self.admin.metric("upstream_connections", service=service.id, state="idle") == idle,
                   f"{idle} idle connections by the metric")
        self.assertEqual(self.admin.metric("upstream_connections", service=service.id, state="active"), 0)


class TwoKept(IdleTest):
    sets = {"workers": 1, "upstreams.idle_connections_max": 2, "upstreams.idle_ms": A_DAY_MS}

    def test_connections_beyond_the_most_are_closed_after_their_call(self):
        upstreams, service, account = self.behind()
        self.finished(upstreams, self.held(upstreams, 6, service, account))
        self.assertEqual(upstreams[0].accepted, 6)
        self.left_open(upstreams, [2], service)
        self.finished(upstreams, self.held(upstreams, 6, service, account))
        self.assertEqual(upstreams[0].accepted, 10, "the two that were kept serve again, the others are new")
        self.left_open(upstreams, [2], service)

    def test_each_upstream_has_its_own_number(self):
        upstreams, service, account = self.behind(2)
        self.finished(upstreams, self.held(upstreams, 8, service, account))
        self.assertEqual([upstream.accepted for upstream in upstreams], [4, 4])
        self.left_open(upstreams, [2, 2], service)

    def test_each_service_has_its_own_number(self):
        upstream = CountedUpstream()
        self.addCleanup(upstream.close)
        for kept in (2, 4):
            service, account = self.one(FAST, paid=True, upstreams=[upstream.address])
            self.finished([upstream], self.held([upstream], 3, service, account))
            eventually(lambda: upstream.open_now == kept, lambda: f"{kept} left, there are {upstream.open_now}")


class NoneKept(IdleTest):
    sets = {"workers": 1, "upstreams.idle_connections_max": 0, "upstreams.idle_ms": A_DAY_MS}

    def test_every_call_has_a_connection_of_its_own(self):
        upstreams, service, account = self.behind()
        for number in (1, 2, 3):
            self.assertEqual(account.call(service, suffix="?quick").body, b"answered")
            self.assertEqual(upstreams[0].accepted, number)
            self.left_open(upstreams, [0], service)


class OneKeptByEachWorker(IdleTest):
    sets = {"workers": 2, "upstreams.idle_connections_max": 1, "upstreams.idle_ms": A_DAY_MS}

    def connections(self, service, account, each):
        """Client connections, `each` of them at either worker: a request's id begins with its worker's mark."""
        by_worker = {}

        def enough():
            connection = Connection(self.port)
            self.addCleanup(connection.close)
            connection.send(wire.request("GET", service.path + "?quick", self.port, account.key))
            worker = connection.response().header("x-request-id")[:12]
            by_worker.setdefault(worker, []).append(connection)
            return len(by_worker) == 2 and min(map(len, by_worker.values())) >= each
        eventually(enough, lambda: f"{each} connections at each worker", within=60, every=0)
        return [connection for found in by_worker.values() for connection in found[:each]]

    def test_each_worker_has_its_own_number(self):
        upstreams, service, account = self.behind()
        connections = self.connections(service, account, 3)
        for connection in connections:
            connection.send(wire.request("GET", service.path, self.port, account.key))
        eventually(lambda: upstreams[0].held == 6, "six calls held")
        self.assertEqual(upstreams[0].open_now, 6)
        upstreams[0].open(6)
        for connection in connections:
            self.assertEqual(connection.response().body, b"answered")
        self.left_open(upstreams, [2], service)


class FullUpstream:
    """Listens, accepts nothing, and has no room for another: whoever connects hears nothing at all."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.waiting = [socket.create_connection(self.listener.getsockname())]
        eventually(self.is_full, "the listener has no room for another")

    def is_full(self):
        # Linux, of a listening socket: tcpi_unacked wait to be accepted, tcpi_sacked is the most of them.
        waiting, most = struct.unpack_from("II", self.listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32), 24)
        return waiting > most

    def close(self):
        for connection in self.waiting:
            connection.close()
        self.listener.close()


class ConnectTest(GatewayTest):
    def full(self):
        upstream = FullUpstream()
        self.addCleanup(upstream.close)
        return upstream

    def nothing_counted(self, account, service):
        account.wait_idle(service)
        self.assertEqual(account.subscription(service)["free_points_left"], 10_000)
        self.assertEqual(set(account.usage(service).values()), {0})
        self.assertEqual(self.admin.metric("upstream_connections", service=service.id), 0)


class Connecting(ConnectTest):
    """The kernel would try for two minutes; the tests' own patience ends long before."""

    sets = {"workers": 1, "timeouts.upstream_connect_ms": 200, "timeouts.upstream_ms": A_DAY_MS,
            "upstreams.eject_after_failures": 1000}

    def test_an_upstream_that_takes_no_connection_is_502_and_no_call(self):
        service, account = self.one(upstreams=[self.full().address], timeout_ms=A_DAY_MS)
        for method, body in (("GET", None), ("POST", b"x" * 100_000)):
            self.refused(account.call(service, method, body), 502, "upstream_unreachable")
        self.nothing_counted(account, service)
        self.assertEqual(self.admin.metric("refusals_total", service=service.id, reason="upstream_unreachable"), 2)

    def test_each_of_several_has_its_time(self):
        service, account = self.one(upstreams=[self.full().address for _ in range(3)])
        self.refused(account.call(service), 502, "upstream_unreachable")
        self.nothing_counted(account, service)

    def test_the_next_upstream_is_tried(self):
        living = GatedUpstream()
        self.addCleanup(living.close)
        service, account = self.one(FAST, paid=True, upstreams=[self.full().address, living.address])
        for _ in range(4):
            self.assertEqual(account.call(service, "POST", b"x", suffix="?quick").body, b"answered")
        eventually(lambda: living.served == 4, lambda: f"four served, {living.served} were")
        account.wait_usage(service, calls_succeeded=4, calls_failed=0)

    def let_the_time_of_connecting_pass(self):
        """By the gateway's own clock: another call's time begins now and is used up."""
        service, account = self.one(upstreams=[self.full().address])
        self.refused(account.call(service), 502, "upstream_unreachable")

    def test_an_upstream_that_only_answers_slowly_has_connected(self):
        slow = GatedUpstream()
        self.addCleanup(slow.close)
        service, account = self.one(FAST, paid=True, upstreams=[slow.address])
        held = Background(account.call, service)
        eventually(lambda: slow.held == 1, "the call is held")
        self.let_the_time_of_connecting_pass()
        slow.open()
        self.assertEqual(held.result().body, b"answered")

    def test_a_body_may_take_longer_than_connecting(self):
        living = GatedUpstream()
        self.addCleanup(living.close)
        service, account = self.one(FAST, paid=True, upstreams=[living.address])
        with Connection(self.port) as connection:
            connection.send(wire.request("POST", service.path + "?quick", self.port, account.key, b"body")[:-1])
            eventually(lambda: living.accepted == 1, "the upstream is connected, the body is not whole")
            self.let_the_time_of_connecting_pass()
            connection.send(b"y")
            self.assertEqual(connection.response().body, b"answered")
        account.wait_usage(service, calls_succeeded=1, calls_failed=0)


class LeavingWhileConnecting(ConnectTest):
    sets = {"timeouts.upstream_connect_ms": A_DAY_MS}

    def test_a_client_that_leaves_gives_its_place_and_its_points_back(self):
        service, account = self.one(AUTODL, upstreams=[self.full().address])
        for leave in (Connection.close, Connection.reset):
            connection = Connection(self.port)
            connection.send(wire.request("POST", service.path, self.port, account.key, b"x"))
            eventually(lambda: account.subscription(service)["in_flight"] == 1, "the call was let in")
            leave(connection)
            self.nothing_counted(account, service)


if __name__ == "__main__":
    unittest.main()
