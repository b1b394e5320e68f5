"""Starts the real programs (tollgate and the fake model) for end-to-end tests and gives tests their words: a
service, an account with a key, many callers at once, a condition that comes true in time. It holds no expectations
of its own."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

import wire
from admin import Admin, fresh

REPOSITORY = Path(__file__).resolve().parents[2]
ADMIN_TOKEN = "an-admin-token-of-the-end-to-end-tests"
FAST = "image-classification/high-performance"    # 4 points, base guarantee 10
AUTODL = "image-classification/autodl"            # 6 points, base guarantee 4
DETECTION = "object-detection/high-performance"   # 5 points, base guarantee 4
START_S = 30.0
STOP_S = 45.0  # more than the drain time that the defaults allow


def program(variable, *places):
    """The path of a program: from the environment (ctest sets it), else from the usual build folders."""
    if variable in os.environ:
        return os.environ[variable]
    for preset in ("release", "dev"):
        for place in places:
            found = REPOSITORY / "build" / preset / place
            if found.exists():
                return str(found)
    raise unittest.SkipTest(f"no {places[0]}: build it, or set {variable}")


def eventually(condition, what, within=10.0, every=0.01):
    """The condition's value once it is true; AssertionError after `within` seconds. The only place that waits."""
    deadline = time.monotonic() + within
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {within} s: {what() if callable(what) else what}")
        pause.wait(every)


def pass_time(seconds):
    """For a client that is slow, or a deadline that must be over."""
    until = time.monotonic() + seconds
    eventually(lambda: time.monotonic() >= until, "time goes by", within=seconds + 10)


def at_once(count, work):
    """work(0) ... work(count - 1) in threads let go together; their results in order. The first error is raised."""
    barrier = threading.Barrier(count)
    results, errors = [None] * count, []

    def run(index):
        try:
            barrier.wait(30)
            results[index] = work(index)
        except BaseException as error:  # a failed assertion in a thread must fail the test
            errors.append(error)
    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        if thread.is_alive():
            raise AssertionError("a caller is still running after 120 s")
    if errors:
        raise errors[0]
    return results


class Background:
    """One piece of work in a thread; result() waits for it and gives its value or raises its error."""

    def __init__(self, work, *args):
        self.value, self.error = None, None

        def run():
            try:
                self.value = work(*args)
            except BaseException as error:
                self.error = error
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def result(self, within=60):
        self.thread.join(within)
        if self.thread.is_alive():
            raise AssertionError(f"still running after {within} s")
        if self.error:
            raise self.error
        return self.value


