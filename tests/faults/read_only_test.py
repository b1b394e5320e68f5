"""The data folder's file system turns read-only under load, as ext4 does after an error of the disk: the process lives and says
so, refuses what it could not keep, and what was on the disk before is in the ledger once the disk is mended."""

import os
import random
import time
import unittest

from battery import row
from harness import eventually
from load import Comparison, World
from volumes import FailingExt4

ALLOWANCE = 50  # points of pay-as-you-go calls while nothing is written
SETS = {"journal.collect_interval_ms": 20, "journal.sync_interval_ms": 20, "journal.unsynced_points_max": ALLOWANCE}


class ReadOnly(unittest.TestCase):
    @row("file system turns read-only under load", few=2, full=20)
    def test_read_only(self, rounds):
        disk = FailingExt4(self, 64 << 20)
        world = World(self, SETS, data_dir=os.path.join(disk.path, "data"),
                      kinds=("free", "paid", "unmetered"))
        load, source, lost, late = world.load, random.Random(1), {}, 0.0
        for number in range(rounds):
            load.run_for(source.uniform(0.1, 0.4))
            asked = time.monotonic()
            safe = asked - world.admin.metric("journal_unsynced_seconds")
            failed = time.monotonic()
            disk.fail()
            note = f"round {number}, seed {load.seed}"
            eventually(lambda: self.lives(world, note) and world.admin.metric("journal_durable") == 0,
                       f"it says that the disk takes nothing, {note}")
            noticed = time.monotonic()
            late = max(late, noticed - failed)
            load.run_for(0.3)
            load.quiet()
            self.lives(world, note)
            self.assertEqual(world.admin.readyz().status, 503, note)
            world.gateway.kill9()
            disk.repair()
            world.gateway.start()
            for kind, calls in self.check(world, safe, noticed, note).items():
                lost[kind] = max(lost.get(kind, 0), calls)
            load.run_for(0.1)
            load.quiet()
            self.assertEqual(load.compare(Comparison()).faults, [], f"after {note}")
            world.check_audit()
        most = ", ".join(f"{calls} {kind}" for kind, calls in lost.items())
        return f"answered calls lost, at most: {most}; noticed within {late * 1000:.0f} ms; none that was synced, 0 twice"

    def lives(self, world, note):
        self.assertTrue(world.gateway.alive(), f"{note}: {world.gateway.stderr()}")
        return True

    def check(self, world, safe, noticed, note):
        """What was synced before is there, nothing is there twice, and of what could not be kept no more was let in than is
        allowed. Gives the number of calls of each kind that were answered and are gone."""
        lost, allowed = {}, 0
        for each in world.subscriptions:
            now = world.load.totals(each)
            got = {field: now[field] - each.before[field] for field in now}
            calls = got["calls_succeeded"] + got["calls_failed"] + got["calls_unmetered"]
            synced = sum(at < safe for at in each.answered.values())
            self.assertGreaterEqual(calls, synced, f"{each.account}: lost what was on the disk, {note}")
            self.assertLessEqual(calls, len(each.seen | each.unknown), f"{each.account}: more than was seen, {note}")
            _, most = each.bounds()["points"]
            self.assertLessEqual(got["free_points"] + got["billable_points"], most, f"{each.account}: twice, {note}")
            late = sum(each.sent[number] > noticed for number in each.answered)
            if each.kind == "free":
                self.assertEqual(late, 0, f"{each.account}: let in though nothing can be written, {note}")
            elif each.kind == "paid":
                allowed += late * each.cost
            lost[each.kind] = lost.get(each.kind, 0) + max(0, len(each.answered) - calls)
            each.before = now
            each.begin()
        self.assertLessEqual(allowed, ALLOWANCE, note)
        return lost


if __name__ == "__main__":
    unittest.main()
