"""Errors of the disk, put into the system calls themselves: whatever write or sync fails, and however often, nothing that
was acknowledged is lost: no call that a client has its answer of, no deposit that was confirmed."""

import http.client
import os
import random
import re
import shutil
import subprocess
import tempfile
import unittest

from battery import need_fail_points, row, sanitized
from billing_model_units import micro
from harness import eventually
from load import POINT_YUAN, START, Comparison, World, next_hour

CALLS = ("pwrite64", "fdatasync", "fsync", "msync", "fallocate", "ftruncate")
KILLED_IN = (("pwrite64", 400), ("fdatasync", 60), ("msync", 60))  # with the most calls to wait for
ERRORS = ("EIO", "ENOSPC")
SETS = {"journal.collect_interval_ms": 10, "journal.sync_interval_ms": 10}


def need_strace():
    if shutil.which("strace") is None:
        raise unittest.SkipTest("not installed: strace")
    if sanitized():
        raise unittest.SkipTest("the leak check of a sanitizer does not work under a tracer")
    outcome = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        raise unittest.SkipTest(f"this machine does not let us trace: {outcome.stderr.strip()}")


class InjectedErrors(unittest.TestCase):
    @row("EIO, ENOSPC at the Nth write or sync", few=8, full=120)
    def test_every_nth(self, rounds):
        need_strace()
        world = World(self, SETS, clients_each=1)
        self.load, self.gateway, comparison = world.load, world.gateway, Comparison()
        source = random.Random(self.load.seed)
        print(f"seed {self.load.seed}", flush=True)
        confirmed, asked = 0, 0
        self.ended_at_start = 0
        for number in range(rounds):
            call, error = CALLS[number % len(CALLS)], source.choice(ERRORS)
            when = round(source.choice((1, 10, 100)) * source.uniform(1, 10))
            plan = f"{call}:error={error}:when={when}{source.choice(('', '+'))}"
            note = f"{plan}, round {number}, seed {self.load.seed}"
            yes, tries = self.under(plan, world, note)
            confirmed, asked = confirmed + yes, asked + tries
            self.load.compare(comparison)
            self.assertEqual(comparison.faults, [], note)
            self.assert_deposits(world, confirmed, asked, note)
        world.check_audit()
        return f"{comparison}; {asked - confirmed} of {asked} deposits refused, {self.ended_at_start} starts too"

    @row("kill at the Nth write or sync, over hours", few=4, full=60)
    def test_killed_at_every_nth(self, rounds):
        """Also in the middle of commits, checkpoints and settlements: each hour that ends is charged once."""
        need_strace()
        world = World(self, {**SETS, "billing.clock": "manual"}, start=START, clients_each=1)
        self.load, self.gateway, comparison = world.load, world.gateway, Comparison()
        source = random.Random(self.load.seed)
        before = {each: micro(world.admin.account(each.account)["cash"]) for each in world.subscriptions}
        for number in range(rounds):
            call, most = KILLED_IN[number % len(KILLED_IN)]
            plan = f"{call}:signal=SIGKILL:when={round(most ** source.random())}"
            self.until_killed(plan, world)
            self.load.compare(comparison)
            self.assertEqual(comparison.faults, [], f"{plan}, round {number}, seed {self.load.seed}")
        next_hour(world)
        for each, cash in before.items():
            billable = self.load.totals(each)["billable_points"]
            self.assertEqual(cash - micro(world.admin.account(each.account)["cash"]), billable * POINT_YUAN, each.account)
        world.check_audit()
        return f"{comparison}; each hour charged once"

    def until_killed(self, plan, world):
        """Under load, over the ends of hours, until the plan's kill comes."""
        self.trace(plan)
        for _ in range(200):
            if self.gateway.process.poll() is not None:
                return self.untrace()
            self.load.run_for(0.1)
            next_hour(world)
        raise AssertionError(f"{plan} was never reached")

    def trace(self, plan):
        """Killed and started again, with the plan from the first instruction on."""
        self.load.quiet()
        self.gateway.kill9()
        # Only the calls concerned stop the program then; but there a signal would be swallowed.
        quick = [] if "signal=" in plan else ["--seccomp-bpf"]
        self.gateway.prefix = ["strace", "-D", "-f", "-qq", *quick, "-o", os.devnull,
                               "-e", f"trace={plan.partition(':')[0]}", "-e", f"inject={plan}"]
        self.gateway.launch()

    def untrace(self):
        self.gateway.wait_stopped()
        self.load.quiet()
        self.gateway.prefix = []
        self.gateway.start()

    def under(self, plan, world, note):
        """The gateway with the error, under load, then killed and started without: (deposits confirmed, asked for)."""
        gateway = self.gateway
        self.trace(plan)
        confirmed = asked = 0
        if self.started(note):
            for _ in range(3):
                self.load.run_for(0.12)
                asked += 1
                confirmed += self.deposit(world, note)
            self.assertIsNone(gateway.process.poll(), f"it ended, {note}: {gateway.stderr()}")
            gateway.process.kill()
        else:
            self.ended_at_start += 1
        self.untrace()
        return confirmed, asked

    def ready_or_ended(self, note):
        def settled():
            try:
                return "ready" if self.gateway.ready() or self.serving() else None
            except AssertionError:
                return "ended"
        return eventually(settled, lambda: f"ready or ended, {note}: {self.gateway.stderr()}", within=60)

    def started(self, note):
        if self.ready_or_ended(note) == "ready":
            return True
        self.assertEqual(self.gateway.process.returncode, 1, f"{note}: {self.gateway.stderr()}")
        return False

    def serving(self):
        """Up, but saying that it is not well: it must go on serving."""
        try:
            return self.gateway.admin.healthz().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def deposit(self, world, note):
        answer = world.admin.deposit("free-detect", "0.01")
        self.assertIn(answer.status, (201, 503), f"{answer}, {note}")
        return int(answer.status == 201)

    def assert_deposits(self, world, confirmed, asked, note):
        """One that failed may be there: its answer said that nobody knows. One that was confirmed must be."""
        cash = micro(world.admin.account("free-detect")["cash"]) - 100_000_000_000_000  # never charged: all is free
        self.assertLessEqual(confirmed * 10_000, cash, note)
        self.assertLessEqual(cash, asked * 10_000, note)


