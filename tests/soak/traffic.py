"""The ordinary clients of a soak: a bounded, steady load of calls of every kind on kept and new connections. Each call has
a number in its subscription's book, and the client tells the book what it was told. It is never hostile."""

import collections
import select
import socket
import ssl
import threading
import time

import wire
from world import source

CLIENTS = 24
SILENCE_S = 15.0  # far beyond all timeouts of the soak's gateway
GONE = "gone"      # the client leaves: what it does is in `leave`
KINDS = {  # kind: (weight, what to ask of the model, the request's body in bytes: a list goes chunked)
    "plain": (40, {}, None),
    "small": (14, {}, 600),
    "slower": (8, {"X-Fake-Delay-Ms": "15"}, None),
    "body-64k": (7, {}, 65_536),
    "body-1m": (0.7, {}, 1_048_576),
    "sent-chunked": (5, {}, [700, 3, 20_000]),
    "chunked": (5, {"X-Fake-Chunked": "1", "X-Fake-Response-Bytes": "70000"}, None),
    "events": (3, {"X-Fake-Sse": "6", "X-Fake-Interval-Ms": "15"}, None),
    "answer-1m": (0.7, {"X-Fake-Response-Bytes": "1048576"}, None),
    "to-the-end": (1.5, {"X-Fake-No-Length": "1"}, None),
    "empty": (1, {"X-Fake-Status": "204"}, None),
    "hints": (1, {"X-Fake-1xx": "103"}, None),
    "early": (1, {"X-Fake-Early": "1"}, 3_000),
    "closing": (1, {"X-Fake-Close": "1"}, None),
    "not-found": (2, {"X-Fake-Status": "404"}, None),
    "broken": (1, {"X-Fake-Status": "500"}, None),
    "unavailable": (1, {"X-Fake-Status": "503", "X-Fake-Chunked": "1"}, 64),
    "said-failed": (2, {"X-Fake-Outcome": "failed"}, None),
    "cut": (1, {"X-Fake-Response-Bytes": "5000", "X-Fake-Close-After-Bytes": "1200"}, None),
    "reset": (1, {"X-Fake-Response-Bytes": "5000", "X-Fake-Close-After-Bytes": "1200", "X-Fake-Reset": "1"}, None),
    "garbled": (1, {"X-Fake-Raw": "HTTP/1.1%20200%20OK%0d%0aContent-Length:%205%0d%0aContent-Length:%206%0d%0a%0d%0ahello"}, None),
    "silent": (0.15, {"X-Fake-Hang": "head"}, None),
    "stuck": (0.15, {"X-Fake-Hang": "body", "X-Fake-Response-Bytes": "5000"}, None),
    "gone-before": (1, {"X-Fake-Delay-Ms": "400"}, None),
    "gone-after": (1, {"X-Fake-Response-Bytes": "300000", "X-Fake-Piece-Bytes": "30000", "X-Fake-Interval-Ms": "20"}, None),
    "pipelined": (2, {}, None),
}
# A client whose head says 200 of these was told nothing good: they are cut, or fail by a field that it never sees.
NEVER_GOOD = {"said-failed", "cut", "reset", "stuck", "garbled"}
PIPELINE = 5


