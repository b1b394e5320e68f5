"""That the soak sees what it is there to see (a lost call, one counted twice, one invented, memory that grows), and a short
run of it. It asserts no speed."""

import os
import tempfile
import unittest

import run
from traffic import Client, Until
from trouble import Trouble
from truth import Book, Truth
from watch import flat, judge_growth, judge_memory, slope

import wire
from wire import Response


def answer(status=200, truncated=False, code=None):
    headers = [("cache-control", "no-store"), ("content-type", "application/problem+json")] if code else []
    response = Response(status, "", headers, "HTTP/1.1")
    response.body, response.truncated = (f'{{"code":"{code}"}}'.encode() if code else b"{}"), truncated
    return response


def got(succeeded=0, failed=0, free=0, billable=0, unmetered=0):
    return {"calls_succeeded": succeeded, "calls_failed": failed, "calls_unmetered": unmetered, "free_points": free,
            "billable_points": billable}


class TheBooks(unittest.TestCase):
    def setUp(self):
        self.book = Book("acme", "detect", 5, "paid")
        for _ in range(3):
            self.book.told(self.book.begin(), answer())
        self.book.told(self.book.begin(), answer(404))
        self.book.told(self.book.begin(), answer(429, code="limit_reached"))

    def faults(self, exact=True, **counted):
        return self.book.compare(got(**counted), exact)[1]

    def test_what_was_told_is_what_must_be_counted(self):
        self.assertEqual(self.faults(succeeded=3, failed=1, billable=15), [])

    def test_a_lost_a_repeated_and_an_invented_call_are_seen(self):
        self.assertTrue(self.faults(succeeded=2, failed=1, billable=10))
        self.assertTrue(self.faults(succeeded=4, failed=1, billable=20))
        self.assertTrue(self.faults(succeeded=3, failed=2, billable=15))

    def test_a_success_counted_as_a_failure_and_wrong_points_are_seen(self):
        self.assertTrue(self.faults(succeeded=2, failed=2, billable=10))
        self.assertTrue(self.faults(succeeded=3, failed=1, billable=14))
        self.assertTrue(self.faults(succeeded=3, failed=1, billable=15, free=5))

    def test_a_call_that_nobody_knows_the_end_of_is_a_bound_and_no_more(self):
        number = self.book.begin()
        for allowed in (got(3, 1, 0, 15), got(3, 2, 0, 15), got(4, 1, 0, 20)):
            self.assertEqual(self.book.compare(allowed, True)[1], [])
        self.assertTrue(self.faults(succeeded=5, failed=1, billable=25))
        self.book.seen(number, 500, True)  # it reached the upstream, which answered a failure
        self.assertTrue(self.faults(succeeded=3, failed=1, billable=15))
        self.assertTrue(self.faults(succeeded=4, failed=1, billable=20))
        self.assertEqual(self.faults(succeeded=3, failed=2, billable=15), [])

    def test_a_refused_call_at_an_upstream_is_seen(self):
        self.assertTrue(self.book.seen(5, 200, True))
        self.assertTrue(self.faults(succeeded=3, failed=1, billable=15))

    def test_a_record_that_nobody_caused_is_seen(self):
        truth = Truth()
        truth.add(self.book)
        for headers, target in (({"x-account": "acme", "x-service": "detect"}, "/detect?n=77"), ({}, "/detect?n=1"),
                                ({"x-account": "acme", "x-service": "detect"}, "/detect/smuggled")):
            before = len(truth.violations)
            truth.note({"headers": headers, "target": target, "status": 200})
            self.assertEqual(len(truth.violations), before + 1, target)


class Flatness(unittest.TestCase):
    def test_growth_is_seen_and_noise_is_not(self):
        noise = [30_000 + (index * 7919) % 900 for index in range(200)]
        self.assertTrue(flat(noise)[2])
        self.assertTrue(flat([10_000 + min(index, 40) * 500 for index in range(200)])[2], "warm-up in the first quarter")
        self.assertFalse(flat([each + 100 * index for index, each in enumerate(noise)])[2])

    def test_the_slope_does_not_mind_peaks(self):
        self.assertAlmostEqual(slope([(at, 100 + at * 2 + (5000 if at % 50 == 0 else 0)) for at in range(300)]), 2, 1)

    def test_a_hundred_bytes_lost_with_each_request_are_seen_and_a_warm_up_is_not(self):
        def grown(leaked):
            samples = [{"life": 1, "at": 2 * at, "requests": 600 * at,
                        "anon_kb": 5_000 + min(at, 20) * 100 + at // 20 * 300 + (at * 7919) % 90 + 600 * at * leaked / 1024}
                       for at in range(60)]
            return [good for _, _, good in judge_growth(samples)]
        self.assertEqual(grown(0), [True])
        self.assertEqual(grown(100), [False])

    def test_short_lives_are_not_judged(self):
        samples = [{"life": life, "at": at + 1000 * life, "anon_kb": 10 * at, "slots_used": 1, "threads": 6}
                   for life, length in ((1, 20), (2, 120)) for at in range(length)]
        self.assertEqual({row["life"] for row in judge_memory(samples, 64)}, {2})


class Service(unittest.TestCase):
    """What clients were not given is seen, and told apart from what a fault explains."""

    class World:
        seed = 1

    class Faults:
        begun = 0.0

        def __init__(self, *windows):
            self.windows = windows

        disturbed = Trouble.disturbed

    def rows(self, told, *windows, seconds=10.0):
        found = {}
        witness = type("Witness", (), {"pace": 1.0, "calls": [(at, at + 0.1, told.get(at, "200")) for at in range(10)]})()
        run.judge_witnesses(lambda what, _, holds, must: found.__setitem__(what, holds), [witness], self.Faults(*windows), seconds, 1.0)
        return found["paid calls within the guarantee"], found["paid calls made"]

    def test_a_paid_call_that_was_refused_is_seen_unless_a_fault_explains_it(self):
        self.assertEqual(self.rows({}), (True, True))
        self.assertEqual(self.rows({4: "503 no_capacity"}), (False, True))
        self.assertEqual(self.rows({4: "502 upstream_unreachable"}, (3.5, 6.0, "upstream_killed")), (True, True))
        self.assertEqual(self.rows({8: "502 upstream_unreachable"}, (3.5, 6.0, "upstream_killed")), (False, True))
        self.assertEqual(self.rows({}, seconds=60.0), (True, False), "too few of them")

    def test_what_no_answer_should_be_is_told_apart(self):
        until = Until()
        errors = [AssertionError("bad field line"), ValueError("invalid literal for int() with base 16"), wire.Closed("reset"),
                  ConnectionRefusedError(), TimeoutError()]

        class One(Client):
            def turn(self):
                if not errors:
                    until.event.set()
                else:
                    raise errors.pop(0)
        client = One(self.World(), until, "one", "127.0.0.2", 1000.0)
        client.thread.join(60)
        self.assertEqual([len(each) for each in (client.malformed, client.broken_off, client.silent)], [2, 2, 1])


class Short(unittest.TestCase):
    def test_a_short_soak_holds(self):
        with tempfile.TemporaryDirectory() as folder:
            seconds = float(os.environ.get("SOAK_SECONDS", "20"))
            self.assertEqual(run.main([str(seconds / 60), "--rate", "60", "--out", f"{folder}/result.json"]), 0)


if __name__ == "__main__":
    unittest.main()
