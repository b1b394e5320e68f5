"""No change makes a call cost more unnoticed: instructions, allocations and system calls for each call in steady state may grow
by a twentieth of baseline.json. Whoever makes it cheaper lowers the baseline with the same change: `counts.py` prints it."""

import json
import os
import unittest

import counts

HERE = os.path.dirname(os.path.abspath(__file__))
CALLS = 960
SLACK = 1.05


def judge(found, baseline):
    """What grew by more than the slack. What the baseline does not name must not be there at all, but for a trace of it."""
    return {name: value for name, value in found.items() if value > max(baseline.get(name, 0.0) * SLACK, 0.05)}


class Judge(unittest.TestCase):
    def test_a_twentieth_more_is_seen_and_less_is_not(self):
        self.assertEqual(judge({"instructions": 1049, "allocations": 0.01}, {"instructions": 1000}), {})
        self.assertEqual(judge({"instructions": 1051}, {"instructions": 1000}), {"instructions": 1051})

    def test_what_was_not_there_before_is_seen(self):
        self.assertEqual(judge({"allocations": 1.0, "futex": 0.2}, {"instructions": 1000}), {"allocations": 1.0, "futex": 0.2})

    def test_a_profile_is_read_as_callgrind_writes_it(self):
        instructions, calls = counts.profile("fn=(1) serve\n10 5\ncfn=(2) malloc\ncalls=3 10\n10 50\ncfn=(2)\ncalls=1 10\n10 9\ntotals: 64\n")
        self.assertEqual((instructions, dict(calls)), (64, {"malloc": 4}))


class Gates(unittest.TestCase):
    def setUp(self):
        with open(f"{HERE}/baseline.json", encoding="ascii") as file:
            self.baseline = json.load(file)[os.environ["GATES_BUILD"]]

    def held(self, in_flight):
        found = counts.per_call(CALLS, in_flight)
        self.assertGreater(found["instructions"], 1000, "nothing was counted")
        self.assertEqual(judge(found, self.baseline[str(in_flight)]), {}, f"grown: {found}")

    def test_a_call_alone(self):
        self.held(1)

    def test_sixteen_calls_at_once(self):
        self.held(16)


if __name__ == "__main__":
    unittest.main()
