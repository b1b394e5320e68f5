"""Usage equals what the upstream says it served. A random mixture of calls that end in every way, many clients at once,
then the sums: the API, the metrics and the fake model's own record must agree, before and after kill -9."""

import os
import random
import unittest

import wire
from harness import DETECTION, FAST, GatewayTest, at_once, eventually
from wire import Connection

# kind -> what to ask of the model. What becomes of the call is `succeeded()` below, by the model's record.
KINDS = {
    "plain": {},
    "chunked": {"X-Fake-Chunked": "1", "X-Fake-Response-Bytes": "70000"},
    "events": {"X-Fake-Sse": "4", "X-Fake-Interval-Ms": "2"},
    "to-the-end": {"X-Fake-No-Length": "1"},
    "empty": {"X-Fake-Status": "204"},
    "hints": {"X-Fake-1xx": "103"},
    "early": {"X-Fake-Early": "1"},
    "closing": {"X-Fake-Close": "1"},
    "not-found": {"X-Fake-Status": "404"},
    "broken": {"X-Fake-Status": "500"},
    "unavailable": {"X-Fake-Status": "503", "X-Fake-Chunked": "1"},
    "said-failed": {"X-Fake-Outcome": "failed"},
    "cut": {"X-Fake-Response-Bytes": "5000", "X-Fake-Close-After-Bytes": "1200"},
    "cut-chunked": {"X-Fake-Response-Bytes": "5000", "X-Fake-Close-After-Bytes": "1200", "X-Fake-Chunked": "1"},
    "reset": {"X-Fake-Response-Bytes": "5000", "X-Fake-Close-After-Bytes": "1200", "X-Fake-Reset": "1"},
    "silent": {"X-Fake-Hang": "head"},
    "stuck": {"X-Fake-Hang": "body", "X-Fake-Response-Bytes": "5000"},
    "gone-before": {"X-Fake-Hang": "head"},
    "gone-after": {"X-Fake-Response-Bytes": "300000", "X-Fake-Piece-Bytes": "30000", "X-Fake-Interval-Ms": "10"},
}


def succeeded(kind, request):
    """The table of domain.md section 3, from the record of one request at the model."""
    if kind == "gone-after":
        return True  # the client went after a 2xx head: only its own side failed
    return kind != "said-failed" and request["status"] // 100 == 2 and request["served"]


