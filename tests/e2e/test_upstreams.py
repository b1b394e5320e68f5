"""Upstreams that are many, dead, slow, rude or gone: who gets the call, what the client is told, what is counted, and
which connections may be used again."""

import threading
import time
import unittest

import wire
from gated import GatedUpstream
from harness import AUTODL, FAST, Background, FakeModel, GatewayTest, ReservedPort, at_once, eventually
from wire import Connection, ScriptedUpstream, answering

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKS = b"2\r\nok\r\n0\r\n\r\n"


class UpstreamTest(GatewayTest):
    sets = {"workers": 1}  # one pool of connections, so that tests can say which connection serves

    def scripted(self, script):
        upstream = ScriptedUpstream(script)
        self.addCleanup(upstream.close)
        return upstream

    def behind(self, script, paid=True, model=FAST, **more):
        upstream = self.scripted(script)
        service, account = self.one(model, paid=paid, upstreams=[upstream.address], **more)
        return upstream, service, account


class Several(UpstreamTest):
    def test_the_one_with_the_fewest_in_flight_gets_the_call(self):
        upstreams = [GatedUpstream() for _ in range(3)]
        for upstream in upstreams:
            self.addCleanup(upstream.close)
        service, account = self.one(FAST, paid=True, upstreams=[upstream.address for upstream in upstreams])
        calls = []
        for expected in range(1, 10):
            calls.append(Background(account.call, service))
            eventually(lambda: sum(upstream.held for upstream in upstreams) == expected, f"{expected} held")
            held = [upstream.held for upstream in upstreams]
            self.assertLessEqual(max(held) - min(held), 1, held)
        for upstream in upstreams:
            upstream.open()
        self.assertEqual([call.result().status for call in calls], [200] * 9)

    def test_a_dead_one_is_ejected_and_the_others_serve(self):
        dead, second = ReservedPort(), FakeModel()
        self.addCleanup(dead.close)
        self.addCleanup(second.stop)
        service, account = self.one(FAST, paid=True, upstreams=[dead.address, self.model.address, second.address])
        statuses = [account.call(service, "POST", b"x").status for _ in range(40)]
        self.assertEqual(set(statuses[10:]), {200}, statuses)
        self.assertGreaterEqual(statuses.count(200), 37, statuses)

        def served():  # the record of a call may follow its answer
            return [len(model.record(service.id)) for model in (self.model, second)]
        eventually(lambda: sum(served()) >= statuses.count(200), lambda: f"{statuses.count(200)} of {served()}")
        self.assertEqual(sum(served()), statuses.count(200))
        self.assertGreater(min(served()), 0, "both of the living serve")
        account.wait_usage(service, calls_succeeded=statuses.count(200), calls_failed=0)

    def test_one_that_comes_back_serves_again(self):
        port = ReservedPort()
        service, account = self.one(FAST, paid=True, upstreams=[port.address])
        for _ in range(5):
            self.refused(account.call(service), 502, "upstream_unreachable")
        port.close()
        upstream = ScriptedUpstream(answering(OK), port.port)
        self.addCleanup(upstream.close)
        eventually(lambda: account.call(service).status == 200, "tried again after its ejection", within=15, every=0.1)


class Faults(UpstreamTest):
    def test_connection_refused_is_502_and_no_call(self):
        dead = ReservedPort()
        self.addCleanup(dead.close)
        service, account = self.one(upstreams=[dead.address])
        for body in (None, b"x" * 100_000):
            self.refused(account.call(service, "POST", body), 502, "upstream_unreachable")
        account.wait_idle(service)
        usage = account.usage(service)
        self.assertEqual((usage["calls_failed"], usage["calls_succeeded"], usage["free_points"]), (0, 0, 0))
        self.assertEqual(self.admin.metric("refusals_total", service=service.id, reason="upstream_unreachable"), 2)

    def test_silence_before_the_head_is_504_in_bounded_time(self):
        service, account = self.one(timeout_ms=300)
        for method, body in (("GET", None), ("POST", b"x" * 1000)):
            began = time.monotonic()
            response = account.call(service, method, body, {"X-Fake-Hang": "head"})
            self.refused(response, 504, "upstream_timeout")
            self.assertGreaterEqual(time.monotonic() - began, 0.25)
            self.assertLess(time.monotonic() - began, 5)
        account.wait_usage(service, calls_failed=2, calls_succeeded=0, free_points=8)

    def test_silence_in_the_body_cuts_the_answer(self):
        service, account = self.one(timeout_ms=300)
        for fields in ({}, {"X-Fake-Chunked": "1"}):
            response = account.call(service, fields={"X-Fake-Hang": "body", "X-Fake-Response-Bytes": "1000", **fields})
            self.assertEqual((response.status, response.truncated), (200, True))
        account.wait_usage(service, calls_failed=2, calls_succeeded=0)

    def test_a_slow_answer_that_keeps_moving_is_no_timeout(self):
        service, account = self.one(timeout_ms=500)
        response = account.call(service, fields={"X-Fake-Response-Bytes": "10", "X-Fake-Piece-Bytes": "1",
                                                 "X-Fake-Interval-Ms": "100"})
        self.assertEqual((response.status, len(response.body), response.truncated), (200, 10, False))

    def test_a_cut_body_is_seen_as_cut_and_counted_failed(self):
        service, account = self.one()
        for fields in ({}, {"X-Fake-Chunked": "1"}, {"X-Fake-Reset": "1"}):
            response = account.call(service, fields={"X-Fake-Response-Bytes": "1000", "X-Fake-Close-After-Bytes": "300",
                                                     **fields})
            self.assertTrue(response.truncated, response)
            self.assertLessEqual(len(response.body), 300)
        account.wait_usage(service, calls_failed=3, calls_succeeded=0, free_points=12)
        self.assertEqual(account.call(service).status, 200)

    def test_closed_or_reset_before_the_head_is_502_and_failed(self):
        def closes(peer, _number):
            peer.request()

        def resets(peer, _number):
            peer.request()
            peer.reset()

        def half_a_head(peer, _number):
            peer.request()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        for script in (closes, resets, half_a_head):
            with self.subTest(script=script.__name__):
                upstream, service, account = self.behind(script)
                self.refused(account.call(service, "POST", b"x"), 502, "upstream_failed")
                self.assertEqual(upstream.accepted, 1, "a fresh connection is never a reason to send twice")
                account.wait_usage(service, calls_failed=1, calls_succeeded=0)


