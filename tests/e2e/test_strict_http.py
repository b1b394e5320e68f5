"""What two parsers could read differently is refused, and no byte of it reaches an upstream: framing, heads, targets
and limits. The fake model's record is the proof, and it is itself a strict parser."""

import unittest

import wire
from harness import FAST, GatewayTest
from wire import Connection


class StrictTest(GatewayTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.maker = cls("runTest")
        cls.svc, cls.acct = cls.maker.one(FAST, paid=True)

    def runTest(self):
        """Only so that setUpClass can use the words of GatewayTest."""

    def setUp(self):
        self.model.reset()

    def tearDown(self):
        self.assertTrue(self.gateway.alive(), self.gateway.stderr())
        self.assertEqual(self.acct.call(self.svc).status, 200, "a normal call works after it")
        self.assertEqual(self.model.stats()["malformed"], 0)
        self.acct.wait_idle(self.svc)

    def lines(self, *fields, method="POST", target=None, host="Host: a.example", version="HTTP/1.1"):
        """A head with a valid key; `host` None leaves Host out."""
        first = f"{method} {target or self.svc.path} {version}"
        every = [first] + ([host] if host is not None else []) + [f"X-Api-Key: {self.acct.key}", *fields]
        return ("\r\n".join(every) + "\r\n\r\n").encode("latin-1")

    def refuse(self, raw, statuses, name=None, closes=True):
        """Refused with one of the statuses, then closed, and nothing of it was seen upstream."""
        before = self.model.stats()["started"]
        with Connection(self.port, timeout=20) as connection:
            connection.send_all_or_closed(raw)
            response = connection.response()
            self.assertIn(response.status, statuses, f"{name or raw[:200]!r}: {response}")
            if closes:
                self.assertEqual(connection.read_to_end(), b"", name or raw[:200])
        after = self.model.stats()["started"]
        self.assertEqual(after, before, f"{name or raw[:200]!r} reached the upstream")

    def accept(self, raw, method="GET"):
        with Connection(self.port, timeout=20) as connection:
            connection.send(raw)
            response = connection.response(method)
            self.assertEqual(response.status, 200, f"{raw[:200]!r}: {response}")
        return self.model.entry(response)


class Framing(StrictTest):
    SMUGGLED = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

    def test_length_with_chunks_in_either_order(self):
        for fields in (("Content-Length: 5", "Transfer-Encoding: chunked"),
                       ("Transfer-Encoding: chunked", "Content-Length: 5"),
                       ("Transfer-Encoding: chunked", "content-length: 0"),
                       ("transfer-encoding: CHUNKED", "CONTENT-LENGTH: 5")):
            self.refuse(self.lines(*fields) + self.SMUGGLED, (400,))

    def test_content_length_is_one_number_of_digits(self):
        for values in (("5", "5"), ("5", "6"), ("5, 5",), ("5,5",), ("5, 6",), ("+5",), ("-5",), ("-0",), ("0x5",),
                       ("5 5",), ("5;",), ("5.0",), ("1e1",), ("",), (" ",), ("5\t5",), ("111111111111111111111",),
                       ("18446744073709551621",), ("9223372036854775808",), ("\u00b2",), ("0o5",), ("1_0",),
                       ("\xef\xbc\x95",)):
            for method in ("POST", "GET"):
                with self.subTest(values=values, method=method):
                    self.refuse(self.lines(*[f"Content-Length: {value}" for value in values], method=method) + b"hello",
                                (400,) if len(values[0]) < 19 else (400, 413))

    def test_transfer_encoding_is_exactly_chunked(self):
        for values in (("identity",), ("gzip",), ("gzip, chunked",), ("chunked, gzip",), (",chunked",), ("chunked,",),
                       ("chunked;q=1",), ("xchunked",), ("chunkedx",), ("chunked", "chunked"), ("chunked", "identity"),
                       ("identity", "chunked"), ("chunked, chunked",), ("chu\x80nked",), ("\xffchunked",), ("",),
                       ("chunked\x0b",), ("chunked\x0c",), ("\"chunked\"",), ("chunked chunked",), ("'chunked'",)):
            with self.subTest(values=values):
                fields = [f"Transfer-Encoding: {value}" for value in values]
                self.refuse(self.lines(*fields) + self.SMUGGLED, (400, 501))

    def test_no_chunks_in_http_1_0(self):
        self.refuse(self.lines("Transfer-Encoding: chunked", version="HTTP/1.0") + self.SMUGGLED, (400, 501))

    def test_names_that_only_look_like_framing(self):
        for name in ("Transfer_Encoding", "Content_Length"):
            raw = self.lines(f"{name}: {'chunked' if 'T' in name else '5'}", "Content-Length: 5") + b"hello"
            with Connection(self.port) as connection:
                connection.send(raw)
                self.assertIn(connection.response().status, (200, 400))
            for each in self.model.record(self.svc.id):
                self.assertEqual(each["body_bytes"], 5)
                self.assertNotIn(name.lower(), [field.lower() for field, _ in each["header_lines"]])
        for bad in ("Transfer-Encoding : chunked", "Content-Length : 5", " Transfer-Encoding: chunked",
                    "Transfer-Encoding\t: chunked", "Content-Length\x00: 5", ": chunked", "Transfer-Encoding",
                    "X-A: b\nTransfer-Encoding: chunked", "X-A: b\rTransfer-Encoding: chunked"):
            with self.subTest(line=bad):
                self.refuse(self.lines(bad) + self.SMUGGLED, (400,))

    def test_chunks_are_strict(self):
        head = self.lines("Transfer-Encoding: chunked")
        for body in (b"+5\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n",
                     b" 5\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n", b"5\t\r\nhello\r\n0\r\n\r\n",
                     b"\r\n5\r\nhello\r\n0\r\n\r\n", b"00000000000000005\r\nhello\r\n0\r\n\r\n",
                     b"FFFFFFFFFFFFFFFF0\r\nhello", b"ffffffffffffffff\r\nhello", b"5\nhello\r\n0\r\n\r\n",
                     b"5\r\nhello\n0\r\n\r\n", b"5\r\nhelloX\r\n0\r\n\r\n", b"5\r\nhello0\r\n\r\n",
                     b"g\r\nhello\r\n0\r\n\r\n", b"5;\nx\r\nhello\r\n0\r\n\r\n",
                     b"5;a\x00b\r\nhello\r\n0\r\n\r\n", b"5;a=\"b\nc\"\r\nhello\r\n0\r\n\r\n",
                     b"5;a=\"never closed\r\nhello\r\n0\r\n\r\n", b"5;" + b"a" * 70_000 + b"\r\nhello\r\n0\r\n\r\n",
                     b"5\r\r\nhello\r\n0\r\n\r\n", b"1_0\r\nhello world!!!!!\r\n0\r\n\r\n"):
            with self.subTest(body=body[:60]):
                # The head alone may have been forwarded; what must not happen is a whole request at the upstream.
                with Connection(self.port, timeout=20) as connection:
                    connection.send_all_or_closed(head + body)
                    response = connection.response()
                    self.assertEqual(response.status, 400, f"{body[:80]!r}: {response}")
                    self.assertTrue(connection.at_end())
        self.assertEqual([each for each in self.model.record(self.svc.id) if each["served"]], [])

    def test_good_extensions_are_not_forwarded(self):
        raw = self.lines("Transfer-Encoding: chunked") + b"5;name=value\r\nhello\r\n0\r\n\r\n"
        with Connection(self.port) as connection:
            connection.send(raw)
            self.assertIn(connection.response().status, (200, 400))
        for each in self.model.record(self.svc.id):
            self.assertEqual(each["body_bytes"], 5)


class Heads(StrictTest):
    def test_field_lines(self):
        for bad in ("X-A: b\r\n folded", "X-A: b\r\n\tfolded", "X-A : b", "X-A\t: b", " X-A: b", ": b", "X A: b",
                    "X(A): b", "X-\x80: b", "X-A: b\rc", "X-A: b\nc", "X-A: b\x00c", "X-A: b\x7fc",
                    "X-A: b\x01c", "X-A: b\x1bc",
                    "X-A\x00: b", "no colon", "X[A]: b", "\"X\": b", "X-A@: b"):
            with self.subTest(line=bad):
                self.refuse(self.lines(bad, method="GET"), (400,))

    def test_a_fold_right_after_the_request_line(self):
        self.refuse(self.lines(method="GET", host=" X: y\r\nHost: a"), (400,))

    def test_request_lines(self):
        path, key = self.svc.path, self.acct.key
        for line in (f"GET {path}", f"GET  {path} HTTP/1.1", f"GET {path}  HTTP/1.1",
                     f"GET\t{path}\tHTTP/1.1", f" GET {path} HTTP/1.1", f"GET {path} HTTP/1.1 ",
                     f"GET {path} HTTP/1.1 x", f"GET {path} http/1.1",
                     f"GET {path} HTTP/1", f"GET {path} HTTP/1.10", f"GET {path} HTTP/01.1",
                     f"GET {path} HTTP/2.0", f"GET {path} HTTP/0.9", f"GET {path} HTTPS/1.1",
                     f"GET {path} XTTP/1.1", f"GE(T {path} HTTP/1.1", f"G\x00T {path} HTTP/1.1",
                     f" {path} HTTP/1.1", f"GET {path}\x00 HTTP/1.1", f"GET {path} a HTTP/1.1"):
            with self.subTest(line=line):
                raw = f"{line}\r\nHost: a\r\nX-Api-Key: {key}\r\n\r\n".encode("latin-1")
                self.refuse(raw, (400, 505))
        self.refuse(f"GET {path} HTTP/1.1\rHost: a\r\nX-Api-Key: {key}\r\n\r\n".encode(), (400,))

    def test_one_valid_host(self):
        for host in (None, "Host: a\r\nHost: a", "Host: a\r\nHost: b", "Host: a\r\nhOST: b", "Host:", "Host: ",
                     "Host: a, b", "Host: user@a", "Host: u:p@a", "Host: a/b", "Host: a:65536", "Host: a:x",
                     "Host: a:-1", "Host: a:80:80", "Host: a b", "Host: [::1", "Host: ::1", "Host: http://a",
                     "Host: a?b", "Host: a#b", "Host: a\\b",
                     "Host: \x80", "Host: a:123456"):
            with self.subTest(host=host):
                self.refuse(self.lines(method="GET", host=host), (400,))
        for host in ("Host: a", "Host: A.example:8080", "Host: 127.0.0.1", "Host: [::1]:80", "host:a", "Host: \t a \t"):
            with self.subTest(host=host):
                self.accept(self.lines(method="GET", host=host))

    def test_absolute_form_must_agree_with_host(self):
        self.refuse(self.lines(method="GET", target=f"http://other.example{self.svc.path}"), (400,))
        self.refuse(self.lines(method="GET", target=f"http://u@a.example{self.svc.path}"), (400,))
        self.refuse(self.lines(method="GET", target=f"ftp://a.example{self.svc.path}"), (400,))
        record = self.accept(self.lines(method="GET", target=f"http://a.example{self.svc.path}?q=1"))
        self.assertEqual(record["target"], f"{self.svc.path}?q=1")

    def test_targets_that_are_no_paths(self):
        path = self.svc.path
        for target in ("*", "#", path + "#f", path + "\x80", path + "/é", path + "/\x01", path + "/\x7f",
                       "a.example:80", path[1:], "\\" + path, path + "/\\x", path + "/%0", path + "/%zz",
                       path + "/%00", path + "/%", "//" + path, "?" + path):
            with self.subTest(target=target):
                self.refuse(self.lines(method="GET", target=target), (400, 404))

    def test_one_canonical_route(self):
        """A path that others read as another path is refused, or routed, limited, billed and forwarded as one."""
        path = self.svc.path
        for target in (f"/x/..{path}", f"/.{path}", f"{path}/../x", f"{path}/./x", f"{path}/%2e%2e/x", f"{path}/%2E/x",
                       f"{path}%2fx", f"{path}/..%2fx", f"/{path}", f"{path}//x", f"{path}%5cx", f"{path};a=b",
                       f"{path}/..;/x", f"/x/%2e%2e{path}", path.upper()):
            with self.subTest(target=target):
                before = self.model.stats()["started"]
                with Connection(self.port) as connection:
                    connection.send(self.lines(method="GET", target=target))
                    response = connection.response()
                self.assertIn(response.status, (200, 400, 404), response)
                if response.status == 200:
                    arrived = self.model.entry(response)["target"]
                    self.assertEqual(arrived[:len(path)], path)
                    self.assertIn(arrived[len(path):][:1], ("", "/", "?", ";"), arrived)
                    for mark in ("/../", "/./", "%2e", "%2E", "%2f", "%5c", "//"):
                        self.assertNotIn(mark, arrived + "/")
                else:
                    self.assertEqual(self.model.stats()["started"], before)

    def test_connect_and_trace_make_no_tunnel_and_no_echo(self):
        for method, target in (("CONNECT", "a.example:80"), ("CONNECT", None), ("TRACE", None)):
            self.refuse(self.lines(method=method, target=target), (400, 405, 501))

    def test_upgrade_makes_no_tunnel(self):
        record = None
        with Connection(self.port) as connection:
            connection.send(self.lines("Connection: Upgrade", "Upgrade: websocket", method="GET"))
            response = connection.response()
            self.assertNotEqual(response.status, 101)
            if response.status == 200:
                record = self.model.entry(response)
        if record:
            self.assertNotIn("upgrade", record["headers"])

    def test_a_second_request_of_garbage_ends_the_connection_only(self):
        with Connection(self.port) as connection:
            garbage = b"\x16\x03\x01\x02garbage\r\n\r\n"
            connection.send(wire.request("GET", self.svc.path, self.port, self.acct.key) + garbage)
            self.assertEqual(connection.response().status, 200)
            self.assertEqual(connection.response().status, 400)
            self.assertTrue(connection.at_end())


class Limits(StrictTest):
    sets = {"limits.head_bytes_max": 8192, "limits.head_fields_max": 50, "limits.target_bytes_max": 2048,
            "limits.body_bytes_max": 10_000}

    def test_head_bytes(self):
        used = len(self.lines("X-Big: ", method="GET"))
        self.accept(self.lines("X-Big: " + "a" * (8192 - used), method="GET"))
        for size in (8193, 9000, 65_536, 1_000_000):
            self.refuse(self.lines("X-Big: " + "a" * (size - used), method="GET"), (431,), f"head of {size}")

    def test_head_fields(self):
        self.accept(self.lines(*["A: b"] * 48, method="GET"))
        self.refuse(self.lines(*["A: b"] * 49, method="GET"), (431,))
        self.refuse(self.lines(*["A: b"] * 10_000, method="GET"), (431,))

    def test_target_bytes(self):
        room = 2048 - len(self.svc.path) - 1
        self.accept(self.lines(method="GET", target=self.svc.path + "/" + "a" * room))
        for size in (room + 1, 5000, 100_000):
            self.refuse(self.lines(method="GET", target=self.svc.path + "/" + "a" * size), (414,), f"target of {size}")

    def test_a_method_without_end(self):
        self.refuse(b"A" * 100_000 + b" / HTTP/1.1\r\nHost: a\r\n\r\n", (400, 414, 431, 501))

    def test_body_bytes(self):
        self.accept(wire.request("POST", self.svc.path, self.port, self.acct.key, b"x" * 10_000))
        self.refuse(wire.head("POST", self.svc.path, self.port, self.acct.key, {"Content-Length": "10001"}), (413,),
                    closes=False)  # the rest may be read and thrown away: it is small
        self.refuse(wire.head("POST", self.svc.path, self.port, self.acct.key,
                              {"Content-Length": "999999999999999999"}), (413,))


if __name__ == "__main__":
    unittest.main()
