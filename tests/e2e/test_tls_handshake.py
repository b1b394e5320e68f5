"""Handshakes: which certificate, version and protocol they end with, sessions that are resumed, certificates of clients; and
the many ways in which one is never finished, which cost the gateway nothing that stays."""

import contextlib
import itertools
import ssl
import subprocess
import unittest

import wire
from harness import eventually
from tls_case import TLS12, TLS13, TlsTest
from tls_certificates import Authority
from tls_peers import HalfShaken, TlsClient, client_context
from wire import Connection

RSA_ONLY, ECDSA_ONLY = "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"


class Names(TlsTest):
    def names_for(self, asked):
        """The DNS names of the certificate that a client gets who asks for this name; None asks for none."""
        context = client_context(self.authority)
        context.check_hostname = False
        return {name for kind, name in self.connect(context, asked).socket.getpeercert()["subjectAltName"] if kind == "DNS"}

    def test_the_certificate_is_that_of_the_name_asked_for(self):
        first, second = {"first.test"}, {"second.test", "*.wild.test"}
        for asked, expected in (("first.test", first), ("second.test", second), ("SECOND.Test", second), ("a.wild.test", second),
                                ("A-b.WILD.test", second), ("wild.test", first), ("a.b.wild.test", first), ("x.second.test", first),
                                ("nobody.test", first), (None, first), ("127.0.0.1", first), ("wild.test.evil.test", first)):
            with self.subTest(asked=asked):
                self.assertEqual(self.names_for(asked), expected)

    def test_a_client_that_checks_names_is_content(self):
        for name in ("first.test", "second.test", "a.wild.test", "127.0.0.1"):
            self.connect(name=name)
        with self.assertRaisesRegex(ssl.SSLCertVerificationError, "not valid for 'nobody.test'"):
            self.connect(name="nobody.test")

    def test_both_kinds_of_keys_work_in_both_versions(self):
        for version in (TLS12, TLS13):
            for name in ("first.test", "second.test"):
                with self.subTest(version=version, name=name):
                    self.connect(client_context(self.authority, version), name)
        for ciphers, name in ((ECDSA_ONLY, "first.test"), (RSA_ONLY, "second.test")):
            context = client_context(self.authority, TLS12)
            context.set_ciphers(ciphers)
            self.assertEqual(self.connect(context, name).socket.cipher()[0], ciphers)


class Versions(TlsTest):
    def refusal(self, context):
        with self.assertRaises(ssl.SSLError) as refused:
            self.connect(context)
        return str(refused.exception)

    def test_old_versions_are_refused(self):
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            context = client_context(self.authority, version)
            context.set_ciphers("ALL:@SECLEVEL=0")
            self.assertIn("alert protocol version", self.refusal(context))

    def test_weak_ciphers_are_refused(self):
        for ciphers in ("AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256", "aNULL", "eNULL"):
            with self.subTest(ciphers=ciphers):
                context = client_context(self.authority, TLS12)
                context.set_ciphers(ciphers + ":@SECLEVEL=0")
                self.assertIn("alert handshake failure", self.refusal(context))

    def test_http_1_1_is_the_protocol(self):
        for version in (TLS12, TLS13):
            for offered in (["http/1.1"], ["h2", "http/1.1"], ["http/1.0", "http/1.1", "h3"]):
                self.assertEqual(self.connect(client_context(self.authority, version, offered)).socket.selected_alpn_protocol(), "http/1.1")
            self.assertIsNone(self.connect(client_context(self.authority, version)).socket.selected_alpn_protocol())
            for offered in (["h2"], ["http/1.1x"], ["http/1"], ["HTTP/1.1"], ["h2", "acme-tls/1"]):
                with self.subTest(version=version, offered=offered):
                    self.assertIn("alert no application protocol", self.refusal(client_context(self.authority, version, offered)))

    def test_renegotiation_is_refused(self):
        shown = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.tls_port}", "-tls1_2"], input="R\n",
                               capture_output=True, text=True, timeout=60, check=False)
        self.assertIn("RENEGOTIATING", shown.stderr)
        self.assertIn("no renegotiation", shown.stderr)


