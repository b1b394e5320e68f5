"""The hostile clients of a soak: heads that two parsers could read differently, slow senders and readers, clients that
vanish, wrong keys, floods, things too large. None may cost another account a call, or leave anything behind."""

import socket
import time

import wire
from harness import at_once
from traffic import Client, From

FRAMING = ("Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5",
           "Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5\r\nContent-Length: 6", "Content-Length: +5",
           "Content-Length: 5, 5", "Content-Length: 0x5", "Content-Length: 111111111111111111111", "Content-Length: -1",
           "Transfer-Encoding: identity", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: ,chunked",
           "Transfer-Encoding: xchunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
           "Transfer-Encoding : chunked", " Transfer-Encoding: chunked", "X-A: b\r\n folded", "X-A: b\nTransfer-Encoding: chunked",
           "X-A: b\rc", "X-A: b\0c", "X A: b", "no colon", ": b", "Host: again", "Expect: the-unexpected")
LINES = ("GET {path}", "GET  {path} HTTP/1.1", "GET {path} HTTP/2.0", "GET {path}/%00 HTTP/1.1", "GET {path}/../x HTTP/1.1",
         "GET {path}/%2e%2e/x HTTP/1.1", "GET {path};a=b HTTP/1.1", "GET {path}//x HTTP/1.1", "CONNECT a:80 HTTP/1.1",
         "TRACE {path} HTTP/1.1", "BREW {path} HTTP/1.1", "GET * HTTP/1.1", "GET http://other.example{path} HTTP/1.1",
         "PRI * HTTP/2.0", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "GE\0T {path} HTTP/1.1")
CHUNKS = (b"+5\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"5\nhello\r\n0\r\n\r\n", b"5\r\nhelloX\r\n0\r\n\r\n",
          b"ffffffffffffffff\r\nhello", b"5;" + b"a" * 70_000 + b"\r\nhello\r\n0\r\n\r\n", b"g\r\nhello\r\n0\r\n\r\n",
          b"5\r\nhello\r\n0\r\nX-Account: b\0\r\n\r\n")


HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(490)  # of TLS, a little short of its end


class Hostile(Client):
    def __init__(self, world, until, number, pace):
        super().__init__(world, until, type(self).__name__, f"127.0.0.{100 + number}", pace)

    def expect_refusal(self, raw, book=None, number=None):
        """Refused by an answer of the gateway's own, or by closing; a 2xx is a violation."""
        with From(self.world.port, self.address) as connection:
            connection.send_all_or_closed(raw)
            try:
                response = connection.response()
            except wire.Closed:
                self.tally["closed"] += 1
                return
            self.tally[f"{response.status}"] += 1
            if response.status < 400:
                self.world.truth.violation(f"{response.status} for {raw[:200]!r}")
            if book:
                book.told(number, response, True)


class Malformed(Hostile):
    """With the victim's key, which makes no good calls at all: nothing may be counted for it, or reach an upstream."""

    def turn(self):
        victim = self.world.victim
        if self.source.random() < 0.25:
            self.bad_chunks()
            return
        path = victim.path
        if self.source.random() < 0.6:
            line, field = f"POST {path} HTTP/1.1", self.source.choice(FRAMING)
        else:
            line, field = self.source.choice(LINES).format(path=path), "X-A: b"
        head = f"{line}\r\nHost: a.example\r\nX-Api-Key: {victim.keys[0]}\r\n{field}\r\n\r\n"
        smuggled = f"0\r\n\r\nGET {path}/smuggled?n=1 HTTP/1.1\r\nHost: a\r\nX-Api-Key: {victim.keys[0]}\r\n\r\n"
        self.expect_refusal((head + smuggled).encode("latin-1"))

    def bad_chunks(self):
        """The head is good and may be forwarded; the call must fail."""
        book = self.world.hostile
        number = book.begin()
        head = wire.head("POST", f"{book.path}?n={number}", self.world.port, book.keys[0], {"Transfer-Encoding": "chunked"})
        self.expect_refusal(head + self.source.choice(CHUNKS), book, number)


class Oversize(Hostile):
    def turn(self):
        book, port = self.world.hostile, self.world.port
        which = self.source.randrange(5)
        key = book.keys[0]
        if which == 0:
            self.expect_refusal(wire.head("GET", book.path, port, key, {"X-Large": "a" * 40_000}))
        elif which == 1:
            self.expect_refusal(wire.head("GET", book.path, port, key, [(f"X-{each}", "a") for each in range(300)]))
        elif which == 2:
            self.expect_refusal(wire.head("GET", book.path + "/a" * 6_000, port, key))
        elif which == 3:
            self.expect_refusal(wire.head("POST", book.path, port, key, {"Content-Length": "4000001"}) + b"x" * 100_000)
        else:
            number = book.begin()
            self.expect_refusal(wire.request("POST", f"{book.path}?n={number}", port, key, [b"x" * 500_000] * 9), book, number)


def guess(world, source):
    """A request with a wrong key, with one for a path of odd bytes, or with a good key for a random path."""
    key = "tg_" + "".join(source.choices("abcdefghijklmnopqrstuvwxyz234567", k=38))
    path, which = f"/{source.randrange(10 ** 9)}", source.random()
    if which < 0.2:
        path = "/" + "".join(source.choices("abcdefghij/%\"\x1b", k=12))
    elif which < 0.5:
        key = world.hostile.keys[0]
    return f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\r\n".encode("latin-1")