class SyncFails(unittest.TestCase):
    @row("the journal cannot be synced, then can", few=2, full=10)
    def test_it_says_so_and_recovers(self, rounds):
        need_fail_points()
        folder = tempfile.mkdtemp(prefix="tollgate-faults-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.plan = os.path.join(folder, "plan")
        world = World(self, SETS, environment={"TOLLGATE_FAIL_FILE": self.plan})
        load, comparison = world.load, Comparison()
        for number in range(rounds):
            load.run_for(0.1)
            self.arm("journal.sync=EIO")
            eventually(lambda: world.admin.readyz().status == 503, "it says that it cannot sync")
            self.assertIn("journal", world.admin.readyz().text)
            before = load.answered()
            load.run_for(0.1)
            self.assertGreater(load.answered(), before, "calls go on: a kill would lose none of them")
            if number % 2:
                load.quiet()
                world.gateway.kill9()
                self.arm("")
                world.gateway.start()
            self.arm("")
            eventually(lambda: world.gateway.ready(), "it can sync again")
            load.quiet()
            load.compare(comparison)
            self.assertEqual(comparison.faults, [], f"seed {load.seed}")
        self.assertTrue(re.search(r"cannot be written", world.gateway.stderr()), world.gateway.stderr())
        world.check_audit()
        return str(comparison)

    def arm(self, text):
        with open(self.plan + ".new", "w", encoding="ascii") as file:
            file.write(text)
        os.replace(self.plan + ".new", self.plan)


if __name__ == "__main__":
    unittest.main()
