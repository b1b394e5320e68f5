"""The worked examples of the price rules and those of the price page, through the API; usage that comes late, bills and
their CSV, quotes, and the same books after kill -9 between steps of the clock."""

import csv
import io
import unittest

from billing_model_units import DAY, HOUR, hour_of, micro, written
from billing_model_case import FREE, LEGACY, POINTS, BillingTest
from billing_model_view import pages
from harness import AUTODL, DETECTION, Background, eventually


class WorkedExamples(BillingTest):
    def test_1_a_thousand_detection_calls_cost_5_yuan(self):
        service, account = self.customer(DETECTION, cash="100.00")
        for _ in range(1000):
            answer = account.call(service)
            self.assertEqual(answer.status, 200, answer)
        self.wait_usage(account, service, calls_succeeded=1000, billable_points=5000)
        self.assertEqual(self.cash(account), "100.00", "nothing is charged before the hour has ended")
        self.next_hour()
        self.assertEqual(self.cash(account), "95.00")
        self.assertEqual(self.lines(account, "2021-08"), [("tier", 5000, "0.001", "5.00")])

    def test_2_two_million_points_of_a_month_cost_1800_yuan(self):
        service, account = self.customer(cash="5000.00")
        for points in (999_999, 1, 1, 999_999):
            self.use(account, service, billable=points)
            self.next_hour()
        self.assertEqual(self.cash(account), "3200.00")
        self.assertEqual(self.bill(account, "2021-08")["total"], "1800.00")
        self.assertEqual(self.lines(account, "2021-08"), [("tier", 1_000_000, "0.0008", "800.00"),
                                                          ("tier", 1_000_000, "0.001", "1000.00")])
        self.assertEqual(account.subscription(service)["month_points"], 2_000_000)

    def test_3_six_million_cost_4840_yuan_and_the_next_month_begins_anew(self):
        service, account = self.customer(cash="5000.00")
        self.use(account, service, billable=6_000_000)
        self.next_hour()
        self.assertEqual(self.cash(account), "160.00")
        self.assertEqual(self.lines(account, "2021-08"), [("tier", 1_000_000, "0.00064", "640.00"),
                                                          ("tier", 1_000_000, "0.001", "1000.00"),
                                                          ("tier", 4_000_000, "0.0008", "3200.00")])
        self.clock("2021-08-31T23:30:00+08:00")
        self.use(account, service, billable=1)          # still of August, settled in September
        self.clock("2021-09-01T00:00:00+08:00")
        self.assertEqual(account.subscription(service)["month_points"], 0)
        self.assertEqual(self.cash(account), "159.99936")
        self.use(account, service, billable=1)
        self.next_hour()
        self.assertEqual(self.cash(account), "159.99836")
        self.assertEqual(self.bill(account, "2021-08")["total"], "4840.00064")
        self.assertEqual(self.lines(account, "2021-09"), [("tier", 1, "0.001", "0.001")])

    def test_4_a_package_pays_first_and_does_not_move_the_tier(self):
        service, account = self.customer(cash="1000.00")
        bought = self.buy(account, service, "packages", points=200_000)
        self.assertEqual((bought.status, bought["price"]), (201, "180.00"), bought)
        self.use(account, service, billable=250_000)
        self.next_hour()
        self.assertEqual(self.cash(account), "770.00")
        self.assertEqual(account.subscription(service)["month_points"], 50_000)
        bill = self.bill(account, "2021-08")
        self.assertEqual(sorted((line["kind"], line["amount"]) for line in bill["lines"]),
                         [("package", "0.00"), ("purchase", "180.00"), ("tier", "50.00")])
        self.assertEqual(bill["total"], "230.00")

    def with_free_points(self, points, paid):
        service = self.service(AUTODL)
        account = self.account()
        self.subscribe(account, service, paid)
        self.use(account, service, free=FREE - points, at=hour_of(self.now) - HOUR)
        eventually(lambda: account.subscription(service)["free_points_left"] == points, f"{points} free points")
        return service, account

    def test_5_the_last_free_points(self):
        service, free = self.with_free_points(4, paid=False)
        self.refused(free.call(service), 429, "quota_exhausted")
        self.assertEqual(free.subscription(service)["free_points_left"], 4)
        service, paid = self.with_free_points(4, paid=True)
        self.assertEqual(paid.call(service).status, 200)
        self.wait_usage(paid, service, free_points=FREE, billable_points=2)
        service, unlucky = self.with_free_points(4, paid=True)
        self.assertEqual(unlucky.call(service, fields={"X-Fake-Status": "500"}).status, 500)
        self.wait_usage(unlucky, service, calls_failed=1, free_points=FREE, billable_points=0)
        self.pay_in(paid, "1.00")
        self.next_hour()
        self.assertEqual((self.cash(paid), self.cash(unlucky), self.cash(free)), ("0.998", "0.00", "0.00"))

    def test_6_free_points_of_a_six_point_model(self):
        service, account = self.with_free_points(FREE, paid=False)
        for _ in range(1666):
            self.assertEqual(account.call(service).status, 200)
        self.refused(account.call(service), 429, "quota_exhausted")
        self.wait_usage(account, service, calls_succeeded=1666, free_points=9996, billable_points=0)
        self.assertEqual(account.subscription(service)["free_points_left"], 4)
        self.clock("2022-08-20T00:00:00+08:00")
        self.assertEqual(account.subscription(service)["free_points_left"], 4, "for good")
        self.refused(account.call(service), 429, "quota_exhausted")

    def test_7_twelve_yuan_of_usage_and_ten_of_balance(self):
        self.clock("2021-08-21T10:15:00+08:00")
        service, account = self.customer(cash="10.00")
        self.use(account, service, billable=12_000)
        self.clock("2021-08-21T10:59:59+08:00")
        self.assertEqual(self.money(account), ("10.00", "0.00", "active"))
        self.clock("2021-08-21T11:00:00+08:00")
        self.assertEqual(self.money(account), ("-2.00", "0.00", "arrears"))
        self.assertEqual(account.subscription(service)["state"], "arrears")
        self.assertEqual(self.pay_in(account, "1.999999")["state"], "arrears")
        ended = self.pay_in(account, "0.000001")
        self.assertEqual((ended["cash"], ended["state"]), ("0.00", "active"))
        self.assertEqual(account.subscription(service)["state"], "paid")


