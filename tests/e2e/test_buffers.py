"""One budget for what all calls hold in buffers: beyond it new calls are refused, free ones first, and those that have
begun go on; what was held is given back."""

import unittest
import zlib

import wire
from harness import AUTODL, GatewayTest, eventually
from wire import Connection

BLOCK = 128 * 1024  # what a long answer to a client that takes nothing holds
BODY = 8 << 20      # more than the sockets between take


class Budget(GatewayTest):
    sets = {"workers": 1, "limits.buffer_bytes_max": BLOCK + BLOCK // 4, "limits.head_bytes_max": 32 * 1024}

    def held(self):
        return self.admin.metric("buffer_bytes")

    def hold(self, service, account, holders):
        """A client that asks for a long answer and takes nothing of it; the gateway then holds one block more."""
        connection = Connection(self.port, receive_buffer=4096)
        self.addCleanup(connection.close)
        connection.send(wire.request("GET", service.path, self.port, account.key,
                                     fields={"X-Fake-Response-Bytes": BODY}))
        eventually(lambda: self.held() == holders * BLOCK, lambda: f"{holders} blocks held, not {self.held()} bytes")
        return connection

    def refused_calls(self):
        return self.admin.metric("refusals_total", reason="buffers_full")

    def test_free_calls_go_first_then_paid_ones_and_what_has_begun_goes_on(self):
        service = self.service(AUTODL)
        paid, free = self.account(service, paid=True), self.account(service)
        eventually(lambda: self.held() == 0, "nothing is held")
        first = self.hold(service, paid, 1)
        self.refused(free.call(service), 503, "no_capacity")
        self.assertEqual(paid.call(service).status, 200)
        second = self.hold(service, paid, 2)
        before = self.refused_calls()
        reached = len(self.model.record(service.id))
        answer = paid.call(service, method="POST", body=b"x" * 1000)
        self.refused(answer, 503, "no_capacity")
        self.assertTrue(answer.header("retry-after"))
        self.assertEqual(answer.header("connection"), "keep-alive")
        self.assertEqual(self.refused_calls(), before + 1)
        self.assertEqual(len(self.model.record(service.id)), reached)
        for connection in (first, second):
            answer = connection.response()
            self.assertFalse(answer.truncated)
            self.assertEqual(len(answer.body), BODY)
        eventually(lambda: self.held() == 0, lambda: f"all is given back, not {self.held()} bytes")
        self.assertEqual(free.call(service).status, 200)

    def test_no_memory_is_taken_for_a_long_head_beyond_it(self):
        service, account = self.one(AUTODL, paid=True)
        long_head = wire.request("GET", service.path, self.port, account.key, fields={"X-Long": "x" * 12_000})
        first, second = self.hold(service, account, 1), self.hold(service, account, 2)
        with Connection(self.port) as connection:
            connection.send_all_or_closed(long_head)
            self.refused(connection.response(), 503, "no_capacity")
            self.assertTrue(connection.at_end())
        first.close()
        second.close()
        eventually(lambda: self.held() == 0, lambda: f"all is given back, not {self.held()} bytes")
        with Connection(self.port) as connection:
            connection.send(long_head)
            self.assertEqual(connection.response().status, 200)


class NoBudget(GatewayTest):
    sets = {"workers": 2, "limits.buffer_bytes_max": 0}

    def test_all_is_counted_and_nothing_is_refused(self):
        service, account = self.one(AUTODL, paid=True)
        body = b"0123456789abcdef" * (1 << 16)
        with Connection(self.port) as connection:
            connection.send(wire.head("POST", service.path, self.port, account.key, {"Content-Length": len(body)}))
            connection.send(body[:1000])
            eventually(lambda: self.admin.metric("buffer_bytes") > 0, "an upload holds something")
            connection.send(body[1000:])
            answer = connection.response()
            self.assertEqual(answer.json()["body_crc32"], f"{zlib.crc32(body):08x}")
            eventually(lambda: self.admin.metric("buffer_bytes") == 0, "an idle connection holds nothing of it")


if __name__ == "__main__":
    unittest.main()
