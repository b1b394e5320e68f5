"""Runs the rows of the fault battery and prints the table: `run.py [--rounds N] [ROW...]`. A ROW is a part of a row's name,
or of its module's. Exit status 1 when a row does not hold; what is skipped is said, and is no fault of the product."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def cases(suite):
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from cases(each)
        else:
            yield each


def rows(wanted):
    """[(row's name, module.Class.method)] of all rows that were asked for, in the order of the files."""
    found = []
    for path in sorted(FOLDER.glob("*_test.py")):
        for case in cases(unittest.defaultTestLoader.loadTestsFromName(path.stem)):
            name = getattr(getattr(case, case._testMethodName), "row", None)
            if name and (not wanted or any(part in name or part in path.stem for part in wanted)):
                found.append((name, case.id()))
    return found


def run(name, identity, results):
    """The row in a process of its own; what it wrote about itself."""
    before = os.path.getsize(results)
    begun = time.monotonic()
    outcome = subprocess.run([sys.executable, "-B", "-m", "unittest", identity], cwd=FOLDER, capture_output=True,
                             text=True, check=False)
    with open(results, encoding="utf-8") as lines:
        lines.seek(before)
        written = [json.loads(line) for line in lines]
    verdict = written[-1] if written else {"row": name, "rounds": 0, "held": False, "why": "it ended without a word"}
    if outcome.returncode != 0:
        verdict["held"] = False
        verdict.setdefault("why", outcome.stderr.strip().splitlines()[-1])
        print(outcome.stdout + outcome.stderr, file=sys.stderr)
    verdict["seconds"] = time.monotonic() - begun
    return verdict


def print_row(name, rounds, held, what):
    print(f"| {name:<50} | {rounds:>6} | {held:<8} | {what}", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="./dev faults", description=__doc__)
    parser.add_argument("--rounds", type=int, help="instead of each row's own number")
    parser.add_argument("--few", action="store_true", help="as few rounds as ctest runs")
    parser.add_argument("row", nargs="*")
    arguments = parser.parse_args()
    os.environ["FAULTS_FULL"] = "0" if arguments.few else "1"
    if arguments.rounds:
        os.environ["FAULTS_ROUNDS"] = str(arguments.rounds)
    sys.path.insert(0, str(FOLDER))
    found = rows(arguments.row)
    if not found:
        sys.exit(f"no row {' '.join(arguments.row)}")
    failed = 0
    with tempfile.NamedTemporaryFile("w", prefix="tollgate-faults-") as results:
        os.environ["FAULTS_RESULTS"] = results.name
        print_row("row", "rounds", "held", "measured loss")
        print_row("-" * 50, "-" * 6, "-" * 8, "-" * 40)
        for name, identity in found:
            verdict = run(name, identity, results.name)
            held = {True: "held", False: "NOT HELD", None: "skipped"}[verdict["held"]]
            failed += verdict["held"] is False
            print_row(name, verdict["rounds"], held, verdict.get("why") or verdict["loss"])
    print(f"{len(found)} rows, {failed} not held")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
