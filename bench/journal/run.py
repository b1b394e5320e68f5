#!/usr/bin/env python3
"""Measures what syncing the journal costs the calls: latencies at a fixed rate with different journal.sync_interval_ms, and the
gateway's CPU time per call. The rounds go through the intervals in random order; medians and ranges are printed.

Prints the figures and writes build/bench/journal.json. The data folder must lie on a real disk (--scratch).
"""
import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "proxy"))
import servers  # noqa: E402  (the folder beside this one)

ALL_CORES = f"0-{(os.cpu_count() or 1) - 1}"
MODEL = "image-classification/high-performance"


class Gateway:
    """One gateway; its interval is changed by a reload, so that every round meets the same journal and the same keys."""

    def __init__(self, build, directory, model, callers):
        port, admin_port, token = servers.free_port(), servers.free_port(), os.urandom(16).hex()
        self.config = f"{directory}/tollgate.yaml"
        self.set_interval(100)
        self.server = servers.Server("tollgate", directory, [
            f"{build}/tollgate", "serve", "--config", self.config, "--data-dir", f"{directory}/data", "--listen",
            f"127.0.0.1:{port}", "--admin-listen", f"127.0.0.1:{admin_port}", "--set", "workers=1"],
            port, ALL_CORES, {"TOLLGATE_ADMIN_TOKEN": token})
        try:
            servers.wait_for_port(admin_port, self.server.process, "tollgate's admin listener")
            self.admin = servers.Admin(admin_port, token)
            self.admin.call("PUT", f"/v1/services/{servers.SERVICE}", {
                "model": MODEL, "route": {"path_prefix": f"/{servers.SERVICE}"}, "upstreams": [f"127.0.0.1:{model.port}"]})
            keys = [self.admin.paid_key(f"caller-{i}") for i in range(callers)]
            self.keys_file = servers.write_keys(directory, "tollgate", keys)
            time.sleep(1.5)  # new keys are effective within a second
        except Exception:
            self.server.stop()
            raise

    def set_interval(self, milliseconds):
        with open(self.config, "w", encoding="ascii") as file:
            file.write(f"journal:\n  sync_interval_ms: {milliseconds}\n")

    def reload(self, milliseconds):
        self.set_interval(milliseconds)
        self.server.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(build, gateway, rate, seconds):
    before = cpu_seconds(gateway.server.process.pid)
    done = subprocess.run([f"{build}/bench/load/paced_load", "--host", "127.0.0.1", "--port", str(gateway.server.port), "--path",
                           f"/{servers.SERVICE}", "--keys-file", gateway.keys_file, "--connections", "32", "--rate", str(rate),
                           "--seconds", str(seconds)], capture_output=True, text=True, timeout=seconds + 120)
    if done.returncode != 0:
        raise RuntimeError(f"the load failed: {done.stdout} {done.stderr}")
    figures = json.loads(done.stdout)
    figures["cpu_us"] = (cpu_seconds(gateway.server.process.pid) - before) * 1e6 / (rate * seconds)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=f"{ROOT}/build/release", help="where the programs are")
    parser.add_argument("--out", default=f"{ROOT}/build/bench/journal.json")
    parser.add_argument("--intervals", type=int, nargs="+", default=[10, 100, 1000, 60000], help="milliseconds")
    parser.add_argument("--callers", type=int, default=500, help="subscriptions, each with a slot of its own")
    parser.add_argument("--rate", type=int, default=2000, help="calls per second")
    parser.add_argument("--seconds", type=int, default=4, help="of each window")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scratch", default=ROOT + "/build", help="where the data folder is made: a real disk")
    arguments = parser.parse_args()
    build = os.path.abspath(arguments.build)
    os.makedirs(os.path.dirname(arguments.out), exist_ok=True)
    windows = {interval: [] for interval in arguments.intervals}
    with tempfile.TemporaryDirectory(prefix="tollgate-journal-", dir=arguments.scratch) as directory:
        model = servers.Model(build, directory)
        try:
            gateway = Gateway(build, directory, model, arguments.callers)
            try:
                load(build, gateway, arguments.rate, arguments.seconds)  # every caller's slot is taken
                for _ in range(arguments.rounds):
                    for interval in random.sample(arguments.intervals, len(arguments.intervals)):
                        gateway.reload(interval)
                        windows[interval].append(load(build, gateway, arguments.rate, arguments.seconds))
            finally:
                gateway.server.stop()
        finally:
            model.stop()
    with open(arguments.out, "w", encoding="utf-8") as file:
        json.dump({"load_average": os.getloadavg(), "windows": windows}, file, indent=1)
    print(f"{arguments.rate} calls/s of {arguments.callers} subscriptions, {arguments.rounds} windows of {arguments.seconds} s each, "
          "median (range), us")
    figures = ("p50_us", "p99_us", "cpu_us")
    print(f"{'sync every':>12}" + "".join(f"{name:>26}" for name in figures))
    for interval, rows in windows.items():
        cells = []
        for name in figures:
            values = [row[name] for row in rows]
            cells.append(f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})")
        print(f"{interval:>9} ms" + "".join(f"{cell:>26}" for cell in cells))


if __name__ == "__main__":
    main()
