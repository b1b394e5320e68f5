"""Deposits, transfers and QPS packs of the admin API: exact money, one answer per Idempotency-Key, nothing moved by a
refusal. Prices of packs are read from what a purchase says, because the shipped ones are only examples."""

import unittest
from decimal import Decimal

from admin import fresh, instant
from harness import FAST, at_once
from test_admin_contract import MONEY, RFC3339, AdminTest, ID


class MoneyTest(AdminTest):
    def new_account(self):
        identity = fresh("acct")
        self.assertIn(self.admin.put_account(identity).status, (200, 201))
        return identity

    def balance(self, account):
        answer = self.admin.account(account)
        self.assertRegex(answer["cash"], MONEY)
        self.assertRegex(answer["vouchers"], MONEY)
        return Decimal(answer["cash"]), Decimal(answer["vouchers"])

    def tearDown(self):
        self.assertIs(self.admin.audit()["ok"], True)


class Deposits(MoneyTest):
    def test_cash_and_vouchers_are_kept_apart(self):
        account = self.new_account()
        answer = self.admin.deposit(account, "100")
        self.assertEqual(answer.status, 201, answer)
        self.assertRegex(answer["id"], ID)
        self.assertEqual(answer["account"]["cash"], "100.00")
        answer = self.admin.deposit(account, "0.000001")
        self.assertEqual(answer["account"]["cash"], "100.000001")
        answer = self.admin.deposit(account, "50.5", "voucher", expires_at=instant(86_400))
        self.assertEqual((answer["account"]["cash"], answer["account"]["vouchers"]), ("100.000001", "50.50"))
        self.assertEqual(self.balance(account), (Decimal("100.000001"), Decimal("50.5")))

    def test_large_sums_are_exact(self):
        account = self.new_account()
        for _ in range(3):
            self.assertEqual(self.admin.deposit(account, "900000000.000003").status, 201)
        self.assertEqual(self.admin.account(account)["cash"], "2700000000.000009")

    def test_amounts_that_are_no_money_are_refused(self):
        account = self.new_account()
        for amount in ("0", "0.00", "-1", "+1", "1.0000001", "1e3", "", " 1", "1 ", "1.", ".5", "1,000", "NaN", "０",
                       "99999999999999999999", 5, 5.5, None, ["1"], True):
            with self.subTest(amount=amount):
                self.fault(self.admin.deposit(account, amount), 400, "amount")
        self.assertEqual(self.balance(account), (0, 0))

    def test_kinds_and_expiry(self):
        account = self.new_account()
        for body, field in (({"kind": "gold"}, "kind"), ({"kind": 1}, "kind"), ({"kind": None}, "kind"),
                            ({"kind": "voucher", "expires_at": "soon"}, "expires_at"),
                            ({"kind": "voucher", "expires_at": instant(-60)}, "expires_at"),
                            ({"kind": "cash", "expires_at": instant(60)}, "expires_at"),
                            ({"kind": "cash", "colour": "red"}, "colour")):
            with self.subTest(body=body):
                path = f"/v1/accounts/{account}/deposits"
                self.fault(self.admin.post_money(path, {"amount": "1.00", **body}), 400, field)
        self.fault(self.admin.post_money(f"/v1/accounts/{account}/deposits", {"amount": "1.00"}), 400, "kind")
        self.assertEqual(self.balance(account), (0, 0))

    def test_every_deposit_leaves_transfers_oldest_first(self):
        account = self.new_account()
        ids = [self.admin.deposit(account, amount)["id"] for amount in ("1.00", "2.00", "4.00", "8.00", "16.00")]
        rows = self.pages(f"/v1/accounts/{account}/transfers", limit=2)
        self.assertEqual([row["amount"] for row in rows], ["1.00", "2.00", "4.00", "8.00", "16.00"])
        self.assertEqual([row["at"] for row in rows], sorted(row["at"] for row in rows))
        for row, deposit in zip(rows, ids):
            self.assertRegex(row["at"], RFC3339)
            self.assertNotEqual(row["debit"], row["credit"])
            self.assertIn(deposit, str(row), "a transfer leads back to what caused it")
        self.assertEqual(len(self.admin.transfers(account, limit=2)["items"]), 2)
        self.fault(self.admin.transfers(account, limit="x"), 400, "limit")


