"""Every refusal of the architecture's section 6, in the three dialects: status, code, Retry-After, no-store, request
id; and that what is refused never reaches the upstream, nor is its body ever read as a request."""

import unittest

import wire
from admin import instant
from gated import GatedUpstream
from harness import AUTODL, FAST, Background, GatewayTest, ReservedPort, Tollgate, eventually
from wire import Connection, ScriptedUpstream

DIALECTS = ("problem", "openai", "baidu")
#        reason                status  retry  openai                 openai status  baidu
ROWS = {"invalid_key":          (401, False, "invalid_api_key", 401, 110),
        "not_subscribed":       (403, False, "permission_denied", 403, 6),
        "unknown_service":      (404, False, "not_found", 404, 3),
        "quota_exhausted":      (429, False, "insufficient_quota", 429, 19),
        "limit_reached":        (429, True, "rate_limit_exceeded", 429, 18),
        "arrears":              (402, False, "insufficient_quota", 429, 17),
        "no_capacity":          (503, True, "server_error", 503, 2),
        "upstream_unreachable": (502, False, "server_error", 502, 282000),
        "upstream_failed":      (502, False, "server_error", 502, 282000),
        "upstream_timeout":     (504, False, "server_error", 504, 282000)}


class RefusalTest(GatewayTest):
    def told(self, response, dialect, reason):
        status, retry, openai_code, openai_status, baidu_code = ROWS[reason]
        expected = openai_status if dialect == "openai" else status
        self.assertEqual(response.status, expected, response)
        self.assertEqual(response.header("cache-control"), "no-store", response)
        self.assertEqual(len(response.all("x-request-id")), 1, response)
        self.assertFalse(response.truncated)
        if retry:
            self.assertGreaterEqual(int(response.header("retry-after")), 1)
            self.assertLessEqual(int(response.header("retry-after")), 3600)
        body = response.json()
        if dialect == "problem":
            self.assertEqual(response.header("content-type"), "application/problem+json")
            self.assertEqual((body["code"], body["status"]), (reason, expected))
            self.assertTrue(body["title"])
        elif dialect == "openai":
            self.assertTrue(response.header("content-type").startswith("application/json"))
            self.assertEqual(body["error"]["code"], openai_code)
            self.assertTrue(body["error"]["message"])
            self.assertIn("type", body["error"])
        else:
            self.assertTrue(response.header("content-type").startswith("application/json"))
            self.assertEqual(body["error_code"], baidu_code)
            self.assertTrue(body["error_msg"])
            self.assertTrue(body["log_id"])


