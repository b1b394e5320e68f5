#!/usr/bin/env python3
"""Measures the hourly settlement: how long very many subscriptions take, and what calls feel of it meanwhile.

1. settlement_bench builds a store with usage of every subscription in one hour, settles it, and audits the books.
2. tollgate serves calls at a fixed rate from such a store while its manual clock is moved over the hour, beside the same
   load in quiet windows before; latencies of both are printed, and medians over the repetitions.

Prints the figures and writes build/bench/settlement.json. Server and load share the cores as they come: what disturbs
the calls here is the CPU time and the disk writes of the billing thread.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "proxy"))
import servers  # noqa: E402  (the folder beside this one)
from machine import paced  # noqa: E402

STARTED_AT = "2021-08-25T10:30:00+08:00"  # in the hour that settlement_bench fills
SETTLED_AT = "2021-08-25T11:00:00+08:00"
CALLERS = 32
QUIET_WINDOWS, WINDOW_SECONDS = 3, 3
ALL_CORES = f"0-{(os.cpu_count() or 1) - 1}"


def settle(build, directory, subscriptions, per_account, hours):
    done = subprocess.run([f"{build}/bench/settlement/settlement_bench", "--data-dir", f"{directory}/settled", "--subscriptions",
                           str(subscriptions), "--per-account", str(per_account), "--hours", str(hours)],
                          capture_output=True, text=True)
    shutil.rmtree(f"{directory}/settled", ignore_errors=True)
    if done.returncode != 0:
        raise RuntimeError(done.stdout + done.stderr)
    return json.loads(done.stdout)


class Store:
    """A store with one unsettled hour, made once and copied for each repetition."""

    def __init__(self, build, directory, model, subscriptions, per_account):
        self.path = f"{directory}/prepared"
        subprocess.run([f"{build}/bench/settlement/settlement_bench", "--data-dir", self.path, "--prepare-only", "--subscriptions",
                        str(subscriptions), "--per-account", str(per_account), "--upstream", f"127.0.0.1:{model.port}"],
                       check=True, stdout=subprocess.DEVNULL)

    def copy_to(self, path):
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.path, path)


class Gateway:
    def __init__(self, build, directory, data_dir):
        port, admin_port, token = servers.free_port(), servers.free_port(), os.urandom(16).hex()
        # Where a gateway with a manual clock goes on after a restart.
        pathlib.Path(data_dir, "manual-clock").write_text(STARTED_AT, "utf-8")
        self.server = servers.Server("tollgate", directory, [
            f"{build}/tollgate", "serve", "--data-dir", data_dir, "--listen", f"127.0.0.1:{port}", "--admin-listen",
            f"127.0.0.1:{admin_port}", "--set", "workers=1", "--set", "billing.clock=manual"],
            port, ALL_CORES, {"TOLLGATE_ADMIN_TOKEN": token})
        try:
            servers.wait_for_port(admin_port, self.server.process, "tollgate's admin listener")
            self.admin = Patient(admin_port, token)
            self.wait_ready()
            self.keys_file = servers.write_keys(directory, "tollgate", [self.caller(f"caller-{i}") for i in range(CALLERS)])
            time.sleep(1.5)  # new keys are effective within a second
        except Exception:
            self.server.stop()
            raise

    def wait_ready(self):
        for _ in range(1200):
            if servers.call(self.admin.port, "GET", "/readyz")[0] == 200:
                return
            time.sleep(0.1)
        raise RuntimeError("tollgate is not ready after two minutes")

    def caller(self, account):
        self.admin.call("PUT", f"/v1/accounts/{account}", {"name": account})
        self.admin.call("POST", f"/v1/accounts/{account}/deposits", {"amount": "1000000.00", "kind": "cash"}, f"deposit-{account}")
        self.admin.call("PUT", f"/v1/accounts/{account}/subscriptions/service-0", {"paid": True})
        return self.admin.call("POST", f"/v1/accounts/{account}/keys", {"name": "bench"})["key"]


class Patient(servers.Admin):
    """Moving the clock answers when all is settled: longer than the other calls may take."""

    def call(self, method, path, body=None, idempotency_key=None):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        connection = servers.http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status // 100 != 2:
            raise RuntimeError(f"{method} {path}: {answer.status} {text}")
        return json.loads(text) if text else None


def load(build, gateway, rate, seconds):
    result = paced(build, gateway.server.port, "/service-0", gateway.keys_file, CALLERS, seconds, rate=rate, cores=ALL_CORES)
    if result["errors"]:
        raise RuntimeError(f"calls failed: {result}")
    return result


def medians(name, windows):
    return {f"{name}_{figure}": statistics.median(window[figure] for window in windows) for figure in ("p50_us", "p99_us")}


def repetition(build, directory, store, rate):
    data_dir = f"{directory}/served"
    store.copy_to(data_dir)
    gateway = Gateway(build, directory, data_dir)
    try:
        # Short windows: most connections of the load are idle, and the gateway closes them in time.
        out = medians("quiet", [load(build, gateway, rate, WINDOW_SECONDS) for _ in range(QUIET_WINDOWS)])
        out["windows"] = []
        settling = threading.Thread(target=move_clock, args=(gateway, out))
        settling.start()
        # Whole windows within the settlement only: one that outlasts it would be flattered by the quiet after it.
        while True:
            window = load(build, gateway, rate, WINDOW_SECONDS)
            if not settling.is_alive() and out["windows"]:
                break
            out["windows"].append(window)
            if not settling.is_alive():
                break
        settling.join()
        if "seconds" not in out:
            raise RuntimeError("the clock was not moved")
        return {**out, **medians("settling", out["windows"])}
    finally:
        gateway.server.stop()
        shutil.rmtree(data_dir, ignore_errors=True)


def move_clock(gateway, out):
    begun = time.monotonic()
    gateway.admin.call("POST", "/v1/clock", {"now": SETTLED_AT})
    out["seconds"] = round(time.monotonic() - begun, 2)


def data_path(build, directory, arguments):
    model = servers.Model(build, directory)
    try:
        store = Store(build, directory, model, arguments.served_subscriptions, arguments.per_account)
        return [repetition(build, directory, store, arguments.rate) for _ in range(arguments.repetitions)]
    finally:
        model.stop()


def print_settled(report):
    print(f"\n## Settlement: {report['subscriptions']} subscriptions, {report['per_account']} an account\n")
    print(f"set up in {report['setup_seconds']} s, audit {report['audit_seconds']} s, ok: {report['audit_ok']}")
    for number, hour in enumerate(report["hours"], 1):
        each = 1e6 / hour["settlements"]
        print(f"hour {number}: {hour['seconds']} s for {hour['settlements']} settlements ({hour['seconds'] * each:.1f} us each, "
              f"{hour['cpu_seconds'] * each:.1f} us of CPU), {hour['pieces']} pieces, the longest {hour['longest_piece_ms']} ms; "
              f"{hour['failures']} failures; merging its usage {hour['merge_seconds']} s; file {hour['bytes']} bytes, "
              f"{(hour['bytes'] - hour['bytes_before']) / hour['settlements']:.0f} for each settlement and its usage")


def print_data_path(rows, subscriptions, rate):
    print(f"\n## Calls meanwhile: {rate}/s, a store of {subscriptions} subscriptions\n")
    print(f"{'':12}{'quiet p50':>12}{'p99, us':>10}{'settling p50':>14}{'p99, us':>10}{'settled in s':>14}")
    figures = ("quiet_p50_us", "quiet_p99_us", "settling_p50_us", "settling_p99_us", "seconds")
    for number, row in enumerate(rows, 1):
        print(f"{number:<12}" + "".join(f"{row[name]:>12.4g}" for name in figures))
    print(f"{'median':12}" + "".join(f"{statistics.median(row[name] for row in rows):>12.4g}" for name in figures))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=f"{ROOT}/build/release", help="where the programs are")
    parser.add_argument("--out", default=f"{ROOT}/build/bench/settlement.json")
    parser.add_argument("--subscriptions", type=int, default=1_000_000)
    parser.add_argument("--per-account", type=int, default=10)
    parser.add_argument("--hours", type=int, default=1, help="used and settled one after the other")
    parser.add_argument("--served-subscriptions", type=int, default=1_000_000, help="of the store that calls are served from; 0: none")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--rate", type=int, default=1000, help="calls per second")
    parser.add_argument("--scratch", help="where the stores are made: a real disk; the system's temporary folder otherwise")
    arguments = parser.parse_args()
    build = os.path.abspath(arguments.build)
    directory = tempfile.mkdtemp(prefix="tollgate-settlement-", dir=arguments.scratch)
    report = {"machine": {"cores": os.cpu_count(), "load_average": os.getloadavg()}}
    try:
        if arguments.subscriptions > 0:
            report["settlement"] = settle(build, directory, arguments.subscriptions, arguments.per_account, arguments.hours)
            print_settled(report["settlement"])
        if arguments.served_subscriptions > 0:
            report["data_path"] = data_path(build, directory, arguments)
            print_data_path(report["data_path"], arguments.served_subscriptions, arguments.rate)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"the benchmark stopped: {error}")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(os.path.dirname(arguments.out), exist_ok=True)
    with open(arguments.out, "w") as file:
        json.dump(report, file, indent=1)
    print(f"\nload average at the start {report['machine']['load_average'][0]:.2f}; written: {os.path.relpath(arguments.out)}")


if __name__ == "__main__":
    main()
