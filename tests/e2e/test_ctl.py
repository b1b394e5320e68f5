"""`tollgate ctl`: the operator's command line over the admin API, for people (tables) and for programs (--json)."""

import json
import os
import pathlib
import subprocess
import unittest

import wire
from admin import fresh, instant
from harness import AUTODL, FAST, REPOSITORY, GatewayTest, eventually, program

DEMO = REPOSITORY / "conf" / "demo.yaml"


class Ctl(GatewayTest):
    def ctl(self, *arguments, code=0, token=..., address=None, **more):
        environment = {**os.environ, "TOLLGATE_ADMIN_TOKEN": self.gateway.token if token is ... else token}
        out = subprocess.run(
            [program("TOLLGATE_BIN", "tollgate"), "ctl", "--address", address or f"127.0.0.1:{self.gateway.admin_port}",
             *arguments],
            capture_output=True, text=True, timeout=60, env=environment, cwd=self.gateway.folder, **more)
        self.assertEqual(out.returncode, code, out)
        return out

    def json(self, *arguments, **more):
        return json.loads(self.ctl("--json", *arguments, **more).stdout)

    def items(self, *arguments):
        answer = self.json(*arguments)
        return answer["items"] if isinstance(answer, dict) else answer

    def test_from_nothing_to_a_call(self):
        service, account, path = fresh("svc"), fresh("acct"), f"/{fresh('path')}"
        self.ctl("services", "put", service, "--model", FAST, "--upstream", self.model.address, "--path-prefix", path)
        self.ctl("accounts", "put", account, "--name", "公司 Ltd")
        self.assertEqual(self.json("accounts", "get", account)["name"], "公司 Ltd")
        self.assertIn(account, self.ctl("accounts", "list").stdout)
        self.ctl("deposits", "create", account, "--amount", "12.5")
        self.assertEqual(self.admin.account(account)["cash"], "12.50")
        self.ctl("subscriptions", "put", account, service, "--paid")
        self.assertEqual(self.json("subscriptions", "get", account, service)["state"], "paid")
        created = self.json("keys", "create", account, "--name", "laptop")
        eventually(lambda: wire.call(self.port, path, created["key"]).status == 200, "a call", within=2)
        eventually(lambda: sum(item["calls_succeeded"] for item in self.items("usage", "list", account)) == 1, "usage")
        self.assertIn("calls_succeeded", self.ctl("usage", "list", account).stdout.lower())
        listed = self.ctl("keys", "list", account).stdout
        self.assertIn(created["id"], listed)
        self.assertNotIn(created["key"], listed)
        self.ctl("keys", "revoke", account, created["id"])
        eventually(lambda: wire.call(self.port, path, created["key"]).status == 401, "revoked", within=1.5)
        self.assertEqual([item["amount"] for item in self.items("transfers", "list", account)], ["12.50"])
        self.ctl("audit")
        self.assertIs(self.json("audit")["ok"], True)

    def test_packs_are_bought_and_refusals_are_exit_code_1(self):
        service, account = self.one(AUTODL, paid=True)
        window = ("--starts-at", instant(60), "--ends-at", instant(3600))
        out = self.ctl("qps-packs", "buy", account.id, service.id, "--qps", "2", *window, code=1)
        self.assertIn("balance", (out.stderr + out.stdout).lower())
        self.admin.deposit(account.id, "100000")
        self.assertEqual(self.json("qps-packs", "buy", account.id, service.id, "--qps", "2", *window)["qps"], 2)
        self.assertEqual(len(account.subscription(service)["qps_packs"]), 1)
        out = self.ctl("accounts", "get", "nobody", code=1)
        self.assertTrue(out.stderr)
        self.assertEqual(out.stdout, "")

    def test_a_refusal_is_a_document_for_programs(self):
        problem = self.json("accounts", "get", "nobody", code=1)
        self.assertEqual((problem["status"], problem["code"]), (404, "account_not_found"))
        out = self.ctl("--json", "accounts", "get", "nobody", code=1)
        self.assertIn("account_not_found", out.stderr, "and a sentence for people")
        self.assertEqual(self.json("usage", "list", "nobody", code=1)["status"], 404)
        self.assertEqual(self.json("keys", "revoke", "nobody", "k", code=1)["status"], 404)
        self.assertEqual(self.json("bills", "show", "nobody", code=1)["status"], 404)
        dead = self.ctl("--json", "accounts", "list", code=1, address="127.0.0.1:1")
        self.assertEqual(dead.stdout, "", "no answer, no document")

    def test_the_key_to_repeat_with_is_said_only_where_that_helps(self):
        service, account = self.one(AUTODL, paid=True)
        buy = ("packages", "buy", account.id, service.id, "--points", "200000")
        out = self.ctl(*buy, code=1)
        self.assertIn("402", out.stderr)
        self.assertNotIn("--idempotency-key", out.stderr, "that key would repeat the refusal")
        self.assertNotIn("--idempotency-key", self.ctl("deposits", "create", "nobody", "--amount", "1", code=1).stderr)
        self.assertIn("--idempotency-key", self.ctl(*buy, code=1, address="127.0.0.1:1").stderr)

    def test_a_refused_apply_is_one_array_that_ends_with_the_refusal(self):
        account, service = fresh("acct"), fresh("no-svc")
        text = f"accounts:\n  {account}:\n    name: A\n    subscriptions:\n      {service}: {{paid: true}}\n"
        steps = json.loads(self.ctl("--json", "apply", "-f", "-", code=1, input=text).stdout)
        self.assertEqual([step["result"] for step in steps], ["created", "failed"])
        self.assertEqual(steps[1]["problem"]["status"], 404)
        self.assertIn(service, steps[1]["note"])
        self.assertEqual(json.loads(self.ctl("--json", "apply", "-f", "-", input="services: {}\n").stdout), [])

    def test_one_idempotency_key_deposits_once(self):
        account = self.account()
        key = fresh("idem")
        for _ in range(2):
            self.ctl("deposits", "create", account.id, "--amount", "5", "--idempotency-key", key)
        self.assertEqual(self.admin.account(account.id)["cash"], "5.00")

    def test_wrong_commands_tokens_and_addresses_fail(self):
        self.ctl("nonsense", code=2)
        self.ctl("accounts", code=2)
        self.ctl("accounts", "put", code=2)
        out = self.ctl("accounts", "list", code=1, token="wrong")
        self.assertIn("token", (out.stderr + out.stdout).lower())
        self.assertNotIn(self.gateway.token, out.stderr + out.stdout)
        dead = subprocess.run([program("TOLLGATE_BIN", "tollgate"), "ctl", "--address", "127.0.0.1:1",
                               "accounts", "list"], capture_output=True, text=True, timeout=60,
                              env={"TOLLGATE_ADMIN_TOKEN": "x"})
        self.assertEqual(dead.returncode, 1)
        self.assertIn("127.0.0.1:1", dead.stderr)

    def test_the_catalogue_is_a_table(self):
        out = self.ctl("catalog").stdout
        self.assertIn(FAST, out)
        self.assertRegex(out, r"points-2021-08-20.*hourly")
        self.assertEqual(len(self.json("catalog")["models"]), 40)

    def state(self):
        """Everything that applying a file twice must leave as it was."""
        accounts = self.admin.accounts(limit=1000)["items"]
        return {"services": self.admin.services(limit=1000)["items"], "accounts": accounts,
                "keys": {account["id"]: self.admin.keys(account["id"]).json for account in accounts},
                "subscriptions": {account["id"]: self.admin.subscriptions(account["id"]).json for account in accounts},
                "transfers": {account["id"]: self.admin.transfers(account["id"]).json for account in accounts}}

    def test_applying_the_demo_twice_is_applying_it_once(self):
        if not DEMO.exists():
            self.skipTest("no conf/demo.yaml")
        keys = os.path.join(self.gateway.folder, "keys.txt")
        self.ctl("apply", "-f", str(DEMO), "--keys-file", keys)
        once = self.state()
        written = pathlib.Path(keys).read_text("utf-8").splitlines()
        lines = [line for line in written if line.strip() and not line.startswith("#")]
        self.assertEqual(os.stat(keys).st_mode & 0o077, 0, "keys are for their owner's eyes")
        self.assertGreaterEqual(len(lines), 2)
        states = {subscription["state"] for each in once["subscriptions"].values() for subscription in each["items"]}
        self.assertEqual(states, {"free", "paid"})
        models = {service["model"] for service in once["services"]}
        self.assertTrue({FAST} < models, models)
        out = self.ctl("--json", "apply", "-f", str(DEMO), "--keys-file", keys)
        self.assertEqual(self.state(), once)
        steps = json.loads(out.stdout)
        self.assertEqual({step["result"] for step in steps}, {"unchanged"}, steps)
        self.assertEqual({step["kind"] for step in steps} - {"key"},
                         {"service", "account", "deposit", "subscription"})
        self.ctl("apply", "-f", "/no/such/file.yaml", code=1)
        out = self.ctl("apply", "-f", "-", code=1, input="colour: red\n")
        self.assertIn("colour", out.stderr)


if __name__ == "__main__":
    unittest.main()
