"""The second calculator alone: the worked examples and the calendar, by hand. No product is started here; a model that
is wrong in the same way as the product would prove nothing."""

import random
import unittest

from billing_model import Model, Refused
from billing_model_units import DAY, HOUR, Plan, end_of_day_after_months, instant, micro, month_of, written, yuan

TIERS = [(1_000_000, 1000), (5_000_000, 800), (None, 640)]
PLAN = Plan("points", 10_000, tiers=TIERS, packages={200_000: micro("180.00")})
OLD = Plan("calls", 10_000, call_prices={"m": micro("0.007")}, count_packs={("m", 10): micro("0.05")},
           sold_until=instant("2021-08-20T00:00:00+08:00"))


class Books:
    def __init__(self, cash="0.00", start="2021-08-21T10:15:00+08:00", plan="points", cost=5):
        self.model = Model(instant(start), [PLAN, OLD])
        self.account = self.model.open_account("a")
        self.subscription = self.model.subscribe("a", "s", "m", cost, 4, plan, True)
        if micro(cash):
            self.model.deposit("a", micro(cash), "cash")

    def use(self, points, at=None, gateway="g", epoch=1):
        at = self.model.now if at is None else at
        self.model.report(gateway, epoch, "a", "s", at - at % HOUR, (0, 0, 0, 0, points))

    def hours(self, count=1):
        self.model.advance(self.model.now - self.model.now % HOUR + count * HOUR)

    def cash(self):
        return yuan(self.account.cash)


class ByHand(unittest.TestCase):
    def test_tiers(self):
        for points, price in ((5_000, "5.00"), (2_000_000, "1800.00"), (6_000_000, "4840.00"), (1_000_001, "1000.0008"),
                              (5_000_001, "4200.00064"), (0, "0.00")):
            with self.subTest(points=points):
                self.assertEqual(yuan(sum(amount for _, _, amount in PLAN.slices(0, points))), price)

    def test_any_cut_of_a_month_costs_the_same(self):
        source = random.Random(7)
        whole = sum(amount for _, _, amount in PLAN.slices(0, 7_000_000))
        for _ in range(50):
            cuts = sorted(source.sample(range(1, 7_000_000), 20))
            parts = [PLAN.slices(low, high - low) for low, high in zip([0, *cuts], [*cuts, 7_000_000])]
            self.assertEqual(sum(amount for part in parts for _, _, amount in part), whole)

    def test_the_calendar_is_beijing_s_and_clamps(self):
        self.assertEqual(month_of(instant("2021-08-31T23:59:59+08:00")), (2021, 8))
        self.assertEqual(month_of(instant("2021-08-31T16:00:00Z")), (2021, 9))
        for bought, expires in (("2021-08-25T10:30:00+08:00", "2022-08-26T00:00:00+08:00"),
                                ("2024-02-29T23:59:59+08:00", "2025-03-01T00:00:00+08:00"),
                                ("2023-02-28T00:00:00+08:00", "2024-02-29T00:00:00+08:00"),
                                ("2021-12-31T00:00:00+08:00", "2023-01-01T00:00:00+08:00")):
            self.assertEqual(written(end_of_day_after_months(instant(bought), 12)), expires)
        self.assertEqual(written(end_of_day_after_months(instant("2021-01-31T12:00:00+08:00"), 1)),
                         "2021-03-01T00:00:00+08:00")

    def test_money_is_text_and_integers(self):
        for text, amount in (("1800.00", 1_800_000_000), ("-0.000001", -1), ("0.00064", 640), ("5", 5_000_000)):
            self.assertEqual(micro(text), amount)
            self.assertEqual(micro(yuan(amount)), amount)
        self.assertEqual([yuan(each) for each in (1_800_000_000, -1, 10_000)], ["1800.00", "-0.000001", "0.01"])

    def test_twelve_yuan_of_usage_and_ten_of_balance(self):
        books = Books("10.00")
        books.use(12_000)
        books.hours()
        self.assertEqual((books.cash(), books.account.arrears), ("-2.00", True))
        self.assertEqual([each[0] for each in books.account.notifications], ["arrears"])
        books.model.deposit("a", micro("2.00"), "cash")
        self.assertFalse(books.account.arrears)

    def test_a_package_pays_first(self):
        books = Books("1000.00")
        books.model.buy_package("a", "s", 200_000, "p")
        books.use(250_000)
        books.hours()
        self.assertEqual((books.cash(), books.model.month_points("a", "s")), ("770.00", 50_000))

    def test_merged_by_maximum_and_late_under_its_own_month(self):
        books = Books("5000.00")
        for points in (600_000, 1_000_000, 3):
            books.use(points)
        books.hours()
        self.assertEqual(books.cash(), "4000.00")
        late = books.model.now
        books.hours(20 * 24)
        books.use(10, late)
        books.use(10, late, gateway="another")
        books.hours()
        self.assertEqual((books.cash(), books.model.month_points("a", "s")), ("3999.984", 0))
        self.assertEqual([(line.points, line.unit_price, line.late) for line in books.account.bills[2021, 8]],
                         [(1_000_000, 1000, False), (20, 800, True)])

    def test_the_older_plan_and_the_move_from_it(self):
        books = Books("1.00", "2021-08-19T22:10:00+08:00", "calls")
        books.model.buy_count_pack("a", "s", 10, "c")
        books.use(8 * 5)
        books.hours()
        self.assertEqual(books.cash(), "0.95")
        books.use(3 * 5)
        books.model.advance(instant("2021-08-20T00:00:00+08:00"))
        self.assertEqual(books.cash(), "0.943")
        with self.assertRaises(Refused):
            books.model.buy_count_pack("a", "s", 10, "d")
        self.assertEqual(written(books.model.migrate("a", "s", "points")), "2021-08-20T01:00:00+08:00")
        books.use(5)
        books.hours()
        books.use(5)
        books.hours()
        self.assertEqual(books.cash(), "0.931")

    def test_vouchers_by_expiry_then_cash_and_a_debt_first_of_all(self):
        books = Books("1.00")
        books.model.deposit("a", micro("1.00"), "voucher")
        books.model.deposit("a", micro("1.00"), "voucher", books.model.now + DAY)
        books.use(1_500)
        books.hours()
        self.assertEqual([each.left for each in books.account.vouchers], [500_000, 0])
        books.use(3_500)
        books.hours()
        self.assertEqual(books.cash(), "-2.00")
        books.model.deposit("a", micro("3.00"), "voucher")
        self.assertEqual((books.cash(), books.account.voucher_total(books.model.now)), ("0.00", 1_000_000))


if __name__ == "__main__":
    unittest.main()
