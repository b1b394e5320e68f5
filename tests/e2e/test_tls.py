"""Calls through TLS: everything that plain HTTP does, and that the end of an answer can be told from a cut, as close_notify
is there for (RFC 8446 6.1). test_tls_handshake.py has names, versions and bad handshakes, test_tls_files.py certificates."""

import socket
import unittest
import zlib

import wire
from gated import GatedUpstream
from harness import AUTODL, at_once, eventually
from tls_case import TLS12, TLS13, TlsTest
from tls_peers import client_context
from wire import ScriptedUpstream, answering

EIGHT_MB = 8 * 1024 * 1024


class Calls(TlsTest):
    def setUp(self):
        self.svc, self.acct = self.one()

    def call(self, client, *arguments, **more):
        return self.ask(client, self.svc, self.acct, *arguments, **more)

    def test_a_call_is_served_counted_and_told_to_be_https(self):
        for version, name in ((TLS12, "TLSv1.2"), (TLS13, "TLSv1.3")):
            with self.subTest(version=name):
                client = self.connect(client_context(self.authority, version))
                self.assertEqual(client.socket.version(), name)
                response = self.call(client, "POST", b"hello")
                self.assertEqual(response.status, 200, response)
                arrived = self.model.entry(response)
                self.assertEqual((arrived["body_bytes"], arrived["headers"]["x-forwarded-proto"]), (5, "https"))
        self.acct.wait_usage(self.svc, calls_succeeded=2, free_points=8)

    def test_the_plain_port_stays_beside_it(self):
        response = self.acct.call(self.svc)
        self.assertEqual(response.status, 200)
        self.assertEqual(self.model.entry(response)["headers"]["x-forwarded-proto"], "http")

    def test_a_client_cannot_say_that_it_is_https(self):
        response = self.acct.call(self.svc, fields={"X-Forwarded-Proto": "https"})
        self.assertEqual(self.model.entry(response)["headers"]["x-forwarded-proto"], "http")

    def test_many_calls_on_one_connection_in_all_framings(self):
        client = self.connect()
        for number in range(30):
            body = (None, b"x" * number, [b"y" * number])[number % 3]
            fields = {"X-Fake-Chunked": "1"} if number % 2 else {}
            response = self.call(client, "POST" if body else "GET", body, fields, f"?n={number}")
            self.assertEqual(response.status, 200)
            self.assertEqual(self.model.entry(response)["target"], f"{self.svc.path}?n={number}")
        self.acct.wait_usage(self.svc, calls_succeeded=30)

    def test_pipelined_calls_that_come_in_one_record_are_all_answered_in_order(self):
        for version in (TLS12, TLS13):
            client = self.connect(client_context(self.authority, version))
            sizes = [number % 7 for number in range(40)]
            client.send(b"".join(self.asked(self.svc, self.acct, fields={"X-Fake-Response-Bytes": size}) for size in sizes))
            self.assertEqual([len(client.response().body) for _ in sizes], sizes)

    def test_pipelined_bodies_around_the_size_of_a_record(self):
        sizes = [0, 1, 16383, 16384, 16385, 32768, 65536, 65537, 3]
        client = self.connect()
        for framed in (lambda size: b"z" * size, lambda size: [b"z" * size]):
            client.send(b"".join(self.asked(self.svc, self.acct, "POST", framed(size)) for size in sizes))
            self.assertEqual([client.response("POST").json()["body_bytes"] for _ in sizes], sizes)

    def test_a_call_in_records_of_one_byte(self):
        client = self.connect()
        for body in (b"hello", [b"he", b"llo"]):
            for byte in self.asked(self.svc, self.acct, "POST", body):
                client.send(bytes([byte]))
            self.assertEqual(client.response("POST").json()["body_bytes"], 5)

    def test_eight_megabytes_there_and_back(self):
        content = bytes(range(256)) * (EIGHT_MB // 256)
        crc = f"{zlib.crc32(content):08x}"
        for version in (TLS12, TLS13):
            for body in (content, [content[:100_000], content[100_000:]]):
                for fields in ({"X-Fake-Response-Bytes": EIGHT_MB}, {"X-Fake-Response-Bytes": EIGHT_MB, "X-Fake-Chunked": "1"}):
                    with self.subTest(version=version, chunked=isinstance(body, list), fields=fields):
                        client = self.connect(client_context(self.authority, version))
                        response = self.call(client, "POST", body, fields)
                        self.assertEqual((response.status, response.truncated), (200, False))
                        self.assertEqual(response.body, (bytes(range(97, 123)) * (EIGHT_MB // 26 + 1))[:EIGHT_MB])
                        arrived = self.model.entry(response)
                        self.assertEqual((arrived["body_bytes"], arrived["body_crc32"]), (EIGHT_MB, crc))

    def test_a_reader_that_takes_its_time_gets_all_of_it(self):
        client = self.connect()
        client.send(self.asked(self.svc, self.acct, fields={"X-Fake-Response-Bytes": EIGHT_MB}))
        response = client.head()
        taken = len(client.read_some())
        while taken < EIGHT_MB:  # in pieces much smaller than a record, and more than all buffers between hold
            taken += len(client.socket.recv(1000))
        self.assertEqual((response.status, taken), (200, EIGHT_MB))

    def test_expect_100_is_answered_before_the_body(self):
        client = self.connect()
        client.send(wire.head("POST", self.svc.path, self.tls_port, self.acct.key, {"Expect": "100-continue", "Content-Length": "5"}))
        self.assertTrue(client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 "))
        client.send(b"hello")
        self.assertEqual(client.response("POST").status, 200)

    def test_streamed_answers_leave_piece_by_piece(self):
        gated = GatedUpstream()
        self.addCleanup(gated.close)
        service, account = self.one(upstreams=[gated.address])
        client = self.connect()
        client.send(self.asked(service, account, suffix="?halfway"))
        self.assertEqual(client.head().status, 200)
        client.read_until(b"half")  # before the rest is let go
        gated.open()
        client.read_until(b"rest")

    def test_many_at_once(self):
        def run(_):
            client = self.connect()
            return [self.call(client, "POST", b"x" * 50_000, {"X-Fake-Response-Bytes": 50_000}).status for _ in range(5)]
        service, account = self.svc, self.acct = self.one(paid=True)
        self.assertEqual(at_once(8, run), [[200] * 5] * 8)
        account.wait_usage(service, calls_succeeded=40)
        account.wait_idle(service)


class Endings(TlsTest):
    def upstream_that_says(self, *answers, forever=False):
        upstream = ScriptedUpstream(answering(*answers, forever=forever))
        self.addCleanup(upstream.close)
        return self.one(upstreams=[upstream.address])

    def test_an_orderly_end_says_so(self):
        service, account = self.one()
        for version in (TLS12, TLS13):
            for how, said in (({"Connection": "close"}, "HTTP/1.1"), ({}, "HTTP/1.0")):
                for size in (0, 5, 1_000_000):
                    with self.subTest(version=version, how=how, size=size):
                        client = self.connect(client_context(self.authority, version))
                        response = self.ask(client, service, account, fields={"X-Fake-Response-Bytes": size, **how}, version=said)
                        self.assertEqual((len(response.body), response.truncated), (size, False))
                        self.assertEqual((client.ending(), client.buffer), ("close_notify", b""))

    def test_so_does_the_end_after_a_refusal(self):
        for asked in (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"\x16\x03\x01 nonsense\r\n\r\n"):
            client = self.connect()
            client.send(asked)
            self.assertEqual(client.response().status, 400)
            self.assertEqual((client.ending(), client.buffer), ("close_notify", b""))

    def test_an_answer_that_ends_with_the_connection_and_is_whole(self):
        service, account = self.upstream_that_says(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        client = self.connect()
        client.send(self.asked(service, account, version="HTTP/1.0"))
        self.assertEqual(client.head().status, 200)
        self.assertEqual((client.ending(), client.buffer), ("close_notify", b"all of it"))

    def test_a_cut_answer_ends_without_the_word(self):
        for what, answer in (("length", b"Content-Length: 100\r\n\r\nten bytes."), ("chunks", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")):
            for said in ("HTTP/1.1", "HTTP/1.0"):
                with self.subTest(what=what, said=said):
                    service, account = self.upstream_that_says(b"HTTP/1.1 200 OK\r\n" + answer)
                    client = self.connect()
                    client.send(self.asked(service, account, version=said))
                    self.assertEqual(client.head().status, 200)
                    self.assertEqual(client.ending(), "cut")

    def test_a_client_that_left_is_seen_and_its_call_is_given_back(self):
        gated = GatedUpstream()
        self.addCleanup(gated.close)
        service, account = self.one(AUTODL, upstreams=[gated.address])
        ways = {"reset": lambda client: client.reset(), "close": lambda client: client.close(),
                "half-close": lambda client: client.socket.shutdown(socket.SHUT_WR),
                "close_notify, then half-close": lambda client: (client.send_close_notify(), socket.socket.shutdown(client.socket, socket.SHUT_WR))}
        for way, leave in ways.items():
            for suffix in ("", "?halfway"):
                with self.subTest(way=way, suffix=suffix):
                    client = self.connect()
                    client.send(self.asked(service, account, suffix=suffix))
                    if suffix:
                        client.read_until(b"half")
                    eventually(lambda: account.subscription(service)["in_flight"] == 1, "the call is on its way")
                    leave(client)
                    account.wait_idle(service)
                    client.close()
        gated.drop()
        self.wait_nobody()
        self.assertEqual(self.ask(self.connect(), *self.one()).status, 200)

    def test_close_notify_behind_a_call_does_not_take_its_answer(self):
        service, account = self.one()
        for version in (TLS12, TLS13):
            client = self.connect(client_context(self.authority, version))
            plain = client.socket
            client.send(self.asked(service, account, "POST", b"hello"))
            client.send_close_notify()
            try:
                answered = client.response("POST").status == 200
            except (AssertionError, OSError):
                answered = None  # Python may not read on after its own word; what counts is below
            self.assertIn(answered, (True, None))
            plain.close()
            account.wait_idle(service)
        self.wait_nobody()


class Idle(TlsTest):
    more_sets = {"timeouts.idle_ms": 300}

    def test_an_idle_connection_is_closed_with_the_word(self):
        client = self.connect()
        self.assertEqual(self.ask(client, *self.one()).status, 200)
        self.assertEqual((client.ending(), client.buffer), ("close_notify", b""))


class Draining(TlsTest):
    def test_what_is_in_flight_is_finished_and_idle_ones_are_closed(self):
        gated = GatedUpstream()
        self.addCleanup(gated.close)
        service, account = self.one(upstreams=[gated.address])
        idle, busy = self.connect(), self.connect()
        self.assertEqual(self.ask(idle, *self.one()).status, 200)
        busy.send(self.asked(service, account))
        eventually(lambda: account.subscription(service)["in_flight"] == 1, "the call is on its way")
        self.gateway.signal(15)
        self.assertEqual(idle.ending(), "close_notify")
        eventually(self.nobody_listens, "the port is closed")
        gated.open()
        response = busy.response()
        self.assertEqual((response.status, response.body), (200, b"answered"))
        self.assertEqual(busy.ending(), "close_notify")
        self.assertEqual(self.gateway.wait_stopped(), 0)
        self.gateway.process = None

    def nobody_listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.tls_port)) != 0


if __name__ == "__main__":
    unittest.main()
