"""Traffic for the fault battery and the truth about it: clients on kept connections, each call with a number of its own,
and what of it the recording upstream served. It compares the ledger with that and has no opinion on the fault."""

import http.client
import itertools
import json
import random
import shutil
import tempfile
import threading
import time
from pathlib import Path

import battery  # noqa: F401  (makes the end-to-end harness importable)
import wire
from billing_model_units import HOUR, hour_of, instant, written
from billing_model_view import pages
from harness import DETECTION, FAST, REPOSITORY, FakeModel, Tollgate, eventually

ALL_TIME = {"from": "2000-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
FIELDS = ("calls_succeeded", "calls_failed", "calls_unmetered", "free_points", "billable_points")
_loads = itertools.count(1)
POINT_YUAN = 1000                    # micro-yuan a point: far from the first tier's end
START = "2033-05-10T09:30:00+08:00"  # for the manual clock
SLOW_MS = 4  # some answers take this long, so that calls of every stage are open at any instant


class Subscription:
    """One subscription under load, and its calls since the last comparison."""

    def __init__(self, account, service, key, cost, kind):
        self.account, self.service, self.key, self.cost, self.kind = account, service, key, cost, kind
        self.before = dict.fromkeys(FIELDS, 0)
        self.calls = itertools.count(1)
        self.begin()

    def begin(self):
        self.sent, self.answered = {}, {}  # number: when, on the steady clock
        self.refused, self.seen, self.served = set(), set(), set()

    @property
    def unknown(self):
        """Sent, and neither answered nor seen by the upstream: in flight when the fault came."""
        return self.sent.keys() - self.answered.keys() - self.refused - self.seen

    def bounds(self):
        """What the ledger may hold of these calls, by field: [least, most]. A call counts as soon as it is forwarded,
        so one that was open at a kill is there, failed; what is billable is owed once the client has its answer."""
        fewest, most = len(self.seen), len(self.seen | self.unknown)
        answered, served = len(self.answered), len(self.served)
        ended = (answered, served)
        none = (0, 0)
        bounds = {"calls": (fewest, most), "calls_succeeded": ended, "calls_unmetered": none, "free_points": none,
                  "billable_points": none, "points": none}
        if self.kind == "free":
            bounds["free_points"] = bounds["points"] = (self.cost * fewest, self.cost * most)
        elif self.kind == "paid":
            bounds["billable_points"] = bounds["points"] = (self.cost * answered, self.cost * served)
        elif self.kind == "mixed":  # paid, with free points left: a call takes what there is, the rest is billable
            bounds["free_points"], bounds["billable_points"] = (0, self.cost * most), (0, self.cost * served)
            bounds["points"] = (self.cost * answered, self.cost * most)
        elif self.kind == "unmetered":
            bounds["calls_succeeded"], bounds["calls_unmetered"] = none, ended
        return bounds


class Comparison:
    """How far a ledger is from the truth, summed over subscriptions: 0 and 0, or something is wrong."""

    def __init__(self):
        self.lost_points = self.twice_points = self.calls = self.rounds = 0
        self.faults, self.hit, self.above = [], set(), []

    def add(self, subscription, got):
        self.calls += len(subscription.answered)
        for field, (least, most) in subscription.bounds().items():
            if not least <= got[field] <= most:
                self.faults.append(f"{subscription.kind} {subscription.account} {field}: {got[field]}, "
                                   f"the upstream says {least} to {most}")
                self.hit.add((subscription.account, subscription.service))
                if got[field] > most:
                    self.above.append(self.faults[-1])
        least, most = subscription.bounds()["points"]
        self.lost_points += max(0, least - got["points"])
        self.twice_points += max(0, got["points"] - most)

    def __str__(self):
        return f"{self.lost_points} lost, {self.twice_points} twice of {self.calls} calls"


class Load:
    """Clients that call until they are told to pause. `model` records what was truly served."""

    def __init__(self, gateway, model, subscriptions, clients_each=2, seed=None):
        self.gateway, self.model, self.subscriptions = gateway, model, subscriptions
        self.seed = random.randrange(2 ** 32) if seed is None else seed
        self.number = next(_loads)
        self.changed = threading.Condition()
        self.running, self.ended, self.idle = False, False, 0
        self.pause_ms = 0
        self.record_at = 0
        self.by_name = {(each.account, each.service): each for each in subscriptions}
        self.threads = [threading.Thread(target=self.client, args=(each, self.seed + number), daemon=True)
                        for number, each in enumerate(subscriptions * clients_each)]
        for thread in self.threads:
            thread.start()

    # -- the clients
    def client(self, subscription, seed):
        source = random.Random(seed)
        connection = None
        while self.may_run():
            try:
                connection = connection or wire.Connection(self.gateway.port)
                self.one_call(connection, subscription, source)
            except (OSError, wire.Closed):
                connection = connection and connection.close()
                self.rest(0.01)
            except AssertionError:  # a silent gateway: the comparison will tell what became of the call
                connection = connection and connection.close()
            if self.pause_ms:
                self.rest(self.pause_ms / 1000)
        if connection:
            connection.close()

    def may_run(self):
        """Waits while the load is paused; False at the end."""
        with self.changed:
            if self.running and not self.ended:
                return True
            self.idle += 1
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.running or self.ended)
            self.idle -= 1
            return not self.ended

    def rest(self, seconds):
        with self.changed:
            self.changed.wait_for(lambda: not self.running or self.ended, seconds)

    def one_call(self, connection, subscription, source):
        number = next(subscription.calls)
        kind = source.randrange(8)
        fields = {}
        if kind == 0:
            fields["X-Fake-Delay-Ms"] = str(source.randrange(1, SLOW_MS))
        elif kind == 1:
            fields.update({"X-Fake-Chunked": "1", "X-Fake-Response-Bytes": "9000", "X-Fake-Piece-Bytes": "3000",
                           "X-Fake-Interval-Ms": "1"})
        body = b"x" * 600 if kind == 2 else None
        subscription.sent[number] = time.monotonic()
        target = f"/{subscription.service}?load={self.number}&call={number}"
        connection.send(wire.request("POST" if body else "GET", target, self.gateway.port, subscription.key, body, fields))
        response = connection.response()
        if response.status == 200 and not response.truncated:
            subscription.answered[number] = time.monotonic()
        elif response.header("cache-control") == "no-store" and response.status in (402, 403, 429, 503):
            subscription.refused.add(number)

    # -- steering
    def run(self):
        with self.changed:
            self.running = True
            self.changed.notify_all()

    def run_for(self, seconds):
        """Lets the clients call for that long; the load's own length is not what any row measures."""
        self.run()
        with self.changed:
            self.changed.wait_for(lambda: self.ended, seconds)

    def quiet(self):
        """No client is in a call any more, and the upstream has written down all it saw."""
        with self.changed:
            self.running = False
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: self.idle == len(self.threads), 60), "a client does not come back"
        eventually(lambda: self.model.stats()["in_flight"] == 0, "the upstream is idle")
        self.read_record()

    def end(self):
        with self.changed:
            self.ended = True
            self.changed.notify_all()
        for thread in self.threads:
            thread.join(60)

    def answered(self):
        return sum(len(each.answered) for each in self.subscriptions)

    def read_record(self):
        with open(self.model.record_path, "rb") as record:
            record.seek(self.record_at)
            for line in record:
                if not line.endswith(b"\n"):
                    break
                self.record_at += len(line)
                self.note(json.loads(line))

    def note(self, request):
        subscription = self.by_name.get((request["headers"].get("x-account"), request["headers"].get("x-service")))
        if subscription is None or f"?load={self.number}&call=" not in request["target"]:
            return
        number = int(request["target"].rpartition("=")[2])
        assert number in subscription.sent, f"the upstream saw a call that nobody made: {request}"
        subscription.seen.add(number)
        if request["served"] and request["status"] == 200:
            subscription.served.add(number)

    # -- the comparison
    def totals(self, subscription):
        items = pages(self.gateway.admin, f"/v1/accounts/{subscription.account}/usage", service=subscription.service,
                      **ALL_TIME)
        return {field: sum(item[field] for item in items) for field in FIELDS}

    def compare(self, comparison):
        """The ledger's growth since the last comparison with the calls since then. To be called when quiet."""
        comparison.rounds += 1
        for each in self.subscriptions:
            now = self.totals(each)
            got = {field: now[field] - each.before[field] for field in FIELDS}
            got["calls"] = got["calls_succeeded"] + got["calls_failed"] + got["calls_unmetered"]
            got["points"] = got["free_points"] + got["billable_points"]
            comparison.add(each, got)
            each.before = now
            each.begin()
        return comparison


