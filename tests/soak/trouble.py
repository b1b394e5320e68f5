"""The faults of a soak: at random instants from the seed, one after the other, each said with its time. A fault knows how to
be undone and what must be true right after it; what became of the calls is the books' business."""

import http.client
import signal
import threading
import time

import wire
from harness import eventually
from traffic import From
from world import HOUR, written, source

RESTARTS_UNTIL = 0.4  # of the soak: after that the process lives on, so that there is a life long enough to be judged
SETTLES_S = 4.0       # after a fault: health is found out anew, and calls that began in it end


class Trouble:
    """`restarts`: whether the gateway is ended too. `every`: seconds between faults, on average."""

    def __init__(self, world, until, seconds, every, restarts):
        self.world, self.until, self.seconds, self.every, self.restarts = world, until, seconds, every, restarts
        self.source = source(world.seed, "trouble")
        self.begun = time.monotonic()
        self.log, self.failures = [], []
        self.windows = []     # [begin, end, the fault]: of those that may cost anybody a call
        self.shed = 0         # free calls refused by a gateway that stood still
        self.recoveries = []  # seconds from the end of a gateway to its first good answer
        self.services = {}    # services that come and go
        self.audits = 0
        self.thread = threading.Thread(target=self.run, name="trouble", daemon=True)
        self.thread.start()

    ENDS = ("gateway_killed", "gateway_restarted")
    COST_CALLS = ("upstream_killed", "upstream_restarted", "upstream_stopped", *ENDS)
    FAULTS = {"gateway_stands_still": 3, "upstream_killed": 3, "upstream_restarted": 2, "upstream_stopped": 2, "gateway_killed": 3,
              "gateway_restarted": 2, "reload": 2, "reload_of_a_bad_file": 2, "key_replaced": 4, "service_comes_and_goes": 2, "service_changed": 3,
              "subscription_flips": 3, "deposit": 4, "purchase": 2, "hour_turns": 3, "audit": 2, "reads": 3}

    def run(self):
        while self.until.rest(self.source.expovariate(1 / self.every)):
            name = self.source.choices(list(self.FAULTS), list(self.FAULTS.values()))[0]
            at = time.monotonic() - self.begun
            if at > RESTARTS_UNTIL * self.seconds and not any(each["fault"] == "gateway_stands_still" for each in self.log):
                name = "gateway_stands_still"  # once at least: its end is checked
            if name in self.ENDS and (not self.restarts or at > RESTARTS_UNTIL * self.seconds):
                continue
            entry = {"at": round(at, 2), "fault": name}
            self.log.append(entry)
            window = [time.monotonic(), float("inf"), name]
            if name in self.COST_CALLS:
                self.windows.append(window)
            try:
                with self.world.restarting:
                    entry["what"] = getattr(self, name)() or ""
            except (AssertionError, OSError, http.client.HTTPException, wire.Closed) as error:
                entry["failed"] = str(error)[:2000]
                self.failures.append(f"at {at:.2f} s, {name}: {entry['failed']}")
            window[1] = time.monotonic() + SETTLES_S
            entry["took"] = round(time.monotonic() - self.begun - at, 2)
            self.world.say(f"{at:8.2f} s  {name} {entry.get('what', '')}{'  FAILED: ' + entry['failed'] if 'failed' in entry else ''}")

    def disturbed(self, begun, ended, of=""):
        """Whether a fault that may cost a call (`of`: only of these names) was on in that time, or settling."""
        return any(name.startswith(of) and begun <= end and begin <= ended for begin, end, name in self.windows)

    def any_book(self):
        return self.source.choice([book for book in self.world.truth.books.values() if book.service in ("detect", "classify")
                                   and book.account not in ("victim", "hostile") and book not in self.world.witnesses])

    # -- upstreams
    def upstream_killed(self, number=signal.SIGKILL):
        upstream = self.source.choice(self.world.upstreams)
        self.world.truth.read(upstream.record_path)
        upstream.end(number)
        self.until.rest(self.source.uniform(0.0, 1.5))
        upstream.start()
        return upstream.address

    def upstream_restarted(self):
        return self.upstream_killed(signal.SIGTERM)

    def upstream_stopped(self):
        """Hangs with all its connections, and goes on as if nothing had been."""
        upstream = self.source.choice(self.world.upstreams)
        upstream.process.send_signal(signal.SIGSTOP)
        try:
            self.until.rest(self.source.uniform(0.2, 3.0))
        finally:
            upstream.process.send_signal(signal.SIGCONT)
        return upstream.address

    # -- the gateway
    def gateway_killed(self):
        before = time.monotonic()
        self.world.kills += 1
        self.world.gateway.kill9()
        self.world.start_gateway()
        return self.answers_again(before)

    def gateway_restarted(self):
        before = time.monotonic()
        self.world.gateway.terminate()
        self.world.start_gateway()
        return self.answers_again(before)

    def gateway_stands_still(self):
        """Again and again for a while, as where there is too much to do: free calls are shed, paid ones are late."""
        shed = self.world.admin.metric("refusals_total", reason="overloaded")
        for _ in range(10):
            self.world.gateway.signal(signal.SIGSTOP)
            try:
                self.until.rest(0.3)
            finally:
                self.world.gateway.signal(signal.SIGCONT)
            self.until.rest(0.02)
        shed = int(self.world.admin.metric("refusals_total", reason="overloaded") - shed)
        self.shed += shed
        return f"{shed} calls shed"

    def answers_again(self, before):
        book = self.world.flooder
        with From(self.world.port, "127.0.0.1") as connection:
            connection.send(wire.request("GET", "/nowhere", self.world.port, book.keys[0]))
            assert connection.response().status == 404, "a normal call does not work after a restart"
        self.recoveries.append(time.monotonic() - before)
        return f"answers after {self.recoveries[-1]:.2f} s"

    def reload(self):
        self.world.write_config(self.source.choice(["", "limits:\n  head_fields_max: 100\n", "timeouts:\n  idle_ms: 19000\n"]))
        self.reloaded("succeeded")

    def reload_of_a_bad_file(self):
        self.world.write_config(self.source.choice(["limits:\n  no_such_key: 1\n", "  : [\n", "timeouts:\n  head_ms: -1\n"]))
        self.reloaded("failed")
        self.world.write_config()

    def reloaded(self, result):
        admin = self.world.admin
        before = admin.metric("config_reloads_total", result=result)
        self.world.gateway.signal(signal.SIGHUP)
        eventually(lambda: admin.metric("config_reloads_total", result=result) == before + 1, f"a reload {result}")

    # -- the operator
    def key_replaced(self):
        """A new key, then the old one goes: it is refused within a second or so, and the new one is not."""
        world, book = self.world, self.any_book()
        items = world.admin.keys(book.account)["items"]
        created = world.good(world.admin.create_key(book.account))
        old = book.keys[-1]
        book.keys = [created["key"]]
        world.wait_known(book)
        for item in items:
            world.good(world.admin.delete_key(book.account, item["id"]), (204, 404))
        # 429: an address that asks with it too often is told so.
        eventually(lambda: wire.call(world.port, "/nowhere", old).status in (401, 429), "a revoked key is refused", 20)
        return book.account

    def service_comes_and_goes(self):
        world = self.world
        name = f"{self.source.choice(['detect', 'classify'])}-{self.source.randrange(2)}"
        world.put_service(name)
        if name not in self.services:
            self.services[name] = world.subscribe(f"passing-{name}", name, "free")
        book = self.services[name]
        world.wait_known(book)
        eventually(lambda: self.call(book) != 404, "a new service is served", 20)
        for _ in range(10):
            self.call(book)
        world.good(world.admin.delete_service(name))
        eventually(lambda: self.call(book) == 404, "a deleted service is not served", 20)
        return name

    def call(self, book):
        number = book.begin()
        response = wire.call(self.world.port, f"{book.path}?n={number}", book.keys[0])
        book.told(number, response)
        return response.status

    def service_changed(self):
        name = self.source.choice(["detect", "classify", "rated", "stream"])
        self.world.put_service(name, timeout_ms=self.source.randrange(1200, 2500))
        return name

    def subscription_flips(self):
        service = self.source.choice(["detect", "classify", "rated", "stream"])
        account = f"flips-{service}"
        paid = self.source.random() < 0.5
        self.world.good(self.world.admin.put_subscription(account, service, paid))
        return f"{account} {'paid' if paid else 'free'}"

    def deposit(self):
        """Mostly to those who live in and out of arrears."""
        debtors = [book for book in self.world.truth.books.values() if book.account.startswith("debtor")]
        book = self.source.choice(debtors) if self.source.random() < 0.8 else self.any_book()
        account = self.world.good(self.world.admin.deposit(book.account, "0.70"))
        return f"{book.account}: {account['account']['state'] if 'account' in account.json else ''}"

    def purchase(self):
        world, service = self.world, self.source.choice(["detect", "classify", "rated", "stream"])
        if self.source.random() < 0.5:
            path = f"/v1/accounts/package-{service}/subscriptions/{service}/packages"
            world.good(world.admin.post_money(path, {"points": 200_000}))
            return f"package-{service}"
        now = world.now()
        world.good(world.admin.buy_qps_pack(f"pack-{service}", service, 2, "metered", written(now + HOUR), written(now + 25 * HOUR)))
        return f"pack-{service}"

    def hour_turns(self):
        self.world.next_hour()
        return self.audit()

    def audit(self):
        answer = self.world.good(self.world.admin.audit())
        self.audits += 1
        assert answer["ok"] is True, [each for each in answer["invariants"] if not each["ok"]]

    def reads(self):
        """What operators and their machines look at."""
        admin, book = self.world.admin, self.any_book()
        for _ in range(5):
            self.world.good(admin.metrics())
        month = self.world.admin.clock()["now"][:7]
        for answer in (admin.get(f"/v1/accounts/{book.account}/bills", month=month), admin.transfers(book.account, limit=100),
                       admin.accounts(), admin.subscriptions(book.account), admin.get("/v1/notifications")):
            self.world.good(answer)
