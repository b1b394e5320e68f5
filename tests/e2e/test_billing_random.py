"""Seeded random histories of accounts against an independent calculator (billing_model.py): after each step of the
clock every balance, package, tier position, bill, state and notification must be equal.

E2E_BILLING_SEED=n replays a seed; E2E_BILLING_OPERATIONS=n sets the operations per history (10000: the full run);
E2E_BILLING_START picks one history."""

import os
import random
import re
import unittest
from pathlib import Path

from billing_model_history import LEGACY, POINTS, START, History
from harness import REPOSITORY, Tollgate

OPERATIONS = int(os.environ.get("E2E_BILLING_OPERATIONS", "600"))


def plans(folder):
    """The shipped price lists; but a call of the older one costs more than its points do in the newer."""
    new, old = (REPOSITORY / "conf" / "plans" / f"{name}.yaml" for name in (POINTS, LEGACY))
    changed = re.sub(r"(yuan_per_call: 0\.\d+)", r"\g<1>3", old.read_text("utf-8"))
    assert changed != old.read_text("utf-8")
    Path(folder, old.name).write_text(changed, "utf-8")
    return str(new), str(Path(folder, old.name))


class RandomHistories(unittest.TestCase):
    def history(self, start):
        if os.environ.get("E2E_BILLING_START", start) != start:
            self.skipTest("another history was asked for")
        seed = int(os.environ.get("E2E_BILLING_SEED") or random.randrange(2 ** 32))
        print(f"{start}: E2E_BILLING_SEED={seed} E2E_BILLING_OPERATIONS={OPERATIONS}", flush=True)
        gateway = Tollgate({"billing.clock": "manual"})
        self.addCleanup(gateway.close)
        gateway.sets["billing.plans"] = ",".join(plans(gateway.folder))
        gateway.start()
        # A short history makes longer steps, so that it sees as many ends of months as a long one.
        history = History(gateway, seed, start, pace=max(1.0, 2000 / OPERATIONS))
        history.run(OPERATIONS, kills=1 + OPERATIONS // 2000)
        print(f"{start}: {history.done} operations, {history.clock_steps} steps of the clock, "
              f"{history.log[-1].split()[0]}", flush=True)

    def test_over_the_price_change(self):
        self.history("price change")

    def test_over_a_leap_day(self):
        self.history("leap day")

    def test_over_a_year_s_end(self):
        self.history("a year's end")


assert set(START) == {"price change", "leap day", "a year's end"}

if __name__ == "__main__":
    unittest.main()
