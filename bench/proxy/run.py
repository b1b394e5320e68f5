#!/usr/bin/env python3
"""Compares tollgate with the bare relay (the floor), nginx and HAProxy on this machine: CPU time per request.

Every proxy has core 0 to itself with one worker; the load and the model share core 1. After a pair of two equal relays
(what the method can tell apart), all are measured in rounds of random order, and compared within their own round.
Prints tables and writes JSON. Standard library only. Why CPU time: on a shared machine it stays put, throughput does not.
"""
import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from typing import NamedTuple, Optional

import report as page
import servers
from machine import congestion_control, enter_network_namespace, paced, show, spread, versions, wrk
from servers import call, seconds_between_events

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
ALL = ["bare_relay", "nginx", "haproxy", "tollgate"]
RIVALS = ["nginx", "haproxy"]
DIRECT = "direct"          # not through a proxy
CALLS = "tollgate, calls"  # beside refusals: what a call costs in the same round
KIB = 1024


class Regime(NamedTuple):
    what: str
    generator: str        # wrk: as fast as it goes; paced: an open loop that sleeps between two calls; spinning: one that does not
    connections: int
    body_bytes: int
    query: str            # what the model is to do
    keys: Optional[int]   # used; None: all; more than servers.ACCOUNTS: the proxies are started anew with so many
    who: list             # takes part
    tls: bool = False     # between clients and proxies
    times: int = 1        # as long as the others


REGIMES = {
    "saturated-1k": ("64 connections, 1 KiB bodies, as fast as it goes", "wrk", 64, KIB, "", None, ALL),
    # Longer: a p99 of 2,000 requests a second needs its hundreds of requests beyond it.
    "paced-1k": ("2,000 requests/s in an open loop, 1 KiB bodies", "paced", 64, KIB, "", None, ALL + [DIRECT], False, 3),
    # The sender keeps core 1, and with it the kernel's clock and caches, awake; the model gets its turn from it.
    "paced-spinning-1k": ("2,000 requests/s in an open loop that never sleeps, 1 KiB bodies", "spinning", 64, KIB, "", None, ALL),
    "bodies-1m": ("16 connections, 1 MiB bodies", "wrk", 16, KIB * KIB, "", None, ALL),
    "refusals": ("64 connections of one account, the model takes 20 ms: all but 10 are refused with 429", "wrk", 64, KIB,
                 "fake_delay_ms=20", 1, RIVALS + ["tollgate", CALLS]),
    "tls-1k": ("64 connections through TLS 1.3, 1 KiB bodies", "wrk", 64, KIB, "", None, RIVALS + ["tollgate"], True),
    "streamed": ("64 connections, answers of 20 events, one a millisecond", "wrk", 64, KIB, "fake_sse=20&fake_interval_ms=1", None,
                 ALL),
    "saturated-64k": ("32 connections, 64 KiB bodies", "wrk", 32, 64 * KIB, "", None, ALL),
    "delayed-1k": ("64 connections, 1 KiB bodies, the model takes 20 ms", "wrk", 64, KIB, "fake_delay_ms=20", None, ALL),
    # The last of a run: from here on the proxies have so many keys. Longer than the pause between two rounds of collection.
    "keys-100k": ("64 connections, 1 KiB bodies, 100,000 accounts' keys in turn", "wrk", 64, KIB, "", 100_000, ALL, False, 4),
}
REGIMES = {name: Regime(*fields) for name, fields in REGIMES.items()}
DEFAULT_REGIMES = ["saturated-1k", "paced-1k", "paced-spinning-1k", "bodies-1m", "refusals", "tls-1k", "streamed", "keys-100k"]


