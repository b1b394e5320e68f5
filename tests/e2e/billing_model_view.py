"""What the product shows of an account and what the model says it must show, in one comparable form. The names of the
admin API's fields are here and nowhere else in the billing tests."""

from collections import defaultdict

from billing_model import FIELDS
from billing_model_units import HOUR, Plan, instant, micro, month_of, month_text, written, yuan


def plans_of(catalog):
    """The price lists that GET /v1/catalog shows."""
    return [plan_of(plan) for plan in catalog["plans"]]


def plan_of(shown):
    plan = Plan(shown["id"], shown["free_quota"]["points"])
    assert shown["free_quota"]["period"] == "once", "the model knows only the shipped period"
    if shown.get("sold_until"):
        plan.sold_until = instant(shown["sold_until"])
    plan.tiers = [(tier.get("up_to"), micro(tier["yuan_per_point"])) for tier in shown.get("tiers") or []]
    plan.packages = {package["points"]: micro(package["price"]) for package in shown.get("packages") or []}
    plan.qps_prices = {each["model"]: {kind: micro(each[kind]) for kind in ("metered", "unlimited") if each.get(kind)}
                       for each in shown.get("qps_packs") or []}
    plan.call_prices = {each["model"]: micro(each["yuan_per_call"]) for each in shown.get("calls") or []}
    plan.count_packs = {(each["model"], offer["calls"]): micro(offer["price"])
                        for each in shown.get("calls") or [] for offer in each["count_packs"]}
    return plan


def pages(admin, path, **query):
    items, after = [], None
    while True:
        answer = admin.get(path, after=after, limit=1000, **query)
        assert answer.status == 200, answer
        items += answer["items"]
        after = answer["next"]
        if after is None:
            return items


# -- subscriptions

def expected_subscription(model, account, service):
    held = model.accounts[account].subscriptions[service]
    now = model.now
    return {
        "state": model.state(account, service),
        "plan": held.plan(now).id,
        "guarantee": model.guarantee(account, service),
        "free_points_left": held.free_points_left(held.plan(now)),
        "month_points": model.month_points(account, service),
        "packages": sorted((each.id, each.points, each.left, written(each.bought_at), written(each.expires_at))
                           for each in held.packages if now < each.expires_at and each.left),
        "count_packs": sorted((each.id, each.calls, each.left) for each in held.count_packs if each.left),
        "qps_packs": sorted((each.id, each.qps, each.kind) for each in held.qps_packs if now < each.ends_at),
    }


def shown_subscription(shown, now):
    return {
        **{name: shown[name] for name in ("state", "plan", "guarantee", "free_points_left", "month_points")},
        "packages": sorted((each["id"], each["points"], each["points_left"], each["bought_at"], each["expires_at"])
                           for each in shown["packages"] if now < instant(each["expires_at"]) and each["points_left"]),
        "count_packs": sorted((each["id"], each["calls"], each["calls_left"])
                              for each in shown["count_packs"] if each["calls_left"]),
        "qps_packs": sorted((each["id"], each["qps"], each["kind"]) for each in shown["qps_packs"]),
    }


# -- bills. Lines may be cut by hour or not: what must agree is every sum by service, kind and price.

def expected_bill(model, account, month):
    sums = defaultdict(lambda: [0, 0])
    for line in model.accounts[account].bills.get(month, []):
        kind = "adjustment" if line.late else line.kind
        key = (line.service, kind, "" if kind == "purchase" else line.unit_price)
        if kind != "purchase":
            sums[key][0] += line.points
        sums[key][1] += line.amount
    return {"total": yuan(sum(amount for _, amount in sums.values())), "lines": {key: tuple(sums[key]) for key in sums}}


def shown_bill(shown):
    sums = defaultdict(lambda: [0, 0])
    for line in shown["lines"]:
        kind = line["kind"]
        key = (line["service"], kind, "" if kind == "purchase" else micro(line["unit_price"] or "0"))
        if kind != "purchase":
            sums[key][0] += line["points"]
        sums[key][1] += micro(line["amount"])
    return {"total": shown["total"], "lines": {key: tuple(sums[key]) for key in sums}}


def bill(admin, account, month):
    answer = admin.get(f"/v1/accounts/{account}/bills", month=month_text(month))
    assert answer.status == 200, answer
    return shown_bill(answer.json)


# -- usage

def expected_usage(model, account, first, last):
    rows = {}
    for service, held in model.accounts[account].subscriptions.items():
        for hour in held.reported:
            if first <= hour <= last:
                rows[service, written(hour)] = {**held.totals(hour), "settled": held.settled.get(hour, 0)}
    return rows


