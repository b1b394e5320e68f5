"""A disk that hangs: no sync comes back, for seconds and without an error. Who is refused, who goes on, what says so, and the
return to normal without a restart. Only /metrics and /readyz are asked meanwhile: what needs the store may wait for the disk."""

import fcntl
import random
import tempfile
import unittest

from battery import preloaded, row  # first: it makes the e2e harness importable
from harness import eventually
from load import Comparison, World
from wire import Connection

POINTS = 50  # of pay-as-you-go calls while nothing is synced: ten of five points
SETS = {"journal.unsynced_ms_max": 1000, "journal.unsynced_points_max": POINTS, "journal.collect_interval_ms": 20}


class HangingDisk:
    """Every sync of the program waits between begin() and end(): for a lock that is held here."""

    def __init__(self, test):
        library = preloaded("disk_hang")
        self.file = tempfile.NamedTemporaryFile(prefix="tollgate-faults-hang-")
        test.addCleanup(self.file.close)
        self.environment = {"LD_PRELOAD": library, "DISK_HANG_FILE": self.file.name}

    def begin(self):
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def end(self):
        fcntl.flock(self.file, fcntl.LOCK_UN)


class DiskHangs(unittest.TestCase):
    @row("disk hangs", few=2, full=20)
    def test_hangs(self, rounds):
        hang = HangingDisk(self)
        world, comparison = self.world(hang), Comparison()
        self.addCleanup(hang.end)  # before the gateway is to end
        for number in range(rounds):
            world.load.run_for(0.1)
            hang.begin()
            world.load.run_for(0.2)
            if number % 2 == 0:  # the load goes on over the change in the odd ones
                world.load.quiet()
            self.wait_for(world, 0)
            world.load.quiet()
            self.refusals(world, allowance=number % 2 == 0)
            hang.end()
            self.wait_for(world, 1)
            eventually(lambda: world.admin.readyz().status == 200, "it is ready again")
            for each in world.subscriptions:
                self.assertTrue(self.taken(world, each), each.account)
            world.load.quiet()
            world.load.compare(comparison)
            self.assertEqual(comparison.faults, [], f"round {number}, seed {world.load.seed}")
        world.load.run_for(0.1)
        world.gateway.kill9()
        world.load.quiet()
        world.gateway.start()
        world.load.compare(comparison)
        self.assertEqual(comparison.faults, [], "after a kill")
        world.check_audit()
        return str(comparison)

    def world(self, hang):
        return World(self, SETS, environment=hang.environment, kinds=("free", "paid", "unmetered"))

    def wait_for(self, world, durable):
        eventually(lambda: world.admin.metric("journal_durable") == durable, f"journal_durable {durable}", within=8)

    def refusals(self, world, allowance):
        for each in world.subscriptions:
            if each.kind == "free":
                self.assertFalse(self.taken(world, each), each.account)
        for each in world.subscriptions:
            if each.kind == "unmetered":
                self.assertTrue(self.taken(world, each), each.account)
        if allowance:  # nobody has used any of it
            paid = next(each for each in world.subscriptions if each.kind == "paid" and each.cost == 5)
            taken = [self.taken(world, paid) for _ in range(POINTS // paid.cost + 3)]
            self.assertEqual(taken, [True] * (POINTS // paid.cost) + [False] * 3)
        self.assertEqual(world.admin.readyz().status, 503)

    def taken(self, world, subscription):
        """One call of the load's own, so that it is compared: whether it was answered; else it was refused with 503."""
        answered, refused = len(subscription.answered), len(subscription.refused)
        with Connection(world.gateway.port) as connection:
            world.load.one_call(connection, subscription, random.Random(1))
        self.assertEqual(len(subscription.answered) + len(subscription.refused), answered + refused + 1)
        return len(subscription.answered) > answered


if __name__ == "__main__":
    unittest.main()