# -- what the load calls

class World:
    """A gateway and a recording upstream with services, accounts and a load on them, and the clearing away of it all."""

    SERVICES = {"detect": (DETECTION, 5), "classify": (FAST, 4)}

    def __init__(self, test, sets=None, data_dir=None, start=None, kinds=("free", "paid", "mixed", "unmetered"),
                 clients_each=2, environment=None):
        self.test = test
        self.model = FakeModel()
        test.addCleanup(self.model.stop)
        self.gateway = Tollgate({"journal.slots": 4096, "billing.plans": plans_file(test), **(sets or {})},
                                data_dir=data_dir)
        self.gateway.environment.update(environment or {})
        test.addCleanup(self.gateway.close)
        self.gateway.start()
        if start:
            self.good(self.admin.set_clock(start))
        self.subscriptions = self.make(kinds)
        self.load = Load(self.gateway, self.model, self.subscriptions, clients_each)
        test.addCleanup(self.load.end)
        for each in self.subscriptions:
            each.before = self.load.totals(each)

    @property
    def admin(self):
        return self.gateway.admin

    def make(self, kinds):
        for name, (model, _) in self.SERVICES.items():
            self.good(self.admin.put_service(name, model, [self.model.address], f"/{name}"))
        made = []
        for kind in kinds:
            if kind == "many":
                made += self.make_many()
                continue
            for name, (_, cost) in self.SERVICES.items():
                account = f"{kind}-{name}"
                self.good(self.admin.put_account(account))
                self.good(self.admin.deposit(account, "100000000.00"))
                plan = "many-free-points" if kind == "free" else "points-2021-08-20"
                self.good(self.admin.put_subscription(account, name, kind != "free", plan=plan))
                if kind == "unmetered":
                    now = time.time()
                    self.good(self.admin.buy_qps_pack(account, name, 50, "unlimited", moment(self.admin, now),
                                                      moment(self.admin, now + 86400 * 40)))
                if kind == "paid":
                    self.use_up(account, name)
                key = self.admin.create_key(account)
                made.append(Subscription(account, name, self.good(key)["key"], cost, kind))
        for each in made:
            eventually(lambda: wire.call(self.gateway.port, "/nowhere", each.key).status == 404, "the key is known")
        return made

    def make_many(self):
        """One account with a hundred and fifty services."""
        self.good(self.admin.put_account("many"))
        key = self.good(self.admin.create_key("many"))["key"]
        names = [f"many-{number}" for number in range(150)]
        for name in names:
            self.good(self.admin.put_service(name, FAST, [self.model.address], f"/{name}"))
            self.good(self.admin.put_subscription("many", name, False))
        return [Subscription("many", name, key, 4, "free") for name in names]

    def good(self, answer):
        self.test.assertIn(answer.status, (200, 201, 204), answer)
        return answer

    def use_up(self, account, service):
        """No free points are left: each is told as used by another gateway."""
        epoch = self.good(self.admin.open_epoch("elsewhere"))["epoch"]
        hour = moment(self.admin, time.time() - 86400)[:13] + ":00:00Z"
        self.good(self.admin.report_usage("elsewhere", epoch, [
            {"account": account, "service": service, "hour": hour, "calls_succeeded": 0, "calls_failed": 0,
             "calls_unmetered": 0, "free_points": 10_000, "billable_points": 0}]))
        eventually(lambda: self.admin.subscription(account, service)["free_points_left"] == 0, "no free points left")

    def check_audit(self):
        answer = self.admin.audit()
        self.test.assertIs(answer["ok"], True, [each for each in answer["invariants"] if not each["ok"]])


