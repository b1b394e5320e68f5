"""Purchases of packages, count packs and QPS packs: every refusal changes nothing, a repetition buys once, and a
package lives to the end of its day."""

import unittest

from admin import fresh
from billing_model_units import DAY, HOUR, hour_of, micro, written, yuan
from billing_model_case import LEGACY, POINTS, BillingTest
from billing_model_view import pages
from harness import AUTODL, DETECTION, FAST, at_once

PACKAGES = ((200_000, "180.00"), (500_000, "430.00"), (1_000_000, "800.00"), (3_000_000, "2250.00"),
            (5_000_000, "3500.00"), (10_000_000, "6500.00"))


class Purchases(BillingTest):
    def snapshot(self, account, service):
        shown = account.subscription(service)
        return (self.money(account), shown["packages"], shown["count_packs"], shown["qps_packs"],
                len(pages(self.admin, f"/v1/accounts/{account.id}/transfers")))

    def nothing_changes(self, account, service, status, what, **body):
        before = self.snapshot(account, service)
        code = self.refuse(self.buy(account, service, what, **body), status)
        self.assertEqual(self.snapshot(account, service), before)
        return code

    def qps_pack(self, **more):
        return {"qps": 1, "kind": "metered", "starts_at": written(self.now), "ends_at": written(self.now + DAY), **more}

    def test_every_package_has_its_price(self):
        service, account = self.customer(cash="13660.00")
        self.assertEqual(yuan(sum(micro(price) for _, price in PACKAGES)), "13660.00")
        for points, price in PACKAGES:
            answer = self.buy(account, service, "packages", points=points)
            self.assertEqual(answer.status, 201, answer)
            self.assertEqual((answer["points"], answer["points_left"], answer["price"]), (points, points, price))
            self.assertEqual(answer["bought_at"], "2021-08-20T09:30:00+08:00")
            self.assertEqual(answer["expires_at"], "2022-08-21T00:00:00+08:00")
        self.assertEqual(self.cash(account), "0.00")
        self.assertEqual(len(account.subscription(service)["packages"]), len(PACKAGES))
        bill = self.bill(account, "2021-08")
        self.assertEqual(bill["total"], "13660.00")
        self.assertEqual({line["kind"] for line in bill["lines"]}, {"purchase"})

    def test_short_cash_is_402_and_vouchers_do_not_help(self):
        service, account = self.customer(cash="179.999999")
        self.pay_in(account, "1000.00", "voucher")
        self.nothing_changes(account, service, 402, "packages", points=200_000)
        self.nothing_changes(account, service, 402, "qps-packs", **self.qps_pack(qps=1000))
        self.pay_in(account, "0.000001")
        self.assertEqual(self.buy(account, service, "packages", points=200_000).status, 201)
        self.assertEqual(self.money(account), ("0.00", "1000.00", "active"))

    def test_a_free_subscription_buys_nothing(self):
        service, account = self.customer(paid=False, cash="1000.00")
        self.nothing_changes(account, service, 409, "packages", points=200_000)
        self.nothing_changes(account, service, 409, "qps-packs", **self.qps_pack())

    def test_in_arrears_nothing_is_bought(self):
        service, account = self.customer()
        self.use(account, service, billable=5)
        self.next_hour()
        self.assertEqual(self.money(account)[2], "arrears")
        for what, body in (("packages", {"points": 200_000}), ("qps-packs", self.qps_pack())):
            before = self.snapshot(account, service)
            answer = self.buy(account, service, what, **body)
            self.assertIn(answer.status, (402, 409), answer)
            self.assertEqual(self.snapshot(account, service), before)

    def test_count_packs_are_not_sold_any_more(self):
        service, account = self.customer(cash="1000.00")
        self.nothing_changes(account, service, 410, "count-packs", calls=10_000)

    def test_wrong_fields_are_named_and_unknown_ones_are_404(self):
        service, account = self.customer(cash="1000.00")
        path = f"/v1/accounts/{account.id}/subscriptions/{service.id}"
        for what, body, field in (("packages", {}, "points"), ("packages", {"points": "200000"}, "points"),
                                  ("packages", {"points": -1}, "points"), ("packages", {"points": 0}, "points"),
                                  ("packages", {"points": 1.5}, "points"), ("packages", {"points": True}, "points"),
                                  ("packages", {"points": 200_000, "price": "1.00"}, "price"),
                                  ("count-packs", {"calls": 0}, "calls"), ("count-packs", {}, "calls")):
            with self.subTest(what=what, body=body):
                answer = self.admin.post_money(f"{path}/{what}", body)
                self.refuse(answer, 400)
                self.assertEqual(answer["field"], field)
        self.refuse(self.admin.post_money(f"{path}/packages", {"points": 200_000}, None), 400)
        answer = self.admin.post_money(f"{path}/packages", {"points": 123_456})
        self.assertIn(answer.status, (400, 409, 422), answer)
        for wrong in (f"/v1/accounts/nobody/subscriptions/{service.id}/packages",
                      f"/v1/accounts/{account.id}/subscriptions/nothing/packages"):
            self.refuse(self.admin.post_money(wrong, {"points": 200_000}), 404)
        self.assertEqual(self.cash(account), "1000.00")

    def test_a_repeated_purchase_is_one_purchase(self):
        service, account = self.customer(cash="1000.00")
        key = fresh("idem")
        first = self.buy(account, service, "packages", key, points=200_000)
        self.clock(self.now + 40 * DAY)
        self.gateway.kill9()
        self.gateway.start()
        again = self.buy(account, service, "packages", key, points=200_000)
        self.assertEqual((first.status, again.status, again.json), (201, 201, first.json))
        self.refuse(self.buy(account, service, "packages", key, points=500_000), 422)
        self.assertEqual((self.cash(account), len(account.subscription(service)["packages"])), ("820.00", 1))

    def test_a_refusal_is_repeated_as_it_was(self):
        service, account = self.customer(cash="1.00")
        key = fresh("idem")
        self.refuse(self.buy(account, service, "packages", key, points=200_000), 402)
        self.pay_in(account, "500.00")
        self.refuse(self.buy(account, service, "packages", key, points=200_000), 402)
        self.assertEqual(self.cash(account), "501.00")
        self.assertEqual(self.buy(account, service, "packages", points=200_000).status, 201)

    def test_money_for_two_packages_buys_two_of_eight(self):
        service, account = self.customer(cash="370.00")
        answers = at_once(8, lambda _: self.buy(account, service, "packages", fresh("idem"), points=200_000))
        self.assertEqual(sorted(answer.status for answer in answers), [201] * 2 + [402] * 6)
        self.assertEqual(self.cash(account), "10.00")

    def test_eight_at_once_with_one_key_buy_one(self):
        service, account = self.customer(cash="1800.00")
        key = fresh("idem")
        answers = at_once(8, lambda _: self.buy(account, service, "packages", key, points=200_000))
        self.assertEqual({answer.status for answer in answers} - {201, 409}, set())
        self.assertEqual(len({answer["id"] for answer in answers if answer.status == 201}), 1)
        self.assertEqual(self.cash(account), "1620.00")

    def test_qps_packs_raise_the_guarantee_while_they_last(self):
        service, account = self.customer(FAST, cash="1000000.00")
        answer = self.buy(account, service, "qps-packs", **self.qps_pack(qps=7, ends_at=written(self.now + DAY + 1)))
        self.assertEqual(answer.status, 201, answer)
        prices = [each for plan in self.admin.catalog()["plans"] if plan["id"] == POINTS
                  for each in plan["qps_packs"] if each["model"] == FAST]
        self.assertEqual(micro(answer["price"]), 7 * 2 * micro(prices[0]["metered"]), "a started day counts whole")
        self.assertEqual(account.subscription(service)["guarantee"], 17)
        self.clock(self.now + DAY)
        self.assertEqual(account.subscription(service)["guarantee"], 17)
        self.clock(self.now + 1)
        self.assertEqual(account.subscription(service)["guarantee"], 10)


