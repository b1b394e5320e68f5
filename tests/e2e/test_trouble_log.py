"""Each call that an upstream failed has one line in the process's log that says which call, which upstream and why; and
however many fail, or are sent by whoever has no token, the lines are few and the rest is counted."""

import unittest
from pathlib import Path

import wire
from harness import AUTODL, GatewayTest, ReservedPort, eventually
from wire import ScriptedUpstream


class TroubleLog(GatewayTest):
    sets = {"workers": 1}

    def lines(self, *words):
        text = Path(self.gateway.folder, "stderr").read_text("utf-8", "replace")
        return [line for line in text.splitlines() if all(word in line for word in words)]

    def line_of(self, response):
        found = eventually(lambda: self.lines(response.header("x-request-id")), "a line with its request id")
        self.assertEqual(len(found), 1, found)
        return found[0]

    def a_new_second(self):
        """Lines that earlier tests used up are there again once a call's line is written, which may follow its answer."""
        dead = ReservedPort()
        self.addCleanup(dead.close)
        service, account = self.one(AUTODL, paid=True, upstreams=[dead.address])

        def one_more_has_a_line():
            account.call(service)
            return self.lines(f"service {service.id}")
        eventually(one_more_has_a_line, "a line is written", every=0.2, within=60)

    def test_it_says_which_call_which_upstream_and_why(self):
        self.a_new_second()
        dead = ReservedPort()
        self.addCleanup(dead.close)
        closing = ScriptedUpstream(lambda peer, _: peer.request())
        self.addCleanup(closing.close)
        rude = ScriptedUpstream(lambda peer, _: (peer.request(), peer.send(b"HELLO\r\n\r\n")))
        self.addCleanup(rude.close)
        service = {}
        for name, address, more in (("dead", dead.address, {}), ("closing", closing.address, {}),
                                    ("rude", rude.address, {}), ("silent", self.model.address, {"timeout_ms": 200})):
            service[name] = self.service(AUTODL, upstreams=[address], **more)
        account = self.account(*service.values(), paid=True)
        for name, status, code, cause in (("dead", 502, "upstream_unreachable", "Connection refused"),
                                          ("closing", 502, "upstream_failed", "it closed the connection"),
                                          ("rude", 502, "upstream_failed", "not an HTTP answer"),
                                          ("silent", 504, "upstream_timeout", "silent for too long")):
            fields = {"X-Fake-Hang": "head"} if name == "silent" else {}
            answer = account.call(service[name], fields=fields)
            self.assertEqual(answer.status, status)
            line = self.line_of(answer)
            address = {"dead": dead.address, "silent": self.model.address}.get(
                name, {"closing": closing, "rude": rude}.get(name, dead).address)
            for part in (service[name].id, address, code, cause):
                self.assertIn(part, line)

    def test_an_answer_that_is_cut_has_its_line_and_a_good_one_has_none(self):
        self.a_new_second()
        service, account = self.one(AUTODL, paid=True)
        cut = account.call(service, fields={"X-Fake-Response-Bytes": "1000", "X-Fake-Close-After-Bytes": "300"})
        self.assertTrue(cut.truncated)
        self.assertIn("in the middle of its answer", self.line_of(cut))
        good = account.call(service)
        self.assertEqual(good.status, 200)
        self.assertEqual(self.lines(good.header("x-request-id")), [])

    def test_a_flood_of_failures_has_few_lines_and_the_rest_is_counted(self):
        dead = ReservedPort()
        self.addCleanup(dead.close)
        service, account = self.one(AUTODL, paid=True, upstreams=[dead.address])
        before = self.admin.metric("log_left_out_total")
        failed = 0

        def flood():
            nonlocal failed
            for _ in range(50):
                failed += account.call(service).status == 502
            return self.admin.metric("log_left_out_total") > before
        eventually(flood, "lines are left out", within=60)

        def accounted():  # a line may follow its answer
            return len(self.lines(f"service {service.id}")) + self.admin.metric("log_left_out_total") - before
        eventually(lambda: accounted() == failed, lambda: f"{failed} failed, {accounted()} have a line or are counted")
        eventually(lambda: self.lines("left out", "failed calls"), "the log says so")

    def test_whoever_has_no_token_does_not_fill_the_log(self):
        sent = 0

        def flood():
            nonlocal sent
            for _ in range(50):
                answer = self.admin.request("POST", "/v1/clock", {}, token="wrong")
                self.assertIn(answer.status, (401, 429))
                sent += 1
            return len(self.lines("POST /v1/clock")) < sent
        eventually(flood, "lines are left out", within=60)
        self.assertGreater(len(self.lines("POST /v1/clock")), 0)
        self.assertGreaterEqual(self.admin.metric("admin_wrong_tokens_total"), sent)


if __name__ == "__main__":
    unittest.main()
