"""The part of entitlements that change all the time: how many changes a second each way of the admin API can make, and what calls
to another service feel of it.

All that changes belongs to a service of 10,000 subscriptions; the calls are to a second service, so none is refused for it.
Nothing is pinned: the billing thread makes the changes, a worker the calls, and load and model are there too. The admin API's
clients, which would be other machines, get what processor time the rest leaves over.
"""
import json
import multiprocessing
import os
import socket
import time

import servers
from machine import paced
from servers import SERVICE

CHANGED = "changed"         # the service whose subscriptions change
SUBSCRIPTIONS = 10_000
CLIENTS = 4                 # connections to the admin API
RATE = 1_000                # calls a second
CONNECTIONS = 16
ALL_CORES = f"0-{(os.cpu_count() or 1) - 1}"


class Client:
    """One kept connection to the admin API. Python's own HTTP client would cost more than what is measured."""

    def __init__(self, admin):
        self.socket = socket.create_connection(("127.0.0.1", admin.port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head = f"Host: x\r\nAuthorization: Bearer {admin.token}\r\nContent-Type: application/json\r\n"

    def call(self, method, path, body=""):
        """The answer's body; anything but 2xx ends the run."""
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\n{self.head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += self.received()
        head, _, rest = got.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        length = int(lengths[0]) if lengths else 0
        while len(rest) < length:
            rest += self.received()
        if not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(f"{method} {path}: {head.decode()} {rest.decode()}")
        return rest

    def received(self):
        data = self.socket.recv(65536)
        if not data:
            raise RuntimeError("the admin API closed a connection")
        return data


def of_mine(mine):
    """The accounts that one of the clients changes, over and over: two clients never change the same one."""
    while True:
        yield from (f"account-{i}" for i in range(mine, SUBSCRIPTIONS, CLIENTS))


# Each gives the number of changes after each of its calls.

def subscriptions(client, mine):
    """PUT of a subscription, free and then paid again: a commit and an entitlement each."""
    for account in of_mine(mine):
        for paid in ("false", "true"):
            client.call("PUT", f"/v1/accounts/{account}/subscriptions/{CHANGED}", f'{{"paid":{paid}}}')
            yield 1


def keys(client, mine):
    """A key is made, then revoked."""
    for account in of_mine(mine):
        made = json.loads(client.call("POST", f"/v1/accounts/{account}/keys", "{}"))
        yield 1
        client.call("DELETE", f"/v1/accounts/{account}/keys/{made['id']}")
        yield 1


def usage(client, _):
    """What another gateway counted, a call of each subscription: one commit that takes from the free points of all of them."""
    epoch = json.loads(client.call("POST", "/v1/gateways/other/epochs"))["epoch"]
    hour = time.strftime("%Y-%m-%dT%H:00:00Z", time.gmtime())
    cost = 4  # points of a call of the service's model
    for calls in range(1, 1_000_000):
        totals = ",".join(
            f'{{"account":"account-{i}","service":"{CHANGED}","hour":"{hour}","calls_succeeded":{calls},"calls_failed":0,'
            f'"calls_unmetered":0,"free_points":{calls * cost},"billable_points":0}}' for i in range(SUBSCRIPTIONS))
        client.call("POST", "/v1/usage", f'{{"gateway":"other","epoch":{epoch},"totals":[{totals}]}}')
        yield SUBSCRIPTIONS


def service(client, _):
    """A service is removed and brought back, which publishes the entitlements of all its subscriptions; few rows are written."""
    definition = client.call("GET", f"/v1/services/{CHANGED}").decode()
    body = json.loads(definition)
    del body["id"]
    body = json.dumps(body)
    while True:
        client.call("DELETE", f"/v1/services/{CHANGED}")
        client.call("PUT", f"/v1/services/{CHANGED}", body)
        yield SUBSCRIPTIONS


# How, with how many clients, and changes a second that are wanted; None: as many as it can.
WAYS = {
    "subscriptions put": (subscriptions, CLIENTS, None),
    "keys made and revoked": (keys, CLIENTS, None),
    "usage of 10,000 subscriptions in a report": (usage, 1, None),
    "the same, a report a second": (usage, 1, SUBSCRIPTIONS),
    "a service of 10,000 subscriptions back": (service, 1, None),
    "the same, once a second": (service, 1, SUBSCRIPTIONS),
}


def change(admin, how, mine, pace, pipe):
    """Makes changes until told to stop; tells how many a second there were, then."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    made, client = 0, Client(admin)
    steps = how(client, mine)
    begun = time.monotonic()
    while not pipe.poll():
        made += next(steps)
        late = time.monotonic() - begun - made / pace if pace else 0
        if late < 0:
            pipe.poll(-late)
    pipe.send(made / (time.monotonic() - begun))


class Changes:
    """Changes that are made in this way until stop(), which gives how many a second."""

    def __init__(self, admin, way):
        how, clients, pace = WAYS[way]
        self.clients = []
        for mine in range(clients):
            ours, theirs = multiprocessing.Pipe()
            process = multiprocessing.Process(target=change, args=(admin, how, mine, pace, theirs), daemon=True)
            process.start()
            theirs.close()
            self.clients.append((process, ours))

    def stop(self):
        try:
            for _, pipe in self.clients:
                pipe.send("stop")
            each = [pipe.recv() for _, pipe in self.clients]
        except (EOFError, BrokenPipeError):
            raise RuntimeError("a client of the admin API failed") from None
        for process, _ in self.clients:
            process.join(30)
        return sum(each)


def syncs(directory, seconds=0.5):
    """What the disk allows: pages written and synced one after another, a second."""
    done, path = 0, f"{directory}/synced"
    with open(path, "wb", buffering=0) as file:
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            done += 1
        rate = done / (time.monotonic() - begun)
    os.unlink(path)
    return rate


def run(build, directory, arguments, report):
    model = servers.Model(build, directory, ALL_CORES)
    server = None
    try:
        changed_key = servers.make_store(build, f"{directory}/churn", SUBSCRIPTIONS, model, CHANGED)[0]
        server = servers.serve(build, directory, f"{directory}/churn", "churn", ALL_CORES)
        server.admin.put_service(model)
        keys_file = servers.write_keys(directory, "beside", [server.admin.paid_key(f"beside-{i}") for i in range(CONNECTIONS)])
        time.sleep(1.5)  # new keys are effective within a second

        def calls():
            result = paced(build, server.port, f"/{SERVICE}", keys_file, CONNECTIONS, arguments.seconds, rate=RATE,
                           cores=ALL_CORES)
            if result["errors"]:
                raise RuntimeError(f"calls beside the changes failed: {result}")
            return result

        disk, quiet, beside, reached = [], [], {way: [] for way in WAYS}, {way: [] for way in WAYS}
        for _ in range(arguments.rounds):
            disk.append(syncs(directory))
            quiet.append(calls())
            for way in WAYS:
                changes = Changes(server.admin, way)
                beside[way].append(calls())
                reached[way].append(changes.stop())
        status, text = servers.call(server.port, "POST", f"/{CHANGED}", {"check": 1}, {"Authorization": f"Bearer {changed_key}"})
        if status != 200:
            raise RuntimeError(f"after all changes a key of the service does not work: {status} {text[:300]}")
        report("the disk: 4 KiB appended and synced, a second", disk)
        report(f"without changes: p50 of {RATE} calls/s, us", [each["p50_us"] for each in quiet])
        report("without changes: p99, us", [each["p99_us"] for each in quiet])
        for way in WAYS:
            report(f"{way}: changes/s", reached[way])
            report(f"{way}: p50 of the calls, us", [each["p50_us"] for each in beside[way]])
            report(f"{way}: p99 of the calls, us", [each["p99_us"] for each in beside[way]])
    finally:
        if server:
            server.stop()
        model.stop()
