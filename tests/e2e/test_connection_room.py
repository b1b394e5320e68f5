"""At limits.connections_max, and when descriptors run out, the connection that has idled longest makes room for a new one.
Whoever carries a call stays, and whoever is at its own address's limit pushes nobody out."""

import resource
import unittest

import wire
from descriptors import of_workers
from gated import GatedUpstream
from harness import AUTODL, GatewayTest, eventually
from wire import Connection


class RoomTest(GatewayTest):
    def connect(self):
        connection = Connection(self.port)
        self.addCleanup(connection.close)
        return connection

    def answered(self, connection):
        connection.send_all_or_closed(wire.request("GET", "/nowhere", self.port, self.key))
        try:
            return connection.response().status == 404
        except (wire.Closed, OSError):
            return False

    def idle(self):
        """A connection that was answered and now says nothing."""
        connection = self.connect()
        self.assertTrue(self.answered(connection))
        return connection

    def alone(self, account):
        self.key = account.key
        eventually(lambda: self.admin.metric("client_connections") == 0, "no connection is left of the set-up")

    def counted(self):
        return tuple(self.admin.metric(f"client_connections_{what}_total")
                     for what in ("evicted", "refused", "refused_by_address"))


class Maximum(RoomTest):
    sets = {"workers": 1, "limits.connections_max": 3}

    def gated(self):
        upstream = GatedUpstream()
        self.addCleanup(upstream.close)
        service, account = self.one(AUTODL, paid=True, upstreams=[upstream.address])
        self.alone(account)

        def begin():
            connection = self.connect()
            held = upstream.held
            connection.send(wire.request("GET", service.path, self.port, account.key))
            eventually(lambda: upstream.held == held + 1, "in flight")
            return connection
        return upstream, begin

    def test_the_longest_idle_goes_and_a_call_in_flight_stays(self):
        upstream, begin = self.gated()
        busy, first, second = begin(), self.idle(), self.idle()
        evicted, refused, _ = self.counted()
        third = self.idle()
        self.assertTrue(first.at_end())
        self.assertTrue(self.answered(second))
        self.idle()
        self.assertTrue(third.at_end(), "the second has been used since")
        self.assertTrue(self.answered(second))
        self.assertEqual(self.counted(), (evicted + 2, refused, 0))
        self.assertEqual(self.admin.metric("client_connections"), 3)
        upstream.open()
        self.assertEqual(busy.response().status, 200)

    def test_without_an_idle_one_the_new_one_is_closed(self):
        upstream, begin = self.gated()
        busy = [begin() for _ in range(3)]
        evicted, refused, _ = self.counted()
        self.assertFalse(self.answered(self.connect()))
        self.assertEqual(self.counted(), (evicted, refused + 1, 0))
        upstream.open()
        self.assertEqual([connection.response().status for connection in busy], [200] * 3)


class OfOneAddress(RoomTest):
    sets = {"workers": 1, "limits.connections_max": 3, "limits.connections_per_address_max": 3}

    def test_an_address_at_its_limit_pushes_nobody_out(self):
        _, account = self.one(AUTODL, paid=True)
        self.alone(account)
        kept = [self.idle() for _ in range(3)]
        self.assertFalse(self.answered(self.connect()))
        self.assertEqual(self.counted(), (0, 0, 1))
        self.assertTrue(all(self.answered(connection) for connection in kept))


class OutOfDescriptors(RoomTest):
    sets = {"workers": 1}

    def test_a_new_client_is_served_in_place_of_an_idle_one(self):
        _, account = self.one(AUTODL, paid=True)
        self.alone(account)
        self.idle().close()
        process = self.gateway.process.pid
        before = resource.prlimit(process, resource.RLIMIT_NOFILE)
        open_now = of_workers(process)[0]
        resource.prlimit(process, resource.RLIMIT_NOFILE, (open_now + 3, before[1]))
        try:
            served = [self.idle() for _ in range(20)]
            self.assertTrue(served[0].at_end())
            self.assertTrue(self.answered(served[-1]))
        finally:
            resource.prlimit(process, resource.RLIMIT_NOFILE, before)
        evicted, refused, _ = self.counted()
        self.assertGreaterEqual(evicted, 10)
        self.assertEqual(refused, 0)


if __name__ == "__main__":
    unittest.main()