class Quotes(BillingTest):
    def quote(self, **body):
        answer = self.admin.request("POST", "/v1/quotes", body)
        self.assertEqual(answer.status, 200, answer)
        return answer["total"], [(line["points"], line["unit_price"], line["amount"]) for line in answer["lines"]]

    def test_the_price_page_s_own(self):
        self.assertEqual(self.quote(model=DETECTION, points=2_000_000), ("1800.00", [
            (1_000_000, "0.001", "1000.00"), (1_000_000, "0.0008", "800.00")]))
        self.assertEqual(self.quote(model=DETECTION, calls=1000), ("5.00", [(5000, "0.001", "5.00")]))

    def test_every_model_s_price_of_one_call(self):
        for model in self.admin.catalog()["models"]:
            total, _ = self.quote(model=model["name"], calls=1)
            self.assertEqual(micro(total), 1000 * model["points"])

    def test_tiers_and_positions(self):
        self.assertEqual(self.quote(model=AUTODL, points=6_000_000)[0], "4840.00")
        self.assertEqual(self.quote(model=AUTODL, points=2, month_points=999_999), ("0.0018", [
            (1, "0.001", "0.001"), (1, "0.0008", "0.0008")]))
        self.assertEqual(self.quote(model=AUTODL, points=1, month_points=1_000_000)[0], "0.0008")
        self.assertEqual(self.quote(model=AUTODL, points=1, month_points=5_000_000)[0], "0.00064")

    def test_bad_questions_are_named(self):
        for body, field in (({"model": DETECTION}, None), ({"model": DETECTION, "points": 1, "calls": 1}, None),
                            ({"model": "no/model", "points": 1}, "model"), ({"points": 1}, "model"),
                            ({"model": DETECTION, "points": -1}, "points"),
                            ({"model": DETECTION, "calls": "5"}, "calls"),
                            ({"model": DETECTION, "points": 1, "month_points": -1}, "month_points"),
                            ({"model": DETECTION, "points": 2 ** 63}, "points"),
                            ({"model": DETECTION, "points": 1, "colour": 1}, "colour")):
            with self.subTest(body=body):
                answer = self.admin.request("POST", "/v1/quotes", body)
                self.assertIn(answer.status, (400, 404) if field == "model" else (400,), answer)
                if field and answer.status == 400:
                    self.assertEqual(answer["field"], field)