class Rows(RefusalTest):
    def each(self, **service):
        for dialect in DIALECTS:
            yield dialect, self.service(error_dialect=dialect, **service)

    def refusals(self, service, reason):
        return self.admin.metric("refusals_total", service=service.id, reason=reason)

    def test_invalid_key(self):
        for dialect, service in self.each():
            account = self.account(service)
            key = account.key
            for fields in ([], [("Authorization", "Bearer ")], [("Authorization", "Bearer nonsense")],
                           [("Authorization", f"Basic {key}")], [("Authorization", f"Bearer {key[:-1]}")],
                           [("Authorization", f"Bearer {key}x")], [("X-Api-Key", key.upper())],
                           [("X-Api-Key", "tg_" + "a" * 36)], [("X-Api-Key", self.gateway.token)]):
                self.told(wire.call(self.port, service.path, fields=fields), dialect, "invalid_key")
            self.told(wire.call(self.port, service.path + "?access_token=x"), dialect, "invalid_key")
            self.assertEqual(self.model.record(service.id), [])

    def test_expired_and_revoked_keys(self):
        service, account = self.one()
        created = self.admin.create_key(account.id, expires_at=instant(3))
        eventually(lambda: wire.call(self.port, service.path, created["key"]).status == 200, "the key works", 2.9)
        eventually(lambda: wire.call(self.port, service.path, created["key"]).status == 401, "it has expired", 6)
        self.told(wire.call(self.port, service.path, created["key"]), "problem", "invalid_key")
        for dialect, service in self.each():
            account = self.account(service)
            first = self.admin.keys(account.id)["items"][0]["id"]
            self.assertEqual(self.admin.delete_key(account.id, first).status, 204)
            eventually(lambda: account.call(service).status == 401, "revoked within 1 s", within=1.5)
            self.told(account.call(service), dialect, "invalid_key")

    def test_not_subscribed(self):
        for dialect, service in self.each():
            self.told(self.account().call(service), dialect, "not_subscribed")
            self.assertEqual(self.refusals(service, "not_subscribed"), 1)

    def test_unknown_service_is_a_problem_because_no_service_says_otherwise(self):
        account = self.account()
        for path in ("/", "/nothing", "/nothing/at/all?x=1"):
            self.told(wire.call(self.port, path, account.key), "problem", "unknown_service")

    def test_quota_exhausted(self):
        for dialect, service in self.each():
            account = self.account(service)
            self.leave_points(account, service, 3)
            self.told(account.call(service), dialect, "quota_exhausted")
            self.assertEqual(account.subscription(service)["free_points_left"], 3)
            self.assertEqual(self.refusals(service, "quota_exhausted"), 1)

    def test_limit_reached(self):
        upstream = GatedUpstream()
        self.addCleanup(upstream.close)
        for dialect, service in self.each(model=AUTODL, upstreams=[upstream.address]):
            account = self.account(service, paid=True)
            held = [Background(account.call, service) for _ in range(4)]
            eventually(lambda: upstream.held == 4, "four calls are held")
            self.told(account.call(service), dialect, "limit_reached")
            self.assertEqual(self.refusals(service, "limit_reached"), 1)
            upstream.open(4)
            self.assertEqual([call.result().status for call in held], [200] * 4)

    def test_no_capacity(self):
        upstream = GatedUpstream()
        self.addCleanup(upstream.close)
        for dialect, service in self.each(upstreams=[upstream.address], capacity=5):
            paid, free = self.account(service, paid=True), self.account(service)
            held = [Background(paid.call, service) for _ in range(5)]
            eventually(lambda: upstream.held == 5, "five calls are held")
            self.told(free.call(service), dialect, "no_capacity")
            upstream.open(5)
            self.assertEqual([call.result().status for call in held], [200] * 5)

    def test_upstream_unreachable(self):
        dead = ReservedPort()
        self.addCleanup(dead.close)
        for dialect, service in self.each(upstreams=[dead.address]):
            account = self.account(service)
            self.told(account.call(service), dialect, "upstream_unreachable")
            self.assertEqual(account.subscription(service)["free_points_left"], 10_000)

    def test_upstream_failed(self):
        upstream = ScriptedUpstream(lambda peer, _: peer.request() and peer.send(b"nonsense\r\n\r\n"))
        self.addCleanup(upstream.close)
        for dialect, service in self.each(upstreams=[upstream.address]):
            self.told(self.account(service).call(service), dialect, "upstream_failed")

    def test_upstream_timeout(self):
        for dialect, service in self.each(timeout_ms=200):
            account = self.account(service)
            self.told(account.call(service, fields={"X-Fake-Hang": "head"}), dialect, "upstream_timeout")

    def test_arrears(self):
        """Billing on a clock that the test moves; needs settlement to be there."""
        gateway = Tollgate({"billing.clock": "manual"})
        self.addCleanup(gateway.close)
        gateway.start()
        before, type(self).gateway = self.gateway, gateway
        try:
            for dialect, service in self.each(model=FAST):
                account = self.account(service, paid=True)
                self.leave_points(account, service, 0)
                self.assertEqual(account.call(service).status, 200)
                account.wait_usage(service, billable_points=4)
                answer = self.admin.set_clock(instant(2 * 3600))
                self.assertEqual(answer.status, 200, answer)
                if self.admin.account(account.id)["state"] != "arrears":
                    self.skipTest("usage is not settled into arrears yet")
                eventually(lambda: account.call(service).status in (402, 429), "arrears reach the traffic", within=2)
                self.told(account.call(service), dialect, "arrears")
        finally:
            type(self).gateway = before


