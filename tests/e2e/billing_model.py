"""A second calculator of everything that the billing core keeps: money, vouchers, packages, tiers, bills, arrears and
reminders. Written from the rules, on integers; it shares nothing with the product but the price data it is given."""

from dataclasses import dataclass

from billing_model_units import DAY, HOUR, end_of_day_after_months, hour_of, month_of

FIELDS = ("calls_succeeded", "calls_failed", "calls_unmetered", "free_points", "billable_points")
LEVELS = (72, 48, 24)          # hours left at which a reminder is due
BURN_HOURS = 168
BURN_HOURS_MIN = 24
PACK_LATENESS = 300            # a QPS pack may have begun this many seconds ago


@dataclass
class Voucher:
    left: int
    expires_at: int | None
    number: int

    def valid(self, at):
        return self.expires_at is None or at < self.expires_at


@dataclass
class Package:
    id: str
    points: int
    left: int
    price: int
    bought_at: int
    expires_at: int

    def covers(self, hour):
        return self.bought_at < hour + HOUR and hour < self.expires_at


@dataclass
class CountPack:
    id: str
    calls: int
    left: int
    price: int
    bought_at: int


@dataclass
class QpsPack:
    id: str
    qps: int
    kind: str
    starts_at: int
    ends_at: int
    price: int

    def active(self, at):
        return self.starts_at <= at < self.ends_at


@dataclass
class Line:
    """A line of a bill. `late`: it was charged later than at the end of its own hour."""
    service: str
    kind: str            # tier, package, count_pack, purchase
    points: int
    unit_price: int
    amount: int
    hour: int | None = None
    late: bool = False


class Subscription:
    def __init__(self, service, model, cost, base, plan, paid):
        self.service, self.model, self.cost, self.base, self.paid = service, model, cost, base, paid
        self.plans = [(None, plan)]       # (from this instant on, plan); the first from ever
        self.packages, self.count_packs, self.qps_packs = [], [], []
        self.reported = {}                # hour -> {(gateway, epoch): [five totals]}
        self.settled = {}                 # hour -> billable points
        self.month_points = {}            # month -> pay-as-you-go points

    def plan(self, at):
        return [plan for start, plan in self.plans if start is None or start <= at][-1]

    def totals(self, hour):
        sources = self.reported.get(hour, {}).values()
        return {name: sum(source[index] for source in sources) for index, name in enumerate(FIELDS)}

    def unsettled(self, hour):
        return self.totals(hour)["billable_points"] - self.settled.get(hour, 0)

    def free_points_left(self, plan):
        used = sum(source[3] for sources in self.reported.values() for source in sources.values())
        return max(0, plan.free_quota - used)


class Account:
    def __init__(self, identity):
        self.id, self.cash, self.vouchers = identity, 0, []
        self.subscriptions = {}
        self.bills, self.charges, self.notifications = {}, [], []
        self.billed = set()               # months with new lines; whoever compares takes them out
        self.reminded = set()
        self.arrears = False

    def bill(self, month, *line):
        self.bills.setdefault(month, []).append(Line(*line))
        self.billed.add(month)

    def voucher_total(self, at):
        return sum(voucher.left for voucher in self.vouchers if voucher.valid(at))


class Refused(Exception):
    """A refusal with every status that the rules allow for it."""

    def __init__(self, *statuses):
        super().__init__(statuses)
        self.statuses = statuses


