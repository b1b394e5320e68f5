#!/usr/bin/env python3
"""How far one tollgate goes on this machine: a second worker, very many connections, a million accounts, and entitlements that
change all the time under the calls.

The parts, each of which --only selects:
workers      calls as fast as they go with one worker and with two. The load, the model and the gateway share the machine's
             cores, so the rate says little on a machine of two: the ratio of CPU per call is the figure.
connections  10,000 and 50,000 client connections that have made a call and say nothing: memory each, CPU, and what calls
             beside them feel. The gateway has as many workers as the hard limit of descriptors asks for, which root may
             raise, all of them on one core. Its limits.connections_max must allow them (it is set here), and limits.connections_per_address_max, if there is
             one, what comes from one address: a holder of 5,000 connections has a loopback address of its own here.
accounts     a store of a million accounts, with one subscription and one key each: start, memory, and the cost of a call when
             the keys are those of all against 32 keys. Needs 1.5 GB of disk and some minutes to make the store.
churn        entitlements change by each way of the admin API while calls are made.

What is compared is measured in turns; medians, least and greatest are printed and written as JSON. Standard library only.
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
sys.path[1:1] = [f"{ROOT}/bench/proxy", f"{ROOT}/bench/idle"]
import accounts  # noqa: E402
import churn  # noqa: E402
import servers  # noqa: E402
from held import PACE, Gateway, Held  # noqa: E402
from machine import congestion_control, enter_network_namespace, spread, versions  # noqa: E402

ALL_CORES = f"0-{(os.cpu_count() or 1) - 1}"
CONNECTIONS = (10_000, 50_000)


def workers(build, directory, arguments, report):
    """CPU per call and rate with one worker and with two, at 64 and at 256 connections."""
    model = servers.Model(build, directory, ALL_CORES)
    running = []
    try:
        for count in (1, 2):
            data = f"{directory}/workers-{count}"
            # 256 connections in turn over 128 keys: far from each one's guarantee of 10.
            keys = servers.make_store(build, data, 128, model)
            server = servers.serve(build, directory, data, f"workers-{count}", ALL_CORES, workers=count)
            server.keys_file = servers.write_keys(directory, server.name, keys)
            running.append(server)
        for connections in (64, 256):
            measured = [[], []]
            for turn in range(arguments.rounds):
                for index in ((0, 1), (1, 0))[turn % 2]:
                    measured[index].append(accounts.saturated(running[index], model, connections, arguments.seconds, ALL_CORES))
            for index, rows in enumerate(measured):
                name = f"{index + 1} worker{'s' if index else ''}, {connections} connections"
                report(f"{name}: calls/s", [row["per_second"] for row in rows])
                report(f"{name}: CPU per call, us", [row["us"] for row in rows])
            one, two = measured
            for what, figure in (("CPU per call", "us"), ("rate", "per_second")):
                report(f"{what} of 2 workers against 1, {connections} connections",
                       [b[figure] / a[figure] for a, b in zip(one, two)])
    finally:
        for server in running + [model]:
            server.stop()


def connections(build, directory, arguments, report):
    """What open connections cost, and what calls beside them feel."""
    for count in CONNECTIONS:
        gateway = Gateway(build, tempfile.mkdtemp(dir=directory), count)
        try:
            quiet, share = [], []
            for _ in range(arguments.rounds):
                quiet.append(gateway.calls_beside(arguments.seconds))
                share.append(gateway.cpu_share())
            gateway.settled(0)
            held, beside, held_share = Held(gateway, count), [], []
            for _ in range(arguments.rounds):
                beside.append(gateway.calls_beside(arguments.seconds))
                held_share.append(gateway.cpu_share())
            closed = held.close()
        finally:
            gateway.stop()
        name = f"{count} connections"
        report(f"{name}: memory of each, KiB", [held.bytes_each / 1024])
        report(f"{name}: whose call was not answered, or that the gateway closed", [count - held.answered + closed])
        report(f"{name}: CPU while nobody calls, of one core", held_share)
        report(f"none instead of {name}: CPU while nobody calls", share)
        for figure in ("p50", "p99"):
            report(f"{name}: {figure} of {PACE} calls/s beside, us", [each[f"{figure}_us"] for each in beside])
            report(f"none instead of {name}: {figure} of these calls, us", [each[f"{figure}_us"] for each in quiet])
        report(f"{name}: calls beside that failed", [sum(each["errors"] for each in beside)])


PARTS = {"workers": workers, "connections": connections, "accounts": accounts.run, "churn": churn.run}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=f"{ROOT}/build/release", help="where the programs are")
    parser.add_argument("--out", default=f"{ROOT}/build/bench/scale.json")
    parser.add_argument("--only", nargs="*", choices=list(PARTS), help="these parts")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of load per measurement")
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--scratch", help="where the stores are made: a real disk")
    arguments = parser.parse_args()
    arguments.build, out = os.path.abspath(arguments.build), os.path.abspath(arguments.out)
    enter_network_namespace()
    told = {"versions": versions(arguments.build, ["tollgate"]), "cores": os.cpu_count(), "load_average": os.getloadavg(),
            "congestion_control": congestion_control(), "rounds": arguments.rounds, "seconds": arguments.seconds, "rows": []}
    print("\n".join(f"{name}: {text}" for name, text in told["versions"].items()))
    os.makedirs(os.path.dirname(out), exist_ok=True)
    directory = tempfile.mkdtemp(prefix="tollgate-scale-", dir=arguments.scratch)
    for name, part in PARTS.items():
        if arguments.only and name not in arguments.only:
            continue
        print(f"\n## {name}\n", flush=True)

        def report(what, values, part_of=name):
            row = {"part": part_of, "what": what, **spread(values), "values": values}
            told["rows"].append(row)
            of_rounds = f"  ({row['min']:,.5g} to {row['max']:,.5g})" if len(values) > 1 else ""
            print(f"{what:75} {row['median']:>12,.5g}{of_rounds}", flush=True)
        try:
            part(arguments.build, directory, arguments, report)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            sys.exit(f"the benchmark stopped: {error}\nlogs: {directory}")
        with open(out, "w") as file:  # after each part: the next may fail
            json.dump(told, file, indent=1)
    shutil.rmtree(directory, ignore_errors=True)
    print(f"\nwritten: {os.path.relpath(out)}")


if __name__ == "__main__":
    main()
