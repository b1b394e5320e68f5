#!/usr/bin/env python3
"""Runs fuzz targets for a while, two at a time: `run.py [TARGET...] [--seconds N] [--seed S]`, as ./dev fuzz calls it.

What is found new goes to build/fuzz/corpus/TARGET; an input that breaks a target to build/fuzz/found/, and the exit is 1."""
import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent.parent / "build" / "fuzz"
PROGRAMS = BUILD / "tests" / "fuzz"
# Beast reads what the two parsers of ours accept: the same seeds.
SEEDS = {"beast_request": "request_head", "beast_response": "response_head"}
BYTES_MAX = 4096


def targets():
    return sorted(path.name.removesuffix("_fuzz.cc") for path in HERE.glob("*_fuzz.cc"))


def run(target, seconds, seed):
    seeds = SEEDS.get(target, target)
    grown = BUILD / "corpus" / target
    found = BUILD / "found"
    for folder in (grown, found):
        folder.mkdir(parents=True, exist_ok=True)
    folders = [folder for folder in (HERE / "corpus" / seeds, HERE / "regressions" / target) if folder.is_dir()]
    dictionary = HERE / "dictionaries" / f"{seeds}.dict"
    command = [PROGRAMS / f"{target}_fuzz", f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", f"-seed={seed}",
               f"-max_len={BYTES_MAX}", "-print_final_stats=1", f"-artifact_prefix={found}/{target}-"]
    if dictionary.exists():
        command.append(f"-dict={dictionary}")
    log = BUILD / f"{target}.log"
    with open(log, "wb") as output:
        environment = {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1"}
        code = subprocess.call([*command, grown, *folders], stdout=output, stderr=subprocess.STDOUT, cwd=BUILD, env=environment)
    return code, log


def summary(text):
    covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", text)
    executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
    edges, features, inputs = covered[-1] if covered else ("?", "?", "?")
    return f"{executed.group(1) if executed else '?'} executions, {edges} edges, {features} features, {inputs} inputs"


def report(target, code, log, seed):
    text = log.read_text("utf-8", "replace")
    if code == 0:
        print(f"ok      {target}: {summary(text)}", flush=True)
        return True
    written = re.search(r"Test unit written to (\S+)", text)
    print(f"FAILED  {target}: exit {code}, log {log}")
    print("\n".join(line for line in text.splitlines() if "does not hold" in line or "ERROR" in line or "runtime error" in line))
    if written:
        print(f"        input: {written.group(1)}\n        again: {PROGRAMS / (target + '_fuzz')} {written.group(1)}   (seed was {seed})\n"
              f"        once mended, keep it: cp {written.group(1)} tests/fuzz/regressions/{target}/", flush=True)
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(targets()))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=20211011)
    options = parser.parse_args()
    unknown = set(options.targets) - set(targets())
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(targets())}")
    if options.seconds < 1:
        parser.error("--seconds: at least 1")
    if not shutil.which("llvm-symbolizer") and not shutil.which("llvm-symbolizer-14"):
        print("llvm-symbolizer is not here: stacks will be addresses (package llvm-14)")
    chosen = options.targets or targets()
    print(f"{len(chosen)} targets, {options.seconds} s each, two at a time, seed {options.seed}", flush=True)
    held = True
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = {pool.submit(run, target, options.seconds, options.seed): target for target in chosen}
        for done in concurrent.futures.as_completed(runs):
            held = report(runs[done], *done.result(), options.seed) and held
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
