"""Usage by hour, epochs and usage reports of the admin API: cumulative totals merged by maximum, whatever is repeated,
reordered or concurrent, and nothing taken of a report that is refused."""

import datetime
import random
import unittest

from admin import fresh
from harness import at_once, eventually
from test_admin_contract import RFC3339, AdminTest

BEIJING = datetime.timezone(datetime.timedelta(hours=8))
FIELDS = ("calls_succeeded", "calls_failed", "calls_unmetered", "free_points", "billable_points")


def hour(offset=0):
    now = datetime.datetime.now(BEIJING).replace(minute=0, second=0, microsecond=0)
    return (now + datetime.timedelta(hours=offset)).isoformat()


def row(account, service, at, succeeded=0, failed=0, unmetered=0, free=0, billable=0):
    return {"account": account.id, "service": service.id, "hour": at,
            **dict(zip(FIELDS, (succeeded, failed, unmetered, free, billable)))}


class UsageReports(AdminTest):
    def epoch(self, gateway):
        answer = self.admin.open_epoch(gateway)
        self.assertEqual(answer.status, 201, answer)
        return answer["epoch"]

    def report(self, gateway, epoch, *rows):
        answer = self.admin.report_usage(gateway, epoch, list(rows))
        self.assertEqual(answer.status, 204, answer)

    def shown(self, account, service, at):
        answer = self.admin.usage(account.id, service.id, at, hour(1))
        self.assertEqual(answer.status, 200, answer)
        rows = [item for item in answer["items"] if item["hour"] == at]
        return tuple(rows[0][field] for field in FIELDS) if rows else (0,) * 5

    def test_epochs_only_grow(self):
        gateway = fresh("gw")
        epochs = [self.epoch(gateway) for _ in range(3)]
        epochs += at_once(6, lambda _: self.epoch(gateway))
        self.assertEqual(len(set(epochs)), 9)
        self.assertEqual(epochs[:3], sorted(epochs[:3]))
        self.assertGreater(min(epochs[3:]), epochs[2])
        self.assertGreaterEqual(min(epochs), 1)
        self.fault(self.admin.open_epoch("Bad_Name"), 400)

    def test_a_report_appears_as_it_was_given(self):
        service, account = self.one(paid=True)
        gateway, at = fresh("gw"), hour(-5)
        epoch = self.epoch(gateway)
        self.report(gateway, epoch, row(account, service, at, 10, 3, 2, 40, 12))
        answer = self.admin.usage(account.id, service.id, hour(-6), hour(1))
        self.assertEqual(len(answer["items"]), 1, answer)
        item = answer["items"][0]
        self.assertEqual((item["service"], item["hour"]), (service.id, at))
        self.assertRegex(item["hour"], RFC3339)
        self.assertEqual(tuple(item[field] for field in FIELDS), (10, 3, 2, 40, 12))
        self.assertIn("settled", item)
        self.assertIs(self.admin.audit()["ok"], True)

    def test_from_is_included_and_to_is_not(self):
        service, account = self.one()
        gateway = fresh("gw")
        epoch = self.epoch(gateway)
        self.report(gateway, epoch, *[row(account, service, hour(-n), succeeded=n) for n in (1, 2, 3, 4)])
        answer = self.admin.usage(account.id, service.id, hour(-3), hour(-1))
        self.assertEqual([item["hour"] for item in answer["items"]], [hour(-3), hour(-2)])
        pages = self.pages(f"/v1/accounts/{account.id}/usage", **{"from": hour(-9), "to": hour(0), "limit": 3})
        self.assertEqual([item["hour"] for item in pages], [hour(-4), hour(-3), hour(-2), hour(-1)])

    def test_repeated_and_reordered_reports_change_nothing(self):
        service, account = self.one(paid=True)
        gateway, at = fresh("gw"), hour(-3)
        epoch = self.epoch(gateway)
        seed = random.randrange(2 ** 32)
        order = random.Random(seed)
        reports = [row(account, service, at, n, n // 2, n // 3, n * 4, n * 5) for n in range(1, 21)] * 3
        order.shuffle(reports)
        for each in reports:
            self.report(gateway, epoch, each)
        self.assertEqual(self.shown(account, service, at), (20, 10, 6, 80, 100), f"seed {seed}")

    def test_each_field_is_merged_by_its_own_maximum(self):
        service, account = self.one(paid=True)
        gateway, at = fresh("gw"), hour(-3)
        epoch = self.epoch(gateway)
        self.report(gateway, epoch, row(account, service, at, 5, 1, 0, 8, 0))
        self.report(gateway, epoch, row(account, service, at, 4, 2, 7, 0, 9))
        self.assertEqual(self.shown(account, service, at), (5, 2, 7, 8, 9))

    def test_gateways_and_epochs_add_up(self):
        service, account = self.one(paid=True)
        one, two, at = fresh("gw"), fresh("gw"), hour(-2)
        old, other = self.epoch(one), self.epoch(two)
        new = self.epoch(one)
        self.report(one, new, row(account, service, at, succeeded=1))
        self.report(two, other, row(account, service, at, succeeded=10))
        self.report(one, old, row(account, service, at, succeeded=100))  # late, and still welcome
        self.assertEqual(self.shown(account, service, at)[0], 111)

    def test_concurrent_reports_of_one_cell_end_at_the_maximum(self):
        service, account = self.one(paid=True)
        gateway, at = fresh("gw"), hour(-2)
        epoch = self.epoch(gateway)
        at_once(8, lambda index: [self.report(gateway, epoch, row(account, service, at, succeeded=8 * n + index))
                                  for n in range(10)])
        self.assertEqual(self.shown(account, service, at)[0], 79)

    def test_an_epoch_that_was_never_given_out_is_409(self):
        service, account = self.one()
        gateway, at = fresh("gw"), hour(-2)
        epoch = self.epoch(gateway)
        for bad in ((gateway, epoch + 1), (fresh("gw"), epoch), (gateway, 2 ** 31)):
            with self.subTest(bad=bad):
                self.fault(self.admin.report_usage(*bad, [row(account, service, at, succeeded=1)]), 409)
        self.assertEqual(self.shown(account, service, at), (0,) * 5)

    def test_nothing_is_taken_of_a_report_with_an_unknown_name(self):
        service, account = self.one()
        gateway, at = fresh("gw"), hour(-2)
        epoch = self.epoch(gateway)
        good = row(account, service, at, succeeded=1)
        for wrong in ({**good, "account": "nobody"}, {**good, "service": "nothing"}):
            self.fault(self.admin.report_usage(gateway, epoch, [good, wrong]), 404)
            self.fault(self.admin.report_usage(gateway, epoch, [wrong, good]), 404)
        self.assertEqual(self.shown(account, service, at), (0,) * 5)

    def test_bad_reports_name_the_field_and_take_nothing(self):
        service, account = self.one()
        gateway, at = fresh("gw"), hour(-2)
        epoch = self.epoch(gateway)
        good = row(account, service, at, succeeded=1)
        for field, value in (("calls_succeeded", -1), ("calls_failed", "1"), ("free_points", 1.5),
                             ("billable_points", None), ("calls_unmetered", 2 ** 63), ("hour", "now"), ("hour", 5),
                             ("hour", at[:14] + "30:00+08:00"), ("account", 5), ("colour", 1)):
            with self.subTest(field=field, value=value):
                self.fault(self.admin.report_usage(gateway, epoch, [good, {**good, field: value}]), 400, field)
        for body, field in (({"gateway": gateway, "epoch": "1", "totals": []}, "epoch"),
                            ({"gateway": gateway, "epoch": epoch, "totals": {}}, "totals"),
                            ({"gateway": 5, "epoch": epoch, "totals": []}, "gateway"),
                            ({"gateway": gateway, "epoch": epoch}, "totals"),
                            ({"gateway": gateway, "epoch": epoch, "totals": [], "x": 1}, "x")):
            with self.subTest(body=body):
                self.fault(self.admin.request("POST", "/v1/usage", body), 400, field)
        self.assertEqual(self.shown(account, service, at), (0,) * 5)

    def test_imported_free_points_are_gone_from_the_quota(self):
        service, account = self.one()
        gateway = fresh("gw")
        epoch = self.epoch(gateway)
        self.report(gateway, epoch, row(account, service, hour(-2), succeeded=2, free=9_991))
        eventually(lambda: account.subscription(service)["free_points_left"] == 9, "9 points left", within=2)
        self.assertEqual(account.call(service).status, 200)
        self.assertEqual(account.call(service).status, 200)
        self.refused(account.call(service), 429, "quota_exhausted")

    def test_usage_of_real_calls_appears_under_this_hour(self):
        service, account = self.one()
        before = hour()
        self.assertEqual(account.call(service).status, 200)
        account.wait_usage(service, calls_succeeded=1, calls_failed=0, free_points=4, billable_points=0)
        items = self.admin.usage(account.id)["items"]
        self.assertEqual(len(items), 1)
        self.assertIn(items[0]["hour"], (before, hour()))

    def test_bad_queries_are_named(self):
        service, account = self.one()
        path = f"/v1/accounts/{account.id}/usage"
        for query, field in (({"from": "yesterday", "to": hour()}, "from"), ({"from": hour(), "to": "x"}, "to"),
                             ({"from": hour(-2), "to": hour(), "service": "Bad!"}, "service")):
            with self.subTest(query=query):
                answer = self.admin.get(path, **query)
                self.assertIn(answer.status, (400, 404) if field == "service" else (400,), answer)
                self.fault(answer, answer.status, field if answer.status == 400 else None)
        self.assertEqual(self.admin.usage(account.id, service.id, hour(0), hour(-5)).status in (200, 400), True)


if __name__ == "__main__":
    unittest.main()
