"""Who is told what: the fields that the gateway gives the upstream, those of a client that never get there, and the
upstream's fields that a client never sees. Keys stop at the gateway, in all three forms."""

import re
import unittest

import wire
from harness import GatewayTest
from wire import Connection, ScriptedUpstream


class ToTheUpstream(GatewayTest):
    def setUp(self):
        self.svc, self.acct = self.one()

    def arrived(self, raw):
        """Sends exact bytes and gives the record of what arrived."""
        with Connection(self.port) as connection:
            connection.send(raw)
            response = connection.response()
        self.assertEqual(response.status, 200, response)
        return self.model.entry(response), response

    def get(self, *fields, target=None, key=True):
        lines = [f"GET {target or self.svc.path} HTTP/1.1", "Host: models.example:8443"]
        lines += [f"Authorization: Bearer {self.acct.key}"] if key else []
        return self.arrived("\r\n".join(lines + list(fields)) + "\r\n\r\n")

    def names(self, record):
        return [name.lower() for name, _ in record["header_lines"]]

    def test_the_gateway_says_who_calls_what(self):
        record, response = self.get("X-Custom: kept", "Accept: */*", "User-Agent: test/1", "Cookie: a=b")
        fields = record["headers"]
        self.assertEqual((fields["x-account"], fields["x-service"]), (self.acct.id, self.svc.id))
        self.assertEqual(fields["x-request-id"], response.header("x-request-id"))
        self.assertEqual(fields["x-forwarded-for"], "127.0.0.1")
        self.assertEqual(fields["x-forwarded-proto"], "http")
        self.assertEqual(fields["x-forwarded-host"], "models.example:8443")
        self.assertRegex(fields["via"], r"^1\.1 \S+")
        self.assertEqual((fields["x-custom"], fields["accept"], fields["user-agent"], fields["cookie"]),
                         ("kept", "*/*", "test/1", "a=b"))
        for name in ("x-account", "x-service", "x-request-id", "x-forwarded-for", "host", "via"):
            self.assertEqual(self.names(record).count(name), 1, name)

    def test_request_ids_are_fresh(self):
        seen = {self.get()[1].header("x-request-id") for _ in range(20)}
        self.assertEqual(len(seen), 20)
        for each in seen:
            self.assertRegex(each, r"^[A-Za-z0-9._-]{8,128}$")

    def test_a_clients_own_twins_are_stripped(self):
        evil = [f"{name}: evil" for name in (
            "X-Account", "x-account", "X-ACCOUNT", "X_Account", "x_account", "X-Service", "X_Service",
            "X-Forwarded-For", "X_Forwarded_For", "X-Forwarded-Proto", "X-Forwarded-Host",
            "X-Forwarded_Host", "Forwarded")]
        record, _ = self.get(*evil)
        self.assertNotIn("evil", str(record["header_lines"]))
        self.assertEqual(record["headers"]["x-account"], self.acct.id)
        for name in self.names(record):
            self.assertNotIn(name.replace("_", "-"), ("forwarded",))
            self.assertNotIn("_", name)

    def test_a_clients_request_id_never_breaks_the_form(self):
        record, response = self.get("X-Request-Id: " + "a" * 5000)
        self.assertEqual(self.names(record).count("x-request-id"), 1)
        self.assertLessEqual(len(record["headers"]["x-request-id"]), 256)
        self.assertEqual(record["headers"]["x-request-id"], response.header("x-request-id"))

    def test_hop_by_hop_fields_end_here(self):
        record, _ = self.get("Connection: keep-alive, X-Private, X-Account", "X-Private: secret",
                             "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: trailers",
                             "Proxy-Authorization: Basic secret", "Trailer: X-T", "Upgrade: websocket")
        for name in ("x-private", "keep-alive", "proxy-connection", "te", "proxy-authorization", "trailer", "upgrade"):
            self.assertNotIn(name, self.names(record))
        self.assertEqual(record["headers"]["x-account"], self.acct.id, "Connection cannot name our fields away")

    def test_connection_cannot_name_the_framing_away(self):
        record, _ = self.arrived(wire.request("POST", self.svc.path, self.port, self.acct.key, b"hello", {
            "Connection": "content-length, host, x-account, x-request-id"}))
        self.assertEqual((record["body_bytes"], record["headers"]["x-account"]), (5, self.acct.id))

    def test_keys_in_three_forms_stop_here(self):
        key = self.acct.key
        for record, _ in (self.get(),
                          self.get(f"X-Api-Key: {key}", key=False),
                          self.get(target=f"{self.svc.path}?access_token={key}", key=False),
                          self.get(f"X-Api-Key: {key}", target=f"{self.svc.path}?access_token={key}")):
            self.assertNotIn(key, str(record))
            self.assertNotIn("authorization", self.names(record))
            self.assertNotIn("x-api-key", self.names(record))
            self.assertNotIn("access_token", record["target"])

    def test_only_access_token_leaves_the_query(self):
        key = self.acct.key
        for query, left in ((f"access_token={key}", ""), (f"a=1&access_token={key}", "?a=1"),
                            (f"access_token={key}&b=2", "?b=2"),
                            (f"a=1&access_token={key}&b=%26&b=2", "?a=1&b=%26&b=2"),
                            (f"xaccess_token=1&access_token={key}&access_tokens=2",
                             "?xaccess_token=1&access_tokens=2")):
            with self.subTest(query=query):
                record, _ = self.get(target=f"{self.svc.path}?{query}", key=False)
                self.assertIn(record["target"], (self.svc.path + left,))

    def test_two_keys_that_differ_are_refused(self):
        other = self.account(self.svc)
        for fields, target in (([f"X-Api-Key: {other.key}"], ""), ([], f"?access_token={other.key}"),
                               ([f"Authorization: Bearer {other.key}"], ""), (["X-Api-Key: x"], ""),
                               ([f"X-Api-Key: {self.acct.key}", f"X-Api-Key: {other.key}"], ""),
                               ([], f"?access_token={self.acct.key}&access_token={other.key}")):
            with self.subTest(fields=fields, target=target):
                with Connection(self.port) as connection:
                    lines = [f"GET {self.svc.path}{target} HTTP/1.1", "Host: a",
                             f"Authorization: Bearer {self.acct.key}", *fields]
                    connection.send("\r\n".join(lines) + "\r\n\r\n")
                    response = connection.response()
                self.assertIn(response.status, (400, 401), response)
        self.assertEqual(self.model.record(self.svc.id), [])

    def test_trailers_are_dropped(self):
        for trailer in ("X-Account: evil", "Authorization: Bearer evil", "Host: evil", "Content-Length: 5",
                        "Transfer-Encoding: chunked", "Connection: close", "X-Checksum: evil"):
            with self.subTest(trailer=trailer):
                raw = wire.head("POST", self.svc.path, self.port, self.acct.key, {"Transfer-Encoding": "chunked"})
                with Connection(self.port) as connection:
                    connection.send(raw + b"5\r\nhello\r\n0\r\n" + trailer.encode() + b"\r\n\r\n")
                    response = connection.response()
                    if response.status == 400:  # refusing such a trailer outright is as good
                        continue
                    self.assertEqual(response.status, 200, response)
                    record = self.model.entry(response)
                    self.assertNotIn("evil", str(record["header_lines"]))
                    self.assertEqual(record["body_bytes"], 5)
                    connection.send(wire.request("GET", self.svc.path, self.port, self.acct.key))
                    self.assertEqual(connection.response().status, 200)


