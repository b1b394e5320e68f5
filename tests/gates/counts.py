"""Counts what a running tollgate does for a call. Each figure is the difference of two runs, with N and with 2N calls, over N:
what start, end and administration cost is in both and falls out."""

import collections
import glob
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import wire  # noqa: E402
from harness import FAST, FakeModel, Tollgate, eventually  # noqa: E402

KNOWN_S = 30.0  # under valgrind all takes longer
BODY = b"x" * 1024
# For system calls: long enough that the gateway always waits for an answer; whether a first try to read finds it would be
# chance. Not for instructions: the longer a run, the more of the worker's ticks are in it, some 10,000 instructions each.
LATER = {"X-Fake-Delay-Ms": "3"}
# The same code of libc and OpenSSL on every machine: by themselves they choose by what its processor can do.
PLAIN = {"OPENSSL_ia32cap": "0:0", "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX,-AVX512F,-AVX512VL,-AVX512BW,-BMI2,-ERMS,-FSRM,"
         "-RTM,-MOVBE,-LZCNT,-SSE4_1,-SSE4_2,-SSSE3,-AVX_Fast_Unaligned_Load"}
TIMED = {"timerfd_settime", "poll", "clock_gettime"}  # of the worker's tick: not of calls, but of how long they took
ALLOCATORS = {"malloc", "calloc", "realloc", "aligned_alloc", "posix_memalign", "memalign"}


def traced(tool, calls, connections, fields):
    """Runs a gateway of one worker under `tool` (a function of the output's path), makes so many calls, `connections` at a time,
    each of 1 KiB with these fields, and ends it. The texts that the tool wrote."""
    with tempfile.TemporaryDirectory(prefix="tollgate-gates-") as folder:
        model, gateway = FakeModel(), Tollgate({"workers": 1})
        gateway.prefix = tool(f"{folder}/out")
        gateway.environment |= PLAIN
        try:
            gateway.start()
            make_calls(gateway, model, calls, connections, fields)
            gateway.terminate()
        finally:
            gateway.close()
            model.stop()
        texts = []
        for path in sorted(glob.glob(f"{folder}/out*")):
            with open(path, encoding="utf-8", errors="replace") as file:
                texts.append(file.read())
        return texts


def make_calls(gateway, model, calls, connections, fields):
    gateway.admin.put_service("s", FAST, [model.address], "/s")
    keys = []
    for number in range(-(-connections // 10)):  # ten at a time are an account's guarantee
        gateway.admin.put_account(f"a{number}")
        gateway.admin.put_subscription(f"a{number}", "s", True)
        keys.append(gateway.admin.create_key(f"a{number}")["key"])
    eventually(lambda: all(wire.call(gateway.port, "/s", key).status == 200 for key in keys), "the keys are known", KNOWN_S, every=0.5)
    opened = [wire.Connection(gateway.port) for _ in range(connections)]
    try:
        requests = [wire.request("POST", "/s", gateway.port, keys[number // 10], BODY, fields) for number in range(connections)]
        for _ in range(calls // connections):
            for connection, request in zip(opened, requests):
                connection.send(request)
            for connection in opened:
                status = connection.response().status
                assert status == 200, status
    finally:
        for connection in opened:
            connection.close()


def callgrind(path):
    return ["valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={path}.%p"]


def strace(path):
    # -D: the gateway stays our own child, so that it gets our signals.
    return ["strace", "-D", "-ff", "-qq", "-o", path]


def profile(text):
    """Of one thread's profile in callgrind's format: (instructions, calls by callee)."""
    names, callee, calls = {}, None, collections.Counter()
    for line in text.splitlines():
        named = re.match(r"c?fn=\((\d+)\)(?: (.*))?", line)
        if named:
            number, name = named.groups()
            if name:
                names[number] = name.strip()
            if line.startswith("cfn"):
                callee = names[number]
        elif line.startswith("calls="):
            calls[callee] += int(line[6:].split()[0])
    return int(re.search(r"^totals: (\d+)", text, re.M).group(1)), calls


def worker_profile(calls, connections):
    """The profile of the thread that serves calls: the one in which sessions read heads."""
    found = [profile(text) for text in traced(callgrind, calls, connections, {}) if text]
    workers = [each for each in found if any("Session::read_head" in name for name in each[1])]
    assert workers and sum(workers[0][1][name] for name in ALLOCATORS) > 0, "no thread reads heads, or malloc has another name"
    return workers[0]


def worker_calls(calls, connections):
    """The system calls of the thread that serves calls, by name: the one that sends most."""
    found = [collections.Counter(re.findall(r"^([a-z_0-9]+)\(", text, re.M)) for text in traced(strace, calls, connections, LATER)]
    return max(found, key=lambda each: each["sendto"])


def per_call(calls, connections):
    """{what: how many for each call}, at so many in flight."""
    (few, few_called), (many, many_called) = (worker_profile(times * calls, connections) for times in (1, 2))
    few_system, many_system = (worker_calls(times * calls, connections) for times in (1, 2))
    out = {"instructions": (many - few) / calls,
           "allocations": sum(many_called[name] - few_called[name] for name in ALLOCATORS) / calls}
    for name in (many_system | few_system).keys() - TIMED:
        difference = (many_system[name] - few_system[name]) / calls
        if name == "epoll_wait":  # each tick ends one
            difference -= (many_system["timerfd_settime"] - few_system["timerfd_settime"]) / calls
        if abs(difference) >= 0.05:
            out[name] = difference
    return out


if __name__ == "__main__":
    for in_flight in (1, 16):
        print(in_flight, {name: round(value, 3) for name, value in per_call(960, in_flight).items()})