class IdempotencyKeys(MoneyTest):
    def test_missing_key_is_400_and_moves_nothing(self):
        account = self.new_account()
        self.fault(self.admin.deposit(account, "5.00", idempotency_key=None), 400)
        self.assertEqual(self.balance(account), (0, 0))

    def test_the_same_key_and_body_give_the_first_answer_again(self):
        account, key = self.new_account(), fresh("idem")
        first = self.admin.deposit(account, "5.00", idempotency_key=key)
        self.admin.deposit(account, "1.00")
        again = self.admin.deposit(account, "5.00", idempotency_key=key)
        self.assertEqual((again.status, again.json), (first.status, first.json))
        self.assertEqual(self.balance(account)[0], Decimal(6))

    def test_the_same_key_with_another_body_is_422(self):
        account, key = self.new_account(), fresh("idem")
        self.assertEqual(self.admin.deposit(account, "5.00", idempotency_key=key).status, 201)
        self.fault(self.admin.deposit(account, "6.00", idempotency_key=key), 422)
        self.fault(self.admin.deposit(account, "5.00", "voucher", idempotency_key=key), 422)
        self.assertEqual(self.balance(account), (Decimal(5), 0))

    def test_a_key_never_answers_for_another_account(self):
        one, two, key = self.new_account(), self.new_account(), fresh("idem")
        first = self.admin.deposit(one, "5.00", idempotency_key=key)
        other = self.admin.deposit(two, "5.00", idempotency_key=key)
        self.assertIn(other.status, (201, 422), other)
        if other.status == 201:
            self.assertNotEqual(other["id"], first["id"])
            self.assertEqual(other["account"]["id"], two)
        self.assertEqual(self.balance(one)[0], Decimal(5))

    def test_ten_at_once_with_one_key_move_money_once(self):
        account, key = self.new_account(), fresh("idem")
        answers = at_once(10, lambda _: self.admin.deposit(account, "5.00", idempotency_key=key))
        done = [answer for answer in answers if answer.status == 201]
        self.assertTrue(done)
        self.assertTrue(all(answer.status in (201, 409) for answer in answers), answers)
        self.assertEqual(len({answer["id"] for answer in done}), 1)
        self.assertEqual(self.balance(account)[0], Decimal(5))

    def test_kept_over_a_kill(self):
        account, key = self.new_account(), fresh("idem")
        first = self.admin.deposit(account, "5.00", idempotency_key=key)
        self.gateway.kill9()
        self.gateway.start()
        again = self.admin.deposit(account, "5.00", idempotency_key=key)
        self.assertEqual((again.status, again.json), (201, first.json))
        self.assertEqual(self.balance(account)[0], Decimal(5))

    def test_a_hundred_deposits_from_eight_threads_add_up(self):
        account = self.new_account()
        for answers in at_once(8, lambda _: [self.admin.deposit(account, "0.01").status for _ in range(13)]):
            self.assertEqual(set(answers), {201})
        self.assertEqual(self.balance(account)[0], Decimal("1.04"))
        self.assertEqual(len(self.pages(f"/v1/accounts/{account}/transfers")), 104)


