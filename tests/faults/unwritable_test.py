"""A disk that takes no counts, under load: who is refused, who goes on and for how long, what says so, and the return to
normal without a restart."""

import os
import tempfile
import unittest

from battery import need_fail_points, row
from harness import eventually
from load import Comparison, World
from wire import call

POINTS = 50  # of pay-as-you-go calls while nothing can be synced: ten of five points
SETS = {"journal.unsynced_points_max": POINTS, "journal.sync_interval_ms": 10, "journal.collect_interval_ms": 20}


class Unwritable(unittest.TestCase):
    def setUp(self):
        need_fail_points()
        handle, self.plan = tempfile.mkstemp()
        os.close(handle)
        self.addCleanup(os.remove, self.plan)

    def arm(self, plan):
        """In one step, so that no half of it is ever read."""
        with open(self.plan + ".new", "w", encoding="ascii") as file:
            file.write(plan)
        os.replace(self.plan + ".new", self.plan)

    @row("journal cannot be synced", few=2, full=20)
    def test_errors(self, rounds):
        world = World(self, SETS, environment={"TOLLGATE_FAIL_FILE": self.plan})
        self.by_name = {(each.account, each.service): each for each in world.subscriptions}
        prepaid = self.by_name[("paid-classify", "classify")]
        world.good(world.admin.post_money("/v1/accounts/paid-classify/subscriptions/classify/packages",
                                          {"points": 200_000}))
        comparison = Comparison()
        for _ in range(rounds):
            world.load.run_for(0.1)
            self.arm("journal.sync=EIO")
            eventually(lambda: world.admin.metric("journal_durable") == 0, "it says that the disk takes nothing")
            world.load.run_for(0.1)
            world.load.quiet()
            world.load.compare(comparison)
            self.assertEqual(comparison.faults, [], "what was let in is counted all the same")
            self.refusals(world, prepaid)
            self.arm("")
            eventually(lambda: world.admin.metric("journal_durable") == 1, "the disk is back")
            self.assertEqual(world.admin.readyz().status, 200)
            for each in world.subscriptions:
                self.assertEqual(self.call(world, each).status, 200, each.account)
            self.forget(world)
        world.load.run_for(0.1)
        world.gateway.kill9()
        world.load.quiet()
        world.gateway.start()
        world.load.compare(comparison)
        self.assertEqual(comparison.faults, [], "after a kill")
        world.check_audit()
        return str(comparison)

    def call(self, world, subscription):
        return call(world.gateway.port, f"/{subscription.service}", subscription.key)

    def forget(self, world):
        """The calls of this test itself are no part of the load's comparison."""
        for each in world.subscriptions:
            each.before = world.load.totals(each)
            each.begin()

    def refusals(self, world, prepaid):
        refused = world.admin.metric("refusals_total", reason="journal_failing")
        held_back = [self.by_name[(f"{kind}-{service}", service)] for kind in ("free", "mixed")
                     for service in ("detect", "classify")] + [prepaid]
        for each in held_back:
            answer = self.call(world, each)
            self.assertEqual((answer.status, answer.json()["code"]), (503, "no_capacity"), each.account)
            self.assertEqual(answer.header("retry-after"), "5")
        self.assertEqual(world.admin.metric("refusals_total", reason="journal_failing"), refused + len(held_back))
        self.assertEqual(self.call(world, self.by_name[("unmetered-detect", "detect")]).status, 200)
        ready = world.admin.readyz()
        self.assertEqual(ready.status, 503)
        self.assertIn("journal cannot be written", ready.text)

    @row("allowance without a disk", few=1, full=10)
    def test_allowance(self, rounds):
        world = World(self, SETS, kinds=("paid",), environment={"TOLLGATE_FAIL_FILE": self.plan})
        world.load.quiet()
        detect = next(each for each in world.subscriptions if each.service == "detect")
        for _ in range(rounds):
            self.arm("journal.sync=ENOSPC")
            eventually(lambda: world.admin.metric("journal_durable") == 0, "it says that the disk takes nothing")
            statuses = [self.call(world, detect).status for _ in range(POINTS // detect.cost + 3)]
            self.assertEqual(statuses, [200] * (POINTS // detect.cost) + [503] * 3)
            self.arm("")
            eventually(lambda: world.admin.metric("journal_durable") == 1, "the disk is back")
            self.assertEqual(self.call(world, detect).status, 200)
        served = rounds * (POINTS // detect.cost + 1)
        self.assertEqual(world.load.totals(detect)["billable_points"] - detect.before["billable_points"],
                         served * detect.cost)
        return f"{POINTS} points a failure, as configured"


if __name__ == "__main__":
    unittest.main()