class Keys(TlsTest):
    more_sets = {"timeouts.head_ms": 600_000}  # nobody is closed for being slow

    def test_a_client_may_ask_for_new_keys_between_calls(self):
        service, account = self.one()
        client = subprocess.Popen(["timeout", "60", "openssl", "s_client", "-connect", f"127.0.0.1:{self.tls_port}", "-tls1_3", "-crlf", "-verify_quiet"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            asked = f"GET {service.path} HTTP/1.1\nHost: a\nAuthorization: Bearer {account.key}\n"
            for last in (False, False, True):
                for letter in ("K\n", "k\n"):  # with an answer in kind, and without
                    client.stdin.write(letter.encode())
                    client.stdin.flush()
                    self.until(client, b"KEYUPDATE")
                client.stdin.write((asked + ("Connection: close\n\n" if last else "\n")).encode())
                client.stdin.flush()
                self.until(client, b"HTTP/1.1 200 OK")
            client.stdout.read()  # its end
        finally:
            client.kill()
            client.wait()
            client.stdin.close()
            client.stdout.close()
        account.wait_usage(service, calls_succeeded=3)

    def test_who_does_nothing_but_change_keys_is_closed(self):
        client = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{self.tls_port}", "-tls1_3", "-verify_quiet"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            self.change_keys(client, 3000)  # of 27 bytes each, and 64 KiB are allowed
            eventually(lambda: client.poll() is not None, "the gateway has closed", within=60)
        finally:
            client.kill()
            client.wait()
            with contextlib.suppress(BrokenPipeError):  # what it did not take any more
                client.stdin.close()
            client.stdout.close()
        self.wait_nobody()

    @staticmethod
    def change_keys(client, times):
        """So often, or until the gateway has closed: it may be behind."""
        for _ in range(times):
            try:
                client.stdin.write(b"k\n")
                client.stdin.flush()
            except BrokenPipeError:
                return
            if not any(b"KEYUPDATE" in line for line in iter(client.stdout.readline, b"")):
                return

    def until(self, client, mark):
        """Lines of openssl's, up to one that holds this; openssl ends by itself when the gateway closes."""
        seen = []
        for line in client.stdout:
            seen.append(line)
            if mark in line:
                return
        self.fail(f"no {mark} in {seen}")


class OnlyNew(TlsTest):
    more_sets = {"tls.min_version": "1.3"}

    def test_1_2_is_refused_and_1_3_served(self):
        with self.assertRaises(ssl.SSLError) as refused:
            self.connect(client_context(self.authority, TLS12))
        self.assertIn("alert protocol version", str(refused.exception))
        self.assertEqual(self.ask(self.connect(), *self.one()).status, 200)


class Sessions(TlsTest):
    def test_a_session_is_resumed_and_serves_calls(self):
        service, account = self.one()
        full, resumed = self.handshakes("full"), self.handshakes("resumed")
        for version, name, leave in itertools.product((TLS12, TLS13), ("first.test", "second.test"), (TlsClient.send_close_notify, TlsClient.close)):
            with self.subTest(version=version, name=name, leave=leave):
                context = client_context(self.authority, version)
                client = self.connect(context, name)
                self.assertEqual(self.ask(client, service, account).status, 200)
                self.assertFalse(client.socket.session_reused)
                session = client.socket.session
                leave(client)  # also without a word: many clients do, and nothing is lost by it
                again = self.connect(context, name, session=session)
                self.assertTrue(again.socket.session_reused)
                self.assertEqual(self.ask(again, service, account).status, 200)
        self.wait_handshakes("full", full + 8)
        self.wait_handshakes("resumed", resumed + 8)

    def test_a_session_is_resumed_on_every_worker(self):
        context = client_context(self.authority, TLS12)
        client = self.connect(context)
        for _ in range(20):
            self.assertTrue(self.connect(context, session=client.socket.session).socket.session_reused)


class ClientCertificates(TlsTest):
    more_sets = {"tls.client_certificates": "required"}

    @classmethod
    def tls_sets(cls):
        return {"tls.client_ca_file": cls.authority.certificate}

    def answered(self, certificate, version, session=None):
        """The status of a call; a client of 1.3 learns of its certificate's refusal only when it reads. None: refused."""
        service, account = self.service_and_account
        try:
            client = self.connect(client_context(self.authority, version, certificate=certificate), session=session)
            return self.ask(client, service, account).status
        except (ssl.SSLError, wire.Closed, OSError):
            return None

    def test_who_shows_what_is_served(self):
        self.service_and_account = self.one()
        required = self.more_sets["tls.client_certificates"] == "required"
        stranger = Authority("another")
        self.addCleanup(stranger.close)
        shown = {"a good one": (self.authority.issue("client", usage="clientAuth"), True), "none": (None, not required),
                 "one of another authority": (stranger.issue("client", usage="clientAuth"), False),
                 "one that has expired": (self.authority.issue("client", usage="clientAuth", days=-1), False),
                 "a server's": (self.authority.issue("client"), False)}
        for version in (TLS12, TLS13):
            for what, (certificate, good) in shown.items():
                with self.subTest(version=version, what=what):
                    self.assertEqual(self.answered(certificate, version), 200 if good else None)
        refused = 8 if required else 6
        eventually(lambda: self.handshakes("failed") >= refused, lambda: f"{refused} failed handshakes, there are {self.handshakes('failed')}")
        service, account = self.service_and_account
        self.assertEqual(account.call(service).status, 200, "the plain port asks for none")

    def test_a_session_of_one_who_showed_a_certificate_is_resumed(self):
        self.service_and_account = self.one()
        for version in (TLS12, TLS13):
            context = client_context(self.authority, version, certificate=self.authority.issue("client", usage="clientAuth"))
            client = self.connect(context)
            self.assertEqual(self.ask(client, *self.service_and_account).status, 200)
            again = self.connect(context, session=client.socket.session)
            self.assertTrue(again.socket.session_reused)
            self.assertEqual(self.ask(again, *self.service_and_account).status, 200)


class OptionalClientCertificates(ClientCertificates):
    more_sets = {"tls.client_certificates": "optional"}


class Unfinished(TlsTest):
    more_sets = {"timeouts.head_ms": 500}

    def hello(self, version=None):
        return HalfShaken(client_context(self.authority, version))

    def stages(self):
        """Clients that stop: what they have said, a stage further each."""
        silent = self.plain()
        yield "nothing", silent
        for version in (TLS12, TLS13):
            hello = self.hello(version).step()
            for cut in (1, 5, 6, len(hello) // 2, len(hello) - 1, len(hello)):
                client = self.plain()
                client.send(hello[:cut])
                yield f"{version.name}: {cut} bytes of the hello", client
            client, half = self.plain(), self.hello(version)
            client.send(half.step())
            answer = half.step(client.read_some())
            client.send(answer[:-1])
            yield f"{version.name}: all but the last byte", client

    def test_a_handshake_that_stands_still_is_closed(self):
        failed = self.handshakes("failed")
        waiting = list(self.stages())
        for what, client in waiting:
            with self.subTest(what=what):
                self.assertNotIn(b"HTTP", client.read_to_end())
        self.wait_handshakes("failed", failed + len(waiting))
        self.wait_nobody()

    def test_clients_that_vanish_leave_nothing(self):
        failed, count = self.handshakes("failed"), 0
        for way in (Connection.reset, Connection.close):
            for _ in range(3):
                for _, client in self.stages():
                    way(client)
                    count += 1
        self.wait_handshakes("failed", failed + count)
        self.wait_nobody()
        service, account = self.one()
        self.assertEqual(self.ask(self.connect(), service, account).status, 200)
        account.wait_usage(service, calls_succeeded=1)

    def test_other_bytes_are_closed_and_never_answered_in_http(self):
        hello = self.hello().step()
        for said in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0" * 1000, b"\xff" * 70_000, b"\x16\x03\x01\xff\xff" + b"a" * 70_000,
                     b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"a" * 37, hello[:9] + b"\xff" * (len(hello) - 9),
                     b"\x15\x03\x03\x00\x02\x02\x28", b"\x17\x03\x03\x00\x05hello", hello + hello, hello + b"GET / HTTP/1.1\r\n\r\n"):
            with self.subTest(said=said[:20]):
                client = self.plain()
                client.send_all_or_closed(said)
                self.assertNotIn(b"HTTP", client.read_to_end())
        self.wait_nobody()
        self.assertEqual(self.ask(self.connect(), *self.one()).status, 200)

    def test_tls_on_the_plain_port_is_a_bad_request(self):
        with Connection(self.port) as client:
            client.send(self.hello().step())
            self.assertIn(b"HTTP/1.1 400 ", client.read_to_end() or b"")

    def test_a_connection_that_shakes_hands_and_says_no_more_is_closed(self):
        client = self.connect()
        self.assertEqual((client.ending(), client.buffer), ("close_notify", b""))
        client = self.connect()
        client.send(b"GET / HT")
        self.assertEqual(client.response().status, 408)
        self.assertEqual(client.ending(), "close_notify")

    def test_handshakes_that_wait_hold_nobody_up(self):
        waiting = [self.plain() for _ in range(200)]
        service, account = self.one()
        for _ in range(20):
            self.assertEqual(self.ask(self.connect(), service, account).status, 200)
        eventually(lambda: all(client.at_end() for client in waiting), "they are closed", within=20)


if __name__ == "__main__":
    unittest.main()