class From(wire.Connection):
    """A connection from an address of one's own among the loopback ones."""

    def __init__(self, port, address, timeout=SILENCE_S, receive_buffer=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        try:
            # Without this the system picks the port at bind(), and runs out of them sooner.
            self.socket.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
            self.socket.bind((address, 0))
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""


class FromTls(From):
    """The same through TLS. An end without TLS's own is a cut."""

    def __init__(self, port, address, context, session=None):
        super().__init__(port, address)
        self.socket = context.wrap_socket(self.socket, server_hostname=context.name, session=session, suppress_ragged_eofs=False)

    def _more(self):
        try:
            super()._more()
        except ssl.SSLError as error:
            if isinstance(error, ssl.SSLEOFError) or error.reason == "UNEXPECTED_EOF_WHILE_READING":
                raise wire.Closed("cut") from error
            raise AssertionError(f"not TLS: {error}") from error


class Until:
    """When to stop, for all clients: the only place where they wait."""

    def __init__(self):
        self.event = threading.Event()

    def rest(self, seconds):
        """True: go on."""
        return not self.event.wait(max(0.0, seconds))

    @property
    def over(self):
        return self.event.is_set()


class Client:
    """Something that calls in a thread until it is told to stop; `pace` is calls per second, never more."""

    def __init__(self, world, until, name, address, pace):
        self.world, self.until, self.name, self.address, self.pace = world, until, name, address, pace
        self.source = source(world.seed, name)
        self.tally = collections.Counter()
        self.malformed = []  # what the strict reader refused
        self.silent = []     # what never came
        self.broken_off = []  # (instant, what it was doing)
        self.doing = ""
        self.connection = None
        self.session = None  # of the last connection through TLS
        self.thread = threading.Thread(target=self.run, name=name, daemon=True)
        self.thread.start()

    def run(self):
        due = time.monotonic()
        while self.until.rest(due - time.monotonic()):
            due = max(due, time.monotonic() - 1.0) + self.source.expovariate(self.pace)
            try:
                self.turn()
            except TimeoutError as error:
                self.fault(self.silent, "silent", error)
            except (OSError, wire.Closed):
                self.tally["broken off"] += 1
                self.broken_off.append((time.monotonic(), self.doing))
                self.drop()
                self.until.rest(0.05)
            except (AssertionError, ValueError) as error:  # ValueError: a number that is none
                if isinstance(error.__cause__, TimeoutError):
                    self.fault(self.silent, "silent", error)
                else:
                    self.fault(self.malformed, "malformed", error)
        self.drop()

    def fault(self, kept, what, error):
        self.tally[what] += 1
        kept.append(f"{self.name} {self.doing}: {str(error)[:200]}")
        self.drop()

    def turn(self):
        raise NotImplementedError

    tls = False  # whether it calls through TLS

    def drop(self):
        if self.connection:
            self.session = self.connection.socket.session if self.tls else None
            self.connection.close()
            self.connection = None

    def open(self):
        if self.connection is None and self.tls:
            session = self.session if self.source.random() < 0.5 else None
            self.connection = FromTls(self.world.tls_port.port, self.address, self.world.tls, session)
            self.tally["resumed" if self.connection.socket.session_reused else "full handshakes"] += 1
        elif self.connection is None:
            self.connection = From(self.world.port, self.address)
        return self.connection

    def request(self, book, number, kind, fields, body):
        target = f"{book.path}{self.source.choice(['', '/v1', '/a/b'])}?n={number}"
        named = {**fields, "X-Kind": kind}
        return wire.request("POST" if body else "GET", target, self.world.port, self.source.choice(book.keys), body, named)


def body_of(size):
    if isinstance(size, list):
        return [b"y" * each for each in size]
    return b"x" * size if size else None


class Caller(Client):
    """An ordinary client: mostly on a kept connection, sometimes on a new one; of any account, one after the other."""

    def __init__(self, world, until, number, pace, books):
        self.books = books
        self.tls = world.tls is not None and number % 4 == 3
        super().__init__(world, until, f"caller-{number}", f"127.0.0.{2 + number % 8}", pace)

    def turn(self):
        book = self.source.choice(self.books)
        self.doing = kind = self.source.choices(list(KINDS), [weight for weight, _, _ in KINDS.values()])[0]
        _, fields, size = KINDS[kind]
        if self.source.random() < 0.05:
            self.drop()
        connection = self.open()
        count = PIPELINE if kind == "pipelined" else 1
        # Of one account's calls on a connection each is charged to it; a pipeline has several accounts.
        called = [book] + [self.source.choice(self.books) for _ in range(count - 1)]
        numbers = [each.begin() for each in called]
        self.tally["calls"] += count
        connection.send(b"".join(self.request(each, number, kind, fields, body_of(size))
                                 for each, number in zip(called, numbers)))
        if kind == "gone-before":
            self.until.rest(self.source.uniform(0.0, 0.3))
            self.leave()
            return
        for each, number in zip(called, numbers):
            if self.one_answer(connection, each, number, kind):
                return

    def one_answer(self, connection, book, number, kind):
        """True: the connection is gone."""
        head = connection.head()
        if kind == "gone-after" and head.status == 200:
            connection.read_some()
            self.leave()
            return True
        response = connection.body(head)
        code = book.told(number, response, kind in NEVER_GOOD)
        self.tally[f"{response.status}{' ' + code if code else ''}{' cut' if response.truncated else ''}"] += 1
        if response.truncated or "close" in response.header("connection", ""):
            self.drop()
            return True
        return False

    def leave(self):
        if self.source.random() < 0.5:
            self.connection.reset()
            self.connection = None
        else:
            self.drop()


class Witness(Client):
    """A paid account that keeps well within its guarantee, one call at a time from an address of its own: whatever
    others send and want, each of its calls is answered 200 unless the upstream or the gateway itself was ended."""

    def __init__(self, world, until, book, pace):
        self.book = book
        self.tls = world.tls is not None and book.service in ("classify", "stream")
        self.calls = []  # (begun, ended, what it was told)
        super().__init__(world, until, f"witness-{book.service}", "127.0.0.10", pace)

    def turn(self):
        number, begun, told = self.book.begin(), time.monotonic(), "nothing"
        try:
            # It may have idled for longer than a restart takes to be forgotten: as every client does, it looks before it sends.
            if self.connection and select.select([self.connection.socket], [], [], 0)[0]:
                self.look()
                self.drop()
            connection = self.open()
            connection.send(self.request(self.book, number, "plain", {}, None))
            response = connection.response()
            told = f"{response.status}{' cut' if response.truncated else ''} {self.book.told(number, response) or ''}".strip()
            if response.truncated or "close" in response.header("connection", ""):
                self.drop()
        finally:
            self.tally[told] += 1
            self.calls.append((begun, time.monotonic(), told))

    def look(self):
        """What can be read before a call is an end; through TLS it may be a session."""
        try:
            stray = b"" if self.tls else self.connection.socket.recv(1, socket.MSG_PEEK)
        except OSError:
            return
        assert not stray, "bytes that nobody asked for"


def start(world, until, rate, books):
    return [Caller(world, until, number, rate / CLIENTS, books) for number in range(CLIENTS)]


def witnesses(world, until, rate):
    return [Witness(world, until, book, rate / 60) for book in world.witnesses]


def tallies(clients):
    total = collections.Counter()
    for each in clients:
        total.update(each.tally)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))