class ReservedPort:
    """A free port that stays ours: bound, not listening, so nobody else is given it while a gateway comes and goes."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"

    def close(self):
        self.socket.close()


class FakeModel:
    """The recording upstream; its record is the truth that usage must equal."""

    def __init__(self, *options):
        self.folder = tempfile.mkdtemp(prefix="tollgate-e2e-model-")
        self.record_path = os.path.join(self.folder, "record")
        port_file = os.path.join(self.folder, "port")
        self.errors = open(os.path.join(self.folder, "stderr"), "w+b")
        self.process = subprocess.Popen(
            [program("FAKE_MODEL_BIN", "bench/fake_model/fake_model", "bench/fake_model", "fake_model"),
             "--listen", "127.0.0.1:0", "--port-file", port_file, "--record", self.record_path, *options],
            stdout=self.errors, stderr=self.errors)

        def port():
            assert self.process.poll() is None, self.stderr()
            try:
                text = Path(port_file).read_text().strip()
            except FileNotFoundError:
                return None
            return int(text.rpartition(":")[2]) if text else None
        self.port = eventually(port, "fake_model wrote its port", START_S)
        self.address = f"127.0.0.1:{self.port}"

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "replace")

    def stats(self):
        return wire.call(self.port, "/__stats").json()

    def reset(self):
        assert wire.call(self.port, "/__reset", method="POST", body=b"").status in (200, 204)

    def record(self, service=None):
        """Every request that ended at the model: method, target, headers, body_bytes, body_crc32, status, served."""
        with open(self.record_path, encoding="utf-8") as lines:
            requests = [json.loads(line) for line in lines if line.endswith("\n")]
        return [each for each in requests if service is None or each["headers"].get("x-service") == service]

    def entry(self, response):
        """The record of the request that this response answers; its line may follow the answer."""
        wanted = response.header("x-request-id")

        def find():
            return [each for each in self.record() if each["headers"].get("x-request-id") == wanted]
        return eventually(find, f"a record of request {wanted}")[0]

    def recorded(self, count, service=None):
        """Waits until exactly `count` requests have ended there, and gives them."""
        eventually(lambda: len(self.record(service)) >= count,
                   lambda: f"{count} requests at the model, there are {len(self.record(service))}")
        found = self.record(service)
        assert len(found) == count, f"{len(found)} requests reached the model, expected {count}"
        return found

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(STOP_S)
        self.errors.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Tollgate:
    """`tollgate serve` on free ports. `sets` are --set flags; more arguments go to the command as they are."""

    def __init__(self, sets=None, arguments=(), token=ADMIN_TOKEN, data_dir=None):
        self.folder = tempfile.mkdtemp(prefix="tollgate-e2e-")
        self.data_dir = data_dir or os.path.join(self.folder, "data")
        # A machine that runs many tests at once may be late without anybody asking too much of the gateway.
        self.sets = {"journal.slots": 16384, "limits.overload_lag_ms": 0, **(sets or {})}
        if os.geteuid() != 0:  # else only root could see its memory and descriptors, which some tests do
            self.sets.setdefault("core_dumps", "true")
        self.arguments = list(arguments)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("TOLLGATE_")}
        if token is not None:
            self.environment["TOLLGATE_ADMIN_TOKEN"] = token
        self.token = token
        self.prefix = []  # what runs the program: a tracer, say
        self.process = None
        self.ports = []

    def start(self):
        self.launch()
        eventually(self.ready, lambda: f"ready:\n{self.stderr()}", START_S)
        return self

    def launch(self):
        if not self.ports:
            self.ports = [ReservedPort(), ReservedPort()]
        self.port, self.admin_port = (reserved.port for reserved in self.ports)
        self.admin = Admin(self.admin_port, self.token)
        command = [*self.prefix, program("TOLLGATE_BIN", "tollgate"), "serve", "--data-dir", self.data_dir,
                   "--listen", f"127.0.0.1:{self.port}", "--admin-listen", f"127.0.0.1:{self.admin_port}"]
        for key, value in self.sets.items():
            command += ["--set", f"{key}={value}"]
        self.errors = open(os.path.join(self.folder, "stderr"), "ab")
        self.output = open(os.path.join(self.folder, "stdout"), "ab")
        self.process = subprocess.Popen(command + self.arguments, env=self.environment, stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=self.errors, cwd=self.folder)

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"tollgate ended with {self.process.returncode}:\n{self.stderr()}")
        try:
            return self.admin.readyz().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def stderr(self):
        return Path(self.folder, "stderr").read_text("utf-8", "replace")[-6000:]

    def stdout(self):
        return Path(self.folder, "stdout").read_text("utf-8", "replace")

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        os.kill(self.process.pid, number)

    @contextlib.contextmanager
    def paused(self):
        """Inside, none of its threads runs: SIGSTOP takes its time, so it is waited for."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        self.signal(signal.SIGSTOP)
        try:
            eventually(lambda: all(stat.read_text("ascii").rpartition(")")[2].split()[0] == "T"
                                   for stat in tasks.glob("*/stat")), "it stands still")
            yield
        finally:
            self.signal(signal.SIGCONT)

    def wait_stopped(self):
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"SIGTERM did not end it within {STOP_S} s:\n{self.stderr()}") from None
        self.errors.close()
        self.output.close()
        return code

    def terminate(self):
        """An orderly end: SIGTERM, exit status 0."""
        self.signal(signal.SIGTERM)
        code = self.wait_stopped()
        assert code == 0, f"SIGTERM ended it with {code}:\n{self.stderr()}"

    def kill9(self):
        self.process.kill()
        self.wait_stopped()

    def close(self):
        """For tear-down: also a gateway that a test left dead or half way."""
        try:
            if self.process is not None and not self.errors.closed:
                died = self.process.poll()
                assert died is None, f"tollgate died with {died}:\n{self.stderr()}"
                self.terminate()
        finally:
            for reserved in self.ports:
                reserved.close()
            if self.process is not None and self.process.poll() is None:
                self.process.kill()
            shutil.rmtree(self.folder, ignore_errors=True)


class Service:
    def __init__(self, identity, path, points):
        self.id, self.path, self.points = identity, path, points