class LateUsage(BillingTest):
    def test_it_is_charged_at_the_next_settlement_under_its_own_month(self):
        service, account = self.customer(cash="5000.00")
        self.use(account, service, billable=1_000_000)
        self.next_hour()
        self.clock("2021-09-10T12:30:00+08:00")
        late = hour_of(self.now) - 20 * DAY
        self.use(account, service, billable=500, at=late)
        self.assertEqual(self.settled(account, service, late), 0)
        self.assertEqual(self.cash(account), "4000.00")
        self.clock("2021-09-10T13:00:00+08:00")
        self.assertEqual(self.settled(account, service, late), 500)
        self.assertEqual(self.cash(account), "3999.60", "at the tier that August had reached")
        self.assertEqual(account.subscription(service)["month_points"], 0)
        self.assertEqual(self.lines(account, "2021-08"), [("adjustment", 500, "0.0008", "0.40"),
                                                          ("tier", 1_000_000, "0.001", "1000.00")])
        adjustment = [line for line in self.bill(account, "2021-08")["lines"] if line["kind"] == "adjustment"][0]
        self.assertEqual(adjustment["hour"], written(late))
        self.assertEqual(self.lines(account, "2021-09"), [])

    def test_repeated_reordered_and_split_reports_are_charged_once(self):
        service, account = self.customer(cash="100.00")
        hour, other = hour_of(self.now), ("second", self.admin.open_epoch("second")["epoch"])

        def report(source, billable):
            answer = self.admin.report_usage(*source, [
                {"account": account.id, "service": service.id, "hour": written(hour), "calls_succeeded": billable // 5,
                 "calls_failed": 0, "calls_unmetered": 0, "free_points": 0, "billable_points": billable}])
            self.assertEqual(answer.status, 204, answer)
        for billable in (500, 100, 500, 300):
            report(self.source, billable)
        report(other, 250)
        self.next_hour()
        self.assertEqual(self.cash(account), "99.25")
        for billable in (250, 5):
            report(other, billable)
        self.next_hour()
        self.assertEqual(self.cash(account), "99.25")
        report(other, 1000)
        self.next_hour()
        self.assertEqual(self.cash(account), "98.50")
        self.assertEqual(self.lines(account, "2021-08"), [("adjustment", 750, "0.001", "0.75"),
                                                          ("tier", 750, "0.001", "0.75")])


