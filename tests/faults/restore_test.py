"""Files that are whole and in the wrong place or from another day: another gateway's journal, yesterday's journal, yesterday's
store, both, and the folder given to a second process. Nothing is counted twice, and what can be counted is."""

import json
import os
import random
import shutil
import signal
import unittest

from battery import launch_to_die, need_fail_points, row, wait_killed  # first: it makes the e2e harness importable
from damage import LATE, SOON, DamageTest, log_of
from harness import Tollgate, eventually, fresh
from journal_file import JournalFile
from load import Comparison, Load, Subscription, World
from volumes import folder
from wire import call

STORE = ("tollgate.db", "tollgate.db-wal", "tollgate.db-shm")


def copy_of(names, source, target):
    """Those of the names that there are; the others are not there afterwards either."""
    os.makedirs(target, exist_ok=True)
    for name in names:
        if os.path.exists(os.path.join(target, name)):
            os.remove(os.path.join(target, name))
        if os.path.exists(os.path.join(source, name)):
            shutil.copyfile(os.path.join(source, name), os.path.join(target, name))


def contents(place, name):
    with open(os.path.join(place, name), "rb") as file:
        return file.read()


class Restored(DamageTest):
    def yesterday(self, world, names):
        """A copy of them, taken while nothing runs, after some traffic."""
        world.load.run_for(0.2)
        world.load.quiet()
        world.gateway.terminate()
        kept = folder(self)
        copy_of(names, world.gateway.data_dir, kept)
        world.gateway.start()
        world.load.compare(Comparison())
        return kept

    @row("journal restored from yesterday", few=2, full=20)
    def test_journal(self, rounds):
        """All that was merged stays, all that is in the old journal is known: 0 and 0 after an orderly end."""
        world, calls = self.world(SOON), 0
        for _ in range(rounds):
            kept = self.yesterday(world, ["journal"])
            world.load.run_for(0.2)
            world.load.quiet()
            world.gateway.terminate()
            comparison = self.damaged(world, lambda: copy_of(["journal"], kept, world.gateway.data_dir) or "journal back",
                                      None, whole=True, already_down=True)
            calls += comparison.calls
        return f"0 lost, 0 twice of {calls} calls"

    @row("journal restored from earlier, with open calls", few=3, full=30)
    def test_journal_with_open_calls(self, rounds):
        """Calls that were open in the copy have ended since and are in the store as what they became: they are not counted
        as broken off besides."""
        world, calls, opened = self.world(SOON), 0, 0
        for _ in range(rounds):
            kept, still_open = self.copy_with_open_calls(world)
            opened += still_open
            world.load.run_for(0.1)
            world.load.quiet()
            world.gateway.terminate()
            calls += self.damaged(world, lambda: copy_of(["journal"], kept, world.gateway.data_dir) or "journal back", None,
                                  whole=True, already_down=True).calls
        return f"0 lost, 0 twice of {calls} calls, {opened} of them open in the copies"

    def copy_with_open_calls(self, world):
        """(folder of the copy, calls open in it): of an instant under load in which there were some."""
        kept = folder(self)
        world.load.run_for(0.1)

        def copied():
            world.gateway.signal(signal.SIGSTOP)
            copy_of(["journal"], world.gateway.data_dir, kept)
            world.gateway.signal(signal.SIGCONT)
            return JournalFile(world.gateway, kept).calls_open()
        return kept, eventually(copied, "a copy with open calls")

    @row("store restored from yesterday, journal newer", few=2, full=20)
    def test_store(self, rounds):
        """What the journal still holds of later epochs is counted again, for the restored store lacks it."""
        calls = 0
        for number in range(rounds):
            world = self.world(SOON if number % 2 else LATE)
            kept = self.yesterday_before_the_epoch(world)
            comparison = self.damaged(world, lambda: copy_of(STORE, kept, world.gateway.data_dir) or "store back",
                                      r"(?i)epoch", whole=True)
            calls += comparison.calls
        return f"0 lost, 0 twice of {calls} calls that the store had lost"

    def yesterday_before_the_epoch(self, world):
        """The store as it was when the last epoch had not been given out."""
        world.load.run_for(0.2)
        world.load.quiet()
        world.gateway.terminate()
        kept = folder(self)
        copy_of(STORE, world.gateway.data_dir, kept)
        world.gateway.start()
        world.load.compare(Comparison())
        return kept

    @row("kill while a restored store takes the journal over", few=2, full=20)
    def test_killed_in_recovery(self, rounds):
        need_fail_points()
        points, calls = ("report.merged", "epoch.opened", "report.merge", "collector.acknowledge", "epoch.open"), 0
        for number in range(rounds):
            world = self.world(SOON)
            kept, plan = self.yesterday_before_the_epoch(world), f"{points[number % len(points)]}=kill@1"

            def damage(world=world, kept=kept, plan=plan):
                copy_of(STORE, kept, world.gateway.data_dir)
                launch_to_die(world.gateway, plan)
                wait_killed(self, world.gateway, plan)
                return f"store back, {plan}"
            calls += self.damaged(world, damage, None, whole=True).calls
        return f"0 lost, 0 twice of {calls} calls that the store had lost"

    @row("restored store lacks a subscription", few=1, full=5)
    def test_unknown_subscription(self, rounds):
        entries = 0
        for _ in range(rounds):
            world = self.world(LATE, kinds=("paid",))
            kept = self.yesterday_before_the_epoch(world)
            world.good(world.admin.put_account("newcomer"))
            world.good(world.admin.put_subscription("newcomer", "detect", False))
            key = world.good(world.admin.create_key("newcomer"))["key"]
            eventually(lambda: call(world.gateway.port, "/nowhere", key).status == 404, "the key is known")
            served = sum(call(world.gateway.port, "/detect", key).status == 200 for _ in range(3))
            self.damaged(world, lambda: copy_of(STORE, kept, world.gateway.data_dir) or "store back",
                         r"(?i)subscriptions? that this store does not know", whole=True)
            with open(os.path.join(world.gateway.data_dir, "set-aside-usage.jsonl"), encoding="utf-8") as lines:
                aside = [json.loads(line) for line in lines]
            self.assertEqual(sum(each["calls_succeeded"] for each in aside), served)
            self.assertEqual(sum(each["free_points"] for each in aside), 5 * served)
            # Whoever gets that subscription's number next is not charged for it.
            world.good(world.admin.put_account("next-one"))
            world.good(world.admin.put_subscription("next-one", "detect", False))
            world.gateway.kill9()
            world.gateway.start()
            self.assertEqual(world.admin.subscription("next-one", "detect")["free_points_left"], 10_000)
            entries += len(aside)
        return f"{entries} entries set aside, 0 charged to others"

    @row("store restored beside a newer write-ahead log", few=2, full=20)
    def test_store_alone(self, rounds):
        """SQLite takes the log for that of the older file. Where nothing was moved from the log into the file between, this is
        as if the file had been left; else the two do not fit, and the start must not take them for books."""
        refused, source = 0, random.Random(3)
        for number in range(rounds):
            world = self.world(SOON)
            kept = self.yesterday_before_the_epoch(world)
            if number % 2 == 0:  # an orderly end moves the log into the file
                self.books_go_on(world, source.randrange(20, 200))
                world.load.quiet()
                world.gateway.terminate()
                world.gateway.start()
            self.books_go_on(world, source.randrange(1, 20))
            world.gateway.kill9()
            world.load.quiet()
            data = world.gateway.data_dir
            self.assertGreater(os.path.getsize(os.path.join(data, "tollgate.db-wal")), 0)
            shutil.copyfile(os.path.join(kept, "tollgate.db"), os.path.join(data, "tollgate.db"))
            refused += self.refused_or_right(world, kept, f"round {number}, seed {world.load.seed}")
        return f"{refused} of {rounds} starts refused, the audit of all others holds"

    def books_go_on(self, world, entries):
        """Usage, and enough else that the store grows."""
        for _ in range(entries):
            world.good(world.admin.put_account(fresh("later")))
            world.good(world.admin.deposit("free-detect", "1.00"))
        world.load.run_for(0.2)

    def refused_or_right(self, world, kept, note):
        """1 when the start was refused; the file is as it was restored then, and without the log it works."""
        before = len(log_of(world.gateway))
        world.gateway.launch()
        eventually(lambda: not world.gateway.alive() or world.gateway.ready(), f"{note}: ready or ended", within=20)
        if not world.gateway.alive():
            self.assertEqual(world.gateway.wait_stopped(), 1, f"{note}: {world.gateway.stderr()}")
            said = "\n".join(log_of(world.gateway)[before:])
            self.assertRegex(said, r"(?s)malformed.*-wal|-wal.*malformed", note)
            data = world.gateway.data_dir
            self.assertTrue(contents(kept, "tollgate.db") == contents(data, "tollgate.db"),
                            f"the start that was refused changed the restored file, {note}")
            os.remove(os.path.join(data, "tollgate.db-wal"))
            world.gateway.start()
            world.check_audit()
            return 1
        world.check_audit()
        return 0

    @row("journal and store restored from yesterday", few=2, full=20)
    def test_both(self, rounds):
        """Of the time between nothing is left; what comes after it is counted, and nothing twice."""
        world, gone = self.world(SOON), 0
        for _ in range(rounds):
            kept = self.yesterday(world, ["journal", *STORE])
            comparison = self.damaged(
                world, lambda: copy_of(["journal", *STORE], kept, world.gateway.data_dir) or "both back", None,
                loss_known=False)
            gone += comparison.calls
        return f"the {gone} calls since yesterday, and 0 after; 0 twice"