class Bench:
    def __init__(self, build, directory, seconds):
        self.build, self.directory, self.seconds = build, directory, seconds
        self.model = servers.Model(build, directory)
        self.running = {}

    def start(self, names, accounts=servers.ACCOUNTS):
        starters = {
            "bare_relay": lambda: servers.start_relay("bare_relay", self.build, self.directory, self.model),
            "bare_relay_2": lambda: servers.start_relay("bare_relay_2", self.build, self.directory, self.model),
            "nginx": lambda: servers.start_nginx(self.directory, self.model, accounts),
            "haproxy": lambda: servers.start_haproxy(self.directory, self.model, accounts),
            "tollgate": lambda: servers.start_tollgate(self.build, self.directory, self.model, accounts),
        }
        for name in names:
            if name in self.running:
                self.running[name].stop()
            self.running[name] = starters[name]()
            self.check(self.running[name])

    def check(self, server):
        with open(server.keys_file) as file:
            key = file.readline().strip()
        status, text = call(server.port, "POST", server.path, {"check": 1}, {"Authorization": key})
        if status != 200 or "body_crc32" not in text:
            raise RuntimeError(f"{server.name} does not pass a call on: {status} {text[:300]}")
        seconds = seconds_between_events(server.port, f"{server.path}?fake_sse=2&fake_interval_ms=300", key)
        if seconds < 0.15:
            raise RuntimeError(f"{server.name} holds the first of two events back for the second, so its duties are not the same")
        if not server.name.startswith("bare_relay"):
            status, _ = call(server.port, "POST", server.path, {"check": 1}, {"Authorization": "Bearer tg_nobody"})
            if status != 401:
                raise RuntimeError(f"{server.name} answers {status} to an unknown key, so its duties are not the same")

    def stop(self):
        for server in list(self.running.values()) + [self.model]:
            server.stop()

    def keys_file(self, server, count):
        if count is None:
            return server.keys_file
        with open(server.keys_file) as file:
            keys = file.readlines()[:count]
        path = f"{server.keys_file}.{count}"
        with open(path, "w") as file:
            file.writelines(keys)
        return path

    def load(self, regime, server, port):
        _, generator, connections, body_bytes, query, keys, _, tls, times = REGIMES[regime]
        path = server.path + (f"?{query}" if query else "")
        keys_file = self.keys_file(server, keys)
        seconds = self.seconds * times
        if generator != "wrk":
            result = paced(self.build, port, path, keys_file, connections, seconds, body_bytes, spin=generator == "spinning")
            if result["errors"]:
                raise RuntimeError(f"{server.name}, {regime}: {result}")
            return result
        url = f"https://127.0.0.1:{server.tls_port}" if tls else f"http://127.0.0.1:{port}"
        result = wrk(url, path, keys_file, connections, seconds, body_bytes)
        if result["broken"] or (result["not_2xx"] and regime != "refusals"):
            raise RuntimeError(f"{server.name}, {regime}: answers that are not 2xx or broken connections: {result}")
        return result

    def measure(self, regime, name):
        if name == CALLS:
            return self.measure("saturated-1k", "tollgate")
        direct = name == DIRECT
        server = self.running["bare_relay"] if direct else self.running[name]
        calls_before, cpu_before = self.model.stats(), server.cpu_ns()
        result = self.load(regime, server, self.model.port if direct else server.port)
        cpu = 0 if direct else server.cpu_ns_since(cpu_before)
        calls_after = self.model.stats()
        if calls_after["malformed"] != calls_before["malformed"]:
            raise RuntimeError(f"{name}, {regime}: the model got a request that is no valid HTTP")
        calls = calls_after["started"] - calls_before["started"]
        # The model saw every proxied call, warm-up included; a refusal only the client saw.
        requests = result["requests"] if regime == "refusals" else calls
        if requests == 0:
            raise RuntimeError(f"{name}, {regime}: not one request")
        return {"us": cpu / 1000 / requests, "per_second": result["requests"] / result["seconds"],
                "p50_us": result["p50_us"], "p99_us": result["p99_us"], "calls": calls, "requests": requests}


