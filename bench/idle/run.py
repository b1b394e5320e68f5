#!/usr/bin/env python3
"""What connections that say nothing cost tollgate: memory each, CPU time, what calls beside them feel, and whether all of it
comes back when they are closed.

20,000 connections. Each makes one call first, so that it holds what a used connection holds. Three times, since what is not
given back shows in the next. As many workers as the hard limit of descriptors asks for: half of each one's are its upstreams'.
Takes a minute. Prints a table and writes JSON. Standard library only.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

from held import Gateway, Held

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

WANTED = 20_000
BYTES_MAX = 20 * 1024
UPSTREAMS = 16      # connections that stay open to the model


def with_idle(gateway, count):
    """Holds `count` connections and measures; gives the figures."""
    held = Held(gateway, count)
    figures = {"answered": held.answered, "rss_held": held.rss, "bytes_each": held.bytes_each, "cpu_share": gateway.cpu_share(),
               "beside": gateway.calls_beside()}
    figures["closed_by_us"] = held.close()
    return figures


def rows_of(gateway, count):
    quiet, cpu = gateway.calls_beside(), gateway.cpu_share()
    gateway.settled(0)
    descriptors = gateway.server.descriptors()
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
        ("descriptors left open when they are gone", max(gateway.server.descriptors() - descriptors - UPSTREAMS, 0), 0),
        ("memory grown from the second to the third time, KiB a connection", grown / 1024 / count, 0.25),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=f"{ROOT}/build/release")
    parser.add_argument("--out", default=f"{ROOT}/build/bench/idle.json")
    parser.add_argument("--connections", type=int, default=WANTED)
    arguments = parser.parse_args()
    build, out = os.path.abspath(arguments.build), os.path.abspath(arguments.out)
    count = arguments.connections
    directory, gateway, rows, missed = tempfile.mkdtemp(prefix="tollgate-idle-"), None, [], False
    try:
        gateway = Gateway(build, directory, count)
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
