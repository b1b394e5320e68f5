"""Rows of the battery at a larger scale: requests cut anywhere, callers that vanish at any instant, hostile and random
bytes in what is logged and counted, and ids, dates and traces from end to end. What single bytes do is in
test_strict_http; README.md here says which row is shown by which test."""

import email.utils
import json
import os
import random
import shutil
import tempfile
import time
import unittest
import zlib

import wire
from harness import FAST, GatewayTest, eventually
from wire import Connection

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


class Cuts(GatewayTest):
    def shapes(self, service, account):
        key = account.key
        chunked = wire.head("POST", service.path + "?n=2", self.port, key, {"Transfer-Encoding": "chunked"})
        return {"a GET": wire.request("GET", service.path + "/a?b=%20c", self.port, key, fields={"Accept": "x, y"}),
                "a length": wire.request("POST", service.path, self.port, key, b"hello world"),
                "chunks": chunked + b"5;ext=\"a\\\"b\"\r\nhello\r\n06\r\n world\r\n000;x\r\nX-Account: evil\r\n\r\n"}

    def test_a_request_cut_at_every_byte_arrives_as_the_whole_one_and_costs_the_same(self):
        """On a few connections that are kept: all first parts are sent before any second part, so that each is read alone."""
        service, account = self.one(FAST, paid=True)
        for name, raw in self.shapes(service, account).items():
            with self.subTest(shape=name):
                before = account.usage(service)["calls_succeeded"]
                connections = [Connection(self.port) for _ in range(8)]  # fewer than the guarantee
                for connection in connections:
                    self.addCleanup(connection.close)
                answers = []
                for first in range(0, len(raw), len(connections)):  # a cut at 0 is the whole request
                    cuts = range(first, min(first + len(connections), len(raw)))
                    for cut, connection in zip(cuts, connections):
                        connection.send(raw[:cut])
                    for cut, connection in zip(cuts, connections):
                        connection.send(raw[cut:])
                    answers += [connection.response() for _, connection in zip(cuts, connections)]
                self.assertEqual({answer.status for answer in answers}, {200})
                ids = {answer.header("x-request-id") for answer in answers}
                account.wait_usage(service, calls_succeeded=before + len(raw), calls_failed=0)
                forms = {self.form(each) for each in self.model.record(service.id)
                         if each["headers"]["x-request-id"] in ids}
                self.assertEqual(len(forms), 1, forms)
                self.assertNotIn("evil", str(forms))

    @staticmethod
    def form(record):
        lines = [(name, value) for name, value in record["header_lines"] if name.lower() != "x-request-id"]
        return record["method"], record["target"], record["body_bytes"], record["body_crc32"], str(lines)

    def test_a_quote_that_is_never_closed_is_refused_while_it_drips(self):
        service, account = self.one(FAST, paid=True)
        with Connection(self.port) as connection:
            connection.send(wire.head("POST", service.path, self.port, account.key, {"Transfer-Encoding": "chunked"}))
            connection.send(b"5;a=\"")
            for _ in range(40_000):  # more than the 16 KiB that extensions may have
                if not connection.send_all_or_closed(b"a"):
                    break
            self.assertEqual(connection.response().status, 400)
        self.assertEqual([each for each in self.model.record(service.id) if each["served"]], [])
        account.wait_idle(service)

    def test_connection_names_neither_ours_nor_the_framing_away(self):
        service, account = self.one(FAST, paid=True)
        with Connection(self.port) as connection:
            connection.send(wire.request("POST", service.path, self.port, account.key, b"hello",
                                         {"Connection": "close, x-account, content-length"}))
            record = self.model.entry(connection.response())
            self.assertTrue(connection.at_end())
        self.assertEqual((record["body_bytes"], record["body_crc32"]), (5, f"{zlib.crc32(b'hello'):08x}"))
        self.assertEqual(record["headers"]["x-account"], account.id)


