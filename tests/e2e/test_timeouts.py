"""Everything that a client may hold has an end: heads, bodies, idle and stuck connections, their number, and the calls
on one. Each limit is met and passed by one, and a normal call works after it."""

import resource
import time
import unittest

import wire
from harness import AUTODL, GatewayTest, Tollgate, eventually
from wire import Connection


class Timeouts(GatewayTest):
    sets = {"timeouts.head_ms": 400, "timeouts.idle_ms": 1200, "timeouts.body_ms": 1500, "timeouts.write_ms": 700,
            "limits.connections_max": 30, "limits.requests_per_connection_max": 5}

    def setUp(self):
        self.svc, self.acct = self.one(AUTODL, paid=True)

    def tearDown(self):
        self.assertEqual(self.acct.call(self.svc).status, 200, "a normal call works after it")
        self.acct.wait_idle(self.svc)

    def ended(self, connection, at_least, at_most=8.0):
        """How the connection ended: what was answered before; asserts when."""
        began = time.monotonic()
        answer = connection.read_to_end()
        took = time.monotonic() - began
        self.assertGreaterEqual(took, at_least)
        self.assertLess(took, at_most)
        return answer

    def test_a_slow_head_is_408_or_a_close(self):
        with Connection(self.port) as connection:
            connection.send(f"GET {self.svc.path} HTTP/1.1\r\nHost: a\r\n")
            self.assertIn(self.ended(connection, 0.2)[:12], (b"", b"HTTP/1.1 408"))

    def test_a_head_dripped_by_the_byte_does_not_extend_its_time(self):
        with Connection(self.port) as connection:
            connection.socket.settimeout(0.05)
            began, sent = time.monotonic(), 0

            def cut():
                nonlocal sent
                try:
                    connection.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-A: "[sent:sent + 1] or b"a")
                    sent += 1
                    return connection.socket.recv(100) is not None
                except TimeoutError:
                    return False
                except OSError:
                    return True
            eventually(cut, "a dripping client is cut", within=8)
            self.assertLess(time.monotonic() - began, 6)

    def test_an_idle_connection_is_closed_before_and_after_a_call(self):
        with Connection(self.port) as connection:
            self.assertIn(self.ended(connection, 0.2)[:12], (b"", b"HTTP/1.1 408"))
        with Connection(self.port) as connection:
            connection.send(wire.request("GET", self.svc.path, self.port, self.acct.key))
            self.assertEqual(connection.response().status, 200)
            self.assertEqual(self.ended(connection, 0.6), b"")

    def test_a_body_that_stops_is_408_or_a_close_and_the_permit_is_back(self):
        for fields in ({"Content-Length": "100"}, {"Transfer-Encoding": "chunked"}):
            with Connection(self.port) as connection:
                part = b"x" * 10 if "Content-Length" in fields else b"64\r\n" + b"x" * 10
                connection.send(wire.head("POST", self.svc.path, self.port, self.acct.key, fields) + part)
                self.assertIn(self.ended(connection, 0.2)[:12], (b"", b"HTTP/1.1 408"))
            self.acct.wait_idle(self.svc)
        self.assertEqual([each for each in self.model.record(self.svc.id) if each["served"]], [])

    def test_a_slow_body_that_keeps_moving_is_no_timeout(self):
        with Connection(self.port) as connection:
            connection.send(wire.head("POST", self.svc.path, self.port, self.acct.key, {"Content-Length": "8"}))
            began, sent = time.monotonic(), 0

            def part():
                nonlocal sent
                if time.monotonic() - began > 0.3 * sent:
                    connection.send(b"x")
                    sent += 1
                return sent == 8
            eventually(part, "eight bytes sent")
            self.assertEqual(connection.response().json()["body_bytes"], 8)

    def test_a_client_that_takes_nothing_is_cut(self):
        with Connection(self.port, receive_buffer=4096) as connection:
            connection.send(wire.request("GET", self.svc.path, self.port, self.acct.key,
                                         fields={"X-Fake-Response-Bytes": 64 << 20}))
            eventually(lambda: self.acct.subscription(self.svc)["in_flight"] == 1, "in flight")
            self.acct.wait_idle(self.svc)
            self.assertLess(len(connection.read_to_end()), 64 << 20)

    def test_calls_per_connection_are_limited(self):
        with Connection(self.port) as connection:
            for number in range(1, 6):
                connection.send(wire.request("GET", self.svc.path, self.port, self.acct.key))
                response = connection.response()
                self.assertEqual(response.status, 200)
                self.assertEqual(response.header("connection") == "close", number == 5)
            self.assertTrue(connection.at_end())

    def test_connections_beyond_the_maximum_are_turned_away_and_room_comes_back(self):
        connections = [Connection(self.port) for _ in range(60)]
        try:
            answers = 0
            for connection in connections:
                connection.send_all_or_closed(wire.request("GET", self.svc.path, self.port, self.acct.key))
                try:
                    answers += connection.response().status == 200
                except wire.Closed:
                    pass
            self.assertGreaterEqual(answers, 20)
            self.assertLessEqual(answers, 60)
            self.assertLessEqual(self.admin.metric("client_connections"), 30)
        finally:
            for connection in connections:
                connection.close()

        def served():
            try:
                return self.acct.call(self.svc).status == 200
            except (OSError, wire.Closed):
                return False
        eventually(served, "room again")


