"""A kill at each named step between a count and the money: the start after it goes on as if the step had never begun, or
had ended."""

import os
import unittest
from contextlib import ExitStack
from random import Random

from battery import launch_to_die, need_fail_points, row, wait_killed
from billing_model_units import micro
from harness import eventually
from load import POINT_YUAN, START, Comparison, World, next_hour
from wire import Closed, Connection

OFTEN = {"journal.collect_interval_ms": 10, "journal.sync_interval_ms": 10}


class KillPoints(unittest.TestCase):
    def setUp(self):
        need_fail_points()

    def kills(self, rounds, name, world=None):
        """The point's first pass, its second, and so on, each under load and each followed by a comparison."""
        world = world or World(self, OFTEN)
        load, comparison = world.load, Comparison()
        load.run_for(0.2)
        for number in range(1, rounds + 1):
            plan = f"{name}=kill@{number}"
            load.quiet()
            world.gateway.terminate()
            launch_to_die(world.gateway, plan)
            load.run()
            wait_killed(self, world.gateway, plan)
            load.quiet()
            world.gateway.start()
            load.compare(comparison)
            self.assertEqual(comparison.faults, [], f"{plan}, seed {load.seed}")
        load.run_for(0.2)
        load.quiet()
        load.compare(comparison)
        self.assertEqual(comparison.faults, [], f"after {name}, seed {load.seed}")
        world.check_audit()
        return str(comparison)

    @row("kill at epoch.open", few=1, full=3)
    def test_epoch_open(self, rounds):
        return self.at_start("epoch.open", rounds)

    @row("kill at epoch.opened", few=1, full=3)
    def test_epoch_opened(self, rounds):
        return self.at_start("epoch.opened", rounds)

    def at_start(self, name, rounds):
        """A start passes these once: usage of the process before, which was killed too, is still in the journal."""
        world = World(self, {"journal.collect_interval_ms": 60_000})
        load, comparison = world.load, Comparison()
        for _ in range(rounds):
            load.run_for(0.2)
            world.gateway.kill9()
            load.quiet()
            launch_to_die(world.gateway, f"{name}=kill@1")
            wait_killed(self, world.gateway, name)
            world.gateway.start()
            load.compare(comparison)
            self.assertEqual(comparison.faults, [], f"{name}, seed {load.seed}")
        self.assertGreater(comparison.calls, 0)
        world.check_audit()
        return str(comparison)

    @row("kill at report.merge", few=2, full=10)
    def test_report_merge(self, rounds):
        return self.kills(rounds, "report.merge")

    @row("kill at report.merged", few=2, full=10)
    def test_report_merged(self, rounds):
        return self.kills(rounds, "report.merged")

    @row("kill at collector.acknowledge", few=2, full=10)
    def test_acknowledge(self, rounds):
        return self.kills(rounds, "collector.acknowledge")

    @row("kill at journal.sync", few=2, full=10)
    def test_journal_sync(self, rounds):
        return self.kills(rounds, "journal.sync")

    @row("kill at store.checkpoint", few=1, full=5)
    def test_checkpoint(self, rounds):
        return self.kills(rounds, "store.checkpoint", World(self, {**OFTEN, "journal.collect_interval_ms": 2}))

    @row("kill at journal.create", few=1, full=3)
    def test_journal_create(self, rounds):
        world = World(self, OFTEN)
        load, comparison = world.load, Comparison()
        for _ in range(rounds):
            load.run_for(0.1)
            load.quiet()
            # The orderly end leaves nothing in the journal that is not merged: a new one is begun, and that is cut off.
            world.gateway.terminate()
            os.remove(os.path.join(world.gateway.data_dir, "journal"))
            launch_to_die(world.gateway, "journal.create=kill@1")
            wait_killed(self, world.gateway, "journal.create")
            world.gateway.start()
            load.run_for(0.2)
            load.quiet()
            load.compare(comparison)
            self.assertEqual(comparison.faults, [], f"seed {load.seed}")
        world.check_audit()
        return str(comparison)

    @row("kill at journal.grow", few=1, full=3)
    def test_journal_grow(self, rounds):
        """A slot for each subscription and worker: so many of both that 1,024 slots do not do."""
        comparison = Comparison()
        for _ in range(rounds):
            world = World(self, {**OFTEN, "journal.slots": 1024, "workers": 8}, kinds=("many",), clients_each=0)
            load = world.load
            world.gateway.terminate()
            launch_to_die(world.gateway, "journal.grow=kill@1")
            eventually(world.gateway.ready, "it is up")
            self.call_on_every_worker(world, lambda: not world.gateway.alive())
            wait_killed(self, world.gateway, "journal.grow=kill@1")
            load.quiet()
            world.gateway.start()
            load.compare(comparison)
            self.assertEqual(comparison.faults, [])
            slots = [world.admin.metric("journal_slots")]

            def grown():
                slots.append(world.admin.metric("journal_slots"))
                return slots[-1] > slots[0]
            self.call_on_every_worker(world, grown)
            eventually(grown, lambda: f"it grows in the end, it has {slots[-1]} slots")
            load.quiet()
            load.compare(comparison)
            self.assertEqual(comparison.faults, [])
        return str(comparison)

    def call_on_every_worker(self, world, enough):
        """Each service on connection after connection: whichever worker has it, it takes a slot for each."""
        with ExitStack() as opened:
            for _ in range(100):
                if enough():
                    return
                try:
                    connection = opened.enter_context(Connection(world.gateway.port))
                    for each in world.load.subscriptions:
                        world.load.one_call(connection, each, Random(1))
                except (OSError, Closed):
                    return  # the kill

    @row("kill at settle.commit", few=2, full=10)
    def test_settle_commit(self, rounds):
        return self.settling("settle.commit", rounds)

    @row("kill at settle.committed", few=2, full=10)
    def test_settle_committed(self, rounds):
        return self.settling("settle.committed", rounds)

    def settling(self, name, rounds):
        """The hour ends under load and the process dies in its settlement: each point is charged, and once."""
        world = World(self, {**OFTEN, "billing.clock": "manual"}, start=START)
        load, comparison = world.load, Comparison()
        paid = {each: micro(world.admin.account(each.account)["cash"]) for each in load.subscriptions}
        for _ in range(rounds):
            load.run_for(0.2)
            load.quiet()
            world.gateway.terminate()
            launch_to_die(world.gateway, f"{name}=kill@1")
            eventually(world.gateway.ready, "it is up")
            load.run_for(0.1)
            next_hour(world)
            wait_killed(self, world.gateway, name)
            load.quiet()
            world.gateway.start()
            load.compare(comparison)
            self.assertEqual(comparison.faults, [], f"{name}, seed {load.seed}")
        next_hour(world)
        for each, before in paid.items():
            billable = load.totals(each)["billable_points"]
            charged = before - micro(world.admin.account(each.account)["cash"])
            self.assertEqual(charged, billable * POINT_YUAN, f"{each.account}: {billable} points, {name}")
        world.check_audit()
        return str(comparison)


if __name__ == "__main__":
    unittest.main()