def next_hour(world):
    """Moves the manual clock to the next full hour, where what was used until then is settled."""
    try:
        now = instant(world.admin.clock()["now"])
        world.good(world.admin.set_clock(written(hour_of(now) + HOUR)))
    except (OSError, http.client.HTTPException):
        pass  # a kill


def moment(admin, fallback):
    """The product's time as the manual clock shows it, moved as `fallback` is from the system's; else `fallback`."""
    clock = admin.clock()
    if clock.status == 200 and clock.json.get("now"):
        return written(instant(clock["now"]) + round(fallback - time.time()))
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(fallback))


def plans_file(test):
    """The shipped plan, and one whose free points no load uses up."""
    folder = Path(tempfile.mkdtemp(prefix="tollgate-faults-plans-"))
    test.addCleanup(shutil.rmtree, folder, ignore_errors=True)
    shipped = (REPOSITORY / "conf/plans/points-2021-08-20.yaml").read_text("utf-8")
    (folder / "shipped.yaml").write_text(shipped, "utf-8")
    many = shipped.replace("id: points-2021-08-20", "id: many-free-points").replace("points: 10000,", "points: 100000000,", 1)
    (folder / "many.yaml").write_text(many, "utf-8")
    return f"{folder}/shipped.yaml,{folder}/many.yaml"
