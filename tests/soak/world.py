"""What a soak runs on: a gateway as a real process, recording upstreams that can be killed and come back on their ports,
and accounts and subscriptions of every kind. It makes no load and checks nothing of it."""

import json
import os
import random
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from truth import Book, Truth

import wire
from billing_model_units import HOUR, hour_of, instant, written
from harness import DETECTION, FAST, REPOSITORY, FakeModel, ReservedPort, Tollgate, eventually, program

START = "2033-05-10T09:30:00+08:00"
# Short and low, so that what is slow, idle or too much is met within a soak, and the base line is soon reached again.
SETS = {"billing.clock": "manual", "journal.slots": 4096, "workers": 2, "timeouts.head_ms": 3000, "timeouts.idle_ms": 20000,
        "timeouts.body_ms": 3000, "timeouts.write_ms": 3000, "timeouts.upstream_ms": 4000, "timeouts.drain_ms": 3000,
        "timeouts.rate_grace_ms": 5000, "timeouts.body_rate_min_bytes_per_s": 1000, "timeouts.write_rate_min_bytes_per_s": 1000,
        "upstreams.idle_ms": 4000, "limits.body_bytes_max": 4_000_000, "limits.connections_per_address_max": 25,
        "limits.key_failures_per_address_max": 60, "limits.overload_lag_ms": 100, "log.level": "warn"}
# Keys that only some builds know: passed on when the program under test does. One line each.
SETS_IF_KNOWN = {}
SERVICES = {  # name: (model, cost, upstreams, more of the definition)
    "detect": (DETECTION, 5, (0, 1), {"timeout_ms": 1500}),
    "classify": (FAST, 4, (0, 1, 2), {"timeout_ms": 1500, "retry_unsafe": True}),
    "rated": (FAST, 4, (1,), {"timeout_ms": 1500, "limit_by": "qps", "rate_limit_headers": True}),
    "stream": (DETECTION, 5, (2,), {"timeout_ms": 1500, "capacity": 40, "failure_statuses": ["5xx"]}),
}
KINDS = ("free", "quota", "flips", "paid", "package", "pack", "mixed", "unmetered", "debtor")
POINTS_KIND = {"free": "free", "quota": "free", "flips": "free", "mixed": "mixed", "unmetered": "unmetered"}


class Upstream(FakeModel):
    """A fake model that keeps its port and its record from one life to the next."""

    def __init__(self, folder, number):
        self.folder = os.path.join(folder, f"upstream-{number}")
        os.makedirs(self.folder)
        self.record_path = os.path.join(self.folder, "record")
        self.reserved = ReservedPort()
        self.port, self.address = self.reserved.port, self.reserved.address
        self.errors = open(os.path.join(self.folder, "stderr"), "w+b")
        self.lives = 0
        self.start()

    def start(self):
        self.lives += 1
        port_file = os.path.join(self.folder, f"port-{self.lives}")
        self.process = subprocess.Popen(
            [program("FAKE_MODEL_BIN", "bench/fake_model/fake_model"), "--listen", self.address, "--port-file", port_file,
             "--record", self.record_path], stdout=self.errors, stderr=self.errors)
        eventually(lambda: self.process.poll() is not None or os.path.exists(port_file), "the upstream listens", 30)
        assert self.process.poll() is None, self.stderr()

    def end(self, number):
        self.process.send_signal(number)
        self.process.wait(30)
        # A line that was cut by the kill must not swallow the next life's first one.
        with open(self.record_path, "r+b") as record:
            size = record.seek(0, os.SEEK_END)
            tail = record.seek(max(0, size - 1_000_000))
            record.truncate(tail + record.read().rfind(b"\n") + 1)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(30)
        self.reserved.close()
        self.errors.close()