def run_rounds(bench, regime, names, rounds, chance):
    out = {name: [] for name in names}
    for _ in range(rounds):
        order = list(names)
        chance.shuffle(order)
        for name in order:
            out[name].append(bench.measure(regime, name))
            print(".", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)
    return out


def ratios(measured, name, other, figure="us"):
    """Round by round, so that what changes on the machine between rounds falls out."""
    return spread([a[figure] / b[figure] for a, b in zip(measured[name], measured[other])])


def print_regime(regime, measured):
    print(f"\n## {regime}: {REGIMES[regime].what}\n")
    floor = "bare_relay" if "bare_relay" in measured else None
    print(f"{'':15} {'us CPU/request':>26} {'ratio to the floor':>24} {'requests/s':>11} {'p50 us':>8} {'p99 us':>8}")
    for name, rows in measured.items():
        us = spread([row["us"] for row in rows])
        cpu = "" if name == DIRECT else f"{us['median']:.2f} ({us['min']:.2f}..{us['max']:.2f})"
        ratio = show(ratios(measured, name, floor)) if floor and name not in (floor, DIRECT) else ""
        middle = {figure: statistics.median(row[figure] for row in rows) for figure in ("per_second", "p50_us", "p99_us")}
        print(f"{name:15} {cpu:>26} {ratio:>24} {middle['per_second']:>11.0f} {middle['p50_us']:>8.0f} {middle['p99_us']:>8.0f}")


def better_rival(measured):
    rivals = [name for name in RIVALS if name in measured]
    return min(rivals, key=lambda name: statistics.median(row["us"] for row in measured[name])) if rivals else None


P99 = {"saturated-1k": "1 KiB at full load", "paced-1k": "paced", "tls-1k": "TLS, 1 KiB at full load", "keys-100k": "100,000 keys at full load"}


def targets(results):
    """The targets of docs/performance.md that this run can judge: (text, ratio, bound, met)."""
    out = []

    def judge(text, ratio, bound, most=True):
        out.append({"target": text, "ratio": ratio, "bound": bound, "most": most,
                    "met": ratio["median"] <= bound if most else ratio["median"] >= bound})

    for regime, measured in results.items():
        if "tollgate" not in measured:
            continue
        rival = better_rival(measured)
        if regime == "saturated-1k" and "bare_relay" in measured:
            judge("1 KiB: CPU against the floor", ratios(measured, "tollgate", "bare_relay"), 1.15)
        if regime == "saturated-1k" and rival:
            judge(f"1 KiB: CPU against {rival}", ratios(measured, "tollgate", rival), 0.70)
        if regime == "bodies-1m" and "nginx" in measured:
            judge("1 MiB: CPU against nginx unbuffered", ratios(measured, "tollgate", "nginx"), 1.0)
        if regime == "keys-100k" and rival:
            judge(f"100,000 keys: CPU against {rival}", ratios(measured, "tollgate", rival), 1.0)
        if regime == "tls-1k" and rival:
            judge(f"TLS, 1 KiB: CPU against {rival}", ratios(measured, "tollgate", rival), 1.0)
        if regime == "paced-1k" and rival:
            judge(f"paced: CPU against {rival}", ratios(measured, "tollgate", rival), 0.90)
        if regime == "paced-spinning-1k" and rival:
            judge(f"paced by a load that never sleeps: CPU against {rival}", ratios(measured, "tollgate", rival), 0.90)
        if regime == "paced-1k" and "haproxy" in measured:
            judge("paced: p50 against haproxy", ratios(measured, "tollgate", "haproxy", "p50_us"), 1.0)
        if regime in P99 and "haproxy" in measured:
            judge(f"{P99[regime]}: p99 against haproxy", ratios(measured, "tollgate", "haproxy", "p99_us"), 1.0)
        if regime == "refusals" and CALLS in measured:
            judge("refusals per CPU second against calls", ratios(measured, CALLS, "tollgate"), 2.0, False)
    return out


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=f"{ROOT}/build/pgo", help="where the programs are")
    parser.add_argument("--out", default=f"{ROOT}/build/bench/proxy.json")
    parser.add_argument("--only", help="comma list of " + ", ".join(ALL))
    parser.add_argument("--regimes", default=",".join(DEFAULT_REGIMES), help="comma list of " + ", ".join(REGIMES) + ", or all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of load per measurement; some regimes take a multiple")
    parser.add_argument("--publish", action="store_true", help="table and chart to docs/benchmarks, too")
    parser.add_argument("--seed", type=int, default=None, help="of the order within the rounds; printed")
    arguments = parser.parse_args()
    arguments.build, arguments.out = os.path.abspath(arguments.build), os.path.abspath(arguments.out)
    arguments.regimes = list(REGIMES) if arguments.regimes == "all" else arguments.regimes.split(",")
    arguments.only = arguments.only.split(",") if arguments.only else list(ALL)
    unknown = [name for name in arguments.only if name not in ALL] + [name for name in arguments.regimes if name not in REGIMES]
    if unknown or arguments.rounds < 1 or arguments.seconds < 1:
        parser.error(f"unknown or out of range: {unknown}")
    return arguments