class ToTheClient(GatewayTest):
    def answer(self, head, body=b"ok"):
        def script(peer, _number):
            while peer.request():
                peer.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        upstream = ScriptedUpstream(script)
        self.addCleanup(upstream.close)
        service, account = self.one(upstreams=[upstream.address])
        return account.call(service), service, account

    def test_every_answer_carries_its_request_id_once(self):
        response, *_ = self.answer(b"HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\n")
        self.assertEqual(len(response.all("x-request-id")), 1)
        self.assertNotEqual(response.header("x-request-id"), "theirs")

    def test_hop_by_hop_fields_of_the_upstream_end_here(self):
        response, *_ = self.answer(b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
                                   b"Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nX-Kept: yes\r\n"
                                   b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n")
        for name in ("x-hop", "keep-alive", "proxy-authenticate"):
            self.assertIsNone(response.header(name), response)
        self.assertEqual((response.header("x-kept"), response.body), ("yes", b"ok"))
        self.assertEqual(response.all("set-cookie"), ["a=1", "b=2"])

    def test_the_call_outcome_is_between_upstream_and_gateway(self):
        response, service, account = self.answer(b"HTTP/1.1 200 OK\r\nX-Call-Outcome: failed\r\n")
        self.assertEqual((response.status, response.header("x-call-outcome"), response.body), (200, None, b"ok"))
        account.wait_usage(service, calls_succeeded=0, calls_failed=1, free_points=4, billable_points=0)
        response, service, account = self.answer(b"HTTP/1.1 200 OK\r\nX-Call-Outcome: succeeded\r\n")
        self.assertIsNone(response.header("x-call-outcome"))
        account.wait_usage(service, calls_succeeded=1, calls_failed=0)

    def test_the_reason_and_odd_statuses_pass(self):
        for status in (b"200 Fine", b"201 ", b"299 Odd", b"404 Gone Fishing", b"599 X"):
            with self.subTest(status=status):
                response, *_ = self.answer(b"HTTP/1.1 " + status + b"\r\n")
                self.assertEqual(response.status, int(status[:3]))
                self.assertEqual(response.body, b"ok")

    def test_a_date_and_a_content_type_are_not_invented(self):
        response, *_ = self.answer(b"HTTP/1.1 200 OK\r\nDate: Fri, 20 Aug 2021 00:00:00 GMT\r\n")
        self.assertEqual(response.all("date"), ["Fri, 20 Aug 2021 00:00:00 GMT"])
        self.assertIsNone(response.header("content-type"))
        self.assertFalse([name for name, _ in response.headers if re.match("x-(account|service|forwarded)", name)])


if __name__ == "__main__":
    unittest.main()