class World:
    """The gateway, its upstreams and all that calls need; `kept` is the folder of it all."""

    def __init__(self, seed, say):
        self.seed, self.say = seed, say
        self.kept = tempfile.mkdtemp(prefix="tollgate-soak-")
        self.truth = Truth()
        self.restarting = threading.Lock()  # held by who ends the gateway, or must not see it end
        self.lives = 0
        self.kills = 0
        self.upstreams = [Upstream(self.kept, number) for number in range(3)]
        self.config_path = os.path.join(self.kept, "tollgate.yaml")
        self.write_config()
        sets = {**SETS, **{key: value for key, value in SETS_IF_KNOWN.items() if self.knows(key, value)},
                "billing.plans": self.plans(), **self.begin_tls()}
        self.gateway = Tollgate(sets, ["--config", self.config_path], data_dir=os.path.join(self.kept, "data"))
        shutil.rmtree(self.gateway.folder)
        self.gateway.folder = os.path.join(self.kept, "gateway")
        os.makedirs(self.gateway.folder)
        self.start_gateway()
        self.good(self.admin.set_clock(START))

    def begin_tls(self):
        """The keys of the configuration for TLS, if the program has it; `tls` is what clients trust, or None."""
        self.tls, self.tls_port = None, ReservedPort()
        if not self.knows("tls.min_version", "1.2"):
            return {}
        certificate, key, name = f"{self.kept}/certificate.pem", f"{self.kept}/key.pem", "soak.example"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                        "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", certificate],
                       check=True, capture_output=True)
        os.chmod(key, 0o600)
        self.tls = ssl.create_default_context(cafile=certificate)
        self.tls.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        self.tls.name = name
        return {"tls.listen": self.tls_port.address, "tls.certificates": certificate, "tls.private_keys": key}

    @property
    def admin(self):
        return self.gateway.admin

    @property
    def port(self):
        return self.gateway.port

    def good(self, answer, statuses=(200, 201, 204)):
        assert answer.status in statuses, answer
        return answer

    # -- the gateway
    def start_gateway(self):
        begun = time.monotonic()
        self.gateway.start()
        self.lives += 1
        return time.monotonic() - begun

    def write_config(self, more=""):
        Path(self.config_path).write_text(f"log:\n  level: warn\n{more}", "utf-8")

    def knows(self, key, value):
        """Whether the program under test has this key of the configuration."""
        text = "".join("  " * depth + f"{part}:\n" for depth, part in enumerate(key.split(".")))
        path = Path(self.kept, "known.yaml")
        path.write_text(text.rstrip("\n") + f" {json.dumps(value)}\n", "utf-8")
        outcome = subprocess.run([program("TOLLGATE_BIN", "tollgate"), "check", "--config", path], capture_output=True, check=False)
        return outcome.returncode == 0

    def plans(self):
        """The shipped plan, and one whose free points no load uses up."""
        shipped = (REPOSITORY / "conf/plans/points-2021-08-20.yaml").read_text("utf-8")
        many = shipped.replace("id: points-2021-08-20", "id: many-free-points").replace("points: 10000,", "points: 1000000000,", 1)
        for name, text in (("shipped", shipped), ("many", many)):
            Path(self.kept, f"{name}.yaml").write_text(text, "utf-8")
        return f"{self.kept}/shipped.yaml,{self.kept}/many.yaml"

    def now(self):
        return instant(self.admin.clock()["now"])

    def next_hour(self):
        self.good(self.admin.set_clock(written(hour_of(self.now()) + HOUR)))

    # -- services, accounts, subscriptions
    def put_service(self, name, **changes):
        model, _, upstreams, more = SERVICES[name.partition("-")[0]]
        self.good(self.admin.put_service(name, model, [self.upstreams[each].address for each in upstreams], f"/{name}",
                                         **{**more, **changes}))

    def make(self):
        """One account for each kind and service; returns the books that ordinary clients call on."""
        for name in SERVICES:
            self.put_service(name)
        made = [self.subscribe(f"{kind}-{name}", name, kind) for name in SERVICES for kind in KINDS]
        # Attackers have accounts too. Nothing of the victim's may ever be counted or reach an upstream.
        self.hostile = self.subscribe("hostile", "detect", "paid")
        self.flooder = self.subscribe("flooder", "classify", "free")
        self.victim = self.subscribe("victim", "detect", "paid")
        self.witnesses = [self.subscribe(f"witness-{name}", name, "paid") for name in SERVICES]
        for book in made + [self.hostile, self.flooder, self.victim, *self.witnesses]:
            self.wait_known(book)
            book.before = book.ledger(self.admin)
        return made

    def subscribe(self, account, service, kind):
        cost = SERVICES[service.partition("-")[0]][1]
        failures = (5,) if service == "stream" else (4, 5)
        book = Book(account, service, cost, POINTS_KIND.get(kind, "paid"), failures)
        self.good(self.admin.put_account(account))
        self.good(self.admin.deposit(account, "0.40" if kind == "debtor" else "1000000.00"))
        plan = "many-free-points" if kind in ("free", "flips") else "points-2021-08-20"
        self.good(self.admin.put_subscription(account, service, kind not in ("free", "quota"), plan=plan))
        if book.kind == "paid":
            self.use_up(account, service, 10_000)
        elif kind in ("quota", "mixed"):
            self.use_up(account, service, 9_000)
            book.quota = 1_000
        path = f"/v1/accounts/{account}/subscriptions/{service}"
        if kind == "package":
            self.good(self.admin.post_money(path + "/packages", {"points": 200_000}))
        if kind in ("pack", "unmetered"):
            now = self.now()
            self.good(self.admin.buy_qps_pack(account, service, 20, "metered" if kind == "pack" else "unlimited", written(now),
                                              written(now + 2000 * HOUR)))
        book.keys = [self.good(self.admin.create_key(account))["key"]]
        return self.truth.add(book)

    def use_up(self, account, service, points):
        """So many free points are told as used by another gateway."""
        epoch = self.good(self.admin.open_epoch("elsewhere"))["epoch"]
        hour = written(hour_of(self.now()) - 24 * HOUR)
        self.good(self.admin.report_usage("elsewhere", epoch, [
            {"account": account, "service": service, "hour": hour, "calls_succeeded": 0, "calls_failed": 0,
             "calls_unmetered": 0, "free_points": points, "billable_points": 0}]))
        eventually(lambda: self.admin.subscription(account, service)["free_points_left"] == 10_000 - points, "points used")

    def wait_known(self, book, status=404):
        eventually(lambda: wire.call(self.port, "/nowhere", book.keys[-1]).status == status, f"{status} for a key", 20)

    def read_records(self):
        for upstream in self.upstreams:
            self.truth.read(upstream.record_path)

    # -- the end
    def close(self, keep):
        for upstream in self.upstreams:
            upstream.stop()
        gateway = self.gateway
        if gateway.process is not None and gateway.process.poll() is None:
            gateway.process.kill()
            gateway.process.wait()
        for reserved in [*gateway.ports, self.tls_port]:
            reserved.close()
        if not keep:
            shutil.rmtree(self.kept, ignore_errors=True)


def source(seed, name):
    """A random source of its own for each client: the seed gives the same choices, whatever the threads do."""
    return random.Random(f"{seed} {name}")
