#!/usr/bin/env python3
"""Measures every target of docs/performance.md in one run and says of each: goal, measured, spread, against whom, met or missed.

Runs the proxy comparison with all its regimes first (its own table and chart are written, too), then the single steps
(micro_bench), what a call asks of the allocator and of the kernel at 64 in flight (tests/gates), idle connections, the memory
of a million subscriptions, a settlement of a million, and calls beside settlements and changes. Takes twenty minutes; the
machine should do nothing else.
Writes JSON and, with --publish, docs/benchmarks. Standard library only.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[1:1] = [f"{ROOT}/bench/proxy", f"{ROOT}/bench/idle", f"{ROOT}/bench/scale", f"{ROOT}/tests/gates"]
import accounts  # noqa: E402
import servers  # noqa: E402
from held import Gateway, Held  # noqa: E402

MILLION = 1_000_000
CONNECTIONS = 10_000
REPETITIONS = 5    # of the single steps
STEPS = [          # micro_bench's name, which of its times, the goal in ns, in words
    ("Limiter_AdmitHot", "cpu_time", 30, "admission, the same subscription, ns"),
    ("Limiter_AdmitRandomOfAMillion", "cpu_time", 150, "admission, a random one of a million, ns"),
    ("Limiter_AdmitOneSubscriptionFromThreads/real_time/threads:2", "cpu_time", 100, "admission, the same from two threads at once, ns of each"),
    ("Meter_AddToATally/16", "cpu_time", 2, "one count of a call and its points, sixteen slots in turn, ns"),
    ("Duties_OfACall", "cpu_time", 300, "all duties of a paid call, in the caches: key, limit, journal, metrics, ns"),
]


class Rows:
    def __init__(self):
        self.all = []

    def add(self, target, goal, values, most=True, against="", shown="{:.3g}"):
        row = {"target": target, "goal": goal, "most": most, "against": against, "shown": shown,
               "median": statistics.median(values), "min": min(values), "max": max(values)}
        row["met"] = row["median"] <= goal if most else row["median"] >= goal
        self.all.append(row)
        print(f"{'met   ' if row['met'] else 'MISSED'} {target:75} {self.figures(row)}, wanted {goal:g}", flush=True)

    @staticmethod
    def figures(row):
        median, least, greatest = (row["shown"].format(row[name]) for name in ("median", "min", "max"))
        return median if least == greatest else f"{median} ({least} to {greatest})"


def compared(rows, build, arguments):
    """The proxy comparison, in a process of its own: it moves into a network of its own."""
    out = f"{ROOT}/build/bench/proxy.json"
    subprocess.run([sys.executable, f"{ROOT}/bench/proxy/run.py", "--build", build, "--regimes", "all", "--rounds", str(arguments.rounds),
                    "--seconds", str(arguments.seconds), "--out", out] + (["--publish"] if arguments.publish else []), check=True)
    with open(out) as file:
        report = json.load(file)
    for target in report["targets"]:
        text, _, against = target["target"].partition(" against ")
        ratio = target["ratio"]
        rows.add(text, target["bound"], [ratio["median"], ratio["min"], ratio["max"]], target["most"], against, "{:.3f}")
    return report


def steps(rows, release):
    wanted = "|".join(f"^{name}$" for name, _, _, _ in STEPS)
    done = subprocess.run([f"{release}/bench/micro/micro_bench", f"--benchmark_filter={wanted}", "--benchmark_min_time=0.5",
                           f"--benchmark_repetitions={REPETITIONS}", "--benchmark_format=json"], check=True, capture_output=True, text=True)
    found = [each for each in json.loads(done.stdout)["benchmarks"] if each["run_type"] == "iteration"]
    for name, time, goal, text in STEPS:
        values = [each[time] for each in found if each["run_name"] == name]
        if len(values) != REPETITIONS:
            raise RuntimeError(f"micro_bench has no {name}")
        rows.add(text, goal, values)


def counted(rows, release):
    os.environ["TOLLGATE_BIN"] = f"{release}/tollgate"
    os.environ["FAKE_MODEL_BIN"] = f"{release}/bench/fake_model/fake_model"
    import counts  # finds its programs when it is imported
    # Many, since the two runs whose difference is taken may differ by a few connections to the model.
    found = counts.per_call(9_600, 64)
    rows.add("allocations of a call, 64 in flight", 0, [round(found.pop("allocations"), 2) + 0.0])
    found.pop("instructions")
    rows.add("system calls of a call, 64 in flight", 4.3, [sum(found.values())])


def idle(rows, release, directory):
    values = []
    for _ in range(3):
        gateway = Gateway(release, tempfile.mkdtemp(dir=directory), CONNECTIONS)
        try:
            held = Held(gateway, CONNECTIONS)
            if held.answered != CONNECTIONS or held.close() != 0:
                raise RuntimeError(f"{held.answered} of {CONNECTIONS} connections were answered, or some were closed")
            values.append(held.bytes_each / 1024)
        finally:
            gateway.stop()
    rows.add(f"memory of each of {CONNECTIONS} idle connections, KiB", 20, values)


def resident(rows, release, directory):
    """Ten services, to which each of 100,000 accounts with a key has a subscription."""
    services = 10
    model, data, values = servers.Model(release, directory), f"{directory}/million", []
    try:
        keys = servers.make_store(release, data, MILLION // services, model, services=services)
        for index in range(3):
            server, _, rss = accounts.start(release, directory, data, keys[0], f"million-{index}")
            server.stop()
            values.append(rss["then"] / 1e6)
    finally:
        model.stop()
        shutil.rmtree(data, ignore_errors=True)
    rows.add("a million subscriptions of 100,000 accounts: the process resident, MB", 400, values)


def settled(rows, release, directory):
    seconds, longest = [], []
    for _ in range(3):
        data = f"{directory}/settled"
        done = subprocess.run([f"{release}/bench/settlement/settlement_bench", "--data-dir", data, "--subscriptions", str(MILLION),
                               "--per-account", "10", "--hours", "1"], check=True, capture_output=True, text=True)
        shutil.rmtree(data, ignore_errors=True)
        report = json.loads(done.stdout)
        if not report["audit_ok"] or report["hours"][0]["failures"] or report["hours"][0]["settlements"] != MILLION:
            raise RuntimeError(f"the settlement does not hold: {done.stdout}")
        seconds.append(report["hours"][0]["seconds"])
        longest.append(report["hours"][0]["longest_piece_ms"])
    rows.add("settlement of a million subscriptions, s", 10, seconds)
    rows.add("its longest piece, in which other work of the billing thread waits, ms", 50, longest)


def beside_changes(rows, release):
    """Calls beside 10,000 changes of entitlements a second, against those without, round by round."""
    out = f"{ROOT}/build/bench/scale_churn.json"
    subprocess.run([sys.executable, f"{ROOT}/bench/scale/run.py", "--build", release, "--only", "churn", "--rounds", "3", "--seconds", "3",
                    "--out", out], check=True, stdout=subprocess.DEVNULL)
    with open(out) as file:
        values = {row["what"]: row["values"] for row in json.load(file)["rows"]}
    without = statistics.median(values["without changes: p99, us"])
    rows.add("p99 of calls beside 10,000 changes a second (reports of usage)", 1.0,
             [each / without for each in values["the same, a report a second: p99 of the calls, us"]], against="without", shown="{:.3f}")


def beside_settlement(rows, release):
    out = f"{ROOT}/build/bench/settlement_beside.json"
    subprocess.run([sys.executable, f"{ROOT}/bench/settlement/run.py", "--build", release, "--subscriptions", "0",
                    "--served-subscriptions", "300000", "--out", out], check=True, stdout=subprocess.DEVNULL)
    with open(out) as file:
        found = json.load(file)["data_path"]
    for figure in ("p50", "p99"):
        rows.add(f"{figure} of calls beside a settlement of 300,000", 1.0,
                 [each[f"settling_{figure}_us"] / each[f"quiet_{figure}_us"] for each in found], against="quiet", shown="{:.3f}")


def commit_of(build):
    """What `./dev build` wrote beside the programs."""
    try:
        with open(f"{build}/commit") as file:
            return file.read().strip()
    except FileNotFoundError:
        return "unknown"


def page(rows, report):
    lines = [f"Made by `./dev bench targets --publish` in one run; {report['cores']} cores, load average {report['load_average']:.2f} before it; "
             + "; ".join(f"{name}: {text}" for name, text in report["versions"].items()) + ". "
             f"What is compared with others is the build laid out by a profile, of {report['built']['pgo']}; all else the release, of {report['built']['release']}.",
             "Medians (least to greatest): of ratios within each round where another is named, which [proxy.md](proxy.md) shows in full, else of repetitions. "
             "(Changes: each round against the median of those without.)", "",
             "| target | against | goal | measured | |", "|---|---|---|---|---|"]
    for row in rows.all:
        lines.append(f"| {row['target']} | {row['against']} | {'<=' if row['most'] else '>='} {row['goal']:g} | {rows.figures(row)} | "
                     f"{'met' if row['met'] else '**missed**'} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=f"{ROOT}/build/pgo", help="what is compared with the others")
    parser.add_argument("--release", default=f"{ROOT}/build/release", help="what all else is measured of")
    parser.add_argument("--rounds", type=int, default=5, help="of the comparison")
    parser.add_argument("--seconds", type=int, default=2, help="of load per measurement of the comparison; some regimes take a multiple")
    parser.add_argument("--publish", action="store_true", help="tables and chart to docs/benchmarks, too")
    parser.add_argument("--scratch", help="where stores are made: a real disk; the system's temporary folder otherwise")
    arguments = parser.parse_args()
    build, release = os.path.abspath(arguments.build), os.path.abspath(arguments.release)
    rows, told = Rows(), {"cores": os.cpu_count(), "load_average": os.getloadavg()[0],
                           "built": {"pgo": commit_of(build), "release": commit_of(release)}}
    directory = tempfile.mkdtemp(prefix="tollgate-targets-", dir=arguments.scratch)
    try:
        told["versions"] = compared(rows, build, arguments)["versions"]
        print("\n## All targets\n")
        steps(rows, release)
        counted(rows, release)
        idle(rows, release, directory)
        resident(rows, release, directory)
        settled(rows, release, directory)
        beside_settlement(rows, release)
        beside_changes(rows, release)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"the benchmark stopped: {error}\nlogs: {directory}")
    with open(f"{ROOT}/build/bench/targets.json", "w") as file:
        json.dump({**told, "rows": rows.all}, file, indent=1)
    if arguments.publish:
        with open(f"{ROOT}/docs/benchmarks/targets.md", "w") as file:
            file.write(page(rows, told))
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