class Model:
    def __init__(self, now, plans):
        self.now, self.plans = now, {plan.id: plan for plan in plans}
        self.accounts = {}
        self.pending = set()              # (account, service, hour) with reports since the last settlement of it
        self._vouchers = 0

    # -- accounts and subscriptions
    def open_account(self, identity):
        return self.accounts.setdefault(identity, Account(identity))

    def subscribe(self, account, service, model, cost, base, plan, paid):
        held = self.accounts[account].subscriptions
        if service in held:
            held[service].paid = paid
        else:
            held[service] = Subscription(service, model, cost, base, self.plans[plan], paid)
        return held[service]

    def state(self, account, service):
        held = self.accounts[account]
        if not held.subscriptions[service].paid:
            return "free"
        return "arrears" if held.arrears else "paid"

    def guarantee(self, account, service):
        held = self.accounts[account].subscriptions[service]
        if self.state(account, service) != "paid":
            return 0
        return held.base + sum(pack.qps for pack in held.qps_packs if pack.active(self.now))

    def month_points(self, account, service):
        return self.accounts[account].subscriptions[service].month_points.get(month_of(self.now), 0)

    # -- money in
    def deposit(self, account, amount, kind, expires_at=None):
        held = self.accounts[account]
        if kind == "cash":
            held.cash += amount
        else:
            debt = min(amount, max(0, -held.cash))
            held.cash += debt
            self._vouchers += 1
            held.vouchers.append(Voucher(amount - debt, expires_at, self._vouchers))
        if held.cash >= 0:
            held.arrears = False
        held.reminded = {level for level in held.reminded if not self._above(held, level)}

    # -- purchases: all checks, then money; the caller gives the id that the product answered with. Where several
    # reasons speak against a purchase the rules do not say which is named, so a refusal carries all of them.
    def _buy(self, account, service, price, *reasons):
        held = self.accounts[account]
        statuses = set(reasons)
        if not held.subscriptions[service].paid:
            statuses.add(409)
        elif held.arrears:
            statuses |= {402, 409}        # treated as free, and the cash is short as well
        if price is not None and held.cash < price:
            statuses.add(402)
        if statuses:
            raise Refused(*sorted(statuses))
        held.cash -= price
        held.bill(month_of(self.now), service, "purchase", 0, price, price)
        return held.subscriptions[service]

    def buy_package(self, account, service, points, identity=None):
        plan = self.accounts[account].subscriptions[service].plan(self.now)
        price = plan.packages.get(points)
        if not plan.packages or not plan.sold(self.now):
            subscription = self._buy(account, service, price, 409, 410)
        else:
            subscription = self._buy(account, service, price, *([] if price else (400, 409, 422)))
        expires_at = end_of_day_after_months(self.now, plan.package_months)
        subscription.packages.append(Package(identity, points, points, price, self.now, expires_at))
        return subscription.packages[-1]

    def buy_count_pack(self, account, service, calls, identity=None):
        subscription = self.accounts[account].subscriptions[service]
        plan = subscription.plan(self.now)
        if not plan.count_packs or not plan.sold(self.now):
            raise Refused(410)
        price = plan.count_packs.get((subscription.model, calls))
        self._buy(account, service, price, *([] if price else (400, 409, 422)))
        subscription.count_packs.append(CountPack(identity, calls, calls, price, self.now))
        return subscription.count_packs[-1]

    def qps_price(self, subscription, qps, kind, starts_at, ends_at):
        days = -(-(ends_at - max(starts_at, self.now)) // DAY)
        return subscription.plan(self.now).qps_prices[subscription.model][kind] * qps * days

    def buy_qps_pack(self, account, service, qps, kind, starts_at, ends_at, identity=None):
        assert self.now - PACK_LATENESS <= starts_at < ends_at
        subscription = self.accounts[account].subscriptions[service]
        price = self.qps_price(subscription, qps, kind, starts_at, ends_at)
        self._buy(account, service, price, *([] if subscription.plan(self.now).sold(self.now) else (410,)))
        subscription.qps_packs.append(QpsPack(identity, qps, kind, starts_at, ends_at, price))
        return subscription.qps_packs[-1]

    def migrate(self, account, service, plan):
        """The hour from which on the new plan holds."""
        effective = hour_of(self.now) + HOUR
        self.accounts[account].subscriptions[service].plans.append((effective, self.plans[plan]))
        return effective

    # -- usage
    def report(self, gateway, epoch, account, service, hour, totals):
        subscription = self.accounts[account].subscriptions[service]
        source = subscription.reported.setdefault(hour, {}).setdefault((gateway, epoch), [0] * len(FIELDS))
        before = list(source)
        for index, total in enumerate(totals):
            source[index] = max(source[index], total)
        if source != before:              # free points alone are settled too, for no money
            self.pending.add((account, service, hour))

    # -- time
    def advance(self, to):
        assert to >= self.now
        boundary = hour_of(self.now) + HOUR
        while boundary <= to:
            self.now = boundary
            if self.pending:
                self._settle(boundary)
            boundary += HOUR
        self.now = to

    def _settle(self, at):
        due = sorted((hour, service, account) for account, service, hour in self.pending if hour + HOUR <= at)
        for account in sorted({each[2] for each in due}):
            held = self.accounts[account]
            for hour, service, _ in [each for each in due if each[2] == account]:
                self.pending.discard((account, service, hour))
                amount = self._charge(held, service, hour, at)
                if amount:
                    held.charges.append((at, amount))
                    self._take(held, amount, at)
            self._after_settlement(held, at)

    def _charge(self, held, service, hour, at):
        """Pays for one hour of one subscription in the order of the rules; the money it costs."""
        subscription = held.subscriptions[service]
        rest = subscription.unsettled(hour)
        subscription.settled[hour] = subscription.settled.get(hour, 0) + rest
        month, late, plan = month_of(hour), at > hour + HOUR, subscription.plan(hour)

        def line(kind, points, price, amount):
            held.bill(month, service, kind, points, price, amount, hour, late)
        for pack in subscription.count_packs:
            if pack.left and rest and pack.bought_at < hour + HOUR:
                assert rest % subscription.cost == 0, "count packs pay for whole calls; these reports have no other"
                calls = min(pack.left, rest // subscription.cost)
                pack.left -= calls
                rest -= calls * subscription.cost
                line("count_pack", calls * subscription.cost, 0, 0)
        for package in sorted(subscription.packages, key=lambda each: (each.expires_at, each.bought_at, each.id)):
            if package.left and rest and package.covers(hour):
                points = min(package.left, rest)
                package.left -= points
                rest -= points
                line("package", points, 0, 0)
        if not rest:
            return 0
        if plan.call_prices:
            assert rest % subscription.cost == 0
            price = plan.call_prices[subscription.model]
            amount = rest // subscription.cost * price
            line("tier", rest, price, amount)
            return amount
        before = subscription.month_points.get(month, 0)
        subscription.month_points[month] = before + rest
        slices = plan.slices(before, rest)
        for points, price, amount in slices:
            line("tier", points, price, amount)
        return sum(amount for _, _, amount in slices)

    @staticmethod
    def _take(held, amount, at):
        usable = [voucher for voucher in held.vouchers if voucher.valid(at) and voucher.left]
        usable.sort(key=lambda each: (each.expires_at is None, each.expires_at or 0, each.number))
        for voucher in usable:
            part = min(voucher.left, amount)
            voucher.left -= part
            amount -= part
        held.cash -= amount

    # -- arrears and reminders
    def burn(self, held):
        """(charges of the last week, hours they stand for): hours left = money x hours / charges."""
        charged = sum(amount for at, amount in held.charges if at > self.now - BURN_HOURS * HOUR)
        if not held.charges:
            return 0, BURN_HOURS_MIN
        since = (self.now - held.charges[0][0]) // HOUR
        return charged, min(BURN_HOURS, max(BURN_HOURS_MIN, since))

    def _above(self, held, level):
        charged, hours = self.burn(held)
        return (held.cash + held.voucher_total(self.now)) * hours > level * charged

    def _after_settlement(self, held, at):
        if held.cash < 0:
            if not held.arrears:
                held.arrears = True
                held.notifications.append(("arrears", None, at))
            return
        charged, _ = self.burn(held)
        crossed = [level for level in LEVELS if charged and not self._above(held, level)]
        if set(crossed) - held.reminded:
            held.notifications.append(("reminder", min(crossed), at))
        held.reminded |= set(crossed)
