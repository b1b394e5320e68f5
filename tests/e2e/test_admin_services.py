"""Services and subscriptions of the admin API: every field, every fault by its name, and what the traffic then sees."""

import json
import re
import unittest

import wire
from admin import fresh
from harness import AUTODL, FAST, eventually
from test_admin_contract import AdminTest, RFC3339


class Services(AdminTest):
    def definition(self, **changes):
        made = {"model": FAST, "upstreams": [self.model.address], "route": {"path_prefix": f"/{fresh('path')}"}}
        made.update(changes)
        return {name: value for name, value in made.items() if value is not ...}

    def put(self, identity=None, **changes):
        return self.admin.request("PUT", f"/v1/services/{identity or fresh('svc')}", self.definition(**changes))

    def test_a_service_comes_back_as_it_was_put(self):
        identity, prefix = fresh("svc"), f"/{fresh('path')}/v1"
        put = self.admin.put_service(identity, FAST, ["127.0.0.1:9000", "localhost:9001"], prefix,
                                     host="models.example", timeout_ms=1234, capacity=50, limit_by="qps",
                                     failure_statuses=["5xx", "429"], error_dialect="openai")
        self.assertIn(put.status, (200, 201), put)
        for answer in (put, self.admin.service(identity)):
            self.assertEqual(answer["id"], identity)
            self.assertEqual(answer["model"], FAST)
            self.assertEqual(answer["upstreams"], ["127.0.0.1:9000", "localhost:9001"])
            self.assertEqual(answer["route"], {"path_prefix": prefix, "host": "models.example"})
            self.assertEqual((answer["timeout_ms"], answer["capacity"], answer["limit_by"]), (1234, 50, "qps"))
            self.assertEqual(answer["failure_statuses"], ["5xx", "429"])
            self.assertEqual(answer["error_dialect"], "openai")
        self.assertIn(identity, [item["id"] for item in self.pages("/v1/services", limit=2)])

    def test_optional_fields_have_the_documented_defaults(self):
        identity = fresh("svc")
        self.put(identity)
        answer = self.admin.service(identity)
        self.assertEqual(answer.json.get("limit_by", "concurrency"), "concurrency")
        self.assertEqual(answer.json.get("error_dialect", "problem"), "problem")
        self.assertEqual(sorted(answer.json.get("failure_statuses", ["4xx", "5xx"])), ["4xx", "5xx"])

    def test_put_replaces_the_whole_service(self):
        identity = fresh("svc")
        self.put(identity, timeout_ms=500, capacity=9)
        self.assertEqual(self.put(identity, model=AUTODL).status, 200)
        answer = self.admin.service(identity)
        self.assertEqual(answer["model"], AUTODL)
        self.assertIsNone(answer.json.get("capacity"))

    def test_faults_name_their_field(self):
        good = self.model.address
        cases = [("model", ...), ("model", "no-such-model"), ("model", 5), ("upstreams", ...), ("upstreams", []),
                 ("upstreams", good), ("upstreams", ["127.0.0.1"]), ("upstreams", ["127.0.0.1:0"]),
                 ("upstreams", ["127.0.0.1:65536"]), ("upstreams", ["127.0.0.1:port"]), ("upstreams", [5]),
                 ("upstreams", ["http://127.0.0.1:80"]), ("upstreams", ["a b:80"]), ("upstreams", [":80"]),
                 ("route", ...), ("route", "/a"), ("route", {}), ("timeout_ms", 0), ("timeout_ms", -1),
                 ("timeout_ms", "5"), ("timeout_ms", 1.5), ("timeout_ms", 86_400_001), ("capacity", 0),
                 ("capacity", "many"), ("capacity", 2 ** 53 + 1), ("limit_by", "bytes"), ("limit_by", 5),
                 ("failure_statuses", "5xx"), ("failure_statuses", ["6xx"]), ("failure_statuses", [5.5]),
                 ("failure_statuses", ["5x"]), ("error_dialect", "french"), ("error_dialect", 1), ("colour", "red")]
        for field, value in cases:
            with self.subTest(field=field, value=value):
                self.fault(self.put(**{field: value}), 400, field)
        for field, value in (("path_prefix", "a"), ("path_prefix", ""), ("path_prefix", 5), ("path_prefix", "/a b"),
                             ("path_prefix", "/a?b"), ("path_prefix", "/a/../b"), ("host", "a b"), ("host", "a:80"),
                             ("host", ""), ("depth", 3)):
            with self.subTest(route_field=field, value=value):
                self.fault(self.put(route={"path_prefix": "/a", **{field: value}}), 400, field)

    def test_deleting_ends_the_route_and_is_remembered(self):
        service, account = self.one()
        self.assertEqual(account.call(service).status, 200)
        self.assertIn(self.admin.delete_service(service.id).status, (200, 204))
        self.fault(self.admin.service(service.id), 404)
        eventually(lambda: account.call(service).status == 404, "the route is gone within 1 s", within=1.5)
        self.fault(self.admin.delete_service(service.id), 404)

    def test_a_prefix_matches_whole_segments_and_the_longest_wins(self):
        prefix = f"/{fresh('path')}"
        short = self.service(FAST, path=prefix)
        long = self.service(FAST, path=prefix + "/deep")
        account = self.account(short, long)
        for suffix, expected in (("", short), ("/", short), ("/x", short), ("?q=1", short), ("/deep", long),
                                 ("/deep/x", long), ("/deeper", short)):
            with self.subTest(path=prefix + suffix):
                response = wire.call(self.port, prefix + suffix, account.key)
                self.assertEqual(response.status, 200)
                self.assertEqual(self.model.entry(response)["headers"]["x-service"], expected.id)
        for suffix in ("er", "x/deep"):
            self.refused(wire.call(self.port, prefix + suffix, account.key), 404, "unknown_service")

    def test_a_host_route_serves_that_host_only(self):
        service = self.service(FAST, path=f"/{fresh('path')}")
        hosted = fresh("svc")
        self.assertIn(self.admin.put_service(hosted, FAST, [self.model.address], service.path,
                                             host="models.example").status, (200, 201))
        account = self.account(service)
        self.assertIn(self.admin.put_subscription(account.id, hosted, False).status, (200, 201))

        def through(host):
            with wire.Connection(self.port) as connection:
                connection.send(f"GET {service.path} HTTP/1.1\r\nHost: {host}\r\nX-Api-Key: {account.key}\r\n\r\n")
                return connection.response()
        eventually(lambda: through("models.example").status == 200, "subscribed", within=2)
        for host, expected in (("models.example", hosted), ("MODELS.Example:8080", hosted),
                               ("other.example", service.id)):
            response = through(host)
            self.assertEqual(response.status, 200)
            self.assertEqual(self.model.entry(response)["headers"]["x-service"], expected, host)


