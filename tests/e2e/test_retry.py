"""The one retry: a kept connection that dies under a call, however the request's body came."""

import threading
import unittest

import wire
from harness import FAST, GatewayTest
from wire import Connection, ScriptedUpstream

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Retry(GatewayTest):
    sets = {"workers": 1}  # so that the second call meets the first one's connection

    def second_call(self, method, body, split=False, **service):
        """The answer to a second call on a connection of the upstream's that dies under it, after the call's head if the
        body is sent behind it (`split`), else after all of it; and the bodies that the upstream answered."""
        died, answered, lost = threading.Event(), [], []

        def script(peer, number):
            got = peer.request()
            while got is not None:
                answered.append(got)
                peer.send(OK)
                if number == 1:
                    if split:
                        peer.read_until(b"\r\n\r\n")
                    else:
                        lost.append(peer.request())
                    died.set()
                    return
                got = peer.request()
        upstream = ScriptedUpstream(script)
        self.addCleanup(upstream.close)
        made = self.service(FAST, upstreams=[upstream.address], **service)
        account = self.account(made, paid=True)
        whole = wire.request(method, made.path, self.port, account.key, body)
        with Connection(self.port) as connection:
            connection.send(wire.request("GET", made.path, self.port, account.key))
            self.assertEqual(connection.response().status, 200)
            head, mark, rest = whole.partition(b"\r\n\r\n")
            if split:
                connection.send(head + mark)
                self.assertTrue(died.wait(wire.TIMEOUT_S))
                connection.send(rest)
            else:
                connection.send(whole)
            response = connection.response(method)
            if response.status == 200:  # and the connection is good for more
                connection.send(wire.request("GET", made.path, self.port, account.key))
                self.assertEqual(connection.response().status, 200)
        if response.status == 200:  # nothing was added to it or taken from it
            self.assertEqual(lost, answered[1:2] if lost else [])
        return response, [got[2] for got in answered], account, made

    def served(self, method, body, expected, **more):
        response, bodies, account, service = self.second_call(method, body, **more)
        self.assertEqual(response.status, 200, response)
        self.assertEqual(bodies, [b"", expected, b""])
        account.wait_usage(service, calls_succeeded=3, calls_failed=0)

    def refused_once(self, method, body, **more):
        response, bodies, account, service = self.second_call(method, body, **more)
        self.refused(response, 502, "upstream_failed")
        self.assertEqual(bodies, [b""])
        account.wait_usage(service, calls_succeeded=1, calls_failed=1)

    def test_a_request_that_came_whole(self):
        self.served("GET", None, b"")
        self.served("PUT", b"0123456789", b"0123456789")
        self.served("POST", b"0123456789", b"0123456789", retry_unsafe=True)

    def test_a_body_that_comes_behind_its_head(self):
        self.served("PUT", b"0123456789", b"0123456789", split=True)

    def test_a_post_that_may_be_sent_twice(self):
        self.served("POST", b"0123456789", b"0123456789", split=True, retry_unsafe=True)

    def test_a_body_of_many_reads(self):
        body = bytes(range(256)) * 240  # 61,440
        self.served("POST", body, body, retry_unsafe=True)

    def test_a_chunked_body(self):
        self.served("PUT", [b"a" * 5000, b"b" * 20000], b"a" * 5000 + b"b" * 20000)

    def test_a_chunked_body_behind_its_head(self):
        self.served("PUT", [b"a" * 50, b"b" * 20000], b"a" * 50 + b"b" * 20000, split=True)

    def test_not_a_post_that_may_not_be(self):
        self.refused_once("POST", b"0123456789" * 2000)

    def test_not_a_body_that_is_too_large_to_be_kept(self):
        self.refused_once("PUT", b"x" * 100_000)


if __name__ == "__main__":
    unittest.main()
