#!/usr/bin/env python3
"""End-to-end fuzz with nginx as second reader: `nginx_differential.py [--seconds N | --count N] [--seed S]`.

Requests go through a real tollgate to an upstream that keeps every byte; nginx then reads those bytes, and must find the
calls that were meant: as many, the same methods, targets, framing, fields and bodies, no byte more. What tollgate accepts
nginx must accept too, as forwarded and as the client wrote it, but for REFUSED_BY_NGINX. First it plants differences and must
find them. TOLLGATE_BIN is the program; no nginx: exit 77. A difference: exit 1."""

import argparse
import collections
import itertools
import queue
import random
import re
import socket
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import wire  # noqa: E402
from admin import fresh  # noqa: E402
from harness import FAST, Tollgate, eventually  # noqa: E402
from http_requests import Mutator, read_connection  # noqa: E402
from nginx_process import LAST, Nginx, nginx_program, variable  # noqa: E402
from planted import PLANTED, honest  # noqa: E402

CLIENTS = 6        # below the calls at once that the service guarantees
ROUND = 240        # cases between two looks at the upstream
ANSWER_S = 10.0    # for an answer that must come
SILENCE_S = 0.04   # for one that should not: nothing fails when it is too short, less is seen
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

# Fields that nginx tells, so that they can be compared; CGI's way of writing names has no word for the others.
NAMES = [name for name in (*Mutator.NAMES, "X-Account", "X-Service", "X-Request-Id", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Via",
                           "Authorization", "X-Api-Key") if re.fullmatch(r"[A-Za-z0-9_-]+", name)]
ONCE = {b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"content-range", b"authorization"}


def values_of(fields, names):
    return [value for name, value in fields if name in names]


# (why, which requests): what nginx refuses with 400 and tollgate does not; the first is forwarded too.
REFUSED_BY_NGINX = [
    ("a field twice that should come once (If-Match, Content-Range...) and frames nothing: left to the upstream",
     lambda fields: any(len(values_of(fields, {name})) > 1 for name in ONCE)),
    ("Expect: 100-continue twice: a list, as RFC 9110 10.1.1 has it; it is answered by the gateway and goes no further",
     lambda fields: len(values_of(fields, {b"expect"})) > 1),
    ("an empty label in Host, which RFC 3986 allows; Host goes no further, and routes nothing here",
     lambda fields: any(value.startswith(b".") or b".." in value for value in values_of(fields, {b"host"}))),
]
# nginx takes a tab around a value for a part of it. RFC 9112 5 does not, and tollgate writes one blank.
TAB = "a tab before or after a value of Host, Content-Length or Transfer-Encoding: white space as RFC 9112 5 says"
TAB_AROUND = re.compile(rb"\r\n(host|content-length|transfer-encoding):([ ]*\t[^\r]*|[^\r]*\t[ ]*)\r\n", re.IGNORECASE)


def why_refused(fields, raw=b""):
    if TAB_AROUND.search(raw.partition(b"\r\n\r\n")[0] + b"\r\n"):
        return TAB
    return next((why for why, matches in REFUSED_BY_NGINX if matches(fields)), None)


class RecordingUpstream(wire.ScriptedUpstream):
    """Answers every request and keeps the connection's bytes, and where in them each request ended."""

    class Peer(wire.ScriptedUpstream.Peer):
        def __init__(self, accepted):
            super().__init__(accepted)
            self.raw = b""      # what was not given away by take() yet
            self.calls = []     # (first line, fields, body, end in raw, which of all calls)
            self.ended = False

        def _more(self):
            before = len(self.buffer)
            super()._more()
            self.raw += self.buffer[before:]

    def __init__(self):
        self.peers, self.count = [], itertools.count()
        super().__init__(self.play)

    def play(self, peer, _number):
        peer.socket.settimeout(None)
        with self.lock:
            self.peers.append(peer)
        try:
            while (request := peer.request()) is not None:
                with self.lock:
                    peer.calls.append((*request, len(peer.raw) - len(peer.buffer), next(self.count)))
                peer.send(ANSWER)
        finally:
            with self.lock:
                peer.ended = True

    def take(self):
        """[(calls, their bytes, what followed them and will not go on)] since the last time, a connection each."""
        found = []
        with self.lock:
            for peer in self.peers:
                end = peer.calls[-1][3] if peer.calls else 0
                found.append((peer.calls, peer.raw[:end], peer.raw[end:] if peer.ended else b""))
                peer.calls, peer.raw = [], peer.raw[end:]
            self.peers = [peer for peer in self.peers if not peer.ended]
        return found