class Subscriptions(AdminTest):
    FIELDS = {"state", "plan", "guarantee", "in_flight", "free_points_left", "month_points", "packages",
              "count_packs", "qps_packs"}

    def test_free_and_paid_states(self):
        service, slow = self.service(FAST), self.service(AUTODL)
        account = self.account(service, slow)
        now = account.subscription(service)
        self.assertEqual(self.FIELDS - set(now), set())
        self.assertEqual((now["state"], now["guarantee"], now["in_flight"]), ("free", 0, 0))
        self.assertEqual((now["free_points_left"], now["month_points"]), (10_000, 0))
        self.assertEqual((now["packages"], now["count_packs"], now["qps_packs"]), ([], [], []))
        self.assertEqual(now["plan"], "points-2021-08-20")
        self.assertEqual(self.admin.put_subscription(account.id, service.id, True).status, 200)
        self.assertEqual(self.admin.put_subscription(account.id, slow.id, True).status, 200)
        now = account.subscription(service)
        self.assertEqual((now["state"], now["guarantee"], now["free_points_left"]), ("paid", 10, 10_000))
        self.assertEqual(account.subscription(slow)["guarantee"], 4)
        listed = self.pages(f"/v1/accounts/{account.id}/subscriptions", limit=1)
        self.assertEqual(sorted(item["service"] for item in listed), sorted([service.id, slow.id]))

    def test_put_again_keeps_what_was_used(self):
        service, account = self.one()
        self.assertEqual(account.call(service).status, 200)
        eventually(lambda: account.subscription(service)["free_points_left"] == 9_996, "points used")
        self.assertEqual(self.admin.put_subscription(account.id, service.id, True).status, 200)
        self.assertEqual(account.subscription(service)["free_points_left"], 9_996)
        self.assertEqual(self.admin.put_subscription(account.id, service.id, False).status, 200)
        now = account.subscription(service)
        self.assertEqual((now["state"], now["guarantee"], now["free_points_left"]), ("free", 0, 9_996))

    def test_faults(self):
        service, account = self.one()
        path = f"/v1/accounts/{account.id}/subscriptions/{service.id}"
        for raw, field in ((b"{}", "paid"), (b'{"paid":"true"}', "paid"), (b'{"paid":1}', "paid"),
                           (b'{"paid":true,"plan":5}', "plan"), (b'{"paid":true,"plan":"none-such"}', "plan"),
                           (b'{"paid":true,"x":1}', "x"), (b'{"paid":true,"paid":false}', "paid")):
            with self.subTest(raw=raw):
                answer = self.admin.request("PUT", path, raw=raw)
                self.assertIn(answer.status, (400, 404) if b"none-such" in raw else (400,), answer)
                self.fault(answer, answer.status, None if answer.status == 404 else field)
        self.assertEqual(account.subscription(service)["state"], "free")
        self.fault(self.admin.put_subscription(account.id, "no-such-service", True), 404)
        self.fault(self.admin.put_subscription("no-such-account", service.id, True), 404)
        unsubscribed = self.service()
        self.fault(self.admin.subscription(account.id, unsubscribed.id), 404)

    def test_times_are_beijing_time(self):
        service, account = self.one()
        stamps = re.findall(r'"\w+_at":\s*("[^"]*")', json.dumps(account.subscription(service))
                            + self.admin.account(account.id).text + self.admin.keys(account.id).text)
        self.assertGreaterEqual(len(stamps), 2)
        for stamp in stamps:
            self.assertRegex(json.loads(stamp), RFC3339)


if __name__ == "__main__":
    unittest.main()
