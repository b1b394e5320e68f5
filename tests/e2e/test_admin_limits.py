"""What the admin API is sent that nobody means well with: numbers that a double cannot hold, bodies of 100 MB, nesting, names
and ids with line ends. Each is refused in bounded time and memory, or taken exactly as it is; nothing of it reaches a log line."""

import json
import unittest
from pathlib import Path

import wire
from admin import fresh
from harness import ADMIN_TOKEN, FAST, GatewayTest, Background, eventually

BEYOND = 2 ** 53 + 1  # the first whole number that a double has no place for
MB = 1024 * 1024


class LimitsTest(GatewayTest):
    def refused_at(self, answer, field, status=400):
        self.assertEqual(answer.status, status, answer)
        self.assertIn(field, answer.json.get("field", ""), answer)

    def head(self, method, target, *fields):
        return wire.head(method, target, self.gateway.admin_port, ADMIN_TOKEN, fields)

    def memory(self):
        status = Path(f"/proc/{self.gateway.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024

    def grew_less(self, before, allowed):
        loaded = Path(f"/proc/{self.gateway.process.pid}/maps").read_text()
        if "libasan" not in loaded and "libtsan" not in loaded:  # those keep what was freed
            self.assertLess(self.memory() - before, allowed)


class Numbers(LimitsTest):
    def put(self, text, field="capacity"):
        raw = json.dumps({"model": FAST, "upstreams": ["127.0.0.1:1"], "route": {"path_prefix": "/numbers"}})[:-1] + f', "{field}": {text}}}'
        return self.admin.request("PUT", "/v1/services/numbers", raw=raw.encode())

    def test_what_is_out_of_range_is_refused_and_named(self):
        for text in (str(BEYOND), str(2 ** 63 - 1), str(2 ** 63), str(2 ** 64), str(2 ** 64 + 1), "9" * 400, "-1", str(-2 ** 63), "0", "1e400", "-1e400", "1000001"):
            for field in ("capacity", "timeout_ms"):
                with self.subTest(text=text[:40], field=field):
                    if field == "timeout_ms" and text == "1000001":
                        continue
                    self.refused_at(self.put(text, field), field)

    def test_what_is_no_whole_number_is_refused(self):
        for text in ("1.5", "NaN", "Infinity", "0x10", "01", "1_000", '"5"', "true", "[5]", "+5", "5.", ".5", "1e", "--5", "١"):
            with self.subTest(text=text):
                self.assertEqual(self.put(text).status, 400)

    def test_large_points_are_exact_or_refused(self):
        """Two numbers that are the same as doubles are still two."""
        for points in (BEYOND - 1, BEYOND, BEYOND + 1):
            answer = self.admin.request("POST", "/v1/quotes", {"model": FAST, "points": points})
            if answer.status == 200:
                self.assertEqual(answer["points"], points)
                self.assertEqual(sum(line["points"] for line in answer["lines"]), points)
            else:
                self.refused_at(answer, "points")

    def test_usage_beyond_bounds_takes_nothing(self):
        service, account = self.one()
        epoch = self.admin.open_epoch("numbers")["epoch"]
        hour = "2021-08-01T00:00:00+08:00"
        for count in (BEYOND, 2 ** 63 - 1, 2 ** 63, 2 ** 64, -1):
            with self.subTest(count=count):
                answer = self.admin.report_usage("numbers", epoch, [{"account": account.id, "service": service.id, "hour": hour, "calls_succeeded": count,
                                                                    "calls_failed": 0, "calls_unmetered": 0, "free_points": 0, "billable_points": count}])
                self.assertIn(answer.status, (400, 422), answer)
        self.assertEqual(account.usage(service)["calls_succeeded"], 0)
        self.assertTrue(self.admin.audit()["ok"])

    def test_sums_beyond_2_53_micro_yuan_are_exact(self):
        identity = fresh("sums")
        self.assertEqual(self.admin.put_account(identity).status, 200)
        for _ in range(11):
            self.assertEqual(self.admin.deposit(identity, "900000000.000003").status, 201)
        self.assertEqual(self.admin.account(identity)["cash"], "9900000000.000033")


class Bodies(LimitsTest):
    def test_a_hundred_megabytes_announced_are_refused_before_they_come(self):
        before = self.memory()
        for _ in range(20):
            with wire.Connection(self.gateway.admin_port) as client:
                client.send(self.head("PUT", "/v1/accounts/huge", ("Content-Type", "application/json"), ("Content-Length", str(100 * MB))))
                self.assertEqual(client.response("PUT").status, 413)
        self.grew_less(before, 16 * MB)

    def test_a_hundred_megabytes_in_chunks_are_refused_on_the_way(self):
        before = self.memory()

        def send():
            with wire.Connection(self.gateway.admin_port) as client:
                client.send(self.head("PUT", "/v1/accounts/huge", ("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")))
                piece, sent = b"%x\r\n" % MB + b"a" * MB + b"\r\n", 0
                while sent < 100 and client.send_all_or_closed(piece):
                    sent += 1
                try:
                    return client.response("PUT").status, sent
                except (wire.Closed, OSError):
                    return None, sent  # closed while we were sending
        sending = [Background(send) for _ in range(4)]
        self.assertEqual(self.admin.put_account(fresh("meanwhile")).status, 200)
        for each in sending:
            status, sent = each.result()
            self.assertIn(status, (413, None))
            self.assertLess(sent, 100, "not all of it is taken")
        self.grew_less(before, 64 * MB)
        self.assertEqual(self.admin.account("huge").status, 404)

    def test_who_has_no_token_is_answered_before_the_body_is_there(self):
        with wire.Connection(self.gateway.admin_port) as client:
            client.send(wire.head("PUT", "/v1/accounts/huge", self.gateway.admin_port, "wrong", {"Content-Length": "5000"}))
            self.assertEqual(client.response("PUT").status, 401)

    def test_nesting_of_any_kind_costs_nothing(self):
        for raw in (b"[" * MB, b'{"a":' * (MB // 5), b'{"name":' + b"[{" * 100_000, b'{"name":"a","x":' + b"[" * 500_000 + b"]" * 500_000 + b"}"):
            answer = self.admin.request("PUT", "/v1/accounts/deep", raw=raw)
            self.assertIn(answer.status, (400, 413), answer)
        self.assertTrue(self.gateway.alive())
        self.assertEqual(self.admin.account("deep").status, 404)


class LineEnds(LimitsTest):
    MARK = "x-injected-9d1c"

    def test_names_with_line_ends_and_controls_are_refused(self):
        for bad in ("a\r\nb", "a\nb", "a\rb", "a\0b", "a\x1b[2Jb", "a\x7fb", "\n", "a\u0085b", "a\u2028b"):
            with self.subTest(bad=bad):
                answer = self.admin.put_account(fresh("name"), f"{self.MARK}{bad}")
                if bad[1:2] in ("\u0085", "\u2028") and answer.status == 200:
                    continue  # no control of ASCII, and no end of a line in any log of ours: it is escaped or passed as UTF-8
                self.refused_at(answer, "name")
        identity = fresh("keys")
        self.admin.put_account(identity)
        self.refused_at(self.admin.create_key(identity, name=f"{self.MARK}\r\nSet-Cookie: a"), "name")

    def test_ids_with_line_ends_are_refused_wherever_they_stand(self):
        for bad in ("%0d%0a", "%0a", "%0d", "%00", "%1b", "%7f", "%e2%80%a8"):
            target = f"{self.MARK}{bad}Set-Cookie:%20a"
            for method, path in (("PUT", f"/v1/accounts/{target}"), ("GET", f"/v1/accounts/{target}"), ("PUT", f"/v1/services/{target}"), ("DELETE", f"/v1/services/{target}"),
                                 ("POST", f"/v1/gateways/{target}/epochs"), ("GET", f"/v1/accounts?after={target}"), ("GET", f"/v1/{target}")):
                with self.subTest(path=path):
                    answer = self.admin.request(method, path, {"name": "a"} if method == "PUT" else None)
                    self.assertIn(answer.status, (400, 404), answer)
                    self.assertIsNone(answer.headers.get("Set-Cookie"))

    def test_raw_line_ends_in_a_request_are_no_request(self):
        for raw in (f"GET /v1/accounts/{self.MARK}\nb HTTP/1.1\r\n", f"GET /v1/accounts/{self.MARK}\rb HTTP/1.1\r\n", f"GET /v1/accounts HTTP/1.1\r\nX: {self.MARK}\0\r\n"):
            with wire.Connection(self.gateway.admin_port) as client:
                client.send(f"{raw}Host: a\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\nConnection: close\r\n\r\n")
                self.assertNotIn(b" 200 ", client.read_to_end().partition(b"\r\n")[0])

    def test_an_idempotency_key_holds_visible_characters_only(self):
        identity = fresh("money")
        self.admin.put_account(identity)
        for bad in ("a b\tc", "\x7f", "\xe4", ""):
            answer = self.admin.post_money(f"/v1/accounts/{identity}/deposits", {"amount": "1.00", "kind": "cash"}, bad)
            self.assertEqual(answer.status, 400, answer)
        self.assertEqual(self.admin.account(identity)["cash"], "0.00")

    def test_zz_no_line_of_the_log_begins_with_what_was_sent(self):
        """Runs last of these: the lines that the others caused are whole JSON, one each."""
        self.admin.put_account(fresh("log"))
        eventually(lambda: self.gateway.stderr().endswith("\n") or not self.gateway.stderr(), "the log's last line is whole")
        for line in Path(self.gateway.folder, "stderr").read_bytes().splitlines():
            self.assertIsInstance(json.loads(line), dict, line)


if __name__ == "__main__":
    unittest.main()