class UsageTruth(GatewayTest):
    model_options = ("--threads", "2")

    def one_call(self, source, service, account, number):
        """Plays one call; 'refused' when the gateway says it never was one."""
        kind = source.choice([kind for kind in KINDS if kind != "gone-before"])
        body = source.choice([None, b"x" * source.randrange(1, 3000), [b"y" * source.randrange(1, 900)] * 3])
        raw = wire.request("POST" if body else "GET", f"{service.path}?kind={kind}&n={number}", self.port, account.key,
                           body, KINDS[kind])
        with Connection(self.port) as connection:
            connection.send(raw)
            response = connection.head()
            if response.header("cache-control") == "no-store" and response.status in (401, 403, 404, 429):
                return "refused"
            if kind == "gone-after":
                connection.read_some()
                connection.reset()
                return None
            connection.body(response)
            cut = kind in ("cut", "cut-chunked", "reset", "stuck")
            self.assertEqual(response.truncated, cut, f"{kind}: {response}")
            self.assertEqual(response.status, {"not-found": 404, "broken": 500, "unavailable": 503, "empty": 204,
                                               "silent": 504}.get(kind, 200), kind)
        return None

    def vanish_before_the_head(self, service, account):
        """One at a time, because only so a test knows that the model has the request before the client goes."""
        before = self.model.stats()["started"]
        with Connection(self.port) as connection:
            connection.send(wire.request("GET", f"{service.path}?kind=gone-before", self.port, account.key,
                                         fields=KINDS["gone-before"]))
            eventually(lambda: self.model.stats()["started"] > before, "the call is at the model")
            connection.reset()
        eventually(lambda: self.model.stats()["in_flight"] == 0, "the call was cancelled at the model")

    def test_the_ledger_equals_the_upstreams_record(self):
        seed = int(os.environ.get("E2E_SEED", random.randrange(2 ** 32)))
        print(f"seed {seed}", flush=True)
        services = [self.service(FAST, timeout_ms=300), self.service(DETECTION, timeout_ms=300)]
        accounts = [self.account(*services, paid=paid) for paid in (True, False, True)]
        # The last account's free points end half way through, so that holds are split and billable points appear.
        self.leave_points(accounts[2], services[0], 42)
        self.leave_points(accounts[2], services[1], 7)
        workers, each = 6, 60
        refused = [0] * workers

        def worker(index):
            source = random.Random(seed * 100 + index)
            for number in range(each):
                service = services[source.randrange(2)]
                account = accounts[source.randrange(3)]
                refused[index] += self.one_call(source, service, account, index * each + number) == "refused"
        at_once(workers, worker)
        eventually(lambda: self.model.stats()["in_flight"] == 0, "the model is idle")
        for account in accounts[:2]:
            for service in services:
                self.vanish_before_the_head(service, account)
        calls = workers * each - sum(refused) + 4
        ids = [service.id for service in services]
        record = [each for each in self.model.record() if each["headers"]["x-service"] in ids]
        self.assertEqual(len(record), calls, f"seed {seed}: calls that reached the model")

        expected = {}
        for request in record:
            name = (request["headers"]["x-account"], request["headers"]["x-service"])
            kind = request["target"].partition("kind=")[2].partition("&")[0]
            sums = expected.setdefault(name, [0, 0])
            sums[0 if succeeded(kind, request) else 1] += 1
        self.check(expected, services, accounts, f"seed {seed}")
        def metric(name, **labels):
            return sum(self.admin.metric(name, service=service.id, **labels) for service in services)
        self.assertEqual(metric("calls_total"), calls, f"seed {seed}")
        self.assertEqual(metric("calls_total", outcome="succeeded"), sum(sums[0] for sums in expected.values()))
        self.assertEqual(sum(metric("refusals_total", reason=reason)
                             for reason in ("limit_reached", "no_capacity", "quota_exhausted")), sum(refused))
        points = {kind: sum(account.usage(service)[kind] for account in accounts for service in services)
                  for kind in ("free_points", "billable_points")}
        imported = (10_000 - 42) + (10_000 - 7)
        self.assertEqual(metric("points_total", kind="free"), points["free_points"] - imported)
        self.assertEqual(metric("points_total", kind="billable"), points["billable_points"])
        self.assertEqual(metric("in_flight"), 0)
        self.assertIs(self.admin.audit()["ok"], True)

        before = {(account.id, service.id): account.usage(service) for account in accounts for service in services}
        self.gateway.kill9()
        self.gateway.start()
        for account in accounts:
            for service in services:
                self.assertEqual(account.usage(service), before[account.id, service.id], f"seed {seed}: after kill -9")
        self.check(expected, services, accounts, f"seed {seed}: after kill -9")

    def check(self, expected, services, accounts, note):
        for account in accounts:
            for service in services:
                succeeded_calls, failed_calls = expected.get((account.id, service.id), [0, 0])
                account.wait_idle(service)
                account.wait_usage(service, calls_succeeded=succeeded_calls, calls_failed=failed_calls)
                usage = account.usage(service)
                cost = service.points * (succeeded_calls + failed_calls)
                left = account.subscription(service)["free_points_left"]
                self.assertEqual(usage["free_points"], 10_000 - left, note)
                self.assertEqual(usage["calls_unmetered"], 0, note)
                if account is not accounts[2]:  # free points never ran out: every call took its whole cost of them
                    self.assertEqual((usage["free_points"], usage["billable_points"]), (cost, 0), note)
                    continue
                quota = 42 if service is services[0] else 7
                used = usage["free_points"] - (10_000 - quota)
                self.assertEqual(used, min(quota, cost), note)
                # Billable is what succeeded calls cost beyond their holds; the split call may have failed.
                self.assertLessEqual(usage["billable_points"], service.points * succeeded_calls, note)
                self.assertGreaterEqual(usage["billable_points"], service.points * succeeded_calls - used, note)

    def test_a_kill_in_the_middle_of_traffic_loses_nothing_that_ended(self):
        service = self.service(FAST)
        account = self.account(service, paid=True)
        total_seen = 0
        for round_number in range(3):
            killed = []

            def kill():
                if not killed:
                    killed.append(True)
                    self.gateway.process.kill()

            def client(_):
                whole = 0
                try:
                    with Connection(self.port) as connection:
                        while True:
                            connection.send(wire.request("GET", service.path, self.port, account.key))
                            if connection.response().status == 200:
                                whole += 1
                            if whole == 40 + 10 * round_number:
                                kill()
                except (OSError, wire.Closed):
                    return whole
            seen = sum(at_once(6, client))
            self.assertTrue(killed)
            self.gateway.wait_stopped()
            self.gateway.start()
            eventually(lambda: self.model.stats()["in_flight"] == 0, "the model is idle")
            total_seen += seen
            usage = account.usage(service)
            counted = usage["calls_succeeded"] + usage["calls_failed"]
            served = len(self.model.record(service.id))
            self.assertGreaterEqual(counted, total_seen, "a call whose answer a client has was lost")
            self.assertLessEqual(counted, served, "more calls than the upstream ever saw")
            self.assertLessEqual(served - counted, 6 * (round_number + 1), "only calls in flight may differ")
            self.assertEqual(usage["free_points"], 4 * counted if 4 * counted <= 10_000 else 10_000)


if __name__ == "__main__":
    unittest.main()