class Case:
    """The bytes of one client connection. Its address of its own (127.x.y.z) names it in what reaches the upstream."""

    def __init__(self, number, raw):
        self.address = f"127.{1 + (number >> 16) % 250}.{(number >> 8) & 255}.{number & 255}"
        self.raw = raw
        self.meant, self.ending = read_connection(raw)
        self.answers = []     # statuses
        self.next = 0         # of `meant`: those before were found at the upstream, or passed over as refused
        self.arrived = 0

    def play(self, port):
        with socket.create_connection(("127.0.0.1", port), ANSWER_S, source_address=(self.address, 0)) as raw_socket:
            client = wire.ScriptedUpstream.Peer(raw_socket)
            client.send_all_or_closed(self.raw)
            try:
                for request in self.meant:
                    client.socket.settimeout(ANSWER_S)
                    self.answers.append(client.response(request.method.decode("latin-1")).status)
                # Nobody should answer what was not a whole request with anything but a refusal.
                client.socket.settimeout(SILENCE_S)
                while self.ending != "whole":
                    self.answers.append(client.response().status)
            except wire.Closed:
                return None
            except OSError:
                return None  # a reset while we were sending
            except AssertionError as silence:
                return silence if len(self.answers) < len(self.meant) else None


class Fuzz:
    LAST_CALL = ("GET /the-last-one HTTP/1.1", [("host", "a"), ("connection", "close")], b"")

    def __init__(self, seed):
        self.seed = seed
        self.upstream = RecordingUpstream()
        self.gateway = Tollgate({"limits.key_failures_per_address_max": 0, "log.level": "error"})
        self.nginx = Nginx(NAMES)
        self.findings = 0
        self.silent = False
        self.explained = collections.Counter()
        self.statuses = collections.Counter()
        self.calls = self.cut = self.cases = 0
        self.originals = []

    def start(self):
        self.gateway.start()
        admin = self.gateway.admin
        service, account = fresh("svc"), fresh("acct")
        # Two prefixes are two services; "/" takes every path.
        for answer in (admin.put_service(service, FAST, [self.upstream.address], "/"), admin.put_account(account),
                       admin.deposit(account, "1000000"), admin.put_subscription(account, service, True)):
            assert answer.status in (200, 201), answer
        self.key = admin.create_key(account)["key"]
        eventually(lambda: wire.call(self.gateway.port, "/", self.key).status == 200, "the key is accepted", 10)
        self.upstream.take()
        seeds = [path.read_bytes()[1:] for path in sorted((HERE / "corpus" / "request_head").iterdir())]
        self.mutator = Mutator(random.Random(self.seed), list(dict.fromkeys(seeds)), self.key)
        # The key is another in every run; its length is not, so the same seed gives the same cases.

    def finding(self, what, case, *shown):
        self.findings += 1
        if self.silent:
            return
        print(f"FINDING {what} (seed {self.seed})\n  client sent: {case.raw if case else None!r}", *(f"\n  {each}" for each in shown), flush=True)

    def round(self, count):
        """Plays cases at once, then holds what reached the upstream against what was meant, and against nginx."""
        cases = [Case(self.cases + index, self.mutator.case()) for index in range(count)]
        self.cases += count
        waiting = queue.SimpleQueue()
        for case in cases:
            waiting.put(case)

        def client():
            while True:
                try:
                    case = waiting.get_nowait()
                except queue.Empty:
                    return
                silence = case.play(self.gateway.port)
                if silence:
                    self.finding("a whole request is not answered", case, silence)
        threads = [threading.Thread(target=client, daemon=True) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if not self.gateway.alive():
            raise AssertionError(f"tollgate ended:\n{self.gateway.stderr()}")
        self.check(self.upstream.take(), {case.address: case for case in cases})
        for case in cases:
            self.statuses.update(case.answers)
            if case.answers.count(200) > case.arrived:
                self.finding(f"{case.answers.count(200)} calls succeeded, {case.arrived} reached the upstream", case)

    def check(self, connections, cases):
        # A client's calls come one after the other, but on any of the connections.
        in_order = sorted((call for calls, _, _ in connections for call in calls), key=lambda call: call[4])
        case_of = {call[4]: self.check_meant(call, cases) for call in in_order}
        self.calls += len(in_order)
        for calls, data, rest in connections:
            self.check_forwarded(calls, [case_of[call[4]] for call in calls], data)
            if rest:
                self.cut += 1
                self.check_cut(rest)
        for error in self.upstream.errors:
            self.finding(f"the upstream could not read what was forwarded: {error!r}", None)
        self.upstream.errors.clear()
        for case, request in self.originals:
            self.check_original(case, request)
        self.originals.clear()

    def check_forwarded(self, calls, cases_of, data):
        """nginx finds in the bytes of a connection to the upstream the calls that the upstream found, and no other."""
        begin = 0
        while True:
            read = self.nginx.read(data[begin:] + LAST)
            expected = [*calls, self.LAST_CALL]
            for at, (call, got) in enumerate(itertools.zip_longest(expected, read)):
                if call and got and self.reads_same(call, got):
                    continue
                case = cases_of[at] if at < len(cases_of) else None
                why = why_refused(self.fields_of(call)) if call else None
                if got is None or got.status != 400 or why is None:
                    self.finding("nginx reads another request than was forwarded", case, f"forwarded: {call}", f"nginx: {got}", f"bytes: {data!r}")
                    return
                # It refused and closed: what came after it is read on a new connection.
                self.explained[why] += 1
                begin, calls, cases_of = call[3], calls[at + 1:], cases_of[at + 1:]
                break
            else:
                return

    def check_cut(self, rest):
        whole = [each for each in self.nginx.read(rest) if each.status == 200]
        if whole:
            self.finding("nginx finds a request in what was cut off", None, f"nginx: {whole}", f"bytes: {rest!r}")

    @staticmethod
    def fields_of(call):
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in call[1]]

    @staticmethod
    def as_read(call):
        method, target, _ = call[0].encode("latin-1").split(b" ", 2)
        return method, target, call[2]

    def reads_same(self, call, got):
        return got.status == 200 and (got.method, got.target, got.body) == self.as_read(call) and self.tells_same(call[1], got.fields)

    def tells_same(self, fields, told):
        """nginx gives the first of several fields of a name, or all of them joined, as its version has it."""
        values = collections.defaultdict(list)
        for name, value in fields:
            if re.fullmatch(r"[a-z0-9_-]+", name) and variable(name) in self.nginx.variables:
                values[variable(name)].append(value)
        return (set(told) <= set(values)
                and all(told.get(name, "") in (each[0], ", ".join(each), "; ".join(each)) for name, each in values.items()))

    def check_meant(self, call, cases):
        """The next of its client's requests that reads like this one; those before it were refused."""
        case = cases.get(dict(call[1]).get("x-forwarded-for"))
        if case is None:
            self.finding("a call of nobody", None, f"forwarded: {call}")
            return None
        for index in range(case.next, len(case.meant)):
            request = case.meant[index]
            if (request.method, request.forwarded_target(), request.body) == self.as_read(call):
                case.next = index + 1
                case.arrived += 1
                self.originals.append((case, request))
                return case
        self.finding("what was forwarded is not what was meant", case, f"forwarded: {call}")
        return case

    def check_original(self, case, request):
        """nginx reads the client's own bytes of an accepted request as we do, or there is a reason on the list."""
        read = self.nginx.read(request.raw)
        target = request.target if request.target.startswith(b"/") else request.forwarded_target()
        if len(read) == 1 and read[0].status == 200:
            got = (read[0].method, read[0].target.partition(b"?")[0], read[0].body)
            if got != (request.method, target.partition(b"?")[0], request.body):
                self.finding("nginx reads the client's request differently", case, f"nginx: {read}")
            return
        why = why_refused(request.fields, request.raw)
        if why is None:
            self.finding("tollgate accepts what nginx refuses", case, f"request: {request.raw!r}", f"nginx: {read}")
        else:
            self.explained[why] += 1

    def check_itself(self):
        """What a careless gateway might forward must be found, and nothing in what an honest one forwards."""
        self.silent = True
        for what, change in [("nothing", lambda data: data), *PLANTED.items()]:
            calls, data = honest()
            self.findings = 0
            self.check_forwarded(calls, [None] * len(calls), change(data))
            assert (self.findings > 0) == (what != "nothing"), f"planted {what}: {self.findings} findings"
        self.check_cut(data)
        assert self.findings, "planted a whole request in what was cut off: no finding"
        self.findings, self.silent = 0, False

    def close(self):
        self.gateway.close()
        self.nginx.close()
        self.upstream.close()

    def report(self, began):
        took = time.monotonic() - began
        print(f"{self.cases} connections in {took:.1f} s, seed {self.seed}: {self.calls} calls reached the upstream, and {self.cut} cut ones; "
              f"{self.findings} findings\nanswers: " + ", ".join(f"{status} {count}" for status, count in sorted(self.statuses.items())))
        for why, count in sorted(self.explained.items()):
            print(f"accepted, and refused by nginx: {count} x {why}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--count", type=int, help="so many connections, whatever the time")
    parser.add_argument("--seed", type=int, default=20211011)
    options = parser.parse_args()
    if not nginx_program():
        print("nginx is not here (package nginx-light): skipped")
        sys.exit(77)
    print(f"seed {options.seed}", flush=True)
    fuzz = Fuzz(options.seed)
    try:
        fuzz.check_itself()
        fuzz.start()
        began = time.monotonic()
        while fuzz.cases < options.count if options.count else time.monotonic() < began + options.seconds:
            fuzz.round(min(ROUND, options.count - fuzz.cases) if options.count else ROUND)
        fuzz.report(began)
    finally:
        fuzz.close()
    sys.exit(1 if fuzz.findings else 0)


if __name__ == "__main__":
    main()
