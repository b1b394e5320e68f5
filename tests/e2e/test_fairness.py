"""Whoever keeps to the rules is not hurt: by being slow but steady, by the other direction of his own connection, by a
pause of the process, by those who hold the last descriptors."""

import contextlib
import json
import os
import shutil
import tempfile
import threading
import time
import unittest

import wire
from harness import AUTODL, FAST, GatewayTest, Tollgate, eventually, pass_time
from wire import Connection, ScriptedUpstream


def lines_of(path):
    with open(path, encoding="utf-8") as log:
        return [json.loads(line) for line in log.read().rpartition("\n")[0].split("\n") if line]


class Lines(GatewayTest):
    """One worker, and the lines of its access log."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="tollgate-e2e-log-")
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.log = os.path.join(folder, "log")
        cls.sets = {"workers": 1, "log.access_log": cls.log, "limits.key_failures_per_address_max": 0,
                    "log.access_log_refusals_per_s_max": 1}
        super().setUpClass()

    def test_strangers_use_up_no_line_of_a_customer(self):
        service, account = self.one(AUTODL, paid=True)
        broken = ScriptedUpstream(lambda peer, _number: peer.close())
        dead, customer = self.one(AUTODL, paid=True, upstreams=[broken.address])
        broken.close()
        with Connection(self.port) as stranger:
            for _ in range(50):
                stranger.send(wire.request("GET", service.path, self.port))
                self.assertEqual(stranger.response().status, 401)
            answers = [customer.call(dead) for _ in range(5)]
        self.assertEqual({answer.status for answer in answers}, {502})
        wanted = {answer.header("x-request-id") for answer in answers}
        eventually(lambda: wanted <= {line["request_id"] for line in lines_of(self.log)}, "each failed call's line")

    def test_a_bad_head_has_no_path_of_another(self):
        def lines_of_bad_heads():
            with Connection(self.port) as connection:  # mostly one line is left out, or both
                connection.send(wire.request("GET", "/secret", self.port))
                self.assertEqual(connection.response().status, 401)
                pass_time(0.02)  # so that mostly this one is the first of a new second
                connection.send(b"BAD\x01HEAD\r\n\r\n")
                self.assertEqual(connection.response().status, 400)
            lines = lines_of(self.log)
            after_one_left_out = [line for line in lines if line["outcome"] == "bad_request"]
            return after_one_left_out if len(after_one_left_out) >= 2 else None
        for line in eventually(lines_of_bad_heads, "lines of bad heads", within=30):
            self.assertEqual((line["method"], line["path"], line["trace_id"]), ("", "", ""))


class MissingKeys(GatewayTest):
    sets = {"workers": 1, "limits.key_failures_per_address_max": 3}

    def test_a_missing_key_counts_as_an_invalid_one(self):
        for _ in range(2 * 3 + 1):  # a minute may end among them, once
            with Connection(self.port) as connection:
                connection.send(wire.request("GET", "/", self.port))
                answer = connection.response()
        self.refused(answer, 429, "too_many_failures")


class Directions(GatewayTest):
    """An answer that begins before its request's body has ended: each direction keeps its own deadline."""
    sets = {"timeouts.body_ms": 1000, "timeouts.write_ms": 1000, "timeouts.rate_grace_ms": 60_000}

    def early(self, size):
        """An upstream that answers at once, with so many bytes, and reads on."""
        def script(peer, _number):
            peer.read_until(b"\r\n\r\n")
            answer = threading.Thread(target=lambda: peer.send_all_or_closed(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size), daemon=True)
            answer.start()
            peer.read_to_end()
        upstream = ScriptedUpstream(script)
        self.addCleanup(upstream.close)
        return self.one(AUTODL, paid=True, upstreams=[upstream.address])

    def test_who_sends_but_takes_nothing_is_cut(self):
        service, account = self.early(32 << 20)
        with Connection(self.port, receive_buffer=4096) as connection:
            connection.send(wire.head("POST", service.path, self.port, account.key, {"Content-Length": "100000"}))

            def ended():
                try:
                    connection.socket.send(b"x")
                except OSError:
                    return True
                return account.subscription(service)["in_flight"] == 0
            eventually(ended, "the call has ended", within=20, every=0.1)
        account.wait_idle(service)

    def test_who_takes_but_sends_nothing_is_cut(self):
        size = 64 << 20
        service, account = self.early(size)
        with Connection(self.port) as connection:
            connection.send(wire.head("POST", service.path, self.port, account.key, {"Content-Length": "100000"}))
            self.assertEqual(connection.head().status, 200)
            taken = 0
            try:  # slowly, so that the answer is under way when the body's time is over
                while taken < size:
                    taken += len(connection.read_some())
                    pass_time(0.005)
            except (OSError, wire.Closed):
                pass
            self.assertLess(taken, size)
            account.wait_idle(service)
        eventually(lambda: account.usage(service)["calls_failed"] + account.usage(service)["calls_succeeded"] == 1,
                   "it is counted once")


class SteadyReaders(GatewayTest):
    sets = {"timeouts.write_ms": 3000, "timeouts.rate_grace_ms": 60_000}

    def test_who_takes_a_little_all_the_time_gets_everything(self):
        service, account = self.one(AUTODL, paid=True)
        size = 4 << 20
        with Connection(self.port, receive_buffer=16 * 1024) as connection:
            connection.send(wire.request("GET", service.path, self.port, account.key,
                                         fields={"X-Fake-Response-Bytes": size}))
            response = connection.head()
            taken, begun = 0, time.monotonic()
            # Far less than what the kernel frees before it says that a socket has room, over twice the longest silence.
            while time.monotonic() < begun + 7:
                taken += len(connection.read_exactly(2048))
                pass_time(0.1)
            connection.socket.setsockopt(wire.socket.SOL_SOCKET, wire.socket.SO_RCVBUF, 1 << 20)
            taken += len(connection.read_exactly(size - taken))
        self.assertEqual((response.status, taken), (200, size))
        eventually(lambda: account.usage(service)["calls_succeeded"] == 1, "it succeeded")


