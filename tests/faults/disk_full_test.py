"""A full disk, before the start and under load: a clear refusal at the start, no signal in traffic, every answered call in
the ledger once there is room again, and all of that without a restart."""

import os
import random
import unittest

from battery import row
from harness import Tollgate, eventually
from load import Comparison, World
from volumes import Filler, small_ext4, tmpfs

MIB = 1 << 20
SETS = {"journal.slots": 4096, "journal.collect_interval_ms": 20, "journal.sync_interval_ms": 20}


class BeforeTheStart(unittest.TestCase):
    @row("disk full before the start", few=6, full=40)
    def test_the_start_says_so_and_the_next_one_works(self, rounds):
        source = random.Random(1)
        refused = 0
        for number in range(rounds):
            path = tmpfs(self, 2 * MIB) if number % 2 else small_ext4(self, 4 * MIB)
            filler = Filler(path, left=0 if number < 2 else source.randrange(4096, 600_000))
            gateway = Tollgate(SETS, data_dir=os.path.join(path, "data"))
            self.addCleanup(gateway.close)
            gateway.launch()
            refused += self.refused_with_a_word(gateway)
            filler.free()
            if not gateway.alive():
                gateway.start()
            eventually(lambda: gateway.admin.put_account("one").status in (200, 201), "it takes what it is told")
            self.assertIs(gateway.admin.audit()["ok"], True)
            gateway.terminate()
        self.assertGreater(refused, 1)
        return f"{refused} starts refused, none hindered the next"

    @row("disk full before a restart", few=4, full=40)
    def test_a_folder_that_has_usage(self, rounds):
        """Whether or not there is room enough to start, what was counted before is counted, and once."""
        source, refused, comparison = random.Random(1), 0, Comparison()
        for number in range(rounds):
            path = tmpfs(self, 6 * MIB) if number % 2 else small_ext4(self, 16 * MIB)
            interval = {"journal.collect_interval_ms": 60_000 if number % 4 < 2 else 20}
            world = World(self, {**SETS, **interval}, data_dir=os.path.join(path, "data"), kinds=("free", "paid"))
            world.load.run_for(0.2)
            world.gateway.kill9()
            world.load.quiet()
            filler = Filler(path, left=0 if number % 4 < 3 else source.randrange(4096, 200_000))
            world.gateway.launch()
            refused += self.refused_with_a_word(world.gateway)
            filler.free()
            if not world.gateway.alive():
                world.gateway.start()
            world.load.run_for(0.1)
            world.load.quiet()
            eventually(lambda: world.admin.metric("usage_unacknowledged_points") == 0, "the store takes usage")
            world.load.compare(comparison)
            self.assertEqual(comparison.faults, [], f"round {number}, seed {world.load.seed}")
            world.check_audit()
        return f"{comparison}; {refused} of {rounds} starts refused"

    def refused_with_a_word(self, gateway):
        """Whether the start ended; with a word if it did. One that had room enough is ready."""
        def settled():
            try:
                return gateway.ready()
            except AssertionError:  # it ended
                return True
        eventually(settled, lambda: f"ready or ended:\n{gateway.stderr()}", within=30)
        if gateway.alive():
            return False
        self.assertEqual(gateway.wait_stopped(), 1, gateway.stderr())
        self.assertRegex(gateway.stderr(), r"(?i)no space left|database or disk is full|cannot allocate")
        return True


class UnderLoad(unittest.TestCase):
    def fill(self, rounds, path):
        world = World(self, SETS, data_dir=os.path.join(path, "data"))
        load, comparison, refusals = world.load, Comparison(), 0
        for number in range(rounds):
            load.run_for(0.2)
            filler = Filler(path)
            before = load.answered()
            load.run_for(0.5)
            self.assertTrue(world.gateway.alive(), world.gateway.stderr())
            self.assertGreater(load.answered(), before, "calls are served while the disk is full")
            refused = self.deposit(world, f"full-{number}")
            refusals += refused
            filler.free()
            load.run_for(0.2)
            load.quiet()
            eventually(lambda: world.admin.metric("usage_unacknowledged_points") == 0, "the store takes usage again")
            load.compare(comparison)
            self.assertEqual(comparison.faults, [], f"round {number}, seed {load.seed}")
            eventually(lambda: world.admin.readyz().status == 200, "it is ready again")
            if refused:
                self.assertEqual(self.deposit(world, f"full-{number}"), 0, "the same deposit, tried again")
        self.assertEqual(world.admin.account("free-detect")["cash"], f"{100_000_000 + rounds}.00")
        world.check_audit()
        world.gateway.kill9()
        world.gateway.start()
        self.assertEqual(load.compare(comparison).faults, [], "after a kill")
        self.assertGreater(refusals, 0, "the disk was full")
        return f"{comparison}; {refusals} of {rounds} deposits refused meanwhile"

    def deposit(self, world, key):
        """1 when the store refused it."""
        answer = world.admin.deposit("free-detect", "1.00", idempotency_key=key)
        self.assertIn(answer.status, (201, 503), answer)
        return int(answer.status == 503)

    @row("disk full under load (tmpfs)", few=2, full=20)
    def test_tmpfs(self, rounds):
        return self.fill(rounds, tmpfs(self, 12 * MIB))  # the log takes 8 of it before it is copied

    @row("disk full under load (ext4)", few=2, full=20)
    def test_ext4(self, rounds):
        return self.fill(rounds, small_ext4(self, 16 * MIB))


if __name__ == "__main__":
    unittest.main()
