"""Slow but steady through TLS: what counts is what came in, whole records or not."""

import ssl
import unittest

import wire
from harness import pass_time
from tls_case import TlsTest
from tls_peers import HalfShaken, client_context


class Bodies(TlsTest):
    more_sets = {"timeouts.body_ms": 2000}

    def test_a_body_in_one_record_may_take_longer_than_a_silence(self):
        service, account = self.one()
        body = b"x" * 16_000
        with wire.Connection(self.tls_port) as client:
            half = HalfShaken(client_context(self.authority))
            while True:
                try:
                    half.tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    client.send(half.outgoing.read())
                    half.incoming.write(client.read_some())
            client.send(half.outgoing.read())
            half.tls.write(wire.head("POST", service.path, self.tls_port, account.key, {"Content-Length": len(body)}))
            client.send(half.outgoing.read())
            half.tls.write(body)
            record = half.outgoing.read()
            for at in range(0, len(record), 500):  # in 33 pieces over five seconds
                client.send(record[at:at + 500])
                pass_time(0.15)
            answer = b""
            while b"\r\n\r\n" not in answer:
                half.incoming.write(client.read_some())
                try:
                    answer += half.tls.read(65536)
                except ssl.SSLWantReadError:
                    pass
        self.assertEqual(answer.split()[1], b"200", answer)


if __name__ == "__main__":
    unittest.main()