class Vanishing(GatewayTest):
    CALLS = 400

    def test_callers_that_vanish_at_any_instant_leave_no_permit_behind_and_no_call_uncounted(self):
        service, account = self.one(FAST, paid=True)
        seed = random.randrange(1 << 30)
        source = random.Random(seed)
        whole = 0
        with self.subTest(seed=seed):
            for number in range(self.CALLS):
                fields = {"X-Fake-Response-Bytes": 50_000, "X-Fake-Chunked": number % 2}
                raw = wire.request("POST", f"{service.path}?n={number}", self.port, account.key, [b"x" * 300] * 2, fields)
                connection = Connection(self.port)
                cut = source.choice([source.randrange(len(raw)), len(raw)])
                connection.send(raw[:cut])
                if cut == len(raw) and source.random() < 0.7:
                    if source.random() < 0.5:
                        connection.read_some()
                    else:
                        self.assertEqual(connection.response().status, 200)
                        whole += 1
                (connection.reset if source.random() < 0.5 else connection.close)()
            account.wait_idle(service)
            self.assertEqual(self.admin.metric("in_flight", service=service.id), 0)

            def agreed():
                used, record = account.usage(service), self.model.record(service.id)
                served = [each for each in record if each["served"]]
                return (used["calls_succeeded"] >= whole
                        and len(served) <= used["calls_succeeded"] + used["calls_failed"] <= len(record))
            eventually(agreed, lambda: f"{account.usage(service)}, {whole} whole, {len(self.model.record(service.id))}")
            used = account.usage(service)
            self.assertGreaterEqual(used["free_points"] + used["billable_points"], service.points * whole)
            self.assertEqual(account.call(service).status, 200)