class QpsPacks(MoneyTest):
    def buyer(self, money="100000.00", paid=True):
        service = self.service(FAST)
        account = self.account(service, paid=paid, deposit=money)
        return service, account

    def test_a_pack_is_paid_from_cash_and_listed(self):
        service, account = self.buyer()
        answer = self.admin.buy_qps_pack(account.id, service.id, 5, "metered", instant(3600), instant(90_000))
        self.assertEqual(answer.status, 201, answer)
        self.assertRegex(answer["id"], ID)
        self.assertRegex(answer["price"], MONEY)
        price = Decimal(answer["price"])
        self.assertGreater(price, 0)
        self.assertEqual(self.balance(account.id)[0], Decimal(100_000) - price)
        packs = account.subscription(service)["qps_packs"]
        self.assertEqual([(pack["id"], pack["qps"], pack["kind"]) for pack in packs], [(answer["id"], 5, "metered")])
        self.assertRegex(packs[0]["starts_at"], RFC3339)
        self.assertRegex(packs[0]["ends_at"], RFC3339)
        self.assertEqual(account.subscription(service)["guarantee"], 10, "it has not begun")
        self.assertIn(answer["price"], [row["amount"] for row in self.pages(f"/v1/accounts/{account.id}/transfers")])

    def test_the_price_grows_with_qps_and_days(self):
        service, account = self.buyer()

        def price(qps, days, kind="metered"):
            answer = self.admin.buy_qps_pack(account.id, service.id, qps, kind, "2031-01-01T00:00:00+08:00",
                                             f"2031-01-{1 + days:02}T00:00:00+08:00")
            self.assertEqual(answer.status, 201, answer)
            return Decimal(answer["price"])
        one = price(1, 1)
        self.assertEqual((price(3, 1), price(1, 4), price(2, 5)), (3 * one, 4 * one, 10 * one))
        self.assertGreater(price(1, 1, "unlimited"), 0)

    def test_a_free_subscription_cannot_buy(self):
        service, account = self.buyer(paid=False)
        self.fault(self.admin.buy_qps_pack(account.id, service.id, 1, "metered", instant(60), instant(120)), 409)
        self.assertEqual(self.balance(account.id)[0], Decimal(100_000))

    def test_short_cash_is_402_and_vouchers_do_not_pay(self):
        service, account = self.buyer("0.000001")
        self.assertEqual(self.admin.deposit(account.id, "100000", "voucher").status, 201)
        answer = self.admin.buy_qps_pack(account.id, service.id, 1000, "metered", instant(60), instant(86_400))
        self.fault(answer, 402)
        self.assertEqual(self.balance(account.id), (Decimal("0.000001"), Decimal(100_000)))
        self.assertEqual(account.subscription(service)["qps_packs"], [])

    def test_money_for_one_pack_buys_one_pack_only(self):
        service, account = self.buyer()
        window = ("2031-02-01T00:00:00+08:00", "2031-02-02T00:00:00+08:00")
        price = self.admin.buy_qps_pack(account.id, service.id, 1, "metered", *window)["price"]
        poor = self.account(service, paid=True, deposit=price)
        answers = at_once(6, lambda _: self.admin.buy_qps_pack(poor.id, service.id, 1, "metered", *window))
        self.assertEqual(sorted(answer.status for answer in answers), [201] + [402] * 5)
        self.assertEqual(self.balance(poor.id), (0, 0))

    def test_bad_fields_are_named(self):
        service, account = self.buyer()
        good = {"qps": 1, "kind": "metered", "starts_at": instant(60), "ends_at": instant(120)}
        path = f"/v1/accounts/{account.id}/subscriptions/{service.id}/qps-packs"
        for field, value in (("qps", 0), ("qps", -1), ("qps", 1.5), ("qps", "1"), ("qps", 2 ** 53 + 1), ("qps", True),
                             ("kind", "half"), ("kind", 1), ("starts_at", "now"), ("starts_at", 5),
                             ("ends_at", "later"), ("ends_at", instant(30)), ("ends_at", instant(-9)), ("x", 1)):
            with self.subTest(field=field, value=value):
                self.fault(self.admin.post_money(path, {**good, field: value}), 400, field)
        for field in good:
            with self.subTest(missing=field):
                body = {name: value for name, value in good.items() if name != field}
                self.fault(self.admin.post_money(path, body), 400, field)
        self.fault(self.admin.post_money(path, good, idempotency_key=None), 400)
        self.assertEqual(account.subscription(service)["qps_packs"], [])
        self.assertEqual(self.balance(account.id)[0], Decimal(100_000))

    def test_a_purchase_is_idempotent_too(self):
        service, account = self.buyer()
        key, window = fresh("idem"), (instant(60), instant(120))
        first = self.admin.buy_qps_pack(account.id, service.id, 1, "metered", *window, idempotency_key=key)
        again = self.admin.buy_qps_pack(account.id, service.id, 1, "metered", *window, idempotency_key=key)
        self.assertEqual((again.status, again.json), (201, first.json))
        self.fault(self.admin.buy_qps_pack(account.id, service.id, 2, "metered", *window, idempotency_key=key), 422)
        self.assertEqual(len(account.subscription(service)["qps_packs"]), 1)
        self.assertEqual(self.balance(account.id)[0], Decimal(100_000) - Decimal(first["price"]))


if __name__ == "__main__":
    unittest.main()
