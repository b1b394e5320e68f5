"""What became of each call, as the client was told and as the recording upstreams noted, and the bounds that follow for
the ledger. It makes no calls and has no opinion on faults: a byte of flags per call is all it keeps."""

import json
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))

import battery  # noqa: E402,F401  (makes the end-to-end harness importable)
from billing_model_view import pages  # noqa: E402

ALL_TIME = {"from": "2000-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
FIELDS = ("calls_succeeded", "calls_failed", "calls_unmetered", "free_points", "billable_points")

# What is known of a call. The first three are the client's knowledge, at most one of them; the rest the upstream's.
SENT, SUCCEEDED, FAILED, REFUSED, SEEN, MAY_BE_GOOD, NEVER_GOOD = (1 << bit for bit in range(7))

NOT_A_CALL = {"invalid_key", "not_subscribed", "unknown_service", "quota_exhausted", "limit_reached", "arrears", "no_capacity",
              "upstream_unreachable", "method_not_allowed", "target_too_long", "expectation_failed", "head_too_large",
              "method_unknown", "version_unsupported"}
WAS_A_CALL = {"upstream_failed", "upstream_timeout"}
# bad_request, request_timeout, body_too_large: a call if its body was still on its way when forwarding began.


def own_answer(response):
    """The reason code if the gateway itself answered, else None."""
    if response.header("cache-control") != "no-store" or "problem+json" not in response.header("content-type", ""):
        return None
    try:
        return response.json().get("code", "")
    except (ValueError, AttributeError):
        return ""


class Book:
    """The calls of one subscription. `kind` says how its points must come out; `failures`, which statuses fail."""

    def __init__(self, account, service, cost, kind, failures=(4, 5)):
        self.account, self.service, self.cost, self.kind, self.failures = account, service, cost, kind, failures
        self.keys = []
        self.path = f"/{service}"
        self.lock = threading.Lock()
        self.flags = bytearray(1)  # by the call's number; number 0 is not used
        self.before = dict.fromkeys(FIELDS, 0)
        self.quota = 0  # free points left at the beginning, for a mixed one

    def begin(self):
        """The number of a new call, which is about to be sent."""
        with self.lock:
            self.flags.append(SENT)
            return len(self.flags) - 1

    def mark(self, number, flag):
        with self.lock:
            self.flags[number] |= flag

    def told(self, number, response, never_good=False):
        """What the client's answer says of the call."""
        code = own_answer(response)
        if response.truncated:
            if never_good:
                self.mark(number, FAILED)
        elif code in NOT_A_CALL:
            self.mark(number, REFUSED)
        elif code in WAS_A_CALL:
            self.mark(number, FAILED)
        elif code is not None:
            self.mark(number, NEVER_GOOD)
        elif never_good or response.status // 100 in self.failures:
            self.mark(number, FAILED)
        else:
            self.mark(number, SUCCEEDED)
        return code

    def seen(self, number, status, can_be_good):
        """A line of an upstream's record. False: nobody made this call here."""
        with self.lock:
            if number >= len(self.flags) or number <= 0:
                return False
            good = can_be_good and status // 100 not in self.failures and status // 100 != 0
            self.flags[number] |= SEEN | (MAY_BE_GOOD if good else 0)
            return True

    def bounds(self):
        """[least, most] of calls and of succeeded calls, and how many calls reached an upstream though refused."""
        calls, good, smuggled = [0, 0], [0, 0], 0
        with self.lock:
            counts = {flags: self.flags.count(flags) for flags in set(self.flags[1:])}
        counts.pop(0, None)
        for flags, count in counts.items():
            surely = bool(flags & (SUCCEEDED | FAILED | SEEN))
            never = bool(flags & REFUSED)
            smuggled += count if never and flags & SEEN else 0
            calls[0] += count if surely and not never else 0
            calls[1] += 0 if never else count
            if flags & SUCCEEDED:
                good[0] += count
                good[1] += count
            elif not flags & (FAILED | REFUSED | NEVER_GOOD) and (flags & MAY_BE_GOOD or not flags & SEEN):
                good[1] += count
        return calls, good, smuggled

    def ledger(self, admin):
        items = pages(admin, f"/v1/accounts/{self.account}/usage", service=self.service, **ALL_TIME)
        return {field: sum(item[field] for item in items) - self.before[field] for field in FIELDS}

    def compare(self, got, exact):
        """(row for the table, faults). `exact`: no gateway was killed, so billable follows from the ledger's own calls."""
        calls, good, smuggled = self.bounds()
        faults = []

        def within(what, value, least, most):
            if not least <= value <= most:
                faults.append(f"{self.account} {self.service} ({self.kind}) {what}: {value}, the upstreams say {least} to {most}")
        counted = got["calls_succeeded"] + got["calls_failed"] + got["calls_unmetered"]
        within("calls", counted, *calls)
        within("refused calls that reached an upstream", smuggled, 0, 0)
        ended = got["calls_unmetered"] if self.kind == "unmetered" else got["calls_succeeded"]
        if self.kind == "unmetered":
            within("calls_succeeded", got["calls_succeeded"], 0, 0)
            within("calls_failed", got["calls_failed"], 0, 0 if exact else calls[1] - good[0])
            within("points", got["free_points"] + got["billable_points"], 0, 0)
        else:
            within("calls_succeeded", ended, *good)
            within("calls_unmetered", got["calls_unmetered"], 0, 0)
            self.check_points(got, counted, good, exact, within)
        return {"account": self.account, "service": self.service, "kind": self.kind, "calls": counted, "calls_bounds": calls,
                "succeeded": ended, "succeeded_bounds": good, "points": got["free_points"] + got["billable_points"]}, faults

    def check_points(self, got, counted, good, exact, within):
        free, billable = got["free_points"], got["billable_points"]
        # What a call counts at its end is two stores; a kill between them leaves points without the outcome.
        owed = (self.cost * got["calls_succeeded"],) * 2 if exact else (self.cost * good[0], self.cost * good[1])
        if self.kind == "free":
            within("free_points", free, self.cost * counted, self.cost * counted)
            within("billable_points", billable, 0, 0)
        elif self.kind == "paid":
            within("free_points", free, 0, 0)
            within("billable_points", billable, *owed)
        elif self.kind == "mixed":  # calls take what free points there are, the rest is billable if they succeed
            used_up = self.cost * counted > 2 * self.quota  # before that, a hold that was given back may leave some
            within("free_points", free, self.quota if used_up else 0, self.quota)
            within("billable_points", billable, max(0, owed[0] - self.quota), owed[1])


class Truth:
    """All books, and the reading of the upstreams' records into them."""

    def __init__(self):
        self.lock = threading.Lock()
        self.books = {}       # (account, service): Book
        self.violations = []  # what must never be seen in a record
        self.lines = 0
        self.reading = threading.Lock()  # one reader at a time: guards what follows
        self.read_up_to = {}  # record path: bytes

    def add(self, book):
        with self.lock:
            self.books[book.account, book.service] = book
        return book

    def violation(self, text):
        with self.lock:
            if len(self.violations) < 100:
                self.violations.append(text)

    def read(self, path):
        """What was added to the record since the last reading."""
        try:
            record = open(path, "rb")
        except FileNotFoundError:
            return
        with self.reading, record:
            record.seek(self.read_up_to.get(path, 0))
            for line in record:
                if not line.endswith(b"\n"):
                    break
                self.read_up_to[path] = self.read_up_to.get(path, 0) + len(line)
                self.lines += 1
                self.note(json.loads(line))

    def note(self, request):
        headers = request["headers"]
        name = (headers.get("x-account"), headers.get("x-service"))
        if request.get("malformed"):
            self.violation(f"malformed at the upstream: {request['malformed']}: {request['header_lines']}")
            return
        book = self.books.get(name)
        number = request["target"].rpartition("n=")[2]
        kind = headers.get("x-kind", "")
        if book is None or not number.isdigit():
            self.violation(f"nobody sent {name} {request['target']}")
        elif not book.seen(int(number), request["status"], kind not in ("said-failed", "cut", "reset", "garbled")):
            self.violation(f"nobody sent call {number} of {name}")
