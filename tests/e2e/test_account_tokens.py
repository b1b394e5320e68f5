"""An account's own read-only token: made with ctl, good for what is its own, after a restart too, until it is revoked."""

import json
import subprocess
import time
import unittest
from pathlib import Path

from admin import fresh
from harness import FAST, GatewayTest, program


class AccountTokens(GatewayTest):
    def ctl(self, *arguments, code=0, token=None):
        out = subprocess.run([program("TOLLGATE_BIN", "tollgate"), "ctl", "--address",
                              f"127.0.0.1:{self.gateway.admin_port}", "--json", *arguments], capture_output=True,
                             text=True, timeout=60, env={"TOLLGATE_ADMIN_TOKEN": token or self.gateway.token},
                             cwd=self.gateway.folder)
        self.assertEqual(out.returncode, code, out)
        return json.loads(out.stdout) if out.stdout else None

    def test_from_making_to_revoking(self):
        service, account = self.one(paid=True)
        other = self.account(service)
        self.assertEqual(account.call(service).status, 200)
        account.wait_usage(service, calls_succeeded=1)
        made = self.ctl("tokens", "create", account.id, "--name", "console")
        token = made["token"]
        self.assertRegex(token, r"^tgr_[a-z0-9]{36}$")

        def read(path, **more):
            return self.admin.request("GET", path, token=token, **more)
        own = f"/v1/accounts/{account.id}"
        for _ in range(2):
            self.assertEqual(read(own)["id"], account.id)
            self.assertEqual([item["service"] for item in read(own + "/subscriptions")["items"]], [service.id])
            self.assertEqual(read(own + f"/bills?month={made['created_at'][:7]}").status, 200)
            for path in (f"/v1/accounts/{other.id}", f"/v1/accounts/{fresh('acct')}", "/v1/accounts", "/v1/audit-log",
                         "/v1/notifications", "/v1/services", own + "/tokens"):
                self.assertEqual((read(path).status, read(path)["code"]), (403, "not_allowed"), path)
            self.assertEqual(self.admin.request("PUT", own, {"name": "mine"}, token=token).status, 403)
            self.assertEqual(self.admin.request("POST", own + "/keys", token=token).status, 403)
            self.gateway.terminate()
            self.gateway.start()
        self.assertEqual(self.ctl("usage", "list", account.id, token=token)["items"][0]["service"], service.id)
        self.assertEqual(self.ctl("accounts", "get", other.id, token=token, code=1)["code"], "not_allowed")
        # Neither kind of secret opens what the other is for.
        self.assertEqual(self.admin.request("GET", own, token=account.key).status, 401)
        account.key = token
        self.refused(account.call(service), 401, "invalid_key")

        listed = self.ctl("tokens", "list", account.id)["items"]
        self.assertEqual([(item["id"], item["name"], item["prefix"]) for item in listed],
                         [(made["id"], "console", token[:8])])
        self.ctl("tokens", "revoke", account.id, made["id"])
        self.assertEqual(read(own).status, 401)
        self.assertEqual(self.ctl("tokens", "list", account.id)["items"], [])

    def test_its_holder_cannot_fill_the_log_with_what_is_refused(self):
        _, account = self.one()
        token = self.ctl("tokens", "create", account.id)["token"]
        path = f"/v1/accounts/{account.id}/keys"
        begun = time.monotonic()
        for _ in range(200):
            self.assertEqual(self.admin.request("POST", path, token=token).status, 403)
        seconds = int(time.monotonic() - begun) + 2
        log = Path(self.gateway.folder, "stderr").read_text("utf-8", "replace")
        lines = log.count(f"admin API: POST {path} 403")
        self.assertGreater(lines, 0)
        self.assertLessEqual(lines, 10 * seconds)

    def test_one_that_was_never_made_is_a_wrong_token(self):
        service = self.service(FAST)
        account = self.account(service)
        token = self.ctl("tokens", "create", account.id)["token"]
        for wrong in (token[:-1], token + "0", token.upper(), "tgr_", token[:4] + "0" * 36):
            self.assertEqual(self.admin.request("GET", f"/v1/accounts/{account.id}", token=wrong).status, 401, wrong)


if __name__ == "__main__":
    unittest.main()
