"""Recorded cases of others, against the whole program: requests to it, answers to it, and what two other servers did with
the same bytes. Skipped where the collections are not beside the repository (or in TOLLGATE_CORPORA). Every case in which
this gateway means to differ stands with its reason in docs/http.md, "Deliberate differences"; it fails here when it does
not differ any more."""

import csv
import json
import os
import re
import unittest
from pathlib import Path

import wire
from harness import FAST, GatewayTest, REPOSITORY, eventually
from wire import Connection, ScriptedUpstream

CORPORA = Path(os.environ.get("TOLLGATE_CORPORA", REPOSITORY.parent / "shared" / "corpora"))


def collection(name):
    if not (CORPORA / name).exists():
        raise unittest.SkipTest(f"the recorded cases are not there: {CORPORA / name}")
    text = (CORPORA / name).read_text("utf-8")
    return json.loads(text) if name.endswith(".json") else list(csv.DictReader(text.splitlines()))


def deliberate(kind):
    """The ids of one collection for which the documentation gives a reason to differ."""
    section = (REPOSITORY / "docs" / "http.md").read_text("utf-8").partition("## Deliberate differences\n")[2]
    found = set()
    for row in section.partition("\n## ")[0].splitlines():
        cells = [cell.strip() for cell in row.split("|")]
        if len(cells) == 4 and cells[2]:
            found |= set(re.findall(rf"`{kind}/([^`]+)`", cells[1]))
    return found


class CorpusTest(GatewayTest):
    maxDiff = None
    sets = {"timeouts.head_ms": 1500, "timeouts.body_ms": 1500}  # cases without an end are told so by a 408

    @classmethod
    def setUpClass(cls):
        collection("baseline.csv")
        super().setUpClass()
        cls.svc, cls.acct = cls("runTest").one(FAST, paid=True)

    def runTest(self):
        """Only so that setUpClass can use the words of GatewayTest."""

    def tearDown(self):
        self.assertTrue(self.gateway.alive(), self.gateway.stderr())
        self.assertEqual(self.acct.call(self.svc).status, 200, "a normal call works after it")
        self.acct.wait_idle(self.svc)

    def prepared(self, payload):
        """With a valid key in the first head and a target of ours, or all would be 401 and 404."""
        blank, first, mark, rest = re.match(r"((?:\r\n)*)([^\r]*)(\r\n)?(.*)", payload, re.DOTALL).groups()
        first = re.sub(r"^(\S+ )(http://[^/? ]*)?/", rf"\g<1>\g<2>{self.svc.path}/", first).replace(
            self.svc.path + "/ ", self.svc.path + " ")
        return blank + first + (f"\r\nX-Api-Key: {self.acct.key}\r\n" + rest if mark else rest)

    def play(self, payloads):
        """(status of the first answer or 'closed', that answer, requests that began at the upstream)."""
        before = self.model.stats()
        with Connection(self.port) as connection:
            for payload in payloads:
                connection.send_all_or_closed(payload.encode("latin-1", "replace"))
            try:
                response = connection.response(payloads[0].split(" ")[0])
                status = response.status
            except wire.Closed:
                response, status = None, "closed"
        after = self.model.stats()
        self.assertEqual(after["malformed"], before["malformed"], f"ambiguous at the upstream: {payloads}")
        self.assertLessEqual(after["started"] - before["started"], max(1, len(payloads)), payloads)
        return status, response, after["started"] - before["started"]

    def differences(self, kind, cases):
        """`cases`: id -> a reproach or None. Those with a reproach must be exactly the deliberate ones."""
        meant = deliberate(kind)
        differing = {str(identity): reproach for identity, reproach in cases.items() if reproach}
        self.assertEqual({key: why for key, why in differing.items() if key not in meant}, {})
        self.assertEqual(meant - set(differing), set(), f"{kind}: these do not differ any more; see docs/http.md")


