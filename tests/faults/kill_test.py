"""kill -9: at random instants under load, and at each step that must not be seen half done. The ledger must equal what
the upstream served, after every single round."""

import random
import unittest

import battery
from battery import row
from load import Comparison, World


class RandomKills(unittest.TestCase):
    @row("kill -9 at random under load", few=10, full=200)
    def test_at_random_instants(self, rounds):
        # Collecting and syncing often puts the kill between their steps more often.
        world = World(self, {"journal.collect_interval_ms": 15, "journal.sync_interval_ms": 10})
        load, comparison = world.load, Comparison()
        source = random.Random(load.seed)
        print(f"seed {load.seed}", flush=True)
        for number in range(rounds):
            load.run_for(source.uniform(0.05, 0.4))
            world.gateway.kill9()
            load.quiet()
            world.gateway.start()
            load.compare(comparison)
            self.assertEqual(comparison.faults, [], f"round {number}, seed {load.seed}")
        self.assertGreater(comparison.calls, 20 * rounds, "there was a load")
        world.check_audit()
        return str(comparison)


if __name__ == "__main__":
    unittest.main()
