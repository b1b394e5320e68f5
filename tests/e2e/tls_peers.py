"""wire.py's client and upstream through TLS. They tell how the other side ended: with close_notify, or cut without it.
What is not for sockets of Python's (half a handshake, other bytes) is made here as bytes."""

import socket
import ssl

import wire
from wire import TIMEOUT_S, Closed


class Cut(Closed):
    """The peer ended the connection without close_notify: what came may have been cut short."""


class _Socket(ssl.SSLSocket):
    """An end without close_notify is a broken connection."""

    def recv(self, *arguments):
        try:
            return super().recv(*arguments)
        except ssl.SSLError as error:
            if isinstance(error, ssl.SSLEOFError) or "unexpected eof" in str(error):
                raise ConnectionResetError("no close_notify") from error
            raise


class _Tls:
    """The reading of wire.Connection, where the end is told apart from the cut."""

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except socket.timeout as silence:
            raise AssertionError(f"no byte came in time; so far {self.buffer[-300:]!r}") from silence
        except ConnectionError as cut:
            raise Cut(f"cut after {self.buffer[-300:]!r}") from cut
        if not data:
            raise Closed(f"close_notify after {self.buffer[-300:]!r}")
        self.buffer += data

    def ending(self):
        """Reads to the end: "close_notify" or "cut"; what came before it stays in the buffer."""
        try:
            while True:
                self._more()
        except Cut:
            return "cut"
        except Closed:
            return "close_notify"

    def send_close_notify(self):
        """Says that no more comes, and does not wait for the same from the peer."""
        self.socket.settimeout(0)
        try:
            self.socket.unwrap()
        except OSError:
            pass  # the peer has not answered it yet, or is gone
        if self.socket.fileno() >= 0:
            self.socket.settimeout(TIMEOUT_S)


def telling_cuts(context):
    """Python asks OpenSSL to take an end without close_notify for an orderly one; here they must be told apart."""
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    context.sslsocket_class = _Socket
    return context


def client_context(authority, version=None, alpn=None, certificate=None):
    """`version` ssl.TLSVersion: only that one. `certificate`: a Pair to show."""
    context = telling_cuts(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    context.load_verify_locations(authority.certificate)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(alpn)
    if certificate is not None:
        context.load_cert_chain(certificate.certificate, certificate.key)
    return context


class TlsClient(_Tls, wire.Connection):
    def __init__(self, port, context, name="first.test", session=None, timeout=TIMEOUT_S):
        super().__init__(port, timeout)
        plain = self.socket
        try:
            self.socket = context.wrap_socket(plain, server_hostname=name, session=session, suppress_ragged_eofs=False)
        except BaseException:
            plain.close()
            raise


class HalfShaken:
    """A client's handshake as bytes, so that it can stop anywhere."""

    def __init__(self, context, name="first.test"):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def step(self, heard=b""):
        """What the client says after `heard`."""
        self.incoming.write(heard)
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()


class TlsUpstream(wire.ScriptedUpstream):
    """A scripted upstream behind TLS. It notes of each handshake the name asked for, whether a session was resumed, and
    the errors of those that failed. At a script's end the connection is cut; peer.send_close_notify() ends it well."""

    class Peer(_Tls, wire.ScriptedUpstream.Peer):
        pass

    def __init__(self, script, pair, version=None, alpn=None, port=0):
        self.context = telling_cuts(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        self.context.load_cert_chain(pair.certificate, pair.key)
        if version is not None:
            self.context.minimum_version = self.context.maximum_version = version
        if alpn:
            self.context.set_alpn_protocols(alpn)
        self.names, self.resumed, self.refused = [], [], []
        self.context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        super().__init__(script, port)

    def _run(self, peer, number):
        plain = peer.socket
        try:
            peer.socket = self.context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False)
        except OSError as error:
            self.refused.append(error)
            plain.close()
            return
        self.resumed.append(peer.socket.session_reused)
        super()._run(peer, number)
