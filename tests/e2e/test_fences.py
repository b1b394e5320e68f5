"""What must never be counted twice, elsewhere or not at all: foreign journals, shared addresses, hours that move."""

import datetime
import os
import shutil
import socket
import unittest

import wire
from harness import AUTODL, FAST, Background, GatewayTest, Tollgate, eventually


def parked_listener():
    """A listener whose backlog is full: connecting to it hangs. Keep what is returned; its first is the listener."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = []
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        try:
            filler.connect(listener.getsockname())
        except BlockingIOError:
            pass
        fillers.append(filler)
    return [listener, *fillers]


class Journals(GatewayTest):
    def refused(self, gateway, words):
        gateway.launch()
        self.assertEqual(gateway.process.wait(30), 1)
        self.assertIn(words, gateway.stderr())
        gateway.errors.close()
        gateway.output.close()

    def test_a_journal_of_another_store_is_set_aside_and_its_usage_is_nobodys_here(self):
        service = self.service(FAST)
        account = self.account(service, paid=False)
        self.assertEqual(account.call(service).status, 200)
        other = Tollgate()
        self.addCleanup(shutil.rmtree, other.folder, ignore_errors=True)
        other.start()
        other.terminate()
        journal = os.path.join(other.data_dir, "journal")
        shutil.copyfile(os.path.join(self.gateway.data_dir, "journal"), journal)
        other.start()
        self.assertIn("belongs to another store: set aside as", other.stderr())
        self.assertTrue(os.path.exists(journal + ".set-aside-1"))
        self.assertEqual(other.admin.metric("usage_set_aside_total"), 0)
        other.close()

    def test_a_manual_clock_that_cannot_be_read_is_not_today(self):
        other = Tollgate({"billing.clock": "manual"})
        self.addCleanup(shutil.rmtree, other.folder, ignore_errors=True)
        other.start()
        self.assertEqual(other.admin.set_clock("2033-01-01T00:00:00+08:00").status, 200)
        other.kill9()
        path = os.path.join(other.data_dir, "manual-clock")
        with open(path, "r+", encoding="ascii") as file:
            instant = file.read()
            file.truncate(0)
        self.refused(other, "does not hold an instant")
        with open(path, "w", encoding="ascii") as file:
            file.write(instant)
        other.start()
        self.assertEqual(other.admin.clock()["now"], "2033-01-01T00:00:00+08:00")
        other.close()

    def test_a_second_process_does_not_share_the_address(self):
        other = Tollgate()
        self.addCleanup(shutil.rmtree, other.folder, ignore_errors=True)
        other.start()
        other.terminate()
        other.ports[0].close()
        other.ports[0] = self.gateway.ports[0]
        self.refused(other, "cannot listen on")

    def test_nobody_else_reports_under_the_epoch_that_this_gateway_counts_under(self):
        service = self.service(FAST)
        account = self.account(service, paid=False)
        fresh = self.admin.open_epoch("gw-1")["epoch"]
        totals = [{"account": account.id, "service": service.id, "hour": "2026-01-01T00:00:00+08:00",
                   "calls_succeeded": 1, "calls_failed": 0, "calls_unmetered": 0, "free_points": 4,
                   "billable_points": 0}]
        statuses = []
        for epoch in range(1, fresh + 1):
            answer = self.admin.report_usage("gw-1", epoch, totals)
            statuses.append((answer.status, answer.json.get("code") if answer.status != 204 else None))
        self.assertIn((409, "epoch_in_use"), statuses)
        self.assertEqual(statuses[-1], (204, None))


class Hours(GatewayTest):
    sets = {"billing.clock": "manual", "workers": 1, "timeouts.upstream_connect_ms": 3000}

    def test_calls_that_connect_while_the_hour_moves_stay_their_accounts(self):
        parked = parked_listener()
        for one in parked:
            self.addCleanup(one.close)
        host, port = parked[0].getsockname()
        service = self.service(AUTODL, upstreams=[f"{host}:{port}", self.model.address])
        other = self.service(AUTODL)
        account, neighbour = self.account(service, paid=True), self.account(other, paid=True)
        calls = [Background(lambda: account.call(service, timeout=60)) for _ in range(4)]
        eventually(lambda: account.subscription(service)["in_flight"] > 0, lambda: "a call that is connecting")
        now = datetime.datetime.fromisoformat(self.admin.clock()["now"])
        later = (now + datetime.timedelta(hours=5)).isoformat()
        self.assertEqual(self.admin.set_clock(later).status, 200)
        self.assertEqual(neighbour.call(other).status, 200)
        served = sum(call.result(90).status == 200 for call in calls)
        self.assertEqual(served, 4)
        self.assertEqual(self.used(account, service), (4, 24))
        self.assertEqual(self.used(neighbour, other), (1, 6))

    def used(self, account, service):
        answer = self.admin.usage(account.id, service.id, "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z")
        self.assertEqual(answer.status, 200, answer)
        return (sum(item["calls_succeeded"] for item in answer["items"]),
                sum(item["free_points"] for item in answer["items"]))


class Heads(GatewayTest):
    def test_a_refused_head_request_has_no_body_whatever_the_reason(self):
        for field in ("Expect: foo", "Transfer-Encoding: gzip", "X-Api-Key: nope"):
            with wire.Connection(self.port) as connection:
                connection.send(f"HEAD /x HTTP/1.1\r\nHost: a\r\n{field}\r\nConnection: close\r\n\r\n".encode())
                answer = connection.read_to_end()
            head, _, body = answer.partition(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.1 4"), answer)
            self.assertEqual(body, b"", field)

    def test_an_upload_that_is_refused_can_still_hear_why(self):
        answer = wire.call(self.port, "/nowhere", "tg_wrong", "POST", b"x" * 20_000_000, (), 60)
        self.assertEqual(answer.status, 401)


if __name__ == "__main__":
    unittest.main()