class Foreign(DamageTest):
    @row("another gateway's journal", few=2, full=8)
    def test_other_gateway(self, rounds):
        other = World(self, SOON)
        other.load.run_for(0.2)
        other.load.quiet()
        other.gateway.kill9()
        world = self.world(SOON)
        for number in range(rounds):
            world.load.run_for(0.1)
            world.load.quiet()
            world.gateway.terminate()
            comparison = self.damaged(
                world, lambda: copy_of(["journal"], other.gateway.data_dir, world.gateway.data_dir) or "foreign",
                r"(?i)belongs to another store", whole=True, already_down=True)
            self.assertGreater(comparison.calls, 0)
            self.assertEqual(len(self.journal.aside()), number + 1)
        return f"0 lost, 0 twice; {rounds} files set aside"

    @row("the same folder under another gateway's name", few=1, full=4)
    def test_renamed_gateway(self, rounds):
        world = self.world(SOON)
        for number in range(rounds):
            world.load.run_for(0.1)
            world.load.quiet()
            world.gateway.terminate()
            world.gateway.sets["gateway"] = f"renamed-{number}"
            self.damaged(world, lambda: "renamed", r"(?i)belongs to gateway", whole=True, already_down=True)
        return f"0 lost, 0 twice; {len(self.journal.aside())} files set aside"


