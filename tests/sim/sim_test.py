#!/usr/bin/env python3
"""The simulation is itself tested: planted bugs are found and named, and a seed is always the same history."""
import os
import re
import subprocess
import unittest


def run(program, *arguments):
    done = subprocess.run([os.environ[program], *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


class Simulation(unittest.TestCase):
    def test_usage_that_is_lost_on_its_way_into_the_store_is_found(self):
        code, out, _ = run("SIM_CANARY", "--seeds", "20")
        self.assertEqual(code, 3, out)
        self.assertRegex(out, r"(?m)^BROKEN seed \d+ step \d+: .*usage was lost")

    def test_a_report_that_is_counted_twice_is_found(self):
        code, out, _ = run("SIM_CANARY_REPEAT", "--seeds", "20")
        self.assertEqual(code, 3, out)
        self.assertRegex(out, r"(?m)^BROKEN seed \d+ step \d+: .*usage was counted twice")

    def test_without_a_planted_bug_the_same_seeds_hold(self):
        code, out, _ = run("SIM", "--seeds", "20")
        self.assertEqual(code, 0, out)
        self.assertIn(" 0 broken", out)

    def test_the_same_seeds_are_the_same_histories(self):
        first = run("SIM", "--seeds", "10", "--from", "7")
        self.assertEqual(first, run("SIM", "--seeds", "10", "--from", "7"))
        self.assertRegex(first[1], r"trajectory [0-9a-f]{16}")
        self.assertNotEqual(first, run("SIM", "--seeds", "10", "--from", "8"))

    def test_a_broken_seed_alone_breaks_in_the_same_way_and_shows_its_steps(self):
        for program in ("SIM_CANARY", "SIM_CANARY_REPEAT"):
            line, seed, step = re.search(r"(?m)^(BROKEN seed (\d+) step (\d+): .*)$", run(program, "--seeds", "20")[1]).groups()
            code, out, _ = run(program, "--from", seed, "--trace")
            self.assertEqual(code, 3)
            self.assertIn(line, out)
            self.assertRegex(out, rf"(?m)^ *{step} 2021-0[89]-\d\dT")

    def test_arguments_that_make_no_sense_are_refused(self):
        for arguments in (["--seeds"], ["--seeds", "many"], ["--what", "1"], ["--steps", "-"]):
            self.assertEqual(run("SIM", *arguments)[0], 2, arguments)


if __name__ == "__main__":
    unittest.main(verbosity=2)
