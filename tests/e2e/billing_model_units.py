"""Time, money and price lists of the second calculator: Beijing hours, days and months, micro-yuan, tiers. Integers
only; it reads no clock."""

import calendar
import datetime
from dataclasses import dataclass, field

HOUR = 3600
DAY = 24 * HOUR
BEIJING = datetime.timezone(datetime.timedelta(hours=8))


# -- times are integer seconds since 1970; a month is (year, month) of Beijing

def instant(text):
    at = datetime.datetime.fromisoformat(text)
    assert at.microsecond == 0 and at.tzinfo is not None, text
    return int(at.timestamp())


def written(at):
    return datetime.datetime.fromtimestamp(at, BEIJING).isoformat()


def hour_of(at):
    return at - at % HOUR


def month_of(at):
    local = datetime.datetime.fromtimestamp(at, BEIJING)
    return (local.year, local.month)


def month_text(month):
    return f"{month[0]:04}-{month[1]:02}"


def end_of_day_after_months(at, months):
    """The end of the Beijing day `months` months later, clamped to that month's last day; the first instant outside."""
    local = datetime.datetime.fromtimestamp(at, BEIJING)
    index = local.year * 12 + local.month - 1 + months
    year, month = index // 12, index % 12 + 1
    day = min(local.day, calendar.monthrange(year, month)[1])
    return int(datetime.datetime(year, month, day, tzinfo=BEIJING).timestamp()) + DAY


# -- money is integer micro-yuan

def micro(text):
    """"1800.00" as micro-yuan. Text only: a number would have been through floating point."""
    assert isinstance(text, str), repr(text)
    sign = -1 if text.startswith("-") else 1
    whole, point, rest = text.lstrip("-").partition(".")
    assert whole.isdigit() and len(rest) <= 6 and (rest.isdigit() if point else True), text
    return sign * (int(whole) * 1_000_000 + int((rest + "000000")[:6]))


def yuan(amount):
    whole, rest = divmod(abs(amount), 1_000_000)
    digits = f"{rest:06}".rstrip("0").ljust(2, "0")
    return f"{'-' if amount < 0 else ''}{whole}.{digits}"


# -- what is sold

@dataclass
class Plan:
    """One price list. `tiers` are (last point or None, micro-yuan per point); `call_prices` replace them in plans that
    charge by the call."""
    id: str
    free_quota: int
    sold_until: int | None = None
    tiers: list = field(default_factory=list)
    packages: dict = field(default_factory=dict)       # points -> price
    package_months: int = 12
    qps_prices: dict = field(default_factory=dict)     # model -> {"metered": price, "unlimited": price}
    call_prices: dict = field(default_factory=dict)    # model -> price of one call
    count_packs: dict = field(default_factory=dict)    # (model, calls) -> price

    def sold(self, at):
        return self.sold_until is None or at < self.sold_until

    def slices(self, before, points):
        """(points, price, amount) by tier for `points` after `before` points of the month."""
        found, low = [], 0
        for last, price in self.tiers:
            start, end = max(before, low), before + points
            if last is not None:
                end = min(end, last)
            if end > start:
                found.append((end - start, price, (end - start) * price))
            if last is None or before + points <= last:
                break
            low = last
        assert sum(each[0] for each in found) == points
        return found
