"""What the billing tests have in common: a gateway on the manual clock for each test, and the words to tell a story of
usage, money and time. It knows the API's names and no prices."""

from billing_model import FIELDS
from billing_model_units import HOUR, hour_of, instant, micro, written, yuan
from billing_model_view import pages
from harness import DETECTION, FakeModel, GatewayTest, Tollgate, eventually

AUGUST = "2021-08-20T09:30:00+08:00"     # the day from which the points plan is sold
LEGACY, POINTS = "calls-legacy", "points-2021-08-20"
FREE = 10_000


class BillingTest(GatewayTest):
    start = AUGUST
    more_sets = {}

    @classmethod
    def setUpClass(cls):
        cls.model = FakeModel()
        cls.addClassCleanup(cls.model.stop)

    def setUp(self):
        self.gateway = Tollgate({"billing.clock": "manual", **self.more_sets})
        self.addCleanup(self.gateway.close)
        self.gateway.start()
        self.clock(self.start)
        self.source = ("import", self.admin.open_epoch("import")["epoch"])
        self.totals = {}

    def tearDown(self):
        if self.gateway.alive():
            answer = self.admin.audit()
            self.assertIs(answer["ok"], True, [each for each in answer["invariants"] if not each["ok"]])

    # -- time
    @property
    def now(self):
        return instant(self.admin.clock()["now"])

    def clock(self, to):
        answer = self.admin.set_clock(to if isinstance(to, str) else written(to))
        self.assertEqual(answer.status, 200, answer)

    def next_hour(self, hours=1):
        """To the next full hour, where what was used until then is settled; or some hours on."""
        self.clock(hour_of(self.now) + hours * HOUR)

    # -- who
    def customer(self, model=DETECTION, paid=True, cash=None, plan=None):
        """(service, account): subscribed, with its free points used up."""
        service = self.service(model)
        account = self.account(deposit=cash)
        self.subscribe(account, service, paid, plan)
        self.use(account, service, free=FREE, at=hour_of(self.now) - HOUR)
        eventually(lambda: account.subscription(service)["free_points_left"] == 0, "no free points left")
        return service, account

    def subscribe(self, account, service, paid=True, plan=None):
        more = {"plan": plan} if plan else {}
        answer = self.admin.put_subscription(account.id, service.id, paid, **more)
        self.assertIn(answer.status, (200, 201), answer)

    # -- usage, told as what is added; reported as the cumulative totals that the contract wants
    def use(self, account, service, billable=0, free=0, calls=0, at=None):
        hour = hour_of(self.now if at is None else at)
        before = self.totals.get((account.id, service.id, hour), (0, 0, 0))
        after = (before[0] + calls, before[1] + free, before[2] + billable)
        self.totals[account.id, service.id, hour] = after
        answer = self.admin.report_usage(*self.source, [
            {"account": account.id, "service": service.id, "hour": written(hour), "calls_succeeded": after[0],
             "calls_failed": 0, "calls_unmetered": 0, "free_points": after[1], "billable_points": after[2]}])
        self.assertEqual(answer.status, 204, answer)

    def usage(self, account, service):
        """All usage there ever was, summed over hours. (The harness looks at the system's now.)"""
        items = pages(self.admin, f"/v1/accounts/{account.id}/usage", service=service.id,
                      **{"from": written(self.now - 3000 * 24 * HOUR), "to": written(self.now + HOUR)})
        return {name: sum(item[name] for item in items) for name in (*FIELDS, "settled")}

    def wait_usage(self, account, service, **expected):
        def seen():
            now = self.usage(account, service)
            return all(now[name] == count for name, count in expected.items())
        eventually(seen, lambda: f"usage {expected}, it is {self.usage(account, service)}")

    def settled(self, account, service, hour):
        items = pages(self.admin, f"/v1/accounts/{account.id}/usage", service=service.id,
                      **{"from": written(hour), "to": written(hour + HOUR)})
        return items[0]["settled"] if items else 0

    # -- money
    def money(self, account):
        answer = self.admin.account(account.id)
        return answer["cash"], answer["vouchers"], answer["state"]

    def cash(self, account):
        return self.admin.account(account.id)["cash"]

    def pay_in(self, account, amount, kind="cash", **more):
        answer = self.admin.deposit(account.id, amount, kind, **more)
        self.assertEqual(answer.status, 201, answer)
        return answer["account"]

    def buy(self, account, service, what, key=..., **body):
        return self.admin.post_money(f"/v1/accounts/{account.id}/subscriptions/{service.id}/{what}", body, key)

    def refuse(self, answer, status):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers.get("Content-Type"), "application/problem+json", answer)
        self.assertEqual(answer["status"], status)
        self.assertRegex(answer["code"], r"^[a-z][a-z0-9_]*$")
        return answer["code"]

    # -- bills
    def bill(self, account, month):
        answer = self.admin.get(f"/v1/accounts/{account.id}/bills", month=month)
        self.assertEqual(answer.status, 200, answer)
        total = sum(micro(line["amount"]) for line in answer["lines"])
        self.assertEqual(yuan(total), answer["total"], "the total is the sum of the lines")
        return answer.json

    def lines(self, account, month):
        """(kind, points, unit price, amount) of a bill, in any order."""
        return sorted((line["kind"], line["points"], line["unit_price"], line["amount"])
                      for line in self.bill(account, month)["lines"])

    def notifications(self, account=None):
        items = pages(self.admin, "/v1/notifications")
        return [each for each in items if account is None or each["account"] == account.id]

    def kinds(self, account):
        return [each["kind"] for each in self.notifications(account)]