class Heads(UpstreamTest):
    BAD = {
        "two lengths that differ": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "a signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        "a hex length": b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok",
        "an empty length": b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nok",
        "a length of 21 digits": b"HTTP/1.1 200 OK\r\nContent-Length: 111111111111111111111\r\n\r\nok",
        "a list that differs": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok",
        "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        "chunks and length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n" + CHUNKS,
        "an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n" + CHUNKS,
        "status 000": b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok",
        "status 999": b"HTTP/1.1 999 OK\r\nContent-Length: 2\r\n\r\nok",
        "status 20": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
        "status 2000": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
        "no version": b"200 OK\r\nContent-Length: 2\r\n\r\nok",
        "version 2": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "CR in a value": b"HTTP/1.1 200 OK\r\nX-A: b\rc\r\nContent-Length: 2\r\n\r\nok",
        "LF for CRLF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "LF in a head": b"HTTP/1.1 200 OK\r\nX-A: b\nX-Evil: c\r\nContent-Length: 2\r\n\r\nok",
        "NUL in a value": b"HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 2\r\n\r\nok",
        "a fold": b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
        "a blank before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
        "a line without colon": b"HTTP/1.1 200 OK\r\nnothing\r\nContent-Length: 2\r\n\r\nok",
        "a bomb": b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 2_000_000 + b"\r\nContent-Length: 2\r\n\r\nok",
        "ten thousand fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 10_000 + b"Content-Length: 2\r\n\r\nok",
        "ten thousand interim answers": b"HTTP/1.1 103 E\r\nA: b\r\n\r\n" * 10_000 + OK,
        "switching protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    }

    def test_a_bad_head_is_502_failed_and_the_connection_is_not_used_again(self):
        for name, answer in self.BAD.items():
            with self.subTest(answer=name):
                upstream, service, account = self.behind(answering(answer))
                for expected in (1, 2):
                    response = account.call(service, "POST", b"x", timeout=20)
                    self.refused(response, 502, "upstream_failed")
                    self.assertEqual(upstream.accepted, expected, "a connection after a bad head was used again")
                account.wait_usage(service, calls_failed=2, calls_succeeded=0)

    def test_bad_chunks_cut_the_answer(self):
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for body in (b"2\nok\n0\n\n", b"+2\r\nok\r\n0\r\n\r\n", b"0x2\r\nok\r\n0\r\n\r\n", b"2 \r\nok\r\n0\r\n\r\n",
                     b"2\r\nokXX0\r\n\r\n", b"11111111111111111\r\nok", b"\r\nok", b"2\r\nok\r\nzz\r\n\r\n",
                     b"-1\r\nok\r\n0\r\n\r\n"):
            with self.subTest(body=body):
                upstream, service, account = self.behind(answering(head + body))
                response = account.call(service, timeout=20)
                if response.status == 200:
                    self.assertTrue(response.truncated, response)
                    self.assertIn(response.body, (b"", b"ok"))
                else:
                    self.refused(response, 502, "upstream_failed")
                account.wait_usage(service, calls_failed=1, calls_succeeded=0)
                account.call(service, timeout=20)
                self.assertEqual(upstream.accepted, 2)

    def test_trailers_of_an_answer_are_dropped(self):
        _, service, account = self.behind(answering(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
            b"X-Call-Outcome: failed\r\nX-T: 1\r\n\r\n"))
        with Connection(self.port) as connection:
            for _ in range(2):
                connection.send(wire.request("GET", service.path, self.port, account.key))
                response = connection.head()
                self.assertEqual(connection.read_until(b"0\r\n\r\n") + b"0\r\n\r\n", b"2\r\nok\r\n0\r\n\r\n", response)


class Reuse(UpstreamTest):
    def test_a_connection_serves_one_call_after_another(self):
        upstream, service, account = self.behind(answering(OK))
        for _ in range(20):
            self.assertEqual(account.call(service).body, b"ok")
        self.assertEqual(upstream.accepted, 1)

    def test_closed_between_calls_the_next_call_succeeds(self):
        closed = threading.Semaphore(0)

        def script(peer, _number):
            peer.request()
            peer.send(OK)
            peer.close()
            closed.release()
        upstream, service, account = self.behind(script)
        for method, body in (("GET", None), ("POST", b"x"), ("GET", None), ("PUT", b"y")):
            self.assertEqual(account.call(service, method, body).body, b"ok", method)
            self.assertTrue(closed.acquire(timeout=20))
        self.assertEqual(upstream.accepted, 4)
        account.wait_usage(service, calls_succeeded=4, calls_failed=0)

    def test_connection_close_and_1_0_answers_are_not_used_again(self):
        for answer in (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
                       b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"):
            upstream, service, account = self.behind(answering(answer))
            for expected in (1, 2, 3):
                self.assertEqual(account.call(service).body, b"ok")
                self.assertEqual(upstream.accepted, expected)

    def test_extra_bytes_after_the_body_are_dropped_with_the_connection(self):
        evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
        for answer in (OK + evil, OK + b"x", b"HTTP/1.1 204 No Content\r\n\r\n" + evil,
                       b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + evil):
            with self.subTest(answer=answer):
                upstream, service, account = self.behind(answering(answer))
                with Connection(self.port) as connection:
                    for _ in range(3):
                        connection.send(wire.request("GET", service.path, self.port, account.key))
                        response = connection.response()
                        self.assertIn(response.body, (b"ok", b""))
                        self.assertEqual(connection.buffer, b"")
                self.assertEqual(upstream.accepted, 3)

    def test_bytes_that_nobody_asked_for_are_no_answer_to_the_next_call(self):
        """They come after the answer was relayed, and are there before the next call is made."""
        evil = threading.Semaphore(0)

        def script(peer, _number):
            while peer.request():
                peer.send(OK)
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
                evil.release()
        upstream, service, account = self.behind(script)
        other = self.account(service, paid=True)
        with Connection(self.port) as connection:
            for number in range(10):
                connection.send(wire.request("POST", service.path, self.port, (account, other)[number % 2].key, b"x"))
                self.assertEqual(connection.response().body, b"ok", f"call {number + 1}")
                self.assertTrue(evil.acquire(timeout=20))
        self.assertEqual(upstream.accepted, 10)

    def retried(self, method, body, **service):
        """The second call meets a reused connection that dies unanswered; how often the upstream got it."""
        got = []

        def script(peer, number):
            if peer.request():
                if number > 1:
                    got.append("answered")  # before it is: the client may be faster than this thread
                peer.send(OK)
            if number == 1 and peer.request():
                got.append("died")
                return
            while peer.request():
                got.append("answered")
                peer.send(OK)
        _, made, account = self.behind(script, **service)
        self.assertEqual(account.call(made).status, 200)
        response = account.call(made, method, body)
        return response, got, made, account

    def test_a_get_on_a_reused_connection_that_died_is_sent_once_more(self):
        response, got, service, account = self.retried("GET", None)
        self.assertEqual((response.status, got), (200, ["died", "answered"]))
        account.wait_usage(service, calls_succeeded=2, calls_failed=0, free_points=8)

    def test_a_post_is_not_sent_twice(self):
        response, got, service, account = self.retried("POST", b"x")
        self.refused(response, 502, "upstream_failed")
        self.assertEqual(got, ["died"])
        account.wait_usage(service, calls_succeeded=1, calls_failed=1)

    def test_many_at_once_do_not_mix_answers(self):
        service, account = self.one(FAST, paid=True)

        def caller(index):
            with Connection(self.port) as connection:
                for number in range(40):
                    body = b"%d-%d" % (index, number) * 50
                    connection.send(wire.request("POST", service.path, self.port, account.key, body))
                    answer = connection.response().json()
                    if answer["body_bytes"] != len(body):
                        return answer
        self.assertEqual(at_once(8, caller), [None] * 8)
        account.wait_usage(service, calls_succeeded=320)

    def test_a_service_moves_to_other_upstreams_within_a_second(self):
        first, service, account = self.behind(answering(OK), model=AUTODL)
        second = self.scripted(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew"))
        self.assertEqual(account.call(service).body, b"ok")
        self.assertEqual(self.admin.put_service(service.id, AUTODL, [second.address], service.path).status, 200)
        eventually(lambda: account.call(service).body == b"new", "the new upstream", within=1.5)
        self.assertEqual({account.call(service).body for _ in range(10)}, {b"new"})
        self.assertEqual(first.errors + second.errors, [])


if __name__ == "__main__":
    unittest.main()
