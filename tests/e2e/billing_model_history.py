"""A seeded random history of accounts: every step is done to the product and to the model, and after each step of the
clock everything that can be seen must be equal. It decides what happens; what must follow is the model's business."""

import random

from billing_model import FIELDS, Model, Refused
from billing_model_units import DAY, HOUR, hour_of, instant, micro, month_of, written, yuan
from billing_model_view import Comparison, plans_of

MODELS = ("image-classification/autodl", "object-detection/high-performance", "image-classification/high-performance",
          "object-detection/ultra-accuracy")
LEGACY, POINTS = "calls-legacy", "points-2021-08-20"
FREE_QUOTA_KEPT = 10_000     # reports of one subscription never use more free points than there are
START = {"price change": "2021-07-26T10:20:30+08:00", "leap day": "2024-02-26T22:15:00+08:00",
         "a year's end": "2022-12-30T08:00:00+08:00"}


class Difference(AssertionError):
    pass


class History:
    """`pace` multiplies the steps of the clock. `log` keeps the last operations for the message of a failure."""

    def __init__(self, gateway, seed, start="price change", pace=1.0):
        self.gateway, self.seed, self.pace = gateway, seed, pace
        self.random = random.Random(seed)
        self.prefix = f"h{seed % 100_000}"
        self.log, self.done, self.clock_steps = [], 0, 0
        now = instant(START[start])
        self.expect(self.admin.set_clock(written(now)), 200)
        catalog = self.admin.catalog().json
        self.catalog = {model["name"]: model for model in catalog["models"]}
        self.model = Model(now, plans_of(catalog))
        self.comparison = Comparison(self.model, self.admin)
        self.services = {}           # service -> model
        self.free_used = {}          # (account, service) -> free points in the truth
        self.truth = {}              # (gateway, epoch, account, service, hour) -> totals that only grow
        self.older = []              # lines sent before
        self.epochs = []
        self.money = []              # (path, body, key, status, answer) of purchases and deposits
        self.keys = 0
        for name in MODELS:
            self.add_service(name)
        for _ in range(2):
            self.add_epoch()
            self.add_account()

    @property
    def admin(self):
        return self.gateway.admin

    # -- bookkeeping
    def expect(self, answer, *statuses):
        if answer.status not in statuses:
            raise Difference(f"expected {statuses}, got {answer}\n" + self.story())
        return answer

    def note(self, text):
        self.log.append(f"{written(self.model.now)} {text}")
        del self.log[:-60]

    def story(self):
        return f"seed {self.seed}, after {self.done} operations; the last ones:\n  " + "\n  ".join(self.log)

    def post_money(self, path, body):
        self.keys += 1
        key = f"{self.prefix}-{self.keys}"
        answer = self.admin.post_money(path, body, key)
        self.money.append((path, body, key, answer))
        return answer

    def compare(self):
        found = self.comparison.differences()
        if found:
            raise Difference("model and product differ:\n  " + "\n  ".join(found[:12]) + "\n" + self.story())

    def pick(self):
        """(account id, service id, subscription)"""
        held = [(account, service, subscription) for account, each in self.model.accounts.items()
                for service, subscription in each.subscriptions.items()]
        return self.random.choice(held)

    # -- what there is
    def add_service(self, name):
        service = f"{self.prefix}-s{len(self.services)}"
        answer = self.admin.put_service(service, name, ["127.0.0.1:9"], f"/{service}")
        self.expect(answer, 200, 201)
        self.services[service] = name

    def add_epoch(self):
        name = f"{self.prefix}-g{self.random.randrange(3)}"
        answer = self.expect(self.admin.open_epoch(name), 201)
        self.epochs.append((name, answer["epoch"]))
        self.note(f"epoch {self.epochs[-1]}")

    def add_account(self):
        account = f"{self.prefix}-a{len(self.model.accounts)}"
        self.expect(self.admin.put_account(account), 200, 201)
        self.model.open_account(account)
        for service in self.random.sample(sorted(self.services), 2):
            self.subscribe(account, service)

    def subscribe(self, account, service):
        held = self.model.accounts[account].subscriptions.get(service)
        paid = self.random.random() < 0.85
        name = self.services[service]
        if held is not None:
            plan, more = None, {}
        else:
            legacy = self.model.plans.get(LEGACY)
            by_call = legacy is not None and legacy.sold(self.model.now) and name in legacy.call_prices
            plan = LEGACY if by_call and self.random.random() < 0.7 else POINTS
            more = {"plan": plan}
        self.note(f"put subscription {account} {service} paid={paid} {more}")
        self.expect(self.admin.put_subscription(account, service, paid, **more), 200, 201)
        shown = self.catalog[name]
        self.model.subscribe(account, service, name, shown["points"], shown["base_guarantee"], plan, paid)

    # -- operations; each is one call or a few
    def op_epoch(self):
        self.add_epoch()

    def op_account(self):
        if len(self.model.accounts) < 6:
            self.add_account()
        else:
            self.op_usage()

    def op_subscribe(self):
        self.subscribe(self.random.choice(sorted(self.model.accounts)), self.random.choice(sorted(self.services)))

    def op_deposit(self, account=None):
        account = account or self.random.choice(sorted(self.model.accounts))
        held = self.model.accounts[account]
        charged, hours = self.model.burn(held)
        wanted = self.random.choice([1, 25, 30, 49, 55, 73, 80, 400])     # hours that the money shall last
        if held.arrears and self.random.random() < 0.4:
            amount = -held.cash + self.random.choice([-1, 0, 0, 1])      # about the debt, to the last digit
        elif charged and self.random.random() < 0.6:
            amount = charged * wanted // hours - held.cash - held.voucher_total(self.model.now)
            amount += self.random.randrange(2)
        else:
            amount = self.random.choice([1, 10_000, 5_000_000, 300_000_000, 9_000_000_000])
            amount *= self.random.randrange(1, 5)
        self.deposit(account, max(1, amount), "voucher" if self.random.random() < 0.4 else "cash")

    def deposit(self, account, amount, kind):
        body, expires_at = {"amount": yuan(amount), "kind": kind}, None
        if kind == "voucher" and self.random.random() < 0.8:
            expires_at = self.model.now + self.random.choice([1, HOUR, 7 * HOUR, DAY, 9 * DAY, 40 * DAY])
            if self.random.random() < 0.4:
                expires_at = hour_of(expires_at) + HOUR
            body["expires_at"] = written(expires_at)
        self.note(f"deposit {account} {body}")
        answer = self.expect(self.post_money(f"/v1/accounts/{account}/deposits", body), 201)
        self.model.deposit(account, amount, kind, expires_at)
        held = self.model.accounts[account]
        shown = answer["account"]
        expected = (yuan(held.cash), yuan(held.voucher_total(self.model.now)), "arrears" if held.arrears else "active")
        if (shown["cash"], shown["vouchers"], shown["state"]) != expected:
            raise Difference(f"after the deposit: model {expected}, product {shown}\n" + self.story())

    def purchase(self, path, body, buy):
        """`buy` does it to the model and gives what was bought; a refusal must be one on both sides."""
        self.note(f"buy {path} {body}")
        answer = self.post_money(f"/v1/accounts/{path}", body)
        try:
            bought = buy()
        except Refused as refusal:
            self.expect(answer, *refusal.statuses)
            return
        self.expect(answer, 201)
        bought.id = answer["id"]
        if micro(answer["price"]) != bought.price:
            raise Difference(f"price: model {yuan(bought.price)}, product {answer['price']}\n" + self.story())

    def op_package(self):
        account, service, held = self.pick()
        sizes = sorted(self.model.plans[POINTS].packages)
        points = self.random.choice(sizes[:2] + sizes + [123])
        price = self.model.plans[POINTS].packages.get(points, 0)
        self.with_money(account, price)
        self.purchase(f"{account}/subscriptions/{service}/packages", {"points": points},
                      lambda: self.model.buy_package(account, service, points))

    def with_money(self, account, price):
        """Often somebody who buys has paid in before."""
        held = self.model.accounts[account]
        if held.cash < price and self.random.random() < 0.6:
            self.deposit(account, price - held.cash + self.random.choice([0, 0, 1, 5_000_000]), "cash")

    def op_count_pack(self):
        account, service, held = self.pick()
        offers = self.model.plans[LEGACY].count_packs
        calls = self.random.choice(sorted(calls for model, calls in offers if model == held.model) or [1000])
        self.with_money(account, offers.get((held.model, calls), 0))
        self.purchase(f"{account}/subscriptions/{service}/count-packs", {"calls": calls},
                      lambda: self.model.buy_count_pack(account, service, calls))

    def op_qps_pack(self):
        account, service, held = self.pick()
        plan = held.plan(self.model.now)
        if held.model not in plan.qps_prices and plan.sold(self.model.now):
            return
        qps, kind = self.random.randrange(1, 6), self.random.choice(["metered", "unlimited"])
        starts_at = self.model.now + self.random.choice([-60, 0, 1, HOUR, 3 * DAY])
        ends_at = starts_at + self.random.choice([61, HOUR, DAY - 1, DAY, DAY + 1, 3 * DAY, 40 * DAY])
        body = {"qps": qps, "kind": kind, "starts_at": written(starts_at), "ends_at": written(ends_at)}
        if plan.sold(self.model.now):
            self.with_money(account, self.model.qps_price(held, qps, kind, starts_at, ends_at))
        self.purchase(f"{account}/subscriptions/{service}/qps-packs", body,
                      lambda: self.model.buy_qps_pack(account, service, qps, kind, starts_at, ends_at))

    def op_replay(self):
        """An old request with its key once more: the first answer again, and nothing moves."""
        if not self.money:
            return
        path, body, key, first = self.random.choice(self.money[-50:])
        self.note(f"replay {key} {path}")
        again = self.admin.post_money(path, body, key)
        if first.status == 400:      # not kept: the request is wrong whenever it comes
            self.expect(again, 400)
        elif (again.status, again.text) != (first.status, first.text):
            raise Difference(f"replayed {path}: first {first}, then {again}\n" + self.story())

    def op_migrate(self):
        by_call = [(account, service) for account, each in self.model.accounts.items()
                   for service, held in each.subscriptions.items() if held.plans[-1][1].id == LEGACY]
        if not by_call or self.model.plans[LEGACY].sold(self.model.now) and self.random.random() < 0.8:
            return
        account, service = self.random.choice(by_call)
        self.note(f"migrate {account} {service}")
        answer = self.admin.request("POST", f"/v1/accounts/{account}/subscriptions/{service}/migrate", {"plan": POINTS})
        self.expect(answer, 200, 201, 202)
        effective = self.model.migrate(account, service, POINTS)
        if instant(answer["effective_hour"]) != effective:
            raise Difference(f"effective at {answer}, the model says {written(effective)}\n" + self.story())

    # -- usage
    def hour_to_report(self, late):
        now = hour_of(self.model.now)
        if not late:
            return now
        back = self.random.choice([1, 1, 1, 2, 3, 5, 24, 24 * 7, 24 * 32, 24 * 75])
        return now - HOUR * self.random.randrange(1, back + 1)

    def grow(self, late=False, who=None, calls=None):
        account, service, held = who or self.pick()
        hour = self.hour_to_report(late)
        source = self.random.choice(self.epochs[-4:])
        key = (*source, account, service, hour)
        before = self.truth.get(key, (0, 0, 0, 0, 0))
        if calls is None:
            calls = self.random.randrange(1, self.random.choice([1, 7, 130, 2_000, 40_000]) + 1)
        used = self.free_used.get((account, service), 0)
        free = min(self.random.choice([0, 0, calls]), (FREE_QUOTA_KEPT - used) // held.cost)
        self.free_used[account, service] = used + free * held.cost
        billable = (calls - free) * held.cost
        if self.only_points(held) and billable and free == 0:
            billable -= self.random.randrange(held.cost)     # the last free points covered a part of a call
        if held.plan(hour).id == POINTS and not held.paid and self.random.random() < 0.7:
            billable = 0
        failed, unmetered = self.random.randrange(3), self.random.choice([0, 0, 5])
        added = (calls, failed, unmetered, free * held.cost, billable)
        self.truth[key] = tuple(one + more for one, more in zip(before, added))
        return key

    def only_points(self, held):
        return held.plans[0][1].id == POINTS and not held.count_packs

    def send(self, keys, totals=None):
        """One report per gateway and epoch, in any order, and some of it twice."""
        lines = [(key, (totals or self.truth)[key]) for key in keys]
        if self.older and self.random.random() < 0.3:
            lines += self.random.sample(self.older, min(len(self.older), 3))
        if self.random.random() < 0.2:
            lines += lines
        self.random.shuffle(lines)
        self.older = (self.older + lines)[-200:]
        sources = sorted({key[:2] for key, _ in lines})
        self.random.shuffle(sources)
        for source in sources:
            mine = [(key, each) for key, each in lines if key[:2] == source]
            pieces = [mine] if self.random.random() < 0.7 else [[one] for one in mine]
            for piece in pieces:
                self.send_piece(source, piece)

    def send_piece(self, source, piece):
        body = [{"account": key[2], "service": key[3], "hour": written(key[4]), **dict(zip(FIELDS, totals))}
                for key, totals in piece]
        self.note(f"report {source} " + "; ".join(f"{key[2]} {key[3]} {written(key[4])} {each}" for key, each in piece))
        self.expect(self.admin.report_usage(*source, body), 204)
        for key, totals in piece:
            self.model.report(*key[:2], *key[2:4], key[4], totals)
            self.comparison.touched(key[2], key[4])

    def op_usage(self):
        self.send([self.grow() for _ in range(self.random.randrange(1, 4))])

    def op_late_usage(self):
        self.send([self.grow(late=True) for _ in range(self.random.randrange(1, 3))])

    def op_routine(self):
        """Some hours in which one account does much the same each hour, as most do."""
        who, calls = self.pick(), self.random.choice([50, 400, 3000])
        hours = 180 if self.random.random() < 0.015 else self.random.randrange(2, 9)
        for hour in range(hours):
            self.send([self.grow(who=who, calls=calls + self.random.randrange(10))])
            self.step(hour_of(self.model.now) + HOUR)
            if hour > 0 and self.random.random() < 0.2:
                self.op_deposit(who[0])

    # -- time
    def op_clock(self):
        self.step(self.target())

    @property
    def stride(self):
        """Before the price change there is little time and much that is sold only then."""
        return 1 if self.model.plans[LEGACY].sold(self.model.now) else self.pace

    def target(self):
        now, kind = self.model.now, self.random.random()
        if kind < 0.40:
            return hour_of(now) + HOUR + self.random.choice([0, 0, 1, 59, 1800])
        if kind < 0.50:
            return now + self.random.randrange(1, HOUR)
        if kind < 0.75:
            return now + int(self.stride * self.random.randrange(1, 9 * HOUR)) + 1
        if kind < 0.85:
            return now + int(self.stride * self.random.randrange(1, 4 * DAY)) + 1
        if kind < 0.95:
            ends = [each.expires_at for account in self.model.accounts.values() for each in account.vouchers] + [
                end for account in self.model.accounts.values() for held in account.subscriptions.values()
                for end in [each.expires_at for each in held.packages] + [each.ends_at for each in held.qps_packs]]
            ends = sorted(end for end in ends if end is not None and now < end < now + int(self.stride * 45 * DAY))
            if ends:
                return max(now + 1, ends[0] + self.random.choice([-1, 0, 1]))
        month = month_of(now)
        while month_of(now) == month:       # the end of the month, a second before it or after
            now = now - (now + 8 * HOUR) % DAY + DAY
        if now - self.model.now > self.stride * 31 * DAY:
            return self.model.now + HOUR
        return max(self.model.now + 1, now + self.random.choice([-1, 0, 1, HOUR]))

    def step(self, to):
        self.note(f"clock to {written(to)}")
        self.expect(self.admin.set_clock(written(to)), 200)
        self.model.advance(to)
        self.clock_steps += 1
        self.compare()

    def op_kill(self):
        self.note("kill -9, start")
        self.gateway.kill9()
        self.gateway.start()
        self.compare()

    def op_audit(self):
        answer = self.expect(self.admin.audit(), 200)
        if answer["ok"] is not True:
            raise Difference(f"audit: {[each for each in answer['invariants'] if not each['ok']]}\n" + self.story())

    WEIGHTS = {"usage": 40, "late_usage": 12, "clock": 25, "deposit": 8, "package": 4, "count_pack": 2, "qps_pack": 2,
               "replay": 2, "migrate": 1, "subscribe": 2, "epoch": 1, "account": 0.5,
               "audit": 0.5, "routine": 3}

    def run(self, operations, kills=0):
        names, weights = list(self.WEIGHTS), list(self.WEIGHTS.values())
        deaths = set(self.random.sample(range(operations), kills))
        for number in range(operations):
            name = self.random.choices(names, weights)[0]
            getattr(self, "op_" + name)()
            self.done += 1
            if number in deaths:
                self.op_kill()
        self.step(hour_of(self.model.now) + 2 * HOUR)
        self.comparison.everything()
        self.compare()
        self.op_audit()