class Descriptors(GatewayTest):
    def test_running_out_of_descriptors_is_survived(self):
        service, account = self.one(AUTODL, paid=True)
        resource.prlimit(self.gateway.process.pid, resource.RLIMIT_NOFILE, (64, 64))
        connections = []
        try:
            for _ in range(120):
                connections.append(Connection(self.port, timeout=5))
                connections[-1].send_all_or_closed(b"GET")
            before = self.gateway_cpu()
            eventually(lambda: time.monotonic() and self.gateway.alive() and self.seconds(1.0), "a second passed")
            self.assertLess(self.gateway_cpu() - before, 0.7, "it spins while it has no descriptors")
        finally:
            for connection in connections:
                connection.close()

        def served():
            try:
                return account.call(service, timeout=5).status == 200
            except (OSError, AssertionError):
                return False
        eventually(served, "a normal call afterwards", within=20)

    def seconds(self, count):
        self.since = getattr(self, "since", time.monotonic())
        return time.monotonic() - self.since >= count

    def gateway_cpu(self):
        """Seconds of processor time that the gateway has used."""
        with open(f"/proc/{self.gateway.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def test_memory_stays_flat_under_a_large_answer_and_a_large_upload(self):
        gateway = Tollgate()
        self.addCleanup(gateway.close)
        gateway.start()
        with open(f"/proc/{gateway.process.pid}/maps", encoding="utf-8") as maps:
            if "libasan" in maps.read():
                self.skipTest("the sanitizer keeps freed memory")
        gateway.admin.put_service("s", AUTODL, [self.model.address], "/s")
        gateway.admin.put_account("a")
        gateway.admin.put_subscription("a", "s", True)
        key = gateway.admin.create_key("a")["key"]
        eventually(lambda: wire.call(gateway.port, "/s", key).status == 200, "served")

        def peak_kb():
            with open(f"/proc/{gateway.process.pid}/status", encoding="ascii") as status:
                return int(next(line for line in status if line.startswith("VmHWM")).split()[1])
        before = peak_kb()
        with Connection(gateway.port) as connection:
            connection.send(wire.request("GET", "/s", gateway.port, key, fields={"X-Fake-Response-Bytes": 200 << 20}))
            connection.head()
            left = (200 << 20) - len(connection.buffer)
            connection.buffer = b""
            while left > 0:
                left -= len(connection.read_some())
        with Connection(gateway.port) as connection:
            connection.send(wire.head("POST", "/s", gateway.port, key, {"Content-Length": str(100 << 20)}))
            for _ in range(100):
                connection.send(b"x" * (1 << 20))
            self.assertEqual(connection.response().json()["body_bytes"], 100 << 20)
        self.assertLess(peak_kb() - before, 30_000, "kilobytes of memory grew with the size of a body")


if __name__ == "__main__":
    unittest.main()