class Bills(BillingTest):
    def test_csv_says_what_json_says(self):
        service, account = self.customer(cash="1000.00")
        self.assertEqual(self.buy(account, service, "packages", points=200_000).status, 201)
        self.use(account, service, billable=250_000)
        self.next_hour()
        self.use(account, service, billable=5, at=hour_of(self.now) - 5 * HOUR)
        self.next_hour()
        shown = self.bill(account, "2021-08")
        self.assertGreater(len(shown["lines"]), 2)
        answer = self.admin.get(f"/v1/accounts/{account.id}/bills", month="2021-08", format="csv")
        self.assertEqual(answer.status, 200, answer)
        self.assertTrue(answer.headers["Content-Type"].startswith("text/csv"), answer.headers)
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        lines = [row for row in rows if row["kind"] != "total"]
        columns = ("service", "kind", "points", "unit_price", "amount")
        self.assertEqual([[row[each] for each in columns] for row in lines],
                         [[str(line[each]) for each in columns] for line in shown["lines"]])
        self.assertEqual(sum(micro(row["amount"]) for row in lines), micro(shown["total"]))

    def test_every_line_leads_to_transfers_that_exist(self):
        service, account = self.customer(cash="1000.00")
        self.assertEqual(self.buy(account, service, "packages", points=200_000).status, 201)
        self.use(account, service, billable=250_000)
        self.next_hour()
        known = {str(row["id"]) for row in pages(self.admin, f"/v1/accounts/{account.id}/transfers")}
        for line in self.bill(account, "2021-08")["lines"]:
            if line["kind"] != "package":
                self.assertTrue(line["transfers"], line)
            self.assertLessEqual({str(each) for each in line["transfers"]}, known, line)

    def test_bad_months_and_empty_ones(self):
        account = self.account()
        self.assertEqual((self.lines(account, "2020-02"), self.bill(account, "2020-02")["total"]), ([], "0.00"))
        path = f"/v1/accounts/{account.id}/bills"
        for month in ("2021-13", "2021-00", "2021-8", "august", "2021-08-01", ""):
            with self.subTest(month=month):
                self.refuse(self.admin.get(path, month=month), 400)
        self.refuse(self.admin.get(path), 400)
        self.refuse(self.admin.get(path, month="2021-08", format="xml"), 400)
        self.refuse(self.admin.get("/v1/accounts/nobody/bills", month="2021-08"), 404)


class Migration(BillingTest):
    start = "2021-08-01T09:30:00+08:00"

    def legacy(self):
        plan = [plan for plan in self.admin.catalog()["plans"] if plan["id"] == LEGACY][0]
        self.assertEqual(plan["sold_until"], "2021-08-20T00:00:00+08:00")
        price = [each for each in plan["calls"] if each["model"] == DETECTION][0]
        return micro(price["yuan_per_call"]), price["count_packs"][0]

    def test_a_subscription_of_the_older_plan_goes_on_and_moves_when_asked(self):
        per_call, offer = self.legacy()
        service, account = self.customer(cash="100000.00", plan=LEGACY)
        bought = self.buy(account, service, "count-packs", calls=offer["calls"])
        self.assertEqual((bought.status, bought["price"]), (201, offer["price"]), bought)
        money = 100_000_000_000 - micro(offer["price"])
        self.use(account, service, billable=5 * (offer["calls"] - 10), calls=offer["calls"] - 10)
        self.next_hour()
        self.assertEqual(micro(self.cash(account)), money)
        self.assertEqual([each["calls_left"] for each in account.subscription(service)["count_packs"]], [10])
        self.clock("2021-08-25T10:20:00+08:00")                    # what is pinned runs on, nothing new of it is sold
        self.assertEqual(account.subscription(service)["plan"], LEGACY)
        self.refuse(self.buy(account, service, "count-packs", calls=offer["calls"]), 410)
        self.refuse(self.buy(account, service, "qps-packs", qps=1, kind="metered", starts_at=written(self.now),
                             ends_at=written(self.now + HOUR)), 410)
        answer = self.admin.put_subscription(self.account().id, service.id, True, plan=LEGACY)
        self.refuse(answer, 410)
        answer = self.admin.request("POST", f"/v1/accounts/{account.id}/subscriptions/{service.id}/migrate",
                                    {"plan": POINTS})
        self.assertIn(answer.status, (200, 201, 202), answer)
        self.assertIn("2021-08-25T11:00:00+08:00", answer.json.values())
        self.use(account, service, billable=5 * 15, calls=15)      # 10 of the pack, 5 at the old price: it is 10:20
        self.assertEqual(account.subscription(service)["plan"], LEGACY)
        self.clock("2021-08-25T11:00:00+08:00")
        money -= 5 * per_call
        self.assertEqual(micro(self.cash(account)), money)
        self.assertEqual(account.subscription(service)["plan"], POINTS)
        self.use(account, service, billable=5 * 1000, calls=1000)
        self.clock("2021-08-25T12:00:00+08:00")
        money -= 5_000_000
        self.assertEqual(micro(self.cash(account)), money)
        self.use(account, service, billable=5, calls=1, at=self.now - 10 * DAY)   # late: by the plan of its own hour
        self.next_hour()
        money -= per_call
        self.assertEqual(micro(self.cash(account)), money)

    def test_what_is_left_of_count_packs_is_used_up_first(self):
        _, offer = self.legacy()
        service, account = self.customer(cash="100000.00", plan=LEGACY)
        self.assertEqual(self.buy(account, service, "count-packs", calls=offer["calls"]).status, 201)
        self.clock("2021-08-20T08:00:00+08:00")
        answer = self.admin.request("POST", f"/v1/accounts/{account.id}/subscriptions/{service.id}/migrate",
                                    {"plan": POINTS})
        self.assertIn(answer.status, (200, 201, 202), answer)
        self.next_hour()
        self.assertEqual(self.buy(account, service, "packages", points=200_000).status, 201)
        money = micro(self.cash(account))
        self.use(account, service, billable=5 * (offer["calls"] + 1), calls=offer["calls"] + 1)
        self.next_hour()
        shown = account.subscription(service)
        self.assertEqual(shown["count_packs"], [])
        self.assertEqual(shown["packages"][0]["points_left"], 200_000 - 5)
        self.assertEqual((micro(self.cash(account)), shown["month_points"]), (money, 0))


