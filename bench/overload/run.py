#!/usr/bin/env python3
"""What tollgate does with more load than it, or its upstreams, can take: goodput, who is shed, what a refusal costs, and
whether one account moves another's latency.

One worker on core 0; the load and the model share core 1, open loops of paced_load (latencies from when a call was due),
asleep until the next call is due: several senders and the model share a core, so none may spin on it.
Takes some four minutes. Prints a table and writes JSON. Standard library only.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from statistics import median

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, f"{ROOT}/bench/proxy")
import servers  # noqa: E402
from servers import LOAD_CORE, SERVICE, Admin, Model, Server, free_port, wait_for_port, write_keys  # noqa: E402

DELAY_MS = 50
BASE = 10                              # calls in flight of one account
PER_ACCOUNT = BASE * 1000 // DELAY_MS  # so many calls a second keep an account at its guarantee
TOO_FAST = 200_000                     # more than a core can do: each of the connections sends as soon as it may
VICTIM_RATE = 500                      # calls a second whose p99 is looked at
CAPACITY = 60                          # of the service; half of it is kept for paid calls
WHOLE = "whole"                        # a service without such a bound
CROWD = 640                            # connections; twice the calls that 32 accounts may have in flight
NEAR_PEAK = (25_000, 30_000, 35_000)   # calls a second about what one core can forward for so many


def start_refuser(directory):
    port = free_port()
    with open(f"{HERE}/nginx.conf") as file:
        text = file.read().replace("@DIR@", directory).replace("@PORT@", str(port))
    path = os.path.join(directory, "refuser.conf")
    with open(path, "w") as file:
        file.write(text)
    return Server("refuser", directory, ["nginx", "-p", directory, "-c", path, "-e", f"{directory}/refuser.log"], port,
                  servers.PROXY_CORE)


class Gateway:
    def __init__(self, build, directory, seconds, rounds):
        self.build, self.directory, self.seconds, self.rounds = build, directory, seconds, rounds
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
        self.admin.call("PUT", f"/v1/services/{WHOLE}", {
            "model": "image-classification/high-performance", "upstreams": [f"127.0.0.1:{self.model.port}"],
            "route": {"path_prefix": f"/{WHOLE}"}})
        self.paid = [self.admin.paid_key(f"paid-{i}") for i in range(16)]
        self.free = [self.free_key(f"free-{i}") for i in range(16)]
        self.crowd = [self.admin.paid_key(f"crowd-{i}", WHOLE) for i in range(CROWD // (2 * BASE))]
        self.refuser = start_refuser(directory)
        servers.time.sleep(1.5)  # new keys are effective within a second

    def free_key(self, account):
        self.admin.call("PUT", f"/v1/accounts/{account}", {"name": account})
        self.admin.call("PUT", f"/v1/accounts/{account}/subscriptions/{SERVICE}", {"paid": False})
        return self.admin.call("POST", f"/v1/accounts/{account}/keys", {"name": "bench"})["key"]

    def begin(self, name, keys, rate, delay_ms, connections, port=None, service=SERVICE, overload=0):
        keys_file = write_keys(self.directory, name, keys)
        return subprocess.Popen(
            ["taskset", "-c", str(LOAD_CORE), f"{self.build}/bench/load/paced_load", "--host", "127.0.0.1", "--port",
             str(port or self.server.port), "--path", f"/{service}?fake_delay_ms={delay_ms}", "--keys-file", keys_file,
             "--connections", str(connections), "--body-bytes", "256", "--rate", str(rate), "--seconds",
             str(self.seconds), "--spin", "0", "--overload", str(overload)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self, load):
        out, errors = load.communicate(timeout=self.seconds + 60)
        if not out:  # a status of 1 with a report only says that calls were refused, as they are meant to be
            raise RuntimeError(errors)
        result = json.loads(out)
        result["served"] = result["requests"] - result["errors"]
        return result

    def load(self, *arguments, **more):
        return self.end(self.begin(*arguments, **more))

    def quiet_share(self):
        """CPU nanoseconds of the process in a second in which nobody calls."""
        before = self.server.cpu_ns()
        servers.time.sleep(1)
        return self.server.cpu_ns_since(before)

    def cpu_us(self, quiet, name, keys, rate, *arguments):
        before = self.server.cpu_ns()
        result = self.load(name, keys, rate, *arguments, overload=int(rate == TOO_FAST))
        return (self.server.cpu_ns_since(before) - quiet * result["seconds"]) / 1000 / result["requests"], result

    def victim(self):
        return self.load("victim", self.paid[:1], VICTIM_RATE, 0, 16)["p99_us"]

    def stop(self):
        self.refuser.stop()
        self.server.stop()
        self.model.stop()


def goodput(gateway):
    """Two accounts whose guarantee is the bottleneck, offered what they may have and then more; a sender each, since a
    refused call's connection is free at once and would draw one sender's load to the account that is full."""
    out, base = [], None
    for times in (1, 2, 10):
        senders = [gateway.begin(f"goodput-{i}", [key], PER_ACCOUNT * times, DELAY_MS, 128)
                   for i, key in enumerate(gateway.paid[:2])]
        per_second = sum(result["served"] / result["seconds"] for result in map(gateway.end, senders))
        base = base or per_second
        out.append((f"goodput at {times}x of {2 * PER_ACCOUNT}/s, against 1x", per_second / base, 0.9, "at least"))
    return out


def own_core(gateway):
    """The gateway's core is the bound: the same clients offer what it can just forward, then twice and ten times that.
    The peak is the best of three rates about it; what is not sent in time is not sent."""
    rates = NEAR_PEAK + (2 * NEAR_PEAK[1], 10 * NEAR_PEAK[1])
    served, refused = {rate: [] for rate in rates}, {rate: [] for rate in rates}
    for _ in range(gateway.rounds):
        for rate in rates:
            result = gateway.end(gateway.begin("crowd", gateway.crowd, rate, 0, CROWD, service=WHOLE, overload=1))
            served[rate].append(result["served"] / result["seconds"])
            refused[rate].append(result["errors"] / result["requests"])
    peak = max(median(served[rate]) for rate in NEAR_PEAK)
    return [(f"goodput of {CROWD} connections at {times}x of {NEAR_PEAK[1]}/s, {median(refused[rate]):.0%} refused, against the peak "
             f"of {peak:.0f}/s, {spread([each / peak for each in served[rate]])}", median(served[rate]) / peak, 0.9, "at least")
            for times, rate in ((2, rates[3]), (10, rates[4]))]


def cost(gateway):
    """CPU of a refusal at the guarantee against that of a proxied call at the same rate, less what the process needs when
    nobody calls. Alternating, and the median of the ratios: the machine's other work moves both."""
    out = []
    for rate, how, bound in ((1500, "at 1500/s", None), (TOO_FAST, "as fast as it goes", 0.5)):
        calls, refusals, shares = [], [], []
        for _ in range(gateway.rounds):
            quiet = gateway.quiet_share()
            calls.append(gateway.cpu_us(quiet, "calls", gateway.paid, rate, 0, 64)[0])
            holder = gateway.begin("holder", gateway.paid[:1], 20, 500, 64)  # its ten places are taken all the time
            cpu, result = gateway.cpu_us(quiet, "refusals", gateway.paid[:1], rate, 500, 64)
            gateway.end(holder)
            refusals.append(cpu)
            shares.append(result["errors"] / result["requests"])
        ratios = [refusal / call for refusal, call in zip(refusals, calls)]
        out.append((f"CPU {how} of a refusal ({median(refusals):.1f} us, {min(shares):.0%} refused) against a call "
                    f"({median(calls):.1f} us), {spread(ratios)}", median(ratios), bound, "at most"))
    return out