def main():
    arguments = parse_arguments()
    enter_network_namespace()
    if (os.cpu_count() or 1) < 2:
        sys.exit("The benchmark needs two cores: one for the proxy, one for the load.")
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 31)
    report = {"seed": seed, "rounds": arguments.rounds, "seconds": arguments.seconds,
              "versions": versions(arguments.build, arguments.only), "congestion_control": congestion_control(), "regimes": {}}
    print(f"seed {seed}, {arguments.rounds} rounds of {arguments.seconds} s, congestion control {report['congestion_control']}")
    print("\n".join(f"{name}: {text}" for name, text in report["versions"].items()))
    directory = tempfile.mkdtemp(prefix="tollgate-bench-")
    bench, results, chance = None, {}, random.Random(seed)
    try:
        bench = Bench(arguments.build, directory, arguments.seconds)
        bench.start(["bare_relay", "bare_relay_2"])
        pair = run_rounds(bench, "saturated-1k", ["bare_relay", "bare_relay_2"], arguments.rounds, chance)
        report["resolution"] = ratios(pair, "bare_relay_2", "bare_relay")
        print(f"resolution: two equal relays differ by {show(report['resolution'])}; less than that is no difference")
        bench.start([name for name in arguments.only if name != "bare_relay"])
        for regime in sorted(arguments.regimes, key=lambda regime: REGIMES[regime].keys or 0):
            names = [name for name in REGIMES[regime].who if name == DIRECT or name.split(",")[0] in arguments.only]
            if names in ([], [DIRECT]):
                continue
            if (REGIMES[regime].keys or 0) > servers.ACCOUNTS:  # the relay knows no keys
                bench.start([name for name in names if name != "bare_relay"], REGIMES[regime].keys)
            results[regime] = run_rounds(bench, regime, names, arguments.rounds, chance)
            report["regimes"][regime] = {"what": REGIMES[regime].what, "rows": results[regime]}
            print_regime(regime, results[regime])
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"the benchmark stopped: {error}\nlogs: {directory}")
    finally:
        if bench:
            bench.stop()
    report["targets"] = targets(results)
    if report["targets"]:
        print("\n## Targets\n")
    for target in report["targets"]:
        print(f"{'met   ' if target['met'] else 'MISSED'} {target['target']:45} {show(target['ratio'])}, wanted {target['bound']}")
    os.makedirs(os.path.dirname(arguments.out), exist_ok=True)
    with open(arguments.out, "w") as file:
        json.dump(report, file, indent=1)
    page.write(report, os.path.dirname(arguments.out))
    if arguments.publish:
        page.write(report, f"{ROOT}/docs/benchmarks")
    print(f"\nwritten: {os.path.relpath(arguments.out)}")
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
