#!/usr/bin/env python3
"""What connections that say nothing cost tollgate: memory each, CPU time, what calls beside them feel, and whether all of it
comes back when they are closed.

20,000 connections, or as many as the hard limit of descriptors allows (half of the gateway's are its upstreams'). Each makes
one call first, so that it holds what a used connection holds. Three times, since what is not given back shows in the next.
Takes a minute. Prints a table and writes JSON. Standard library only.
"""
import argparse
import json
import multiprocessing
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, f"{ROOT}/bench/proxy")
import servers  # noqa: E402
from servers import SERVICE, Admin, Model, Server, free_port, wait_for_port, write_keys  # noqa: E402

WANTED = 20_000
OWN = 100           # descriptors that are not a connection's, with the few connections of calls beside them
PER_PROCESS = 5000  # connections that one holder process opens
BYTES_MAX = 20 * 1024
PACE = 300          # calls a second beside them
UPSTREAMS = 16      # connections that stay open to the model


def hold(port, key, count, pipe):
    """Opens connections, makes a call on each, tells how many were answered, and closes them when told."""
    request = f"GET /{SERVICE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    held, answered = [], 0
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port), timeout=30)
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
    def __init__(self, build, directory):
        self.build, self.directory = build, directory
        self.model = Model(build, directory)
        port, admin_port, token = free_port(), free_port(), os.urandom(16).hex()
        self.server = Server("tollgate", directory, [
            f"{build}/tollgate", "serve", "--data-dir", f"{directory}/data", "--listen", f"127.0.0.1:{port}",
            "--admin-listen", f"127.0.0.1:{admin_port}", "--set", "workers=1", "--set", "timeouts.idle_ms=600000",
            "--set", "core_dumps=true"],
            port, servers.PROXY_CORE, {"TOLLGATE_ADMIN_TOKEN": token})
        wait_for_port(admin_port, self.server.process, "tollgate's admin listener")
        self.admin_port = admin_port
        admin = Admin(admin_port, token)
        admin.call("PUT", f"/v1/services/{SERVICE}", {
            "model": "image-classification/high-performance", "upstreams": [f"127.0.0.1:{self.model.port}"],
            "route": {"path_prefix": f"/{SERVICE}"}})
        self.key = admin.paid_key("idle")
        self.keys_file = write_keys(directory, "idle", [admin.paid_key("beside")])
        time.sleep(1.5)  # new keys are effective within a second

    def rss(self):
        with open(f"/proc/{self.server.process.pid}/statm") as pages:
            return int(pages.read().split()[1]) * resource.getpagesize()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.server.process.pid}/fd"))

    def connections(self):
        _, text = servers.call(self.admin_port, "GET", "/metrics")
        return next(int(float(line.split()[1])) for line in text.splitlines()
                    if line.startswith("tollgate_client_connections "))

    def calls_beside(self, seconds=5):
        done = subprocess.run(
            ["taskset", "-c", str(servers.LOAD_CORE), f"{self.build}/bench/load/paced_load", "--host", "127.0.0.1", "--port",
             str(self.server.port), "--path", f"/{SERVICE}", "--keys-file", self.keys_file, "--connections", "8", "--rate",
             str(PACE), "--seconds", str(seconds)], capture_output=True, text=True, timeout=seconds + 60)
        if not done.stdout:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout)

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


def with_idle(gateway, count):
    """Holds `count` connections and measures; gives the figures."""
    before = gateway.rss()
    holders = []
    for first in range(0, count, PER_PROCESS):
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.Process(target=hold, args=(gateway.server.port, gateway.key,
                                                             min(PER_PROCESS, count - first), theirs), daemon=True)
        process.start()
        holders.append((process, ours))
    answered = sum(pipe.recv() for _, pipe in holders)
    held = gateway.rss()
    figures = {"answered": answered, "rss_held": held, "bytes_each": (held - before) / count, "cpu_share": gateway.cpu_share(),
               "beside": gateway.calls_beside()}
    for _, pipe in holders:
        pipe.send("close")
    figures["closed_by_us"] = sum(pipe.recv() for _, pipe in holders)
    for process, _ in holders:
        process.join(30)
    gateway.settled(0)
    return figures


def rows_of(gateway, count):
    quiet, cpu = gateway.calls_beside(), gateway.cpu_share()
    gateway.settled(0)
    descriptors = gateway.descriptors()
    first, again, last = (with_idle(gateway, count) for _ in range(3))
    grown = max(last["rss_held"] - again["rss_held"], 0)
    beside = first["beside"]
    return [
        (f"memory of one of {count} idle connections, KiB", first["bytes_each"] / 1024, BYTES_MAX / 1024),
        ("connections whose call was not answered, or that were closed by us",
         sum(count - each["answered"] + each["closed_by_us"] for each in (first, again, last)), 0),
        ("calls beside them that failed", sum(each["beside"]["errors"] for each in (first, again, last)), 0),
        (f"p50 of calls beside them, us (without them {quiet['p50_us']})", beside["p50_us"], None),
        (f"p99 of calls beside them, us (without them {quiet['p99_us']})", beside["p99_us"], None),
        (f"CPU while they say nothing, of one core (without them {cpu:.4f})", first["cpu_share"], 0.02),
        ("descriptors left open when they are gone", max(gateway.descriptors() - descriptors - UPSTREAMS, 0), 0),
        ("memory grown from the second to the third time, KiB a connection", grown / 1024 / count, 0.25),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=f"{ROOT}/build/release")
    parser.add_argument("--out", default=f"{ROOT}/build/bench/idle.json")
    parser.add_argument("--connections", type=int, default=WANTED)
    arguments = parser.parse_args()
    build, out = os.path.abspath(arguments.build), os.path.abspath(arguments.out)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(arguments.connections, (hard - OWN) // 2)
    if count < arguments.connections:
        print(f"the hard limit of {hard} descriptors allows {count} connections, not {arguments.connections}", flush=True)
    directory, gateway, rows, missed = tempfile.mkdtemp(prefix="tollgate-idle-"), None, [], False
    try:
        gateway = Gateway(build, directory)
        for text, value, most in rows_of(gateway, count):
            met = "" if most is None else "met" if value <= most else "MISSED"
            missed = missed or met == "MISSED"
            rows.append({"what": text, "value": value, "at_most": most, "met": met})
            print(f"{met:7}{text}: {value:.4g}" + (f", wanted at most {most:g}" if most is not None else ""), flush=True)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"the benchmark stopped: {error}\nlogs: {directory}")
    finally:
        if gateway:
            gateway.stop()
    os.makedirs(os.path.dirname(out), exist_ok=True)
    with open(out, "w") as file:
        json.dump(rows, file, indent=1)
    shutil.rmtree(directory, ignore_errors=True)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
