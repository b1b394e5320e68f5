"""What goes through: methods, framings both ways, keep-alive, pipelining, interim answers, large bodies, streams. The
upstream's record says what arrived; nothing may be changed, lost, delayed or charged to another account."""

import http.client
import os
import subprocess
import tempfile
import threading
import unittest
import zlib

import wire
from harness import FAST, Background, GatewayTest, at_once
from wire import Connection, ScriptedUpstream, answering, png


class Calls(GatewayTest):
    def setUp(self):
        self.svc, self.acct = self.one()

    def open(self):
        connection = Connection(self.port)
        self.addCleanup(connection.close)
        return connection

    def send(self, connection, method="GET", body=None, fields=(), suffix="", version="HTTP/1.1"):
        connection.send(wire.request(method, self.svc.path + suffix, self.port, self.acct.key, body, fields, version))

    def test_methods_and_targets_arrive_as_they_were_sent(self):
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            for suffix in ("", "/a/b", "/x?q=1&r=%20%E5%85%AC", "/.well-known/~x?a=/b"):
                with self.subTest(method=method, suffix=suffix):
                    response = self.acct.call(self.svc, method, b"body" if method != "GET" else None, suffix=suffix)
                    self.assertEqual(response.status, 200, response)
                    last = self.model.entry(response)
                    self.assertEqual((last["method"], last["target"]), (method, self.svc.path + suffix))
                    self.assertEqual(last["body_bytes"], 0 if method == "GET" else 4)

    def test_a_picture_by_curl_python_and_raw_sockets_gets_the_same_answer(self):
        picture = png(120, 80)
        crc = f"{zlib.crc32(picture):08x}"
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            file.write(picture)
            file.flush()
            curl = subprocess.run(
                ["curl", "-sS", "--max-time", "30", "--data-binary", f"@{file.name}", "-H", "Content-Type: image/png",
                 "-H", f"Authorization: Bearer {self.acct.key}", f"http://127.0.0.1:{self.port}{self.svc.path}"],
                capture_output=True, check=True).stdout
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        bodies = [curl]
        for _ in range(3):  # keep-alive
            connection.request("POST", self.svc.path, picture, {"X-Api-Key": self.acct.key})
            bodies.append(connection.getresponse().read())
        connection.close()
        bodies.append(self.acct.call(self.svc, "POST", picture).body)
        bodies.append(self.acct.call(self.svc, "POST", [picture[:7], picture[7:5000], picture[5000:]]).body)
        self.assertEqual(len(set(bodies)), 1)
        self.assertIn(crc.encode(), bodies[0])
        arrived = self.model.recorded(6, self.svc.id)
        self.assertEqual({(each["body_crc32"], each["body_bytes"]) for each in arrived}, {(crc, len(picture))})
        self.acct.wait_usage(self.svc, calls_succeeded=6, free_points=24)

    def test_curl_waits_for_100_continue_and_uploads(self):
        with tempfile.NamedTemporaryFile() as file:
            content = os.urandom(3_000_000)
            file.write(content)
            file.flush()
            crc = zlib.crc32(content)
            for framing in ([], ["-H", "Transfer-Encoding: chunked"]):
                out = subprocess.run(
                    ["curl", "-sS", "--max-time", "60", "-T", file.name, "-H", "Expect: 100-continue", *framing,
                     "--expect100-timeout", "30", "-H", f"X-Api-Key: {self.acct.key}",
                     f"http://127.0.0.1:{self.port}{self.svc.path}"], capture_output=True, check=True)
                self.assertIn(f"{crc:08x}".encode(), out.stdout)

    def test_answers_of_every_size_in_both_framings(self):
        for size in (0, 1, 13, 4096, 65535, 65536, 1_000_003):
            expected = bytes(b"abcdefghijklmnopqrstuvwxyz"[i % 26] for i in range(min(size, 26))) * (size // 26 + 1)
            for fields in ({}, {"X-Fake-Chunked": "1"}, {"X-Fake-No-Length": "1"}):
                with self.subTest(size=size, fields=fields):
                    response = self.acct.call(self.svc, fields={"X-Fake-Response-Bytes": size, **fields})
                    self.assertEqual((response.status, response.truncated), (200, False))
                    self.assertEqual(response.body, expected[:size])

    def test_keep_alive_serves_many_calls_on_one_connection(self):
        connection = self.open()
        for number in range(50):
            body = (None, b"x" * number, [b"y" * number])[number % 3]
            fields = {"X-Fake-Chunked": "1"} if number % 2 else {}
            self.send(connection, "POST" if body else "GET", body, fields, f"?n={number}")
            response = connection.response()
            self.assertEqual(response.status, 200)
            self.assertEqual(self.model.entry(response)["target"], f"{self.svc.path}?n={number}")
        self.acct.wait_usage(self.svc, calls_succeeded=50)

    def test_connection_close_is_honoured(self):
        connection = self.open()
        self.send(connection, fields={"Connection": "close"})
        response = connection.response()
        self.assertEqual(response.header("connection"), "close")
        self.assertTrue(connection.at_end())

    def test_http_1_0_clients(self):
        connection = self.open()
        self.send(connection, version="HTTP/1.0", fields={"X-Fake-Chunked": "1", "X-Fake-Response-Bytes": "1000"})
        response = connection.response()
        self.assertEqual((response.status, len(response.body)), (200, 1000))
        self.assertIsNone(response.header("transfer-encoding"), "a 1.0 client knows no chunks")
        self.assertTrue(connection.at_end())
        connection = self.open()
        self.send(connection, "POST", b"abc", version="HTTP/1.0")
        self.assertEqual(connection.response().json()["body_bytes"], 3)
        self.assertTrue(connection.at_end())

    def test_head_204_and_304_have_no_body_and_keep_the_connection(self):
        connection = self.open()
        self.send(connection, "HEAD", fields={"X-Fake-Response-Bytes": "1000"})
        response = connection.response("HEAD")
        self.assertEqual((response.status, response.header("content-length")), (200, "1000"))
        for status in (204, 304):
            self.send(connection, fields={"X-Fake-Status": status})
            response = connection.response()
            self.assertEqual((response.status, response.header("transfer-encoding")), (status, None))
            self.assertIn(response.header("content-length"), (None, "0"))
        self.send(connection, "HEAD", fields={"X-Fake-Chunked": "1"})
        self.assertEqual(connection.response("HEAD").status, 200)
        self.send(connection)
        self.assertEqual(connection.response().status, 200)
        self.assertEqual(connection.buffer, b"")

    def test_early_hints_pass_or_are_dropped_but_never_confuse(self):
        connection = self.open()
        for interim in ("103", "102"):
            self.send(connection, fields={"X-Fake-1xx": interim})
            response = connection.response()
            self.assertEqual(response.status, 200)
            self.assertTrue(all(each.status == int(interim) for each in response.interim), response.interim)
        connection = self.open()
        self.send(connection, fields={"X-Fake-1xx": "103"}, version="HTTP/1.0")
        response = connection.response()
        self.assertEqual((response.status, response.interim), (200, []), "no 1xx to a 1.0 client")

    def test_expect_100_continue(self):
        connection = self.open()
        connection.send(wire.head("POST", self.svc.path, self.port, self.acct.key,
                                  {"Content-Length": "5", "Expect": "100-continue"}))
        self.assertTrue(connection.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100"))
        connection.send(b"hello")
        self.assertEqual(connection.response().json()["body_bytes"], 5)
        self.send(connection, "POST", b"again", {"Expect": "100-continue"})  # one that does not wait
        response = connection.response()
        self.assertEqual((response.status, response.json()["body_bytes"]), (200, 5))
        self.send(connection)
        self.assertEqual(connection.response().status, 200)

    def test_an_unknown_expectation_is_417_and_reaches_nobody(self):
        self.assertEqual(self.acct.call(self.svc, "POST", b"x", {"Expect": "a-pony"}).status, 417)
        self.assertEqual(self.model.record(self.svc.id), [])

    def test_pipelined_calls_of_different_keys_are_answered_in_order_and_charged_apart(self):
        accounts = [self.account(self.svc) for _ in range(5)]
        burst, expected = b"", []
        for number in range(50):
            account = accounts[number * 3 % 5]
            body = None if number % 2 else (b"%03d" % number if number % 4 else [b"%03d" % number, b"z" * number])
            fields = {"X-Fake-Response-Bytes": 100 + number, "X-Fake-Chunked": int(number % 3 == 2)}
            burst += wire.request("POST" if body else "GET", f"{self.svc.path}?n={number}", self.port, account.key,
                                  body, fields)
            expected.append(account.id)
        connection = self.open()
        sender = Background(connection.send, burst)
        for number in range(50):
            response = connection.response()
            self.assertEqual((response.status, len(response.body)), (200, 100 + number))
        sender.result()
        arrived = {each["target"]: each["headers"]["x-account"] for each in self.model.recorded(50, self.svc.id)}
        self.assertEqual([arrived[f"{self.svc.path}?n={number}"] for number in range(50)], expected)
        for account in accounts:
            account.wait_usage(self.svc, calls_succeeded=10, free_points=40)

    def test_a_request_cut_at_every_byte_is_the_same_request(self):
        whole = wire.request("POST", self.svc.path + "?cut=1", self.port, self.acct.key, [b"hello", b"world"])
        connection = self.open()
        for cut in range(1, len(whole), 3):
            connection.send(whole[:cut])
            connection.send(whole[cut:])
            self.assertEqual(connection.response().json()["body_bytes"], 10, f"cut at {cut}")
        for index in range(len(whole)):
            connection.send(whole[index:index + 1])
        response = connection.response()
        self.assertEqual(response.json()["body_crc32"], f"{zlib.crc32(b'helloworld'):08x}")

    def test_twenty_megabytes_up_arrive_whole(self):
        body = os.urandom(1 << 20) * 20
        crc = f"{zlib.crc32(body):08x}"
        parts = [body[at:at + 777_777] for at in range(0, len(body), 777_777)]
        for each in (body, parts):
            response = self.acct.call(self.svc, "POST", each, timeout=60)
            self.assertEqual(response.status, 200, response)
            self.assertEqual((response.json()["body_crc32"], response.json()["body_bytes"]), (crc, len(body)))

    def test_four_uploads_of_five_megabytes_at_once(self):
        def upload(index):
            body = bytes([index]) * (5 << 20)
            return self.acct.call(self.svc, "POST", body, timeout=60).json()["body_crc32"] == f"{zlib.crc32(body):08x}"
        self.assertEqual(at_once(4, upload), [True] * 4)

    def test_an_answer_that_comes_before_the_body_was_sent_is_relayed(self):
        connection = self.open()
        connection.send(wire.head("POST", self.svc.path, self.port, self.acct.key,
                                  {"Content-Length": "1000000", "X-Fake-Early": "1"}) + b"x" * 1000)
        response = connection.response()
        self.assertEqual((response.status, response.truncated), (200, False))

    def test_a_million_bytes_in_one_byte_chunks(self):
        body = b"1\r\nx\r\n" * (1 << 20) + b"0\r\n\r\n"
        connection = self.open()
        chunked = {"Transfer-Encoding": "chunked"}
        connection.send(wire.head("POST", self.svc.path, self.port, self.acct.key, chunked) + body)
        self.assertEqual(connection.response().json()["body_bytes"], 1 << 20)


class Streams(GatewayTest):
    def test_server_sent_events_pass_without_delay(self):
        """The upstream holds each event back until the client has read the one before: any buffering hangs."""
        read = [threading.Event() for _ in range(5)]

        def script(peer, _number):
            peer.request()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for index, event in enumerate(read):
                peer.send(wire.chunks(b"data: %d\n\n" % index)[:-5])
                if not event.wait(20):
                    return
            peer.send(b"0\r\n\r\n")
        upstream = ScriptedUpstream(script)
        self.addCleanup(upstream.close)
        service, account = self.one(upstreams=[upstream.address])
        with Connection(self.port) as connection:
            connection.send(wire.request("POST", service.path, self.port, account.key, b"{}"))
            response = connection.head()
            self.assertEqual(response.header("content-type"), "text/event-stream")
            for index, event in enumerate(read):
                self.assertEqual(connection.chunk(), b"data: %d\n\n" % index)
                event.set()
            self.assertEqual(connection.chunk(), b"")
        account.wait_usage(service, calls_succeeded=1)

    def test_the_head_alone_passes_before_any_body(self):
        seen = threading.Event()

        def script(peer, _number):
            peer.request()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            seen.wait(20)
            peer.send(b"ok")
        upstream = ScriptedUpstream(script)
        self.addCleanup(upstream.close)
        service, account = self.one(upstreams=[upstream.address])
        with Connection(self.port) as connection:
            connection.send(wire.request("GET", service.path, self.port, account.key))
            response = connection.head()
            seen.set()
            self.assertEqual(connection.body(response).body, b"ok")

    def test_a_request_body_streams_while_it_is_still_being_sent(self):
        first = threading.Event()

        def script(peer, _number):
            peer.read_until(b"\r\n\r\n")
            self.assertEqual(peer.chunk(), b"part one")
            first.set()
            while peer.chunk():
                pass
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        upstream = ScriptedUpstream(script)
        self.addCleanup(upstream.close)
        service, account = self.one(upstreams=[upstream.address])
        with Connection(self.port) as connection:
            connection.send(wire.head("POST", service.path, self.port, account.key, {"Transfer-Encoding": "chunked"})
                            + b"8\r\npart one\r\n")
            self.assertTrue(first.wait(20), "the first part did not reach the upstream")
            connection.send(b"8\r\npart two\r\n0\r\n\r\n")
            self.assertEqual(connection.response().body, b"ok")
        self.assertEqual(upstream.errors, [])

    def test_events_of_the_fake_model_arrive_complete(self):
        service, account = self.one()
        response = account.call(service, "POST", b"{}", {"X-Fake-Sse": "20", "X-Fake-Interval-Ms": "5"})
        self.assertEqual(response.body.count(b"data: "), 21)
        self.assertTrue(response.body.endswith(b"data: [DONE]\n\n"))

    def test_back_pressure_reaches_the_upstream(self):
        """A client that does not read: the upstream can write only what buffers hold, not the whole 64 MB."""
        import socket
        progress, wrote = threading.Event(), [0]

        def script(peer, _number):
            peer.request()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
            peer.socket.settimeout(1.0)
            try:
                while wrote[0] < 64 << 20:
                    wrote[0] += peer.socket.send(b"x" * 65536)
            except socket.timeout:
                progress.set()
                peer.socket.settimeout(30)
                while wrote[0] < 64 << 20:
                    wrote[0] += peer.socket.send(b"x" * min(65536, (64 << 20) - wrote[0]))
        upstream = ScriptedUpstream(script)
        self.addCleanup(upstream.close)
        service, account = self.one(upstreams=[upstream.address])
        with Connection(self.port, receive_buffer=65536) as connection:
            connection.send(wire.request("GET", service.path, self.port, account.key))
            response = connection.head()
            self.assertTrue(progress.wait(20), f"the upstream could write {wrote[0]} bytes that nobody read")
            self.assertLess(wrote[0], 32 << 20)
            total = len(connection.buffer)
            connection.buffer = b""
            while total < 64 << 20:
                total += len(connection.read_some())
            self.assertEqual(total, 64 << 20)
        account.wait_usage(service, calls_succeeded=1)

    def test_a_body_that_ends_with_the_connection(self):
        upstream = ScriptedUpstream(answering(b"HTTP/1.1 200 OK\r\n\r\nto the end", forever=False))
        self.addCleanup(upstream.close)
        service, account = self.one(model=FAST, upstreams=[upstream.address])
        self.assertEqual(account.call(service).body, b"to the end")
        account.wait_usage(service, calls_succeeded=1)


if __name__ == "__main__":
    unittest.main()