class Trouble(GatewayTest):
    """What is seen from outside: the access log, ids, traces, dates and the number of metric series."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="tollgate-e2e-log-")
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.log = os.path.join(folder, "access.log")
        cls.sets = {"log.access_log": cls.log, "log.access_log_queue_bytes": 1 << 22,
                    "limits.key_failures_per_address_max": 0, "log.access_log_refusals_per_s_max": 0}
        super().setUpClass()

    def lines(self):
        with open(self.log, "rb") as text:
            whole = text.read().rpartition(b"\n")[0]
        return [json.loads(line) for line in whole.split(b"\n") if line]

    def line(self, response):
        """The one line of the request that this response answers."""
        wanted = response.header("x-request-id")
        found = eventually(lambda: [line for line in self.lines() if line["request_id"] == wanted], f"a line of {wanted}")
        self.assertEqual(len(found), 1)
        return found[0]

    def test_hostile_bytes_make_one_valid_line_each(self):
        service, account = self.one(FAST, paid=True)
        forged = '","outcome":"succeeded","account":"evil'
        for path in (forged, "'`$(x)", "%22%20%3cscript%3e", "{}[]|^", "a" * 3000):
            response = account.call(service, suffix="/" + path)
            self.assertEqual(response.status, 200, response)
            line = self.line(response)
            self.assertEqual((line["path"], line["account"]), ((f"{service.path}/{path}")[:1024], account.id))
        for raw in (b"GET /\r\nX: y HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /\x1b[2J HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: \x1b[31m\r\n\r\n", b"G\"T / HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: a\n{\"forged\":1}\r\n\r\n", b"\xff\xfe\x00\r\n\r\n"):
            with Connection(self.port) as connection:
                connection.send(raw)
                response = connection.response()
            self.assertEqual(response.status, 400, raw)
            self.assertEqual(self.line(response)["outcome"], "bad_request")
        response = account.call(service, fields={"User-Agent": f"{forged}\\", "Referer": '"'})
        self.assertEqual(self.line(response)["outcome"], "succeeded")
        self.assertNotIn("forged", {key for line in self.lines() for key in line})
        self.assertEqual(self.admin.metric("access_log_dropped_total"), 0)

    def test_one_id_from_end_to_end_and_never_the_clients(self):
        service, account = self.one(FAST, paid=True)
        response = account.call(service, fields={"X-Request-Id": "mine", "X_Request_Id": "mine"})
        self.assertEqual(self.model.entry(response)["headers"]["x-request-id"], response.header("x-request-id"))
        self.assertNotIn("mine", str(self.model.entry(response)["header_lines"]))
        self.line(response)
        failed = account.call(service, "POST", b"x", {"X-Fake-Raw": "HTTP/1.1%20999%20X%0d%0a%0d%0a"})
        self.assertEqual(failed.status, 502)
        self.assertEqual((self.line(failed)["outcome"], self.line(failed)["status"]), ("failed", 502))
        self.assertEqual(failed.json()["request_id"], failed.header("x-request-id"))
        refused = wire.call(self.port, service.path, "wrong", fields={"X-Request-Id": "mine"})
        self.assertEqual(refused.json()["request_id"], refused.header("x-request-id"))
        self.assertEqual(self.line(refused)["outcome"], "invalid_key")

    def test_traces_pass_as_they_came_and_only_good_ones_are_logged(self):
        service, account = self.one(FAST, paid=True)
        for parent, logged in ((PARENT, TRACE), (PARENT.upper(), ""), ("00-nonsense", ""), ("ff" + PARENT[2:], ""),
                               ("cc" + PARENT[2:] + "-more", TRACE), (None, "")):
            fields = [("tracestate", "a=1"), ("TraceState", "b=2 , c=3")] + ([("traceparent", parent)] if parent else [])
            response = account.call(service, fields=fields)
            arrived = [(name.lower(), value) for name, value in self.model.entry(response)["header_lines"]]
            self.assertEqual([value for name, value in arrived if name == "traceparent"], [parent] if parent else [])
            self.assertEqual([value for name, value in arrived if name == "tracestate"], ["a=1", "b=2 , c=3"])
            self.assertEqual(self.line(response)["trace_id"], logged)

    def test_every_final_answer_has_one_date(self):
        service, account = self.one(FAST, paid=True)
        for response in (account.call(service), wire.call(self.port, service.path, "wrong"),
                         account.call(service, "BREW"), account.call(service, suffix="/../x"),
                         wire.call(self.port, "/no-such", account.key), account.call(service, fields={"X-Fake-1xx": 103})):
            self.assertEqual(len(response.all("date")), 1, response)
            said = email.utils.parsedate_to_datetime(response.header("date"))
            self.assertTrue(response.header("date").endswith(" GMT"))
            self.assertLess(abs(said.timestamp() - time.time()), 300, "of this clock, not of another zone's")
            self.assertEqual([each for each in response.interim if each.header("date")], [])

    def test_random_paths_keys_methods_hosts_and_statuses_make_no_series(self):
        service, account = self.one(FAST, paid=True)
        source = random.Random(7)
        methods = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")

        def burst(count):
            with Connection(self.port) as connection:
                raw = b""
                for _ in range(count):
                    word = f"{source.getrandbits(64):x}"
                    lines = [f"{source.choice(methods)} /{word}/{word} HTTP/1.1", f"Host: {word}.example",
                             f"X-Api-Key: {source.choice([word, account.key])}", f"X-{word}: {word}"]
                    raw += ("\r\n".join(lines) + "\r\n\r\n").encode()
                connection.send(raw)
                self.assertLessEqual({connection.response().status for _ in range(count)}, {401, 404})

        def series():
            return set(self.admin.samples())
        for method in ("BREW", "TRACE"):  # kinds of refusal that the rest will meet again
            account.call(service, method)
        account.call(service)
        burst(100)
        before = series()
        for _ in range(30):
            burst(100)
        for _ in range(30):
            account.call(service, f"M{source.getrandbits(32):x}")
            account.call(service, suffix=f"/{source.getrandbits(64):x}?{source.getrandbits(64):x}")
        self.assertEqual(series() - before, set())
        # A status is a label's value: the upstream's own, of three digits, and each at most one series of the service.
        for status in (207, 299, 418, 477, 599):
            account.call(service, fields={"X-Fake-Status": status})
        fresh = series() - before
        self.assertLessEqual(len([each for each in fresh if service.id in each]), 5)
        self.assertEqual([each for each in fresh if service.id not in each], [])


if __name__ == "__main__":
    unittest.main()