class Guesser(Hostile):
    """Wrong keys and random paths; with none of them may a metric or a log line of its own appear."""

    def turn(self):
        self.expect_refusal(guess(self.world, self.source))


class Vanisher(Hostile):
    """Sends a call, or a part of one, and is gone at a random instant."""

    def turn(self):
        book = self.world.hostile
        number = book.begin()
        raw = wire.request("POST", f"{book.path}?n={number}", self.world.port, book.keys[0], b"x" * self.source.choice([10, 90_000]),
                           {"X-Fake-Delay-Ms": "10", "X-Fake-Response-Bytes": "200000"})
        cut = self.source.choice([len(raw), self.source.randrange(1, len(raw)), self.source.randrange(1, 200)])
        connection = From(self.world.port, self.address)
        try:
            connection.send(raw[:cut])
            self.until.rest(self.source.uniform(0.0, 0.04))
            if self.source.random() < 0.3:
                connection.read_some()
            self.tally["gone"] += 1
        finally:
            if self.source.random() < 0.5:
                connection.reset()
            else:
                connection.close()


class Flooder(Hostile):
    """Many more calls at once than its subscription may have: all but those are refused."""

    def turn(self):
        book = self.world.flooder

        def one(_):
            number = book.begin()
            try:
                with From(self.world.port, self.address) as connection:
                    connection.send(wire.request("GET", f"{book.path}?n={number}", self.world.port, book.keys[0],
                                                 fields={"X-Fake-Delay-Ms": "40"}))
                    response = connection.response()
                    book.told(number, response)
                    return response.status
            except (OSError, wire.Closed):
                return "broken off"
        for status in at_once(30, one):
            self.tally[f"{status}"] += 1


class Slow(Hostile):
    """Heads and bodies by the byte, readers that do not read, connections that say nothing: up to `many` at once, all held
    until the gateway cuts them."""

    many = 60
    PATIENCE_S = 30    # whoever lives longer was let be
    READERS_LOOK_S = 15  # when a reader begins to read what there is: before, it cannot see that it was cut
    ANSWER = 20_000_000

    def __init__(self, world, until, number, pace):
        self.held = []
        self.let_be = []
        super().__init__(world, until, number, pace)

    def turn(self):
        if len(self.held) < self.many:
            self.held.append(self.begin())
        for each in list(self.held):
            connection, rest, since = each
            age = time.monotonic() - since
            try:
                if rest:
                    connection.socket.send(rest.pop(0))
                end = "cut" if self.gone(connection, age) else None
            except BlockingIOError:
                end = None
            except OSError:
                end = "cut"
            if connection.taken >= self.ANSWER or (end is None and age > self.PATIENCE_S):
                end = "let be"
                self.let_be.append(f"{connection.which} after {age:.0f} s")
            if end:
                self.tally[end] += 1
                self.held.remove(each)
                connection.close()

    def begin(self):
        book, port = self.world.hostile, self.world.port
        which = self.source.choice(["head", "body", "drip", "reader", "idle"] + ["handshake"] * (self.world.tls is not None))
        self.tally[which] += 1
        # Some addresses: one may not hold so many.
        address = f"127.0.0.{110 + self.tally[which] % 4}"
        connection = From(self.world.tls_port.port if which == "handshake" else port, address,
                          receive_buffer=4096 if which == "reader" else None)
        rest = [HELLO[at:at + 1] for at in range(len(HELLO))] if which == "handshake" else []
        if which == "head":
            raw = wire.head("GET", "/detect", port, self.world.victim.keys[0])
            rest = [raw[at:at + 1] for at in range(len(raw) - 4)]
        elif which in ("body", "drip"):
            number = book.begin()
            connection.send(wire.head("POST", f"{book.path}?n={number}", port, book.keys[0], {"Content-Length": "1000"}))
            rest = [b"x"] * (5 if which == "body" else 999)  # one is silent in the end, the other is only slow
        elif which == "reader":
            number = book.begin()
            connection.send(wire.request("GET", f"{book.path}?n={number}", port, book.keys[0],
                                         fields={"X-Fake-Response-Bytes": str(self.ANSWER)}))
        connection.which, connection.taken = which, 0
        connection.socket.setblocking(False)
        return connection, rest, time.monotonic()

    def gone(self, connection, age):
        """A reader that never reads sees a reset, but not an end behind what it does not read: some time after it must have
        been cut it reads all there is. If that is the whole answer, it was let be."""
        if connection.which == "reader":
            if age < self.READERS_LOOK_S:
                return connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
            while data := connection.socket.recv(1 << 20):
                connection.taken += len(data)
            return True
        data = connection.socket.recv(4096)
        if data.startswith(b"HTTP/1.1 408 "):
            self.tally[f"408 for a {connection.which}"] += 1
        return data == b""

    def drop(self):
        for connection, _, _ in self.held:
            connection.close()
        self.held.clear()


PACES = {Malformed: 5, Oversize: 1, Guesser: 5, Vanisher: 6, Flooder: 0.3, Slow: 8}


def start(world, until, share):
    """`share` 1: at full pace."""
    return [kind(world, until, number, pace * share) for number, (kind, pace) in enumerate(PACES.items())]
