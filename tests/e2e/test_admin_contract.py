"""The admin API as api.md fixes it: services, accounts, keys, subscriptions, catalogue, probes, tokens, bad input.
Money has test_admin_money.py, usage and epochs test_admin_usage.py."""

import json
import os
import pathlib
import re
import unittest

import wire
from admin import fresh, instant
from harness import AUTODL, FAST, GatewayTest, Tollgate, eventually

RFC3339 = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?\+08:00$")
MONEY = re.compile(r"^-?\d+\.\d{2,6}$")
ID = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")


class AdminTest(GatewayTest):
    def fault(self, answer, status, field=None):
        """An RFC 9457 problem with a code, and the field's name where one is at fault."""
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers.get("Content-Type"), "application/problem+json", answer)
        problem = answer.json
        self.assertEqual(problem["status"], status, answer)
        self.assertRegex(problem["code"], r"^[a-z][a-z0-9_]*$")
        self.assertTrue(problem.get("title") or problem.get("detail"), answer)
        if field is not None:
            self.assertIn(field, problem.get("field", ""), answer)
        return problem

    def pages(self, path, **query):
        """All items of a list, page by page."""
        items, after = [], None
        while True:
            answer = self.admin.get(path, after=after, **query)
            self.assertEqual(answer.status, 200, answer)
            self.assertEqual({"items", "next"} - set(answer.json), set(), answer)
            items += answer["items"]
            if answer["next"] is None:
                return items
            self.assertTrue(answer["items"], "an empty page that says there is more")
            after = answer["next"]


class Accounts(AdminTest):
    def test_put_creates_get_shows_and_put_again_renames(self):
        identity = fresh("acme")
        put = self.admin.put_account(identity, "Acme 模型 公司")
        self.assertIn(put.status, (200, 201))
        for answer in (put, self.admin.account(identity)):
            self.assertEqual(answer["id"], identity)
            self.assertEqual(answer["name"], "Acme 模型 公司")
            self.assertEqual(answer["state"], "active")
            self.assertEqual(answer["cash"], "0.00")
            self.assertEqual(answer["vouchers"], "0.00")
            self.assertRegex(answer["created_at"], RFC3339)
            self.assertTrue(answer.headers["Content-Type"].startswith("application/json"))
        self.assertEqual(self.admin.put_account(identity, "Acme 2").status, 200)
        again = self.admin.account(identity)
        self.assertEqual((again["name"], again["created_at"]), ("Acme 2", put["created_at"]))

    def test_unknown_account_is_404_in_every_call_below_it(self):
        self.fault(self.admin.account("nobody"), 404)
        self.fault(self.admin.keys("nobody"), 404)
        self.fault(self.admin.create_key("nobody"), 404)
        self.fault(self.admin.subscriptions("nobody"), 404)
        self.fault(self.admin.transfers("nobody"), 404)
        self.fault(self.admin.usage("nobody"), 404)
        self.fault(self.admin.deposit("nobody", "1.00"), 404)

    def test_ids_outside_the_form_are_refused(self):
        for bad in ("Acme", "-acme", "a_b", "a.b", "a" * 64, "%E5%85%AC", "a%0d%0ab", "a%20b"):
            with self.subTest(id=bad):
                self.fault(self.admin.put_account(bad), 400)
        for good in ("a", "0", "a" * 63, "a--b-", "9-z"):
            with self.subTest(id=good):
                self.assertIn(self.admin.put_account(good).status, (200, 201))

    def test_lists_page_without_loss_or_repetition(self):
        mine = sorted(fresh("page") for _ in range(7))
        for identity in mine:
            self.admin.put_account(identity)
        first = self.admin.accounts(limit=3)
        self.assertEqual(len(first["items"]), 3)
        self.assertIsNotNone(first["next"])
        found = [item["id"] for item in self.pages("/v1/accounts", limit=3)]
        self.assertEqual(len(found), len(set(found)))
        self.assertEqual([identity for identity in found if identity in mine], mine)
        for bad in ("0", "-1", "x", "1.5"):
            with self.subTest(limit=bad):
                self.fault(self.admin.accounts(limit=bad), 400, "limit")


