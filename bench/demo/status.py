#!/usr/bin/env python3
"""Follows a running tollgate in one line, from its /metrics: status.py HOST:PORT. Ends with 1 when it stops answering.

A terminal gets a line that is rewritten each second, anything else a line every ten seconds.
"""
import re
import signal
import sys
import time
import urllib.request

SAMPLE = re.compile(r"^(tollgate_\w+)(?:\{(.*)\})? ([0-9.eE+-]+|NaN)(?: \d+)?$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def read(address):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=3) as answer:
        text = answer.read().decode()
    out = []
    for line in text.splitlines():
        match = SAMPLE.match(line)
        if match:
            out.append((match[1], dict(LABEL.findall(match[2] or "")), float(match[3])))
    return out


def total(samples, name, **labels):
    return int(sum(value for sample, found, value in samples
                   if sample == name and all(found.get(key) == wanted for key, wanted in labels.items())))


def line(now, before, seconds):
    requests = total(now, "tollgate_requests_total") - total(before, "tollgate_requests_total")
    return (f"{requests / seconds:8.1f} requests/s | in flight {total(now, 'tollgate_in_flight')}"
            f" | succeeded {total(now, 'tollgate_calls_total', outcome='succeeded')}"
            f" | failed {total(now, 'tollgate_calls_total', outcome='failed')}"
            f" | refused {total(now, 'tollgate_refusals_total')}"
            f" | free points {total(now, 'tollgate_points_total', kind='free')}"
            f" | billable points {total(now, 'tollgate_points_total', kind='billable')}")


def main():
    # A shell gives its background jobs an ignored SIGINT; the line should still end with the demo.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    address, terminal = sys.argv[1], sys.stdout.isatty()
    before, taken = read(address), time.monotonic()
    while True:
        time.sleep(1 if terminal else 10)
        now, at = read(address), time.monotonic()
        text = line(now, before, at - taken)
        print(f"\r\033[K{text}" if terminal else text, end="" if terminal else "\n", flush=True)
        before, taken = now, at


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        print(f"\ntollgate does not answer any more: {error}", file=sys.stderr)
        sys.exit(1)
