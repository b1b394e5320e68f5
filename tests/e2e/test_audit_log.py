"""The audit log of changes: what was answered is in it, its chain can be recomputed by anybody, and damage is found."""

import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
import unittest
from pathlib import Path

from harness import Tollgate, eventually, program

COLUMNS = ("previous_hash", "sequence", "at", "role", "address", "request_id", "method", "path", "status", "made",
           "body")


def hash_of(row):
    """As docs/audit-log.md says it."""
    lines = ["tollgate-audit-log-1", *(str(row[column]) for column in COLUMNS)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class AuditLog(unittest.TestCase):
    def setUp(self):
        self.gateway = Tollgate()
        self.addCleanup(self.gateway.close)
        self.gateway.start()

    @property
    def admin(self):
        return self.gateway.admin

    def rows(self):
        found, after = [], None
        while True:
            page = self.admin.get("/v1/audit-log", limit=3, **({"after": after} if after else {})).json
            found += page["items"]
            after = page["next"]
            if after is None:
                return found

    def ctl(self, *arguments, code=0):
        out = subprocess.run([program("TOLLGATE_BIN", "tollgate"), "ctl", "--address",
                              f"127.0.0.1:{self.gateway.admin_port}", *arguments], capture_output=True, text=True,
                             timeout=60, env={"TOLLGATE_ADMIN_TOKEN": self.gateway.token}, cwd=self.gateway.folder)
        self.assertEqual(out.returncode, code, out)
        return out

    def change_some(self):
        for number in range(1, 6):
            self.assertEqual(self.admin.put_account(f"a{number}", f"公司 {number}").status, 200)
        self.assertEqual(self.admin.create_key("a1", name="laptop").status, 201)
        self.assertEqual(self.admin.deposit("a1", "5").status, 201)

    def tamper(self, sql):
        """Stops, changes a copy of the file past its triggers, and starts on that."""
        self.gateway.terminate()
        original, copy = Path(self.gateway.data_dir), Path(self.gateway.folder, "copy")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(original, copy)
        with sqlite3.connect(copy / "tollgate.db") as database:
            with self.assertRaises(sqlite3.DatabaseError):
                database.execute(sql)
            database.rollback()
            for trigger in ("update", "delete"):
                database.execute(f"DROP TRIGGER audit_log_refuse_{trigger}")
            self.assertGreater(database.execute(sql).rowcount, 0)
        database.close()
        self.gateway.data_dir = str(copy)
        self.addCleanup(setattr, self.gateway, "data_dir", str(original))
        self.gateway.start()

    def test_the_chain_is_what_its_page_says(self):
        self.change_some()
        rows = self.rows()
        self.assertEqual([row["sequence"] for row in rows], list(range(1, 8)))
        previous = "0" * 64
        for row in rows:
            self.assertEqual(row["previous_hash"], previous)
            self.assertEqual(row["hash"], hash_of(row), row)
            previous = row["hash"]
        self.assertEqual(json.loads(rows[0]["body"]), {"name": "公司 1"})
        answer = self.admin.get("/v1/audit-log/verification").json
        self.assertEqual(answer, {"ok": True, "rows": 7, "head": f"7:{previous}", "first_break": None})
        # The log of the process names the head after each change.
        eventually(lambda: f"audit-log 7:{previous}" in self.gateway.stderr(), "the last head in the log")
        self.assertEqual(re.findall(r"audit-log (\d+):", self.gateway.stderr()), [str(n) for n in range(1, 8)])

    def test_what_was_answered_is_there_after_a_kill(self):
        self.change_some()
        self.gateway.kill9()
        self.gateway.start()
        self.assertEqual(len(self.rows()), 7)
        self.ctl("audit-log", "verify")

    def test_ctl_lists_and_verifies(self):
        self.change_some()
        head = json.loads(self.ctl("--json", "audit-log", "verify").stdout)["head"]
        self.assertIn(head, self.ctl("audit-log", "verify", "--head", head).stdout)
        self.admin.put_account("a9")
        self.ctl("audit-log", "verify", "--head", head)
        self.assertEqual(len(json.loads(self.ctl("--json", "audit-log", "list").stdout)["items"]), 8)
        listed = self.ctl("audit-log", "list", "--after", "7").stdout
        self.assertIn("/v1/accounts/a9", listed)
        self.assertNotIn("/v1/accounts/a1", listed)
        self.ctl("audit-log", "verify", "--head", "7", code=1)

    def test_a_changed_row_is_found(self):
        self.change_some()
        self.tamper("UPDATE audit_log SET body = '{}' WHERE sequence = 4")
        self.assertIn("row 4", self.ctl("audit-log", "verify", code=1).stderr)

    def test_a_deleted_row_is_found(self):
        self.change_some()
        self.tamper("DELETE FROM audit_log WHERE sequence = 3")
        self.assertIn("row 3", self.ctl("audit-log", "verify", code=1).stderr)
        self.assertEqual(self.admin.put_account("more").status, 200, "damage is told, and stops nobody")

    def test_a_cut_tail_is_found_by_a_kept_head(self):
        self.change_some()
        head = json.loads(self.ctl("--json", "audit-log", "verify").stdout)["head"]
        self.tamper("DELETE FROM audit_log WHERE sequence > 5")
        self.ctl("audit-log", "verify")
        self.assertIn("row 6", self.ctl("audit-log", "verify", "--head", head, code=1).stderr)
        answer = json.loads(self.ctl("--json", "audit-log", "verify", "--head", head, code=1).stdout)
        self.assertEqual((answer["ok"], answer["rows"], answer["first_break"]["sequence"]), (False, 5, 6))


if __name__ == "__main__":
    unittest.main()