class BadInput(AdminTest):
    def put(self, raw):
        return self.admin.request("PUT", f"/v1/accounts/{fresh('bad')}", raw=raw)

    def test_unknown_field_is_named(self):
        self.fault(self.put(b'{"name":"a","colour":"red"}'), 400, "colour")

    def test_duplicate_key_is_named(self):
        self.fault(self.put(b'{"name":"a","name":"b"}'), 400, "name")

    def test_wrong_type_and_missing_field_are_named(self):
        for raw in (b'{"name":5}', b'{"name":null}', b'{"name":["a"]}', b'{}'):
            with self.subTest(raw=raw):
                self.fault(self.put(raw), 400, "name")

    def test_what_is_no_json_object_is_400(self):
        for raw in (b"", b"{", b"[]", b'"a"', b"5", b"{'name':'a'}", b'{"name":"a"}x', b'{"name":"a",}',
                    b'{"name":"\xff\xfe"}', b'{"name":"a\x01b"}', b'\x00', b"{" * 100):
            with self.subTest(raw=raw):
                self.fault(self.put(raw), 400)

    def test_deep_json_and_long_strings_do_no_harm(self):
        self.fault(self.put(b'{"name":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), 400)
        huge = self.put(b'{"name":"' + b"a" * 3_000_000 + b'"}')
        self.assertIn(huge.status, (400, 413), huge)
        self.assertTrue(self.gateway.alive())

    def test_duplicate_keys_in_a_nested_object_are_named(self):
        raw = json.dumps({"model": FAST, "upstreams": ["127.0.0.1:1"]})[:-1].encode()
        answer = self.admin.request("PUT", "/v1/services/twice",
                                    raw=raw + b',"route":{"path_prefix":"/a","path_prefix":"/b"}}')
        self.fault(answer, 400, "path_prefix")

    def test_unknown_paths_and_methods(self):
        self.fault(self.admin.get("/v1/nothing"), 404)
        answer = self.admin.request("PATCH", "/v1/accounts/acme", {"name": "a"})
        self.assertIn(answer.status, (404, 405), answer)


class Tokens(AdminTest):
    CALLS = [("GET", "/v1/catalog"), ("GET", "/v1/accounts"), ("PUT", "/v1/accounts/x"), ("GET", "/v1/services"),
             ("PUT", "/v1/services/x"), ("DELETE", "/v1/services/x"), ("POST", "/v1/accounts/x/keys"),
             ("POST", "/v1/accounts/x/deposits"), ("POST", "/v1/usage"), ("POST", "/v1/gateways/g/epochs"),
             ("GET", "/v1/audit"), ("GET", "/v1/clock"), ("GET", "/v1/nothing")]

    def test_no_or_wrong_token_is_401_for_all_of_v1(self):
        for method, path in self.CALLS:
            for token in (None, "wrong", self.gateway.token + "x", self.gateway.token[:-1], ""):
                with self.subTest(call=f"{method} {path}", token=token):
                    self.fault(self.admin.request(method, path, token=token), 401)
        self.fault(self.admin.account("x"), 404)

    def test_other_authorization_schemes_are_401(self):
        for value in (f"Basic {self.gateway.token}", self.gateway.token, "Bearer"):
            self.fault(self.admin.request("GET", "/v1/catalog", token=None, headers={"Authorization": value}), 401)

    def test_probes_and_metrics_need_no_token(self):
        for answer in (self.admin.healthz(), self.admin.readyz(), self.admin.metrics()):
            self.assertEqual(answer.status, 200, answer)

    def test_without_a_token_one_is_made_in_the_data_folder(self):
        gateway = Tollgate(token=None)
        self.addCleanup(gateway.close)
        gateway.start()
        path = os.path.join(gateway.data_dir, "admin-token")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        token = pathlib.Path(path).read_text("ascii").strip()
        self.assertGreaterEqual(len(token), 20)
        self.assertEqual(gateway.admin.request("GET", "/v1/catalog", token=token).status, 200)
        self.assertEqual(gateway.admin.request("GET", "/v1/catalog", token="").status, 401)
        self.assertIn("admin-token", gateway.stderr() + gateway.stdout())
        self.assertNotIn(token, gateway.stderr() + gateway.stdout())


class Keys(AdminTest):
    def test_a_key_is_shown_once_and_listed_without_its_secret(self):
        identity = fresh("acct")
        self.admin.put_account(identity)
        created = self.admin.create_key(identity, name="laptop", expires_at=instant(3600))
        self.assertEqual(created.status, 201)
        self.assertRegex(created["id"], ID)
        self.assertRegex(created["key"], r"^tg_[a-z0-9]{30,}$")
        listed = self.admin.keys(identity)
        self.assertEqual([item["id"] for item in listed["items"]], [created["id"]])
        self.assertEqual(listed["items"][0]["name"], "laptop")
        self.assertRegex(listed["items"][0]["expires_at"], RFC3339)
        self.assertNotIn(created["key"], listed.text)
        self.assertNotIn("hash", listed.text)
        other = self.admin.create_key(identity)
        self.assertNotEqual(other["key"], created["key"])

    def test_a_deleted_key_is_gone(self):
        identity = fresh("acct")
        self.admin.put_account(identity)
        created = self.admin.create_key(identity)
        answer = self.admin.delete_key(identity, created["id"])
        self.assertEqual((answer.status, answer.text), (204, ""))
        self.assertEqual(self.admin.keys(identity)["items"], [])
        self.fault(self.admin.delete_key(identity, created["id"]), 404)

    def test_a_key_belongs_to_its_account_only(self):
        one, two = fresh("acct"), fresh("acct")
        self.admin.put_account(one)
        self.admin.put_account(two)
        created = self.admin.create_key(one)
        self.fault(self.admin.delete_key(two, created["id"]), 404)
        self.assertEqual(len(self.admin.keys(one)["items"]), 1)

    def test_bad_fields(self):
        identity = fresh("acct")
        self.admin.put_account(identity)
        self.fault(self.admin.create_key(identity, colour="red"), 400, "colour")
        self.fault(self.admin.create_key(identity, name=5), 400, "name")
        for bad in ("tomorrow", "2030-01-01", 5, "2030-13-01T00:00:00Z", "2030-01-01T00:00:00"):
            with self.subTest(expires_at=bad):
                self.fault(self.admin.create_key(identity, expires_at=bad), 400, "expires_at")

    def test_no_secret_is_stored_or_logged(self):
        identity = fresh("acct")
        self.admin.put_account(identity)
        secret = self.admin.create_key(identity)["key"]
        for path in pathlib.Path(self.gateway.folder).rglob("*"):
            if path.is_file():
                self.assertNotIn(secret.encode(), path.read_bytes(), path)
                self.assertNotIn(self.gateway.token.encode(), path.read_bytes(), path)


class CatalogAndProbes(AdminTest):
    def test_the_catalogue_has_models_and_plans(self):
        answer = self.admin.catalog()
        self.assertEqual(answer.status, 200)
        text = json.dumps(answer.json)
        for name in (FAST, AUTODL, "video-classification", "time-series-forecast", "points-2021-08-20"):
            self.assertIn(name, text)
        models = {model.get("name") or model.get("id"): model for model in answer["models"]}
        self.assertEqual(len(models), 40)
        for name, direction, points, fast in ((FAST, "image", 4, True), (AUTODL, "image", 6, False),
                                              ("sound-classification", "sound", 4, False),
                                              ("object-detection/boost-2000-3000ms", "image", 60, False),
                                              ("entity-extraction/high-performance", "text", 7, False)):
            self.assertEqual((models[name]["direction"], models[name]["points"]), (direction, points), name)
            self.assertEqual(models[name]["class"] == "fast", fast, models[name])

    def test_metrics_are_an_exposition_of_the_promised_families(self):
        service, account = self.one()
        self.assertEqual(account.call(service).status, 200)
        account.wait_usage(service, calls_succeeded=1)
        answer = self.admin.metrics()
        self.assertTrue(answer.headers["Content-Type"].startswith("text/plain"))
        for family in ("requests_total", "refusals_total", "calls_total", "points_total", "in_flight",
                       "request_duration_seconds", "overhead_seconds", "upstream_duration_seconds",
                       "upstream_connections", "client_connections", "journal_slots", "journal_unsynced_seconds",
                       "usage_unacknowledged_points", "accounts", "config_reloads_total", "build_info"):
            with self.subTest(family=family):
                self.assertRegex(answer.text, rf"(?m)^# HELP tollgate_{family} \S")
                self.assertRegex(answer.text, rf"(?m)^# TYPE tollgate_{family} (counter|gauge|histogram)$")
        self.assertNotIn(account.id, answer.text)
        self.assertNotIn(account.key, answer.text)
        self.assertEqual(self.admin.metric("requests_total", service=service.id, code="200"), 1)
        self.assertEqual(self.admin.metric("calls_total", service=service.id, outcome="succeeded"), 1)
        self.assertEqual(self.admin.metric("points_total", service=service.id, kind="free"), 4)
        self.assertEqual(self.admin.metric("request_duration_seconds_count", service=service.id), 1)
        self.assertEqual(self.admin.metric("build_info"), 1)

    def test_the_admin_api_is_not_on_the_data_path(self):
        for path in ("/metrics", "/healthz", "/readyz", "/v1/catalog"):
            self.refused(wire.call(self.port, path), 401, "invalid_key")
            self.refused(wire.call(self.port, path, self.gateway.token), 401, "invalid_key")

    def test_audit_holds(self):
        answer = self.admin.audit()
        self.assertEqual(answer.status, 200)
        self.assertIs(answer["ok"], True)

    def test_the_clock_is_refused_unless_it_is_the_test_clock(self):
        for answer in (self.admin.clock(), self.admin.set_clock(instant(3600))):
            self.assertIn(answer.status, (403, 404, 409), answer)

    def test_the_test_clock_stands_where_it_was_put(self):
        gateway = Tollgate({"billing.clock": "manual"})
        self.addCleanup(gateway.close)
        gateway.start()
        self.assertRegex(gateway.admin.clock()["now"], RFC3339)
        answer = gateway.admin.set_clock("2031-08-01T00:30:00Z")
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(gateway.admin.clock()["now"], "2031-08-01T08:30:00+08:00")
        self.fault(gateway.admin.set_clock("soon"), 400, "now")
        eventually(lambda: gateway.admin.readyz().status == 200, "still ready")


if __name__ == "__main__":
    unittest.main()