class LegacyPurchases(BillingTest):
    start = "2021-08-19T23:30:00+08:00"

    def test_count_packs_are_sold_until_the_last_instant(self):
        service, account = self.customer(DETECTION, cash="1000000.00", plan=LEGACY)
        offer = [each for plan in self.admin.catalog()["plans"] if plan["id"] == LEGACY
                 for each in plan["calls"] if each["model"] == DETECTION][0]["count_packs"][0]
        self.assertIn(self.buy(account, service, "packages", points=200_000).status, (409, 410), "not of this plan")
        self.clock("2021-08-19T23:59:59+08:00")
        answer = self.buy(account, service, "count-packs", calls=offer["calls"])
        self.assertEqual((answer.status, answer["price"]), (201, offer["price"]), answer)
        cash = self.cash(account)
        self.clock("2021-08-20T00:00:00+08:00")
        self.refuse(self.buy(account, service, "count-packs", calls=offer["calls"]), 410)
        self.assertEqual(self.cash(account), cash)
        self.assertEqual(len(account.subscription(service)["count_packs"]), 1)


class Expiry(BillingTest):
    start = "2024-02-28T22:30:00+08:00"

    def test_leap_days_and_the_order_of_use(self):
        service, account = self.customer(AUTODL, cash="100000.00")
        bought = [self.buy(account, service, "packages", points=points) for points in (500_000, 200_000)]
        self.clock("2024-02-29T23:30:00+08:00")
        bought.append(self.buy(account, service, "packages", points=200_000))
        self.clock("2024-03-01T00:00:00+08:00")
        bought.append(self.buy(account, service, "packages", points=200_000))
        self.assertEqual([each["expires_at"] for each in bought], ["2025-03-01T00:00:00+08:00"] * 3 +
                         ["2025-03-02T00:00:00+08:00"])
        listed = [each["id"] for each in account.subscription(service)["packages"]]
        self.assertEqual(sorted(listed), sorted(each["id"] for each in bought))
        self.use(account, service, billable=700_001)
        self.next_hour()
        left = {each["id"]: each["points_left"] for each in account.subscription(service)["packages"]}
        self.assertEqual([left.get(each["id"], 0) for each in bought], [0, 0, 199_999, 200_000])
        self.clock("2025-02-28T23:59:59+08:00")
        self.use(account, service, billable=1_000)          # the last hour of the third, settled after its end
        self.clock("2025-03-01T00:00:00+08:00")
        self.assertEqual([each["id"] for each in account.subscription(service)["packages"]
                          if each["expires_at"] > written(self.now)], [bought[3]["id"]])
        self.assertEqual(account.subscription(service)["packages"][-1]["points_left"], 200_000)
        self.use(account, service, billable=1_000)
        self.use(account, service, billable=500, at=self.now - HOUR)    # late, of an hour that the third covered
        self.use(account, service, billable=6, at=self.now - 380 * DAY)  # before any package: by the tiers
        cash = micro(self.cash(account))
        self.next_hour()
        self.assertEqual(account.subscription(service)["packages"][-1]["points_left"], 199_000)
        self.assertEqual(micro(self.cash(account)), cash - 6_000)
        self.clock("2025-03-02T00:00:00+08:00")
        self.use(account, service, billable=7)
        self.next_hour()
        self.assertEqual(account.subscription(service)["packages"], [])
        self.assertEqual(micro(self.cash(account)), cash - 13_000)

    def test_a_package_covers_the_whole_hour_in_which_it_was_bought(self):
        service, account = self.customer(AUTODL, cash="1000.00")
        self.use(account, service, billable=6_000)
        self.use(account, service, billable=600, at=hour_of(self.now) - HOUR)
        self.clock("2024-02-28T22:59:59+08:00")
        self.assertEqual(self.buy(account, service, "packages", points=200_000).status, 201)
        self.next_hour()
        self.assertEqual(account.subscription(service)["packages"][0]["points_left"], 194_000)
        self.assertEqual(self.cash(account), "819.40")


if __name__ == "__main__":
    unittest.main()
