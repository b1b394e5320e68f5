"""What one client address may have: so many connections, so many invalid keys a minute, so slow a pace, so many lines of
the access log. Each bound is met and passed by one, and whoever keeps to the rules is served next to it."""

import os
import select
import shutil
import socket
import tempfile
import time
import unittest

import wire
from harness import AUTODL, GatewayTest, eventually
from wire import Connection


class Connections(GatewayTest):
    sets = {"workers": 2, "limits.connections_per_address_max": 5}

    def test_one_too_many_is_closed_as_it_comes_and_room_comes_back(self):
        service, account = self.one(AUTODL, paid=True)
        asked = wire.request("GET", service.path, self.port, account.key)
        eventually(lambda: self.admin.metric("client_connections") == 0, "no connection is left of the set-up")
        connections = [Connection(self.port) for _ in range(5)]
        try:
            for connection in connections:
                connection.send(asked)
                self.assertEqual(connection.response().status, 200)
            with Connection(self.port) as one_too_many:
                one_too_many.send_all_or_closed(asked)
                self.assertTrue(one_too_many.at_end())
            self.assertEqual(self.admin.metric("client_connections_refused_by_address_total"), 1)
            self.assertEqual(self.admin.metric("client_connections_refused_total"), 0)
        finally:
            for connection in connections:
                connection.close()
        eventually(lambda: self.admin.metric("client_connections") == 0, "they are closed")
        self.assertEqual(account.call(service).status, 200)


class InvalidKeys(GatewayTest):
    sets = {"workers": 2, "limits.key_failures_per_address_max": 3}

    def guess(self, service):
        with Connection(self.port) as connection:
            connection.send(wire.request("GET", service.path, self.port, "no-such-key"))
            response = connection.response()
            if response.status == 429:
                self.assertEqual(response.header("connection"), "close")
                self.assertTrue(connection.at_end())
            return response

    def test_guessing_is_slowed_down_and_a_valid_key_still_works(self):
        service, account = self.one(AUTODL, paid=True)
        answers = [self.guess(service) for _ in range(20)]  # a minute may end among them, once
        slowed = [each for each in answers if each.status == 429]
        self.assertGreaterEqual(len(slowed), 20 - 2 * 3)
        for answer in slowed:
            self.refused(answer, 429, "too_many_failures")
            self.assertTrue(answer.header("retry-after"))
        for answer in answers[:3]:
            self.refused(answer, 401, "invalid_key")
        self.assertEqual(account.call(service).status, 200)
        self.assertEqual(self.admin.metric("refusals_total", service=service.id, reason="too_many_failures"),
                         len(slowed))
        self.assertGreaterEqual(self.admin.metric("key_failures_total"), 20)
        self.model.recorded(1, service.id)


class Pace(GatewayTest):
    """The longest silences allowed are long here: what ends these calls is their pace."""
    sets = {"timeouts.body_ms": 60_000, "timeouts.write_ms": 60_000, "timeouts.rate_grace_ms": 1000,
            "timeouts.body_rate_min_bytes_per_s": 1000, "timeouts.write_rate_min_bytes_per_s": 1000}

    def test_a_body_that_drips_is_408_and_its_place_is_free_again(self):
        service, account = self.one(AUTODL, paid=True)
        with Connection(self.port) as connection:
            connection.send(wire.head("POST", service.path, self.port, account.key, {"Content-Length": "10000"}))

            def answered():
                # What had come before a reset can be read after it: the answer is there, however late this looks.
                connection.send_all_or_closed(b"x")
                return select.select([connection.socket], [], [], 0.05)[0]
            eventually(answered, "a dripping client is answered", within=20)
            response = connection.response()
            self.refused(response, 408, "request_timeout")
            self.assertEqual(response.header("connection"), "close")
        account.wait_idle(service)
        self.assertEqual(account.call(service).status, 200)

    def test_a_client_that_takes_nothing_is_cut(self):
        service, account = self.one(AUTODL, paid=True)
        with Connection(self.port, receive_buffer=4096) as connection:
            connection.send(wire.request("GET", service.path, self.port, account.key,
                                         fields={"X-Fake-Response-Bytes": 64 << 20}))
            self.assertEqual(connection.head().status, 200)
            account.wait_idle(service)
            self.assertLess(len(connection.read_to_end()), 64 << 20)