class Queues(GatewayTest):
    sets = {"timeouts.write_ms": 1000}

    def queued(self, port):
        """The bytes that the kernel keeps for sockets to that port of a client, whoever owns them."""
        total = 0
        with open("/proc/net/tcp", encoding="ascii") as table:
            for line in table.readlines()[1:]:
                _, local, remote, _, queues, *_ = line.split()
                if int(local.split(":")[1], 16) == self.port and int(remote.split(":")[1], 16) == port:
                    total += int(queues.split(":")[0], 16)
        return total

    def test_nothing_is_kept_for_a_client_that_was_cut(self):
        service, account = self.one(AUTODL, paid=True)
        with Connection(self.port, receive_buffer=4096) as connection:
            port = connection.socket.getsockname()[1]
            connection.send(wire.request("GET", service.path, self.port, account.key,
                                         fields={"X-Fake-Response-Bytes": 64 << 20}))
            self.assertEqual(connection.head().status, 200)
            eventually(lambda: self.queued(port) > 0, "the answer waits")
            account.wait_idle(service)
            eventually(lambda: self.queued(port) == 0, "nothing waits any more")


class Cuts(GatewayTest):
    def test_a_cut_answer_that_ends_with_the_connection_ends_with_a_reset(self):
        upstream = ScriptedUpstream(wire.answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                                                   forever=False))
        self.addCleanup(upstream.close)
        service, account = self.one(AUTODL, paid=True, upstreams=[upstream.address])
        with Connection(self.port) as connection:
            connection.send(wire.request("GET", service.path, self.port, account.key, version="HTTP/1.0"))
            with self.assertRaises(ConnectionResetError):
                while connection.socket.recv(1000):
                    pass


class Pauses(GatewayTest):
    sets = {"workers": 1, "timeouts.upstream_ms": 500, "timeouts.body_ms": 500}

    def test_what_came_during_a_pause_of_the_process_is_not_late(self):
        pairs = 10
        asked, answer, answered = (threading.Semaphore(0) for _ in range(3))

        def script(peer, _number):
            while peer.request() is not None:
                asked.release()
                answer.acquire(timeout=wire.TIMEOUT_S)
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                answered.release()
        upstream = ScriptedUpstream(script)
        self.addCleanup(upstream.close)
        service, account = self.one(FAST, paid=True, upstreams=[upstream.address])
        plain, other = self.one(FAST, paid=True)
        self.addCleanup(lambda: [answer.release() for _ in range(2 * pairs)])
        # All wait when the process stops: some for an answer, some for the rest of a body.
        waiting = [Connection(self.port) for _ in range(pairs)]
        sending = [Connection(self.port) for _ in range(pairs)]
        with contextlib.ExitStack() as open_ones:
            for connection in waiting + sending:
                open_ones.enter_context(connection)
            half = wire.request("POST", plain.path, self.port, other.key, b"0123456789")
            for connection in sending:
                connection.send(half[:-5])
            eventually(lambda: other.subscription(plain)["in_flight"] == pairs, "their heads are on their way")
            for connection in waiting:
                connection.send(wire.request("GET", service.path, self.port, account.key))
            for _ in waiting:
                self.assertTrue(asked.acquire(timeout=wire.TIMEOUT_S))
            with self.gateway.paused():
                for connection in sending:
                    connection.send(half[-5:])
                for _ in waiting:
                    answer.release()
                for _ in waiting:
                    self.assertTrue(answered.acquire(timeout=wire.TIMEOUT_S))
                pass_time(1.5)  # all deadlines are over
            self.assertEqual([connection.response().status for connection in waiting], [200] * pairs)
            self.assertEqual([connection.response().status for connection in sending], [200] * pairs)


class Descriptors(GatewayTest):
    def gateway_of(self, descriptors):
        gateway = Tollgate({"workers": 1})
        self.addCleanup(gateway.close)
        gateway.prefix = ["prlimit", f"--nofile={descriptors}:{descriptors}"]
        gateway.start()
        gateway.admin.put_account("a")
        self.key = gateway.admin.create_key("a")["key"]
        return gateway

    def put(self, gateway, service):
        gateway.admin.put_service(service, AUTODL, [self.model.address], "/" + service)
        gateway.admin.put_subscription("a", service, True)
        eventually(lambda: wire.call(gateway.port, "/" + service, self.key).status == 200, "the service is known")

    def test_who_holds_connections_to_the_admin_api_leaves_room_for_calls(self):
        gateway = self.gateway_of(120)
        self.put(gateway, "s")
        silent = [Connection(gateway.admin.port) for _ in range(110)]
        try:
            for _ in range(5):
                self.assertEqual(wire.call(gateway.port, "/s", self.key).status, 200)
        finally:
            for connection in silent:
                connection.close()

    def test_kept_connections_of_one_service_make_room_for_another(self):
        gateway = self.gateway_of(80)
        services = [f"s{number}" for number in range(60)]
        with Connection(gateway.port) as connection:
            for service in services:
                self.put(gateway, service)
                connection.send(wire.request("GET", "/" + service, gateway.port, self.key))
                self.assertEqual(connection.response().status, 200)


if __name__ == "__main__":
    unittest.main()
