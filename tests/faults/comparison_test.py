"""The battery's own arithmetic: that a lost call, one counted twice and one invented are seen for what they are."""

import unittest

import battery  # noqa: F401
from load import Comparison, Subscription


def three_calls(kind):
    """1 answered, 2 served but cut off by the fault, 3 sent and never seen: at 5 points each."""
    subscription = Subscription("account", "service", "key", 5, kind)
    subscription.sent, subscription.answered = {1: 0.0, 2: 0.0, 3: 0.0}, {1: 0.0}
    subscription.seen, subscription.served = {1, 2}, {1, 2}
    return subscription


def compared(kind, succeeded, failed, free, billable, unmetered=0):
    comparison = Comparison()
    comparison.add(three_calls(kind), {
        "calls": succeeded + failed + unmetered, "calls_succeeded": succeeded, "calls_failed": failed,
        "calls_unmetered": unmetered, "free_points": free, "billable_points": billable, "points": free + billable})
    return comparison


class Bounds(unittest.TestCase):
    def held(self, comparison):
        self.assertEqual((comparison.faults, comparison.lost_points, comparison.twice_points), ([], 0, 0))

    def test_calls_in_flight_may_or_may_not_be_there(self):
        self.held(compared("free", 1, 1, 10, 0))
        self.held(compared("free", 2, 1, 15, 0))
        self.held(compared("paid", 1, 1, 0, 5))
        self.held(compared("paid", 2, 1, 0, 10))
        self.held(compared("mixed", 1, 1, 7, 3))
        self.held(compared("unmetered", 0, 1, 0, 0, unmetered=1))

    def test_a_lost_call(self):
        self.assertEqual(compared("free", 1, 0, 5, 0).lost_points, 5)
        self.assertEqual(compared("paid", 0, 2, 0, 0).lost_points, 5)
        self.assertEqual(compared("mixed", 0, 0, 0, 0).lost_points, 5)
        self.assertTrue(compared("unmetered", 0, 2, 0, 0).faults)
        self.assertTrue(compared("paid", 1, 0, 0, 5).faults, "a call the upstream saw is a call, whatever it costs")

    def test_a_call_counted_twice(self):
        self.assertEqual(compared("free", 2, 2, 20, 0).twice_points, 5)
        self.assertEqual(compared("paid", 3, 0, 0, 15).twice_points, 5)
        self.assertEqual(compared("mixed", 2, 1, 10, 10).twice_points, 5)
        self.assertTrue(compared("unmetered", 0, 0, 0, 0, unmetered=3).faults)

    def test_what_no_such_subscription_can_have(self):
        self.assertTrue(compared("free", 1, 1, 5, 5).faults)
        self.assertTrue(compared("unmetered", 1, 1, 5, 0).faults)


if __name__ == "__main__":
    unittest.main()