class Deaths(BillingTest):
    """kill -9 between any two steps, and while the clock runs: the same books as without."""

    def life(self, kill):
        service, account = self.customer(cash="700.00")
        for step in range(12):
            if step == 2:
                self.assertEqual(self.buy(account, service, "packages", points=200_000).status, 201)
            if step == 5:
                self.pay_in(account, "3.00", "voucher", expires_at=written(self.now + 2 * HOUR))
            self.use(account, service, billable=90_000 + step, calls=18_000)
            kill()
            self.next_hour()
            kill()
        answer = self.admin.account(account.id)
        bill = [(line["kind"], line["points"], line["unit_price"], line["amount"])
                for line in self.bill(account, "2021-08")["lines"]]
        shown = account.subscription(service)
        return (answer["cash"], answer["vouchers"], answer["state"], bill, shown["month_points"],
                [each["points_left"] for each in shown["packages"]], self.kinds(account),
                len(pages(self.admin, f"/v1/accounts/{account.id}/transfers")))

    def test_kill_9_changes_nothing(self):
        undisturbed = self.life(lambda: None)
        self.clock("2021-08-26T09:30:00+08:00")

        def kill():
            self.gateway.kill9()
            self.gateway.start()
        self.assertEqual(self.life(kill), undisturbed)

    def test_kill_9_while_a_year_is_run(self):
        service, account = self.customer(cash="10000.00")
        now = hour_of(self.now)
        self.use(account, service, billable=1_000_000)
        for days in range(1, 21):
            self.use(account, service, billable=50_000, at=now - days * DAY)
        before = self.now
        for attempt in range(3):
            with self.subTest(attempt=attempt):
                going = Background(self.admin.set_clock, written(before + (attempt + 1) * 60 * DAY))
                self.gateway.kill9()
                going.thread.join(30)
                self.gateway.start()
        self.clock(before + 200 * DAY)
        self.assertEqual(account.subscription(service)["month_points"], 0)
        total = sum(micro(self.bill(account, month)["total"]) for month in ("2021-07", "2021-08"))
        points = {"2021-07": sum(1 for days in range(1, 21) if written(now - days * DAY) < "2021-08") * 50_000}
        points["2021-08"] = 2_000_000 - points["2021-07"]
        expected = points["2021-07"] * 1000 + 1_000_000_000 + (points["2021-08"] - 1_000_000) * 800
        self.assertEqual(total, expected)
        self.assertEqual(micro(self.cash(account)), 10_000_000_000 - expected)


if __name__ == "__main__":
    unittest.main()
