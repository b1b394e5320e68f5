"""TLS to upstreams: nobody is asked who has not shown, by a certificate of a trusted authority, to have the name that the
service says; no byte of a call leaves before that. And calls through it are calls as any other."""

import threading
import unittest
import zlib

import wire
from harness import FAST, GatewayTest, eventually
from tls_case import TLS12, TLS13
from tls_certificates import Authority
from tls_peers import TlsUpstream
from wire import ScriptedUpstream, answering

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
EIGHT_MB = 8 * 1024 * 1024


class UpstreamTest(GatewayTest):
    sets = {"workers": 1, "upstreams.eject_after_failures": 1000}

    @classmethod
    def setUpClass(cls):
        cls.authority, cls.stranger = Authority(), Authority("another")
        cls.addClassCleanup(cls.authority.close)
        cls.addClassCleanup(cls.stranger.close)
        cls.good = cls.authority.issue("model.test", "localhost", "127.0.0.1")
        super().setUpClass()

    def upstream(self, script=None, pair=None, **more):
        upstream = TlsUpstream(script or answering(OK), pair or self.good, **more)
        self.addCleanup(upstream.close)
        return upstream

    def behind(self, upstream, host="127.0.0.1", model=FAST, **tls):
        """A service whose upstream this is, and an account; it trusts our authority unless `tls` says otherwise."""
        if not tls.get("verify", True):
            tls = {"ca": None, **tls}
        tls = {name: value for name, value in {"ca": self.authority.text(), **tls}.items() if value is not None}
        return self.one(model, upstreams=[f"{host}:{upstream.port}"], tls=tls)


class Verification(UpstreamTest):
    def reached(self, service, account):
        response = account.call(service, "POST", b"a body")
        self.assertEqual((response.status, response.body), (200, b"ok"), response)

    def unreachable(self, service, account, upstream=None):
        self.refused(account.call(service, "POST", b"a body"), 502, "upstream_unreachable")
        usage = account.usage(service)
        self.assertEqual([usage[each] for each in ("calls_succeeded", "calls_failed", "free_points")], [0, 0, 0], "no call was made")
        account.wait_idle(service)
        if upstream is not None:
            eventually(lambda: upstream.refused, "the handshake failed there")
            self.assertEqual(upstream.resumed, [], "no handshake was finished")

    def test_the_right_authority_and_name(self):
        for version in (TLS12, TLS13):
            for host, name in (("127.0.0.1", None), ("localhost", "localhost")):
                with self.subTest(version=version, host=host):
                    upstream = self.upstream(version=version)
                    self.reached(*self.behind(upstream, host))
                    self.assertEqual(upstream.names, [name], "a name is asked for, an address never (RFC 6066 3)")

    def test_a_name_of_the_service_is_asked_for_and_checked(self):
        upstream = self.upstream(pair=self.authority.issue("model.test"))
        self.reached(*self.behind(upstream, server_name="model.test"))
        self.assertEqual(upstream.names, ["model.test"])
        self.unreachable(*self.behind(upstream, server_name="other.test"))
        self.unreachable(*self.behind(upstream))

    def test_wildcards_stand_for_one_whole_label(self):
        upstream = self.upstream(pair=self.authority.issue("*.model.test", "x*.other.test"))
        self.reached(*self.behind(upstream, server_name="a.model.test"))
        for name in ("model.test", "a.b.model.test", "xy.other.test", "a.model.test.evil.test"):
            with self.subTest(name=name):
                self.unreachable(*self.behind(upstream, server_name=name))

    def test_who_cannot_be_verified_is_not_called(self):
        bad = {"another authority": self.stranger.issue("localhost", "127.0.0.1"), "expired": self.authority.issue("localhost", "127.0.0.1", days=-1),
               "another name": self.authority.issue("other.test"), "another address": self.authority.issue("127.0.0.2"),
               "the address as a name only": self.authority.issue("localhost"), "a client's": self.authority.issue("127.0.0.1", usage="clientAuth")}
        for what, pair in bad.items():
            for version in (TLS12, TLS13):
                with self.subTest(what=what, version=version):
                    upstream = self.upstream(pair=pair, version=version)
                    self.unreachable(*self.behind(upstream), upstream)

    def test_without_an_authority_of_its_own_those_of_the_machine_count(self):
        upstream = self.upstream()
        self.unreachable(*self.behind(upstream, ca=None))

    def test_unverified_if_the_service_says_so(self):
        for pair in (self.stranger.issue("other.test"), self.authority.issue("127.0.0.1", days=-1)):
            upstream = self.upstream(pair=pair)
            self.reached(*self.behind(upstream, verify=False))
        upstream = self.upstream()
        self.reached(*self.behind(upstream, verify=False, server_name="asked.test"))
        self.assertEqual(upstream.names, ["asked.test"])

    def test_a_reason_is_told_in_the_log(self):
        upstream = self.upstream(pair=self.authority.issue("127.0.0.1", days=-1))
        service, account = self.behind(upstream)
        self.unreachable(service, account)

        def told():  # one line a second, so others may have taken it
            self.unreachable(service, account)
            return any("expired" in line and service.id in line for line in (self.gateway.stderr() + self.gateway.stdout()).splitlines())
        eventually(told, "the reason is told", every=0.2)

    def test_old_versions_and_no_tls_are_no_upstream(self):
        heard = []
        plain = ScriptedUpstream(lambda peer, _number: heard.append(peer.read_until(b"\r\n\r\n")))
        self.addCleanup(plain.close)
        self.unreachable(*self.behind(plain))
        self.assertEqual(heard, [])
        speaks_tls = self.upstream()
        service, account = self.one(upstreams=[speaks_tls.address])
        self.assertEqual(account.call(service).status, 502)

    def test_the_next_upstream_is_asked(self):
        bad, good = self.upstream(pair=self.stranger.issue("127.0.0.1")), self.upstream()
        service = self.service(upstreams=[bad.address, good.address], tls={"ca": self.authority.text()})
        account = self.account(service)
        for _ in range(6):
            self.reached(service, account)

    def test_a_session_of_before_is_no_passport(self):
        """At the same address there is another server, whose certificate cannot be verified."""
        first = TlsUpstream(answering(OK, forever=False), self.good)
        service, account = self.behind(first)
        self.reached(service, account)
        first.close()
        second = self.upstream(pair=self.stranger.issue("127.0.0.1"), port=first.port)
        for _ in range(3):
            self.refused(account.call(service), 502, "upstream_unreachable")
        eventually(lambda: len(second.refused) == 3, "three handshakes failed there")
        self.assertEqual(second.resumed, [])
        account.wait_usage(service, calls_succeeded=1, calls_failed=0)

    def test_another_authority_is_in_force_for_calls_that_come_then(self):
        upstream = self.upstream()
        service, account = self.behind(upstream)
        self.reached(service, account)  # and its connection is kept
        self.assertEqual(self.admin.put_service(service.id, FAST, [upstream.address], service.path, tls={"ca": self.stranger.text()}).status, 200)
        eventually(lambda: account.call(service).status == 502, "the kept connection is not used any more", within=5)