class PaceOfOthers(GatewayTest):
    """Time in which the gateway waits for an upstream uses up nothing of its client's grace."""
    GRACE_S = 2.0
    sets = {"timeouts.body_ms": 60_000, "timeouts.upstream_connect_ms": 30_000, "timeouts.rate_grace_ms": int(GRACE_S * 1000),
            "timeouts.body_rate_min_bytes_per_s": 1000}

    def test_an_upstream_that_is_slow_to_connect_to_does_not_count_against_a_body(self):
        """A body of three bytes, two of which come when the upstream has been waited for longer than the grace. They earn
        nothing to speak of, so whatever is counted of that time has used up the grace by then."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.addCleanup(listener.close)
        port = listener.getsockname()[1]
        blocker = socket.create_connection(("127.0.0.1", port))  # the queue is full: nobody else is connected
        self.addCleanup(blocker.close)
        service, account = self.one(AUTODL, paid=True, upstreams=[f"127.0.0.1:{port}"])
        with Connection(self.port) as connection:
            connection.send(wire.head("POST", service.path, self.port, account.key, {"Content-Length": "3"}) + b"a")
            eventually(lambda: account.subscription(service)["in_flight"] == 1, "the call was let in")
            self.wait(self.GRACE_S * 1.1)
            listener.accept()[0].close()
            listener.settimeout(wire.TIMEOUT_S)
            with wire.ScriptedUpstream.Peer(listener.accept()[0]) as upstream:  # when the kernel tries again
                upstream.read_until(b"\r\n\r\n")
                connection.send(b"b")
                self.assertEqual(upstream.read_exactly(2), b"ab")
                self.wait(self.GRACE_S / 5)  # some ticks, in each of which a client without grace would be cut
                connection.send(b"c")
                self.assertEqual(upstream.read_exactly(1), b"c")
                upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                self.assertEqual(connection.response().status, 200)

    @staticmethod
    def wait(seconds):
        until = time.monotonic() + seconds
        eventually(lambda: time.monotonic() >= until, f"{seconds} s", within=seconds + 10)


class RefusalLines(GatewayTest):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="tollgate-e2e-log-")
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.log = os.path.join(folder, "log")
        cls.sets = {"workers": 1, "log.access_log": cls.log, "log.access_log_refusals_per_s_max": 1}
        super().setUpClass()

    def lines(self):
        with open(self.log, encoding="utf-8") as log:
            return log.read().count("\n")

    def test_a_flood_of_refusals_leaves_few_lines_and_a_call_always_has_its_own(self):
        service, account = self.one(AUTODL, paid=True)
        refused = 500
        before = self.lines()
        with Connection(self.port) as connection:
            for _ in range(refused):
                connection.send(wire.request("GET", "/nowhere", self.port, account.key))
                self.assertEqual(connection.response().status, 404)
                connection.send(wire.request("GET", service.path, self.port, account.key))
                self.assertEqual(connection.response().status, 200)
        requests = int(self.admin.metric("requests_total"))

        def all_accounted_for():
            return self.lines() + int(self.admin.metric("access_log_left_out_total")) == requests
        eventually(all_accounted_for, lambda: f"{requests} requests: {self.lines()} lines and the rest counted")
        self.assertGreaterEqual(self.lines() - before, refused)  # one for each call that was served
        self.assertGreater(self.admin.metric("access_log_left_out_total"), 0)
        eventually(lambda: "left out" in self.gateway.stderr(), "the process's log says so once a second")


if __name__ == "__main__":
    unittest.main()
