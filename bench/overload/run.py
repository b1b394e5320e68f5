#!/usr/bin/env python3
"""What tollgate does with more load than it, or its upstreams, can take: goodput, who is shed, what a refusal costs, and
whether one account moves another's latency.

One worker on core 0; the load and the model share core 1, open loops of paced_load (latencies from when a call was due).
Takes some 60 s. Prints a table and writes JSON. Standard library only.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, f"{ROOT}/bench/proxy")
import servers  # noqa: E402
from servers import LOAD_CORE, SERVICE, Admin, Model, Server, free_port, wait_for_port, write_keys  # noqa: E402

DELAY_MS = 50
BASE = 10                              # calls in flight of one account
PER_ACCOUNT = BASE * 1000 // DELAY_MS  # so many calls a second keep an account at its guarantee
CAPACITY = 60                          # of the service; half of it is kept for paid calls


class Gateway:
    def __init__(self, build, directory, seconds):
        self.build, self.directory, self.seconds = build, directory, seconds
        self.model = Model(build, directory)
        port, admin_port, token = free_port(), free_port(), os.urandom(16).hex()
        self.server = Server("tollgate", directory, [
            f"{build}/tollgate", "serve", "--data-dir", f"{directory}/data", "--listen", f"127.0.0.1:{port}",
            "--admin-listen", f"127.0.0.1:{admin_port}", "--set", "workers=1"],
            port, servers.PROXY_CORE, {"TOLLGATE_ADMIN_TOKEN": token})
        wait_for_port(admin_port, self.server.process, "tollgate's admin listener")
        self.admin = Admin(admin_port, token)
        self.admin.call("PUT", f"/v1/services/{SERVICE}", {
            "model": "image-classification/high-performance", "upstreams": [f"127.0.0.1:{self.model.port}"],
            "route": {"path_prefix": f"/{SERVICE}"}, "capacity": CAPACITY, "paid_reserve_percent": 50})
        self.paid = [self.admin.paid_key(f"paid-{i}") for i in range(16)]
        self.free = [self.free_key(f"free-{i}") for i in range(16)]
        servers.time.sleep(1.5)  # new keys are effective within a second

    def free_key(self, account):
        self.admin.call("PUT", f"/v1/accounts/{account}", {"name": account})
        self.admin.call("PUT", f"/v1/accounts/{account}/subscriptions/{SERVICE}", {"paid": False})
        return self.admin.call("POST", f"/v1/accounts/{account}/keys", {"name": "bench"})["key"]

    def begin(self, name, keys, rate, delay_ms, connections):
        keys_file = write_keys(self.directory, name, keys)
        return subprocess.Popen(
            ["taskset", "-c", str(LOAD_CORE), f"{self.build}/bench/load/paced_load", "--host", "127.0.0.1", "--port",
             str(self.server.port), "--path", f"/{SERVICE}?fake_delay_ms={delay_ms}", "--keys-file", keys_file,
             "--connections", str(connections), "--body-bytes", "256", "--rate", str(rate), "--seconds",
             str(self.seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self, load):
        out, errors = load.communicate(timeout=self.seconds + 60)
        if not out:  # a status of 1 with a report only says that calls were refused, as they are meant to be
            raise RuntimeError(errors)
        result = json.loads(out)
        result["served"] = result["requests"] - result["errors"]
        return result

    def load(self, *arguments):
        return self.end(self.begin(*arguments))

    def cpu_us(self, *arguments):
        before = self.server.cpu_ns()
        result = self.load(*arguments)
        return self.server.cpu_ns_since(before) / 1000 / result["requests"], result

    def stop(self):
        self.server.stop()
        self.model.stop()


def goodput(gateway):
    """Two accounts whose guarantee is the bottleneck, offered what they may have and then more."""
    peak, keys, out = 2 * PER_ACCOUNT, gateway.paid[:2], []
    base = None
    for times in (1, 2, 10):
        result = gateway.load("goodput", keys, peak * times, DELAY_MS, 256)
        per_second = result["served"] / result["seconds"]
        base = base or per_second
        out.append((f"goodput at {times}x of {peak}/s, against 1x", per_second / base, 0.9, "at least"))
    return out


def cost(gateway):
    """CPU of a refusal at the guarantee against that of a proxied call at the same rate."""
    call, _ = gateway.cpu_us("calls", gateway.paid, 1500, 0, 64)
    holder = gateway.begin("holder", gateway.paid[:1], 20, 500, 64)  # its ten places are taken all the time
    refusal, result = gateway.cpu_us("refusals", gateway.paid[:1], 1500, 500, 64)
    gateway.end(holder)
    refused = result["errors"] / result["requests"]
    return [(f"CPU of a refusal ({refusal:.1f} us, {refused:.0%} refused) against a call ({call:.1f} us)", refusal / call,
             0.5, "at most")]


def paid_first(gateway):
    """Twice the capacity, half of it free."""
    rate = CAPACITY * 1000 // DELAY_MS
    free = gateway.begin("free", gateway.free, rate, DELAY_MS, 128)
    paid = gateway.load("paid", gateway.paid, rate, DELAY_MS, 128)
    free = gateway.end(free)
    return [("share of paid calls served at 2x", paid["served"] / paid["requests"], 0.99, "at least"),
            ("share of free calls served then", free["served"] / free["requests"], None, "")]


def neighbours(gateway):
    """p99 of one account alone, and next to one that is offered 100 times its guarantee."""
    quiet = gateway.load("victim", gateway.paid[:1], 200, 0, 16)
    hungry = gateway.begin("hungry", gateway.paid[1:2], 100 * BASE * 2, 500, 64)
    beside = gateway.load("victim", gateway.paid[:1], 200, 0, 16)
    gateway.end(hungry)
    return [(f"p99 beside one at 100x ({beside['p99_us']} us) against alone ({quiet['p99_us']} us)",
             beside["p99_us"] / quiet["p99_us"], 1.5, "at most")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=f"{ROOT}/build/release")
    parser.add_argument("--out", default=f"{ROOT}/build/bench/overload.json")
    parser.add_argument("--seconds", type=int, default=3, help="of load per measurement")
    arguments = parser.parse_args()
    build, out = os.path.abspath(arguments.build), os.path.abspath(arguments.out)
    directory, gateway, rows = tempfile.mkdtemp(prefix="tollgate-overload-"), None, []
    try:
        gateway = Gateway(build, directory, arguments.seconds)
        for part in (goodput, cost, paid_first, neighbours):
            for text, value, bound, most in part(gateway):
                met = "" if bound is None else "met" if (value <= bound) == (most == "at most") or value == bound else "MISSED"
                rows.append({"what": text, "value": value, "bound": bound, "met": met})
                print(f"{met:7}{text}: {value:.3f}" + (f", wanted {most} {bound}" if bound else ""), flush=True)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"the benchmark stopped: {error}\nlogs: {directory}")
    finally:
        if gateway:
            gateway.stop()
    os.makedirs(os.path.dirname(out), exist_ok=True)
    with open(out, "w") as file:
        json.dump(rows, file, indent=1)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
