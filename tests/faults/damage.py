"""What the rows of damaged and swapped files have in common: a load, a kill, the damage, a start, and what must hold then.
The rows themselves are in journal_damage_test.py and restore_test.py."""

import json
import os
import unittest

from harness import eventually
from journal_file import JournalFile
from load import Comparison, World

LATE = {"journal.collect_interval_ms": 60_000}   # nothing is in the store yet: all of it is in the journal only
SOON = {"journal.collect_interval_ms": 20}       # most of it is in both: what is counted again would be seen


class DamageTest(unittest.TestCase):
    def world(self, sets=None, **more):
        world = World(self, sets or LATE, **more)
        self.journal = JournalFile(world.gateway)
        return world

    def damaged(self, world, damage, words, whole=False, lost_subscriptions=0, loss_known=True, already_down=False):
        """Load and a kill (or the caller ended it already), `damage()`, a start: the comparison with the upstream, in which
        nothing may be twice. `whole`: nothing may be lost; else of so many subscriptions, or of all if it is not known.
        `words`: what the log must say, in one clear line."""
        load = world.load
        if not already_down:
            # What is to be damaged has been there for a while, on a loaded machine too.
            eventually(lambda: (self.journal.used(), load.run_for(0.2))[0], "the load has used slots", within=60)
            world.gateway.kill9()
            load.quiet()
        done = damage()
        note = f"{done}, seed {load.seed}"
        before = len(log_of(world.gateway))
        world.gateway.start()
        said = [line for line in log_of(world.gateway)[before:] if is_warning(line) and "running as root" not in line]
        comparison = load.compare(Comparison())
        self.assertEqual(comparison.twice_points, 0, f"{note}: {comparison.faults}")
        self.assertEqual(comparison.above, [], f"counted more than was served: {note}")
        if whole:
            self.assertEqual(comparison.faults, [], note)
        elif loss_known:
            self.assertLessEqual(len(comparison.hit), lost_subscriptions, f"{note}: {comparison.faults}")
        if words:
            self.assertRegex("\n".join(said), words, note)
            self.assertLess(len(said), 4, f"one clear line, not a flood: {said}")
        # And it goes on: everything after the damage is counted.
        load.run_for(0.1)
        load.quiet()
        after = load.compare(Comparison())
        self.assertEqual(after.faults, [], f"after {note}")
        self.assertGreater(after.calls, 0, note)
        world.check_audit()
        return comparison

    def damaged_slots(self, world):
        return world.admin.metric("journal_slots", state="damaged")


def log_of(gateway):
    with open(os.path.join(gateway.folder, "stderr"), encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()


def is_warning(line):
    try:
        return json.loads(line).get("level") in ("error", "warning")
    except ValueError:
        return True  # not the log's own: whoever wrote it wants to be read
