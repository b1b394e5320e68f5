"""The wall clock steps under load: forward a day, back an hour, to the last instant of an hour, over a month's end. No hour is
missed or charged twice, and usage is what the upstream served."""

import datetime
import mmap
import os
import shutil
import struct
import tempfile
import time
import unittest

from battery import preloaded, row
from billing_model_units import BEIJING, HOUR, micro
from harness import eventually
from load import POINT_YUAN, Comparison, World


class ShiftedClock:
    """The program's wall clock is the machine's and `seconds`; the steady clock is the machine's."""

    def __init__(self, test):
        library = preloaded("clock_shift")
        folder = tempfile.mkdtemp(prefix="tollgate-faults-clock-")
        test.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        path = os.path.join(folder, "shift")
        with open(path, "wb") as file:
            file.write(bytes(8))
        self.file = open(path, "r+b")
        test.addCleanup(self.file.close)
        self.word = mmap.mmap(self.file.fileno(), 8)
        self.environment = {"LD_PRELOAD": library, "CLOCK_SHIFT_FILE": path}
        self.seconds = 0.0

    def now(self):
        return time.time() + self.seconds

    def step(self, seconds):
        self.seconds += seconds
        self.word[:] = struct.pack("=q", round(self.seconds * 1e9))

    def step_to(self, instant):
        self.step(instant - self.now())

    def before_the_hour_ends(self, left):
        self.step_to((self.now() // HOUR + 1) * HOUR - left)

    def before_the_month_ends(self, left):
        at = datetime.datetime.fromtimestamp(self.now(), BEIJING)
        end = datetime.datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=BEIJING)
        self.step_to(end.timestamp() - left)


class ClockSteps(unittest.TestCase):
    @row("clock steps under load", few=1, full=5)
    def test_steps(self, rounds):
        comparison, steps = Comparison(), 0
        for _ in range(rounds):
            clock = ShiftedClock(self)
            world = World(self, {"journal.collect_interval_ms": 20}, environment=clock.environment)
            self.cash = {each: self.cash_of(world, each) for each in world.subscriptions}
            for name, step in (("+25 h", lambda: clock.step(25 * HOUR)),
                               ("-1 h", lambda: clock.step(-HOUR)),
                               ("to hh:59:59.9", lambda: clock.before_the_hour_ends(0.1)),
                               ("+1 h", lambda: clock.step(HOUR)),
                               ("to the month's end", lambda: clock.before_the_month_ends(0.1)),
                               ("-1 h over the month's end", lambda: clock.step(-HOUR)),
                               ("to the hour's end again", lambda: clock.before_the_hour_ends(0.1))):
                world.load.run_for(0.1)
                step()
                world.load.run_for(0.3)
                self.assertTrue(world.gateway.alive(), f"{name}: {world.gateway.stderr()}")
                world.load.quiet()
                world.load.compare(comparison)
                self.assertEqual(comparison.faults, [], f"{name}, seed {world.load.seed}")
                steps += 1
            self.settle(world, clock)
            self.check_charges(world)
            world.check_audit()
        return f"{comparison} over {steps} steps; every hour charged once"

    def settle(self, world, clock):
        """All hours are over, and settled."""
        clock.step(3 * HOUR)
        due = (clock.now() // HOUR) * HOUR
        eventually(lambda: world.admin.metric("settlement_last_success_timestamp_seconds") >= due, "it was settled",
                   within=15)
        self.assertEqual(world.admin.metric("settlement_lag_hours"), 0)

    def check_charges(self, world):
        for each in world.subscriptions:
            billable = world.load.totals(each)["billable_points"]
            charged = self.cash[each] - self.cash_of(world, each)
            self.assertEqual(charged, billable * POINT_YUAN, f"{each.account}: {billable} points")

    def cash_of(self, world, subscription):
        return micro(world.admin.account(subscription.account)["cash"])


if __name__ == "__main__":
    unittest.main()