class Order(RefusalTest):
    sets = {"limits.body_bytes_max": 100_000}

    def test_a_refused_head_request_has_no_body(self):
        service = self.service()
        stranger = self.account()
        with Connection(self.port) as connection:
            connection.send(wire.request("HEAD", service.path, self.port, stranger.key))
            response = connection.response("HEAD")
            self.assertEqual(response.status, 403)
            if response.header("connection") == "close":
                self.assertTrue(connection.at_end(), "bytes after the head of an answer to HEAD")
            else:
                connection.send(wire.request("GET", service.path, self.port, stranger.key))
                self.assertEqual(connection.response().status, 403)

    def test_a_refused_get_keeps_the_connection(self):
        service, account = self.one()
        with Connection(self.port) as connection:
            for key, status in ((None, 401), (account.key, 200), ("wrong", 401), (account.key, 200)):
                connection.send(wire.request("GET", service.path, self.port, key))
                self.assertEqual(connection.response().status, status)

    def refused_with_a_body(self, first, status, service, account):
        """`first` is refused before its body was read; its body and what follows look like requests."""
        follower = wire.request("GET", service.path + "?follower=1", self.port, account.key)
        with Connection(self.port) as connection:
            connection.send_all_or_closed(first + follower)
            response = connection.response()
            self.assertEqual(response.status, status, response)
            try:
                second = connection.response()
            except wire.Closed:
                second = None  # closing is always right
            if second is not None:
                self.assertEqual(second.status, 200, second)
                self.assertNotEqual((response.header("connection") or "").lower(), "close")
                self.assertEqual(connection.buffer, b"")
        targets = [each["target"] for each in self.model.record(service.id)]
        self.assertFalse([target for target in targets if "smuggled" in target], targets)
        self.assertLessEqual(len(targets), 1)
        self.assertEqual(self.model.stats()["malformed"], 0)

    def test_the_body_of_a_refused_request_is_never_a_request(self):
        for framing in ("length", "chunked"):
            for key, status in (("wrong", 401), ("stranger", 403), ("exhausted", 429)):
                with self.subTest(framing=framing, refused=key):
                    service, account = self.one()
                    if key == "stranger":
                        key = self.account().key
                    elif key == "exhausted":
                        other = self.account(service)
                        self.leave_points(other, service, 0)
                        key = other.key
                    inner = wire.request("GET", service.path + "?smuggled=1", self.port, account.key)
                    body = [inner, inner] if framing == "chunked" else inner * 2
                    first = wire.request("POST", service.path, self.port, key, body)
                    self.refused_with_a_body(first, status, service, account)

    def test_too_large_bodies_are_413_before_they_are_sent(self):
        service, account = self.one()
        for key in (account.key,):
            with Connection(self.port) as connection:
                connection.send(wire.head("POST", service.path, self.port, key, {"Content-Length": "100001"}))
                self.assertEqual(connection.response().status, 413)
        inner = wire.request("GET", service.path + "?smuggled=1", self.port, account.key)
        first = wire.request("POST", service.path, self.port, account.key, inner * (100_001 // len(inner) + 1))
        self.refused_with_a_body(first, 413, service, account)
        self.assertEqual(account.call(service, "POST", b"x" * 100_000).status, 200)

    def test_a_chunked_body_is_cut_at_the_limit(self):
        service, account = self.one()
        with Connection(self.port) as connection:
            connection.send(wire.head("POST", service.path, self.port, account.key, {"Transfer-Encoding": "chunked"}))
            connection.send_all_or_closed((b"1000\r\n" + b"x" * 4096 + b"\r\n") * 30 + b"0\r\n\r\n")
            self.assertEqual(connection.response().status, 413)
            self.assertTrue(connection.at_end())
        account.wait_idle(service)
        self.assertFalse([each for each in self.model.record(service.id) if each["served"]])

    def test_a_refused_expect_100_gets_no_100(self):
        service = self.service()
        with Connection(self.port) as connection:
            connection.send(wire.head("POST", service.path, self.port, "wrong",
                                      {"Content-Length": "5", "Expect": "100-continue"}))
            response = connection.response()
            self.assertEqual((response.status, response.interim), (401, []))


if __name__ == "__main__":
    unittest.main()