def shown_usage(admin, account, first, last):
    items = pages(admin, f"/v1/accounts/{account}/usage", **{"from": written(first), "to": written(last + HOUR)})
    return {(each["service"], each["hour"]): {name: each[name] for name in (*FIELDS, "settled")} for each in items}


# -- notifications

def shown_notification(each):
    """(account, (kind, level, at)): kind `arrears`, or `reminder` with the hours that are left at most."""
    kind, at = each["kind"], instant(each["created_at"])
    if kind == "arrears_notice":
        return each["account"], ("arrears", None, at)
    assert kind.startswith("reminder_"), each
    return each["account"], ("reminder", int(kind[len("reminder_"):].rstrip("h")), at)


class Comparison:
    """Compares everything of every account; remembers which hours and months have changed since the last time."""

    def __init__(self, model, admin):
        self.model, self.admin = model, admin
        self.hours = defaultdict(set)        # account -> hours reported since
        self.unsettled = defaultdict(set)
        self.notification_cursor, self.known_notifications = None, set()
        self.notified = defaultdict(list)

    def touched(self, account, hour):
        self.hours[account].add(hour)

    def everything(self):
        """For the end of a history: every hour and every month again."""
        for account, held in self.model.accounts.items():
            held.billed.update(held.bills)
            for subscription in held.subscriptions.values():
                self.hours[account].update(subscription.reported)

    def differences(self):
        found = []

        def compare(what, expected, shown):
            if expected != shown:
                found.append(f"{what}\n    model   {expected}\n    product {shown}")
        accounts = {each["id"]: each for each in pages(self.admin, "/v1/accounts")}
        for identity, held in self.model.accounts.items():
            expected = (yuan(held.cash), yuan(held.voucher_total(self.model.now)),
                        "arrears" if held.arrears else "active")
            shown = accounts[identity]
            compare(f"{identity}: cash, vouchers, state", expected, (shown["cash"], shown["vouchers"], shown["state"]))
            self._subscriptions(identity, compare)
            self._usage(identity, compare)
            self._bills(identity, compare)
        self._notifications(compare)
        return found

    def _subscriptions(self, identity, compare):
        shown = {each["service"]: each for each in pages(self.admin, f"/v1/accounts/{identity}/subscriptions")}
        for service in self.model.accounts[identity].subscriptions:
            expected = expected_subscription(self.model, identity, service)
            actual = shown_subscription(shown[service], self.model.now)
            for name, value in expected.items():
                compare(f"{identity} {service}: {name}", value, actual[name])

    def _usage(self, identity, compare):
        hours = self.hours.pop(identity, set()) | self.unsettled.pop(identity, set())
        for first, last in _runs(sorted(hours)):
            expected = expected_usage(self.model, identity, first, last)
            actual = shown_usage(self.admin, identity, first, last)
            for key in sorted(expected.keys() | actual.keys()):
                compare(f"{identity}: usage of {key}", expected.get(key), actual.get(key))
        self.unsettled[identity] = {hour for account, _, hour in self.model.pending if account == identity}

    def _bills(self, identity, compare):
        held = self.model.accounts[identity]
        months, held.billed = held.billed | {month_of(self.model.now)}, set()
        for month in sorted(months):
            expected, actual = expected_bill(self.model, identity, month), bill(self.admin, identity, month)
            compare(f"{identity}: total of {month_text(month)}", expected["total"], actual["total"])
            for key in sorted(expected["lines"].keys() | actual["lines"].keys(), key=str):
                compare(f"{identity}: bill of {month_text(month)}, {key} (points, amount)",
                        expected["lines"].get(key), actual["lines"].get(key))

    def _notifications(self, compare):
        while True:             # the last page is read again each time; `next` of the one before leads to it
            answer = self.admin.get("/v1/notifications", after=self.notification_cursor, limit=100)
            assert answer.status == 200, answer
            for each in answer["items"]:
                if each["id"] not in self.known_notifications:
                    self.known_notifications.add(each["id"])
                    account, what = shown_notification(each)
                    self.notified[account].append(what)
            if answer["next"] is None:
                break
            self.notification_cursor = answer["next"]
        for identity, held in self.model.accounts.items():
            compare(f"{identity}: notifications", held.notifications[-5:], self.notified[identity][-5:])
            compare(f"{identity}: number of notifications", len(held.notifications), len(self.notified[identity]))


def _runs(hours):
    """(first, last) of stretches of hours that one query asks for at a time."""
    run = []
    for hour in hours:
        if run and hour - run[-1] > 48 * HOUR:
            yield run[0], run[-1]
            run = []
        run.append(hour)
    if run:
        yield run[0], run[-1]