class SecondProcess(DamageTest):
    @row("a second process on the same folder", few=1, full=5)
    def test_same_folder(self, rounds):
        world = self.world(SOON)
        load, comparison = world.load, Comparison()
        for _ in range(rounds):
            load.run()
            second = Tollgate(world.gateway.sets, data_dir=world.gateway.data_dir)
            self.addCleanup(second.close)
            second.launch()
            self.assertEqual(second.process.wait(30), 1)
            second.wait_stopped()
            self.assertIn("in use by another process", second.stderr())
            load.run_for(0.1)
            load.quiet()
            load.compare(comparison)
            self.assertEqual(comparison.faults, [])
        return f"refused; the first: {comparison}"

    @row("the folder copied to a second process", few=1, full=5)
    def test_copied_folder(self, rounds):
        """Two gateways then, each with books of its own: both start, both count what they serve, neither the other's."""
        comparison, others = Comparison(), Comparison()
        for number in range(rounds):
            world = self.world(LATE)
            world.load.run_for(0.2)
            world.load.quiet()
            if number % 2:
                world.gateway.terminate()
            target = os.path.join(folder(self), "data")
            shutil.copytree(world.gateway.data_dir, target)
            second = Tollgate(world.gateway.sets, data_dir=target)
            self.addCleanup(second.close)
            second.start()
            if not world.gateway.alive():
                world.gateway.start()
            copies = [Subscription(each.account, each.service, each.key, each.cost, each.kind)
                      for each in world.subscriptions]
            load = Load(second, world.model, copies, 1)
            self.addCleanup(load.end)
            # What the copy took over is what the first had served by then.
            for mine, theirs in zip(copies, world.subscriptions, strict=True):
                mine.before = dict(theirs.before)
                mine.sent, mine.answered, mine.seen, mine.served = theirs.sent, theirs.answered, theirs.seen, theirs.served
            load.compare(others)
            self.assertEqual(others.faults, [], "what the copy took over")
            world.load.run()
            load.run_for(0.2)
            world.load.quiet()
            load.quiet()
            world.load.compare(comparison)
            load.compare(others)
            self.assertEqual(comparison.faults + others.faults, [])
            world.check_audit()
            self.assertIs(second.admin.audit()["ok"], True)
        return f"the first: {comparison}; the copy: {others}"


if __name__ == "__main__":
    unittest.main()