def paid_first(gateway):
    """Twice the capacity, half of it free."""
    rate = CAPACITY * 1000 // DELAY_MS
    free = gateway.begin("free", gateway.free, rate, DELAY_MS, 128)
    paid = gateway.load("paid", gateway.paid, rate, DELAY_MS, 128)
    free = gateway.end(free)
    return [("share of paid calls served at 2x", paid["served"] / paid["requests"], 0.99, "at least"),
            ("share of free calls served then", free["served"] / free["requests"], None, "")]


def neighbours(gateway):
    """p99 of one account alone, next to one that is offered 100 times its guarantee, and, to know what of that is the
    machine's, next to the same flood refused by an nginx on the gateway's core."""
    alone, beside, control = [], [], []
    for _ in range(gateway.rounds):
        alone.append(gateway.victim())
        for into, port in ((control, gateway.refuser.port), (beside, gateway.server.port)):
            hungry = gateway.begin("hungry", gateway.paid[1:2], 100 * BASE * 2, 500, 64, port)
            into.append(gateway.victim())
            gateway.end(hungry)

    def against(these, those):
        return [this / that for this, that in zip(these, those)]
    ours, machine = against(beside, alone), against(control, alone)
    return [(f"p99 beside one at 100x ({median(beside):.0f} us) against alone ({median(alone):.0f} us), {spread(ours)}",
             median(ours), 1.5, "at most"),
            (f"the same with the flood refused by nginx ({median(control):.0f} us), {spread(machine)}", median(machine), None, ""),
            (f"the first against the second, {spread(against(beside, control))}", median(against(beside, control)), None, "")]


def spread(numbers):
    return f"{min(numbers):.2f} to {max(numbers):.2f}"


def alone_on_the_machine():
    """Real-time scheduling for all that is started from here on: what else the machine does then waits, and does not count.
    Not for CPU times: whoever interrupts others at each call finds the caches cold."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        print("no real-time scheduling: on a machine that does something else the latencies say little", flush=True)


PARTS = (goodput, own_core, cost, paid_first, neighbours)


def run(build, parts, arguments):
    """The rows of these parts, on a gateway of their own; printed as they come."""
    directory, gateway, rows = tempfile.mkdtemp(prefix="tollgate-overload-"), None, []
    try:
        gateway = Gateway(build, directory, arguments.seconds, arguments.rounds) if parts else None
        for part in parts:
            for text, value, bound, most in part(gateway):
                met = "" if bound is None else "met" if (value <= bound) == (most == "at most") or value == bound else "MISSED"
                rows.append({"what": text, "value": value, "bound": bound, "met": met})
                print(f"{met:7}{text}: {value:.3f}" + (f", wanted {most} {bound}" if bound else ""), flush=True)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"the benchmark stopped: {error}\nlogs: {directory}")
    finally:
        if gateway:
            gateway.stop()
    shutil.rmtree(directory, ignore_errors=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=f"{ROOT}/build/release")
    parser.add_argument("--out", default=f"{ROOT}/build/bench/overload.json")
    parser.add_argument("--seconds", type=int, default=3, help="of load per measurement")
    parser.add_argument("--rounds", type=int, default=5, help="of what is measured in turns")
    parser.add_argument("--only", nargs="*", choices=[part.__name__ for part in PARTS], help="these parts")
    arguments = parser.parse_args()
    build, out = os.path.abspath(arguments.build), os.path.abspath(arguments.out)
    wanted = [part for part in PARTS if not arguments.only or part.__name__ in arguments.only]
    rows = run(build, [part for part in wanted if part is not neighbours], arguments)
    if neighbours in wanted:
        alone_on_the_machine()
        rows += run(build, [neighbours], arguments)
    os.makedirs(os.path.dirname(out), exist_ok=True)
    with open(out, "w") as file:
        json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