class Requests(CorpusTest):
    def test_what_must_be_is(self):
        """Cases of level MUST; where the collection judges by a program of its own, its description is read."""
        reproaches = {}
        for case in collection("http11probe.json"):
            payloads = [payload for payload in case["payloads"] if payload]
            if case["level"] != "Must" or not payloads:
                continue
            payloads = [payload.replace("@@HOST@@", "a.example") for payload in payloads]
            status, response, _ = self.play([self.prepared(payloads[0]), *payloads[1:]])
            good = self.expected(case, status, response)
            reproaches[case["id"]] = None if good else f"{status}: {case['expected_status']} {case['expected_desc']}"
        self.assertGreater(len(reproaches), 80)
        self.differences("http11probe", reproaches)

    def expected(self, case, status, response):
        says, refused = case["expected_desc"] or "", status == "closed" or status >= 400
        if case["expected_status"] == "Exact(400)":
            return status == 400 or (status == "closed" and case["allow_close"])
        if case["expected_status"] == "Range2xx" or says.startswith("2xx"):
            dated = "Date" not in says or response.header("date")
            closing = "close" not in says or response.header("connection") == "close"
            return not refused and status < 300 and bool(dated) and closing
        if says == "!101":
            return status != 101
        if says in ("non-1xx response", "204 without CL"):
            return status == 200
        return refused or ("2xx" in says and status == 200)

    def test_requests_of_a_parsers_own_suite(self):
        reproaches = {}
        for case in collection("llhttp.json"):
            if case["meta"]["type"] != "request":
                continue
            payload = case["payload"]
            if "\nhost:" not in payload.lower():
                authority = re.search(r"http://([^/? ]*)", payload.split("\r\n")[0])
                host = f"\r\nHost: {authority[1] if authority else 'a'}\r\n"
                payload = re.sub(r"(\S)\r\n", lambda found: found[1] + host, payload, count=1)
            status, _, _ = self.play([self.prepared(payload)])
            if case["error"] is None:  # 404, 408: a head that is right, for no service or of a request without an end
                reproach = None if status in (200, 404, 408) else f"{status}, it is valid"
            else:
                reproach = f"{status}: {case['error'][1]}" if status == 200 else None
            reproaches[case["n"]] = reproach and f"{reproach} {case['payload'][:80]!r}"
        self.assertGreater(len(reproaches), 100)
        self.differences("llhttp", reproaches)


class Smuggling(CorpusTest):
    FORMS = {"TECL": (6, "0\r\n\r\nX"), "CLTE": (4, "1\r\nZ\r\n0\r\n\r\n")}

    def answers(self):
        """What this gateway does with each mutation, in both forms."""
        found = {}
        for name, text in collection("smuggler.json").items():
            for form, (length, body) in self.FORMS.items():
                head = (text.replace("__METHOD__", "POST").replace("__ENDPOINT__", "/").replace("__HOST__", "a.example")
                        .replace("__RANDOM__", "1").replace("__REPLACE_CL__", str(length)))
                status, response, started = self.play([self.prepared(head) + "\r\n" + body])
                found[f"smuggler/{name}/{form}"] = status
                if status == 200:  # then by its length, and with nothing left that another could take for chunks
                    record = self.model.entry(response)
                    self.assertEqual(record["body_bytes"], length, name)
                    for field, _ in record["header_lines"]:
                        self.assertNotEqual(re.sub("[^a-z]", "", field.lower()), "transferencoding", name)
                else:
                    self.assertEqual(started, 0, f"{name}, {form} was refused and reached the upstream")
        return found

    def test_no_mutation_is_ambiguous_and_none_is_taken_that_two_others_refuse(self):
        found = self.answers()
        self.assertGreater(len(found), 200)
        for case in collection("http11probe.json"):
            payloads = [payload.replace("@@HOST@@", "a.example") for payload in case["payloads"] if payload]
            if payloads:
                found["h11p/" + case["id"]] = self.play([self.prepared(payloads[0]), *payloads[1:]])[0]
        compared = 0
        for row in collection("baseline.csv"):
            refused = [re.match(r"4|5|close", row[column].strip()) for column in ("nginx1.22", "haproxy2.6")]
            if all(refused) and row["case"] in found:
                compared += 1
                self.assertNotEqual(found[row["case"]], 200, f"{row['case']}: two other servers refuse it")
        self.assertGreater(compared, 100)


class Answers(CorpusTest):
    def test_answers_of_a_parsers_own_suite(self):
        served = {}

        def script(peer, _number):
            peer.request()
            peer.send(served["bytes"])
        upstream = ScriptedUpstream(script)
        self.addCleanup(upstream.close)
        service, account = self.one(FAST, paid=True, upstreams=[upstream.address])
        reproaches, calls = {}, 0
        for case in collection("llhttp.json"):
            if case["meta"]["type"] != "response":
                continue
            served["bytes"] = case["payload"].encode("latin-1", "replace")
            calls += 1
            method = "HEAD" if "skipBody" in case["meta"] else "GET"
            with Connection(self.port) as connection:
                connection.send(wire.request(method, service.path, self.port, account.key))
                response = connection.response(method)
            whole = response.status != 502 and not response.truncated
            has_end = case["msgs"] > len(response.interim)  # else the message that was seen may be the interim one
            if case["error"] is None and "\r\n\r\n" in case["payload"]:
                good = whole or (response.truncated and not has_end)
                reproach = None if good else f"{response.status}, it is valid"
            elif case["error"] is not None:
                reproach = f"{response.status}: {case['error'][1]}" if whole else None
            else:
                reproach = None  # a head without an end
            reproaches[case["n"]] = reproach and f"{reproach} {case['payload'][:80]!r}"
        self.assertGreater(calls, 50)
        account.wait_idle(service)
        eventually(lambda: sum(account.usage(service)[kind] for kind in ("calls_succeeded", "calls_failed")) == calls,
                   "every answer counted once")
        self.differences("llhttp-response", reproaches)


if __name__ == "__main__":
    unittest.main()
