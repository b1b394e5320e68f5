"""A gateway with a TLS listener of two certificates, and the words for tests of it; it holds no test itself."""

import ssl
from pathlib import Path

import wire
from harness import GatewayTest, ReservedPort, eventually
from tls_certificates import Authority
from tls_peers import TlsClient, client_context

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


class TlsTest(GatewayTest):
    more_sets = {}

    @classmethod
    def setUpClass(cls):
        cls.authority = Authority()
        cls.addClassCleanup(cls.authority.close)
        cls.first = cls.authority.issue("first.test", "127.0.0.1")
        cls.second = cls.authority.issue("second.test", "*.wild.test", key="rsa")
        cls.reserved = ReservedPort()
        cls.addClassCleanup(cls.reserved.close)
        cls.tls_port = cls.reserved.port
        cls.sets = {"tls.listen": cls.reserved.address,
                    "tls.certificates": f"{cls.first.certificate},{cls.second.certificate}",
                    "tls.private_keys": f"{cls.first.key},{cls.second.key}", **cls.more_sets, **cls.tls_sets()}
        super().setUpClass()

    @classmethod
    def tls_sets(cls):
        """More settings, that need the authority."""
        return {}

    def connect(self, context=None, name="first.test", **more):
        client = TlsClient(self.tls_port, context or client_context(self.authority), name, **more)
        self.addCleanup(client.close)
        return client

    def plain(self):
        """A connection to the TLS port that says no TLS of its own."""
        connection = wire.Connection(self.tls_port)
        self.addCleanup(connection.close)
        return connection

    def asked(self, service, account, method="GET", body=None, fields=(), suffix="", version="HTTP/1.1"):
        return wire.request(method, service.path + suffix, self.tls_port, account.key, body, fields, version)

    def ask(self, client, service, account, method="GET", body=None, fields=(), suffix="", version="HTTP/1.1"):
        client.send(self.asked(service, account, method, body, fields, suffix, version))
        return client.response(method)

    def handshakes(self, outcome):
        """full, resumed or failed, of clients, since the start."""
        return self.admin.metric("tls_handshakes_total", outcome=outcome)

    def wait_handshakes(self, outcome, count):
        eventually(lambda: self.handshakes(outcome) == count, lambda: f"{count} handshakes {outcome}, there are {self.handshakes(outcome)}")

    def wait_nobody(self):
        eventually(lambda: self.admin.metric("client_connections") == 0,
                   lambda: f"no client left, there are {self.admin.metric('client_connections')}")

    def told(self, *words):
        """The gateway's log has a line with all of these."""
        def found():
            text = Path(self.gateway.folder, "stderr").read_text("utf-8", "replace") + self.gateway.stdout()
            return any(all(word in line for word in words) for line in text.splitlines())
        eventually(found, lambda: f"a line with {words}:\n{self.gateway.stderr()}")
