"""Connections to a gateway that are held open, and the gateway that is looked at meanwhile: for what measures idle connections.
"""
import multiprocessing
import os
import resource
import socket
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{os.path.dirname(HERE)}/proxy")
import servers  # noqa: E402
from machine import paced  # noqa: E402
from servers import SERVICE, Model, write_keys  # noqa: E402

OWN = 200           # descriptors of a worker that are not a connection's: 16, and a few calls' beside them
UNEVEN = 0.95       # the kernel deals connections out to the workers by chance
PER_PROCESS = 5000  # connections that one holder process opens, from an address of its own: a pair has some 28,000 ports
PACE = 300          # calls a second beside them
BIND_LATE = 24      # IP_BIND_ADDRESS_NO_PORT: a port may be another connection's too, as long as the pair of ends differs


def workers_for(connections):
    """How many workers it takes to hold so many connections. Each may have as many descriptors as the process, after an attempt
    to raise that, and keeps one for the upstream of each connection (connections_by_own_descriptors, gateway/app_start.cc)."""
    hard, needed = resource.getrlimit(resource.RLIMIT_NOFILE)[1], 2 * connections + OWN
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, needed),) * 2)
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        workers = -(-connections // int((hard - OWN) // 2 * UNEVEN)) if hard < needed else 1
        if workers > 1:
            print(f"the hard limit of {hard} descriptors: {workers} workers for {connections} connections", flush=True)
        return workers
    return 1


def hold(port, source, key, count, pipe):
    """Opens connections, makes a call on each, tells how many were answered, and closes them when told."""
    request = f"GET /{SERVICE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    held, answered = [], 0
    for _ in range(count):
        connection = socket.socket()
        connection.settimeout(30)
        connection.setsockopt(socket.IPPROTO_IP, BIND_LATE, 1)
        connection.bind((source, 0))
        connection.connect(("127.0.0.1", port))
        connection.sendall(request)
        answered += connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        held.append(connection)
    pipe.send(answered)
    pipe.recv()
    closed = 0
    for connection in held:  # one that the gateway has closed meanwhile is at its end
        connection.setblocking(False)
        try:
            closed += connection.recv(1) == b""
        except BlockingIOError:
            pass
        connection.close()
    pipe.send(closed)


class Gateway:
    """One that can hold so many connections, on a core of its own, with a service, keys for holders and a key for the calls
    beside them."""

    def __init__(self, build, directory, connections):
        self.build, workers = build, workers_for(connections)
        self.model = Model(build, directory)
        try:
            self.server = servers.serve(build, directory, f"{directory}/data", workers=workers, settings=(
                "timeouts.idle_ms=600000", "core_dumps=true", f"limits.connections_max={connections + 1000}"))
        except RuntimeError:
            self.model.stop()
            raise
        try:
            admin = self.server.admin
            admin.put_service(self.model)
            # Several: each may have a few calls at once, and every holder makes one.
            self.keys = [admin.paid_key(f"idle-{i}") for i in range(8)]
            self.keys_file = write_keys(directory, "idle", [admin.paid_key("beside")])
        except (RuntimeError, OSError):
            self.stop()
            raise
        time.sleep(1.5)  # new keys are effective within a second

    def connections(self):
        return int(self.server.metric("tollgate_client_connections"))

    def calls_beside(self, seconds=5):
        return paced(self.build, self.server.port, f"/{SERVICE}", self.keys_file, 8, seconds, rate=PACE)

    def cpu_share(self, seconds=3):
        before = self.server.cpu_ns()
        time.sleep(seconds)
        return self.server.cpu_ns_since(before) / 1e9 / seconds

    def settled(self, wanted):
        for _ in range(600):
            if self.connections() <= wanted:
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.connections()} connections are left open, not {wanted}")

    def stop(self):
        self.server.stop()
        self.model.stop()


class Held:
    """So many connections, each of which has made a call, until close()."""

    def __init__(self, gateway, count):
        self.gateway, self.holders = gateway, []
        before = gateway.server.rss()
        for i, first in enumerate(range(0, count, PER_PROCESS)):
            ours, theirs = multiprocessing.Pipe()
            process = multiprocessing.Process(
                target=hold, args=(gateway.server.port, f"127.0.0.{i + 2}", gateway.keys[i % len(gateway.keys)],
                                   min(PER_PROCESS, count - first), theirs), daemon=True)
            process.start()
            theirs.close()  # else a holder that failed would be waited for
            self.holders.append((process, ours))
        self.answered = self.told()
        self.rss = gateway.server.rss()
        self.bytes_each = (self.rss - before) / count

    def told(self):
        try:
            return sum(pipe.recv() for _, pipe in self.holders)
        except EOFError:
            raise RuntimeError("a process that holds connections failed") from None

    def close(self):
        """Gives how many the gateway had closed before."""
        for _, pipe in self.holders:
            pipe.send("close")
        closed = self.told()
        for process, _ in self.holders:
            process.join(30)
        self.gateway.settled(0)
        return closed