class Silent(UpstreamTest):
    sets = {**UpstreamTest.sets, "timeouts.upstream_connect_ms": 500}

    def test_who_never_shakes_hands_is_given_up(self):
        done = []

        def script(peer, _number):
            while True:
                done.append(peer.read_some())
        silent = ScriptedUpstream(script)
        self.addCleanup(silent.close)
        service, account = self.behind(silent)
        self.refused(account.call(service), 502, "upstream_unreachable")
        account.wait_idle(service)
        self.assertNotIn(b"HTTP", b"".join(done))


class Calls(UpstreamTest):
    def test_a_connection_is_kept(self):
        upstream = self.upstream(alpn=["http/1.1"])
        service, account = self.behind(upstream)
        for number in range(10):
            self.assertEqual(account.call(service, "POST", b"x" * number).body, b"ok")
        self.assertEqual(upstream.accepted, 1)
        account.wait_usage(service, calls_succeeded=10)

    def test_a_new_connection_resumes_the_session(self):
        for version in (TLS12, TLS13):
            for announced, answer in ((True, LAST), (False, OK)):
                with self.subTest(version=version, announced=announced):
                    ended = threading.Semaphore(0)

                    def script(peer, _number):
                        peer.request()
                        peer.send(answer)
                        peer.send_close_notify()
                        ended.release()
                    upstream = self.upstream(script, version=version)
                    service, account = self.behind(upstream)
                    for _ in range(4):
                        self.assertEqual(account.call(service).body, b"ok")
                        self.assertTrue(ended.acquire(timeout=wire.TIMEOUT_S))
                    self.assertEqual(upstream.resumed, [False, True, True, True])

    def test_large_bodies_both_ways_in_both_framings(self):
        content = bytes(range(256)) * (EIGHT_MB // 256)
        answer = (bytes(range(97, 123)) * (EIGHT_MB // 26 + 1))[:EIGHT_MB]
        for version in (TLS12, TLS13):
            for framed in (b"Content-Length: %d\r\n\r\n" % EIGHT_MB + answer, b"Transfer-Encoding: chunked\r\n\r\n" + wire.chunks(answer[:99], answer[99:])):
                bodies = []

                def script(peer, _number):
                    while (request := peer.request()) is not None:
                        bodies.append(zlib.crc32(request[2]))
                        peer.send(b"HTTP/1.1 200 OK\r\n" + framed)
                service, account = self.behind(self.upstream(script, version=version))
                for body in (content, [content[:70_000], content[70_000:]]):
                    response = account.call(service, "POST", body)
                    self.assertEqual((response.status, response.truncated, response.body == answer), (200, False, True))
                self.assertEqual(bodies, [zlib.crc32(content)] * 2)

    def answered_and_ended(self, answer, orderly):
        def script(peer, _number):
            peer.request()
            peer.send(answer)
            if orderly:
                peer.send_close_notify()
        service, account = self.behind(self.upstream(script))
        return account.call(service), service, account

    def test_an_answer_without_length_is_whole_only_if_the_upstream_says_that_it_ends(self):
        answer = b"HTTP/1.1 200 OK\r\n\r\nall of it"
        response, service, account = self.answered_and_ended(answer, orderly=True)
        self.assertEqual((response.status, response.body, response.truncated), (200, b"all of it", False))
        account.wait_usage(service, calls_succeeded=1, calls_failed=0)
        response, service, account = self.answered_and_ended(answer, orderly=False)
        self.assertEqual((response.status, response.truncated), (200, True))
        account.wait_usage(service, calls_succeeded=0, calls_failed=1)

    def test_an_answer_that_says_its_length_needs_no_such_word(self):
        for orderly in (True, False):
            response, service, account = self.answered_and_ended(LAST, orderly)
            self.assertEqual((response.body, response.truncated), (b"ok", False))
            account.wait_usage(service, calls_succeeded=1, calls_failed=0)
            response, service, account = self.answered_and_ended(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", orderly)
            self.assertEqual((response.status, response.truncated), (200, True))

    def test_no_answer_at_all_is_a_failed_call(self):
        for orderly in (True, False):
            response, service, account = self.answered_and_ended(b"", orderly)
            self.refused(response, 502, "upstream_failed")

    def kept_then(self, ending):
        """A service whose upstream does this after it has answered one call, on its first connection."""
        ended = threading.Event()

        def script(peer, number):
            peer.request()
            peer.send(OK)
            if number == 1:
                ending(peer)
                ended.set()
            peer.request()
        upstream = self.upstream(script)
        service, account = self.behind(upstream)
        self.assertEqual(account.call(service).body, b"ok")
        self.assertTrue(ended.wait(wire.TIMEOUT_S))
        return upstream, service, account

    def test_a_kept_connection_that_has_ended_is_not_used(self):
        for ending in (lambda peer: peer.send_close_notify(), lambda peer: peer.close(), lambda peer: peer.reset()):
            upstream, service, account = self.kept_then(ending)
            self.assertEqual(account.call(service, "POST", b"never sent twice").body, b"ok")
            self.assertEqual(upstream.accepted, 2)
            account.wait_usage(service, calls_succeeded=2, calls_failed=0)

    def test_an_answer_that_nobody_asked_for_is_nobodys_answer(self):
        upstream, service, account = self.kept_then(lambda peer: peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"))
        self.assertEqual(account.call(service, "POST", b"never sent twice").body, b"ok")
        self.assertEqual(upstream.accepted, 2)

    def test_a_kept_connection_that_dies_under_a_call_is_retried_once(self):
        def script(peer, number):
            peer.request()
            peer.send(OK)
            peer.request()  # the second one on the first connection is never answered
        upstream = self.upstream(script)
        service, account = self.behind(upstream)
        for _ in range(2):
            self.assertEqual(account.call(service).body, b"ok")
        self.assertEqual(upstream.accepted, 2)
        account.wait_usage(service, calls_succeeded=2, calls_failed=0)


class Ends(UpstreamTest):
    def test_a_session_ends_with_its_certificate(self):
        for version in (TLS12, TLS13):
            with self.subTest(version=version):
                pair = self.authority.issue_for_seconds("127.0.0.1", 8)
                upstream = self.upstream(pair=pair, script=answering(LAST), version=version)
                service, account = self.behind(upstream)
                for _ in range(2):
                    self.assertEqual(account.call(service).status, 200)
                self.assertEqual(upstream.resumed, [False, True])
                eventually(lambda: account.call(service).status == 502, "it is refused", within=40, every=0.5)


class Definitions(UpstreamTest):
    def put(self, tls):
        return self.admin.put_service("tls-definitions", FAST, ["127.0.0.1:1"], "/tls-definitions", tls=tls)

    def test_what_was_put_is_shown(self):
        for tls in ({"verify": True, "ca": self.authority.text(), "server_name": "model.test"}, {"verify": False}, {"verify": True}):
            self.assertIn(self.put(tls).status, (200, 201))
            self.assertEqual(self.admin.service("tls-definitions")["tls"], tls)
        self.assertEqual(self.put({}).json["tls"], {"verify": True})

    def test_what_is_wrong_is_refused_and_named(self):
        for tls, named in (({"ca": ""}, "tls.ca"), ({"ca": "nonsense"}, "tls.ca"), ({"ca": self.authority.text()[:-60]}, "tls.ca"), ({"ca": 5}, "tls.ca"),
                           ({"verify": "yes"}, "tls.verify"), ({"server_name": ""}, "tls.server_name"), ({"server_name": "a b"}, "tls.server_name"),
                           ({"server_name": "a:443"}, "tls.server_name"), ({"server_name": "a\r\nb"}, "tls.server_name"), ({"ca_file": "x"}, "tls.ca_file"),
                           ([], "tls"), ("yes", "tls")):
            with self.subTest(tls=tls):
                answer = self.put(tls)
                self.assertEqual(answer.status, 400, answer)
                self.assertIn(named, answer.text)

    def test_a_private_key_in_the_authority_is_not_taken_for_a_certificate(self):
        with open(self.good.key, encoding="utf-8") as key:
            self.assertEqual(self.put({"ca": key.read()}).status, 400)


if __name__ == "__main__":
    unittest.main()