class Account:
    def __init__(self, gateway, identity, key):
        self.gateway, self.id, self.key = gateway, identity, key

    def call(self, service, method="GET", body=None, fields=(), suffix="", timeout=wire.TIMEOUT_S):
        return wire.call(self.gateway.port, service.path + suffix, self.key, method, body, fields, timeout)

    def subscription(self, service):
        answer = self.gateway.admin.subscription(self.id, service.id)
        assert answer.status == 200, answer
        return answer.json

    def usage(self, service):
        return self.gateway.admin.totals(self.id, service.id)

    def wait_usage(self, service, **expected):
        """Usage reaches the API shortly after the call; these totals must appear, and then be exactly these."""
        def seen():
            now = self.usage(service)
            return all(now[field] == count for field, count in expected.items())
        eventually(seen, lambda: f"usage {expected}, it is {self.usage(service)}", within=10)

    def wait_idle(self, service):
        eventually(lambda: self.subscription(service)["in_flight"] == 0,
                   lambda: f"in_flight 0, it is {self.subscription(service)['in_flight']}", within=10)


class GatewayTest(unittest.TestCase):
    """One gateway and one fake model per class; every test makes services and accounts of its own."""

    sets = {}
    arguments = ()
    model_options = ()

    @classmethod
    def setUpClass(cls):
        cls.model = FakeModel(*cls.model_options)
        cls.addClassCleanup(cls.model.stop)
        cls.gateway = Tollgate(cls.sets, cls.arguments)
        cls.addClassCleanup(cls.gateway.close)
        cls.gateway.start()

    @property
    def admin(self):
        return self.gateway.admin

    @property
    def port(self):
        return self.gateway.port

    def service(self, model=FAST, upstreams=None, path=None, **more):
        identity = fresh("svc")
        answer = self.admin.put_service(identity, model, upstreams or [self.model.address],
                                        path or f"/{identity}", **more)
        self.assertIn(answer.status, (200, 201), answer)
        points = {FAST: 4, AUTODL: 6, DETECTION: 5}.get(model)
        return Service(identity, path or f"/{identity}", points)

    def account(self, *services, paid=False, deposit=None):
        """An account with a key, subscribed to the services; returns when the traffic knows all of it."""
        identity = fresh("acct")
        self.assertIn(self.admin.put_account(identity).status, (200, 201))
        if deposit:
            self.assertEqual(self.admin.deposit(identity, deposit).status, 201)
        for service in services:
            answer = self.admin.put_subscription(identity, service.id, paid)
            self.assertIn(answer.status, (200, 201), answer)
        # The key last: once it is accepted, all that was committed before it is in force as well.
        created = self.admin.create_key(identity)
        self.assertEqual(created.status, 201, created)
        account = Account(self.gateway, identity, created["key"])
        nowhere = f"/no-such-{identity}"
        eventually(lambda: wire.call(self.port, nowhere, account.key).status == 404,
                   "a new key is accepted within 1 s (404 for a path that no service has)", within=3)
        return account

    def leave_points(self, account, service, points):
        """Imports recorded usage so that `points` of the 10,000 free points are left, here and on the traffic."""
        gateway = fresh("import")
        epoch = self.admin.open_epoch(gateway)["epoch"]
        hour = time.strftime("%Y-%m-%dT%H:00:00Z", time.gmtime(time.time() - 3600))
        answer = self.admin.report_usage(gateway, epoch, [
            {"account": account.id, "service": service.id, "hour": hour, "calls_succeeded": 0, "calls_failed": 0,
             "calls_unmetered": 0, "free_points": 10_000 - points, "billable_points": 0}])
        self.assertEqual(answer.status, 204, answer)
        eventually(lambda: account.subscription(service)["free_points_left"] == points, f"{points} points left")

    def one(self, model=FAST, paid=False, **more):
        """A service and an account subscribed to it."""
        service = self.service(model, **more)
        return service, self.account(service, paid=paid)

    def refused(self, response, status, code):
        """A refusal as section 6 of the architecture says, in the default dialect."""
        self.assertEqual(response.status, status, response)
        self.assertEqual(response.header("content-type"), "application/problem+json", response)
        self.assertEqual(response.header("cache-control"), "no-store", response)
        self.assertTrue(response.header("x-request-id"), response)
        problem = response.json()
        self.assertEqual(problem["code"], code, response)
        self.assertEqual(problem["status"], status, response)
        return problem


