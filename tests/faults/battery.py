"""The rows of the fault battery as unit tests: how many rounds a row runs, why it is skipped, and the one line of JSON
that it writes about itself. What a row does and expects is in the *_test.py beside it."""

import functools
import json
import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from harness import program  # noqa: E402  (the path comes first)

FULL = os.environ.get("FAULTS_FULL") == "1"


def write_result(name, rounds, held, **more):
    """For `./dev faults`; ctest needs only the test's own verdict."""
    path = os.environ.get("FAULTS_RESULTS")
    if path:
        with open(path, "a", encoding="utf-8") as results:
            results.write(json.dumps({"row": name, "rounds": rounds, "held": held, **more}) + "\n")


def row(name, few=1, full=None):
    """A row: the test method is called with the number of rounds, few in ctest and all of them in ./dev faults, and
    returns the loss that it measured, as a short text."""
    def decorate(method):
        @functools.wraps(method)
        def test(self):
            wanted = (full or few) if FULL else few
            rounds = int(os.environ.get("FAULTS_ROUNDS") or wanted)
            try:
                loss = method(self, rounds)
            except unittest.SkipTest as why:
                write_result(name, 0, None, why=str(why))
                raise
            except BaseException as error:
                text = str(error).strip().splitlines() or [type(error).__name__]
                write_result(name, rounds, False, why=text[0][:300])
                raise
            write_result(name, rounds, True, loss=loss or "0")
        test.row = name
        return test
    return decorate


@functools.cache
def fail_points_compiled():
    """Only a build with fail points minds a wrong plan."""
    outcome = subprocess.run([program("TOLLGATE_BIN", "tollgate"), "--version"], capture_output=True, check=False,
                             env={**os.environ, "TOLLGATE_FAIL": "no.such.point=kill"})
    return outcome.returncode != 0


def need_fail_points():
    if not fail_points_compiled():
        raise unittest.SkipTest("built without fail points (TOLLGATE_FAIL_POINTS)")


def sanitized():
    """AddressSanitizer and ThreadSanitizer want to be the first library of a process, and their own signals."""
    with open(program("TOLLGATE_BIN", "tollgate"), "rb") as binary:
        text = binary.read()
    return b"__asan_init" in text or b"__tsan_init" in text


def preloaded(library):
    """The path of a library of ours that is loaded before all others; all of them lie where CLOCK_SHIFT's does."""
    path = os.path.join(os.path.dirname(os.environ.get("CLOCK_SHIFT", "")), f"lib{library}.so")
    if sanitized():
        raise unittest.SkipTest("a sanitizer wants to be the first library of its process")
    if not os.path.exists(path):
        raise unittest.SkipTest(f"lib{library}.so is not built, or not in the folder that CLOCK_SHIFT names")
    return path


def launch_to_die(gateway, plan):
    """Starts it with the plan armed; it must die of it, at once or under the load that runs."""
    gateway.environment["TOLLGATE_FAIL"] = plan
    gateway.launch()


def wait_killed(test, gateway, plan):
    del gateway.environment["TOLLGATE_FAIL"]
    try:
        code = gateway.process.wait(30)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"{plan} was never reached") from None
    test.assertEqual(code, -signal.SIGKILL, f"{plan}: {gateway.stderr()}")
    gateway.wait_stopped()
