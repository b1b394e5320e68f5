#!/usr/bin/env python3
"""The fake model does what bench/fake_model/README.md says: fake_model_test.py PROGRAM. Tests of others stand on it."""
import json
import os
import socket
import subprocess
import sys
import tempfile
import unittest
import zlib

PROGRAM = sys.argv.pop() if len(sys.argv) > 1 else "build/dev/bench/fake_model/fake_model"
TIMEOUT_S = 20


class FakeModelTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.record = os.path.join(self.folder.name, "record")
        self.process = subprocess.Popen([PROGRAM, "--record", self.record], stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.stop)
        self.port = int(self.process.stdout.readline())

    def stop(self):
        self.process.terminate()
        self.assertEqual(0, self.process.wait(TIMEOUT_S))
        self.process.stdout.close()

    def exchange(self, data):
        """Sends `data` and reads until the fake model closes; a reset shows as b"<reset>" at the end."""
        out = b""
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S) as peer:
            peer.sendall(data)
            try:
                while True:
                    got = peer.recv(65536)
                    if not got:
                        return out
                    out += got
            except ConnectionResetError:
                return out + b"<reset>"

    def request(self, *fields, body=b"hello", target="/x", method="POST", last=True):
        lines = [f"{method} {target} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *fields]
        if last:
            lines.append("X-Fake-Close: 1")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def totals(self):
        answer = self.exchange(b"GET /__stats HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return json.loads(answer.partition(b"\r\n\r\n")[2])

    def rows(self):
        self.totals()  # one thread: whatever ended before this answer is in the record
        with open(self.record) as file:
            return [json.loads(line) for line in file]

    def test_the_answer_and_the_record_know_the_body(self):
        answer = json.loads(self.exchange(self.request("X-Two: 1", "X-Two: 2")).partition(b"\r\n\r\n")[2])
        crc = f"{zlib.crc32(b'hello'):08x}"
        self.assertEqual((5, crc), (answer["body_bytes"], answer["body_crc32"]))
        row = self.rows()[0]
        self.assertEqual((1, "POST", "/x", 5, crc, 200, True), tuple(
            row[name] for name in ("seq", "method", "target", "body_bytes", "body_crc32", "status", "served")))
        self.assertEqual("1, 2", row["headers"]["x-two"])
        self.assertIn(["X-Two", "1"], row["header_lines"])

    def test_a_chunked_body_cut_at_every_byte_is_the_same_body(self):
        data = (b"POST /x HTTP/1.1\r\nHost: a\r\nX-Fake-Close: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n")
        for cut in range(1, len(data)):
            with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S) as peer:
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peer.sendall(data[:cut])
                peer.sendall(data[cut:])
                self.assertIn(f"{zlib.crc32(b'helloabc'):08x}".encode(), peer.makefile("rb").read())

    def test_pipelined_requests_are_answered_in_order(self):
        data = b"".join(self.request("X-Fake-Response-Bytes: 0", f"X-Fake-Delay-Ms: {delay}", f"X-Fake-Status: {status}", last=False)
                        for status, delay in ((201, 10), (202, 0), (203, 1)))
        answer = self.exchange(data + self.request(method="HEAD"))
        self.assertEqual([b"201", b"202", b"203", b"200"], [line.split()[1] for line in answer.split(b"\r\n") if line.startswith(b"HTTP")])
        self.assertEqual([201, 202, 203, 200], [row["status"] for row in self.rows()])

    def test_bodies_of_answers(self):
        def body(*fields):
            return self.exchange(self.request(*fields)).partition(b"\r\n\r\n")[2]
        self.assertEqual(b"abcdefghijklmnopqrstuvwxyzabcd", body("X-Fake-Response-Bytes: 30"))
        self.assertEqual(b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                         body("X-Fake-Response-Bytes: 3", "X-Fake-Chunked: 1", "X-Fake-Piece-Bytes: 2", "X-Fake-Interval-Ms: 1"))
        self.assertEqual(3, body("X-Fake-Sse: 2").count(b"data: "))
        self.assertEqual(b"", body("X-Fake-Status: 204"))
        self.assertEqual(1 << 22, len(body(f"X-Fake-Response-Bytes: {1 << 22}")))
        self.assertNotIn(b"Content-Length", self.exchange(self.request("X-Fake-No-Length: 1")))

    def test_query_parameters_do_the_same(self):
        self.assertTrue(self.exchange(self.request(target="/x?a=b&fake_status=418&fake_close=1", last=False)).startswith(b"HTTP/1.1 418"))
        self.assertTrue(self.exchange(self.request(target="/x?fake_nothing=1")).startswith(b"HTTP/1.1 400"))

    def test_what_was_not_served_whole_is_recorded_so(self):
        self.assertTrue(self.exchange(self.request("X-Fake-Close-After-Bytes: 4")).endswith(b'\r\n\r\n{"lo'))
        self.assertTrue(self.exchange(self.request("X-Fake-Close-After-Bytes: 4", "X-Fake-Reset: 1")).endswith(b"<reset>"))
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S) as peer:
            peer.sendall(self.request("X-Fake-Hang: body"))
            self.assertIn(b"HTTP/1.1 200", peer.recv(65536))
        while self.totals()["in_flight"] > 0:
            pass
        self.assertEqual([(200, False)] * 3, [(row["status"], row["served"]) for row in self.rows()])

    def test_interim_early_raw_and_expected_answers(self):
        self.assertEqual(3, self.exchange(self.request("X-Fake-1xx: 103", "X-Fake-1xx-Count: 3")).count(b"HTTP/1.1 103"))
        self.assertEqual(b"any\r\n%", self.exchange(self.request("X-Fake-Raw: any%0d%0a%25")))
        self.assertTrue(self.exchange(self.request("Expect: 100-continue")).startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"))
        early = b"POST /x HTTP/1.1\r\nHost: a\r\nX-Fake-Early: 1\r\nX-Fake-Close: 1\r\nContent-Length: 9\r\n\r\n"
        self.assertTrue(self.exchange(early).startswith(b"HTTP/1.1 200"))
        self.assertIn(b"X-Call-Outcome: failed", self.exchange(self.request("X-Fake-Outcome: failed")))

    def test_what_no_gateway_may_send_is_malformed(self):
        bad = [b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
               b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
               b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
               b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
               b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\n",
               b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\nb\r\n\r\n"]
        for data in bad:
            self.assertTrue(self.exchange(data).startswith(b"HTTP/1.1 400"), data)
        self.assertEqual(len(bad), self.totals()["malformed"])
        self.assertEqual(0, self.totals()["in_flight"])

    def test_reset_begins_anew(self):
        self.exchange(self.request())
        self.assertEqual(1, self.totals()["served"])
        self.exchange(b"POST /__reset HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.assertEqual((0, 0), (self.totals()["served"], os.path.getsize(self.record)))


if __name__ == "__main__":
    unittest.main()
