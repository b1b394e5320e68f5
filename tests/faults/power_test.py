"""A power cut: what is on the disk at a random instant under load, started elsewhere. What was counted before the last sync
is there, nothing is there twice, and the files open clean."""

import os
import random
import time
import unittest

from battery import row
from harness import Tollgate, eventually
from load import Comparison, Load, Subscription, World
from volumes import Disk

SYNC_MS = 100
CALLS = ("calls_succeeded", "calls_failed", "calls_unmetered")
NOT_CLEAN = ("damaged", "set aside", "set-aside", "rebuilt", "shorter")


class Cut:
    """One power cut under load: when, and what the disk had by then."""

    def __init__(self, world, disk):
        asked = time.monotonic()
        self.unsynced = world.admin.metric("journal_unsynced_seconds")
        self.safe = asked - self.unsynced  # whatever was counted before this is on the disk
        self.at = time.monotonic()
        self.image = disk.copy()
        self.done = time.monotonic()


class PowerCuts(unittest.TestCase):
    @row("power cut by file system snapshot", few=3, full=25)
    def test_power_cuts(self, rounds):
        return self.cuts(rounds, SYNC_MS)

    @row("power cut, synced every 10 ms", few=1, full=15)
    def test_synced_often(self, rounds):
        return self.cuts(rounds, 10)

    @row("power cut, synced every second", few=2, full=20)
    def test_synced_rarely(self, rounds):
        """The store is far ahead of the journal, which still has calls as open that the store has as ended. Cut when all have
        ended and are merged: not one more than there were may be in the ledger."""
        return self.cuts(rounds, 1000, collect_ms=20, merged=True)

    def cuts(self, rounds, sync_ms, collect_ms=400, merged=False):
        disk = Disk(self)
        data = os.path.join(disk.path, "data")
        world = World(self, {"journal.sync_interval_ms": sync_ms, "journal.collect_interval_ms": collect_ms}, data_dir=data)
        load = world.load
        source = random.Random(load.seed)
        print(f"seed {load.seed}", flush=True)
        calls, age, unsynced, copying = 0, 0.0, 0.0, 0.0
        for number in range(rounds):
            load.run_for(source.uniform(0.3, 1.0) + (0.4 if merged else 0))
            if merged:
                load.quiet()
                eventually(lambda: all(calls_of(load.totals(each), each.before) >= len(each.seen)
                                       for each in world.subscriptions), "all is merged")
            cut = Cut(world, disk)
            load.quiet()
            missing, oldest = self.check(world, disk, cut, f"round {number}, seed {load.seed}")
            if merged:
                self.assertEqual(missing, 0, f"what the store had taken is lost, round {number}, seed {load.seed}")
            calls, age = max(calls, missing), max(age, oldest)
            unsynced, copying = max(unsynced, cut.unsynced), max(copying, cut.done - cut.at)
        comparison = load.compare(Comparison())
        self.assertEqual(comparison.faults, [], "the gateway whose disk was copied goes on")
        return (f"at most {calls} calls, {age * 1000:.0f} ms before the cut (sync every {sync_ms} ms; the oldest unsynced "
                f"was {unsynced * 1000:.0f} ms, copies took {copying * 1000:.0f} ms); 0 twice")

    def check(self, world, disk, cut, note):
        """(calls missing, how old the oldest of them was at the cut)"""
        after = Tollgate(world.gateway.sets, data_dir=os.path.join(disk.mount_copy(cut.image), "data"))
        self.addCleanup(after.close)
        after.start()
        for words in NOT_CLEAN:
            self.assertNotIn(words, after.stderr() + after.stdout(), note)
        self.assertEqual(after.admin.metric("journal_slots", state="damaged"), 0, note)
        missing, oldest = 0, 0.0
        reader = Load(after, world.model, [], 0)
        for each in world.subscriptions:
            totals = reader.totals(each)
            got = counted(each, totals, each.before)
            answered = sorted(at for at in each.answered.values() if at < cut.at)
            safe = sum(at < cut.safe for at in answered)
            sent = sum(at < cut.done for at in each.sent.values())
            self.assertGreaterEqual(got, safe, f"{each.account}: lost what was on the disk, {note}")
            self.assertLessEqual(got, sent, f"{each.account}: more than was ever called, {note}")
            # A call is one call, however it ended: none is there both as served and as broken off.
            calls = calls_of(totals, each.before)
            forwarded = sum(each.sent[number] < cut.done for number in each.seen | each.unknown)
            self.assertLessEqual(calls, forwarded, f"{each.account}: more calls than the upstream saw, {note}")
            if got < len(answered):
                missing += len(answered) - got
                oldest = max(oldest, cut.at - answered[got])
        self.go_on(world, after, note)
        after.close()
        disk.drop_copy(cut.image)
        return missing, oldest

    def go_on(self, world, after, note):
        """It counts on, from what it has."""
        copies = [Subscription(each.account, each.service, each.key, each.cost, each.kind) for each in world.subscriptions]
        load = Load(after, world.model, copies, 1)
        self.addCleanup(load.end)
        for each in copies:
            each.before = load.totals(each)
        load.run_for(0.1)
        load.quiet()
        comparison = load.compare(Comparison())
        load.end()
        self.assertEqual(comparison.faults, [], note)
        self.assertGreater(comparison.calls, 0, note)
        self.assertIs(after.admin.audit()["ok"], True, note)


def calls_of(totals, before):
    return sum(totals[field] - before[field] for field in CALLS)


def counted(subscription, totals, before):
    """Calls that the ledger has, by what they cost; the unmetered by their number."""
    got = {field: totals[field] - before[field] for field in totals}
    if subscription.kind == "unmetered":
        return got["calls_unmetered"]
    return (got["free_points"] + got["billable_points"]) // subscription.cost


if __name__ == "__main__":
    unittest.main()
