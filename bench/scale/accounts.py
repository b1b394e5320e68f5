"""The part of very many accounts: start, memory, and what a call costs when any of them may make it.

What is counted belongs to hours: a run that crosses the end of one has its settlement and the slots of both in its figures.
"""
import os
import shutil
import time
from statistics import median

import servers
from machine import wrk
from servers import LOAD_CORE, SERVICE

FEW = 32
START_SECONDS_MAX = 600


def saturated(server, model, connections, seconds, cores=LOAD_CORE, scattered=False, keys_file=None):
    """Calls as fast as they go: rate, and CPU per call of the process and of its billing thread."""
    calls, cpu, billing = model.stats()["started"], server.cpu_ns(), billing_ns(server)
    result = wrk(f"http://127.0.0.1:{server.port}", f"/{SERVICE}", keys_file or server.keys_file, connections, seconds,
                 cores=cores, scattered=scattered)
    if result["broken"] or result["not_2xx"]:
        raise RuntimeError(f"{server.name}: answers that are not 2xx or broken connections: {result}")
    spent, billed = server.cpu_ns_since(cpu), billing_ns(server) - billing
    calls = model.stats()["started"] - calls
    return {"us": spent / 1000 / calls, "billing_us": billed / 1000 / calls, "per_second": result["requests"] / result["seconds"]}


def merged(server):
    """Waits until all that was counted is in the store: what is left over would be paid for by the next window."""
    ended = time.monotonic()
    while server.metric("tollgate_usage_merge_age_seconds") > time.monotonic() - ended:
        time.sleep(0.1)


def billing_share(server, seconds=10):
    """Of one core, while nobody calls; books are looked at every five seconds."""
    before = billing_ns(server)
    time.sleep(seconds)
    return (billing_ns(server) - before) / 1e9 / seconds


def puts_ms(server):
    """Milliseconds of puts of a subscription, before each of which the gateway collects its usage."""
    out = []
    for i in range(5):
        begun = time.monotonic()
        server.admin.call("PUT", f"/v1/accounts/account-{i}/subscriptions/{SERVICE}", {"paid": True})
        out.append((time.monotonic() - begun) * 1000)
    return out


def billing_ns(server):
    """CPU time of the thread that merges the usage."""
    folder = f"/proc/{server.process.pid}/task"
    for thread in os.listdir(folder):
        with open(f"{folder}/{thread}/comm") as name, open(f"{folder}/{thread}/schedstat") as times:
            if name.read().strip() == "billing":
                return int(times.read().split()[0])
    raise RuntimeError(f"{server.name} has no billing thread")


def most_resident(server):
    """Bytes that were resident at once, at most, since the process began."""
    with open(f"/proc/{server.process.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def start(build, directory, data, key, name):
    """The gateway on that store; seconds until it listens, is ready and has answered a call; and its memory then."""
    begun = time.monotonic()
    server = servers.serve(build, directory, data, name, seconds=START_SECONDS_MAX)
    times = {"it listens": time.monotonic() - begun}
    try:
        while servers.call(server.admin.port, "GET", "/readyz")[0] != 200:
            time.sleep(0.02)
        times["it is ready"] = time.monotonic() - begun
        status, text = servers.call(server.port, "POST", server.path, {"check": 1}, {"Authorization": f"Bearer {key}"})
        if status != 200:
            raise RuntimeError(f"{name} does not pass a call on: {status} {text[:300]}")
        times["a call is answered"] = time.monotonic() - begun
        time.sleep(3)  # what the start needed only for a while is given back
        return server, times, {"then": server.rss(), "most": most_resident(server)}
    except (RuntimeError, OSError):
        server.stop()
        raise


def size_of(data):
    return sum(os.path.getsize(f"{data}/{name}") for name in os.listdir(data) if name.startswith("tollgate.db"))


def run(build, directory, arguments, report):
    count, data, running = arguments.accounts, f"{directory}/accounts", []
    model = servers.Model(build, directory)
    try:
        key = servers.make_store(build, f"{directory}/account", 1, model)[0]
        alone, times, rss_alone = start(build, directory, f"{directory}/account", key, "one-account")
        alone.stop()
        report("1 account: start until a call is answered, s", [times["a call is answered"]])
        report("1 account: resident, MiB", [rss_alone["then"] / 2**20])

        begun = time.monotonic()
        keys = servers.make_store(build, data, count, model)
        report(f"{count} accounts: making the store, s", [time.monotonic() - begun])
        report(f"{count} accounts: the store's file, MB", [size_of(data) / 1e6])
        report(f"{count} accounts: the store's file, bytes an account", [size_of(data) / count])
        starts = []
        for index in range(2):  # the second finds the file as the first left it
            server, times, rss = start(build, directory, data, keys[count // 2], f"accounts-{index}")
            running[:] = [server]
            starts.append((times, rss))
            if index == 0:
                server.stop()
        for what in ("it listens", "it is ready", "a call is answered"):
            report(f"{count} accounts: start until {what}, s", [times[what] for times, _ in starts])
        report(f"{count} accounts: resident after the start, MiB", [each["then"] / 2**20 for _, each in starts])
        report(f"{count} accounts: resident during the start, at most, MiB", [each["most"] / 2**20 for _, each in starts])
        for what, then in (("", "then"), (", at most during the start", "most")):
            report(f"{count} accounts: resident, bytes an account{what}",
                   [(each[then] - rss_alone[then]) / count for _, each in starts])

        report(f"{count} accounts: billing thread after the start, while nobody calls", [billing_share(server)])
        report(f"{count} accounts: PUT of a subscription after the start, ms", puts_ms(server))

        few = servers.write_keys(directory, "few", keys[::max(1, count // FEW)][:FEW])
        all_of_them = servers.write_keys(directory, "all", keys)
        measured = {few: [], all_of_them: []}
        for turn in range(arguments.rounds):
            for keys_file in list(measured)[::1 if turn % 2 == 0 else -1]:
                measured[keys_file].append(saturated(server, model, 64, arguments.seconds, scattered=True, keys_file=keys_file))
                merged(server)
        for name, rows in ((f"{FEW} keys", measured[few]), (f"{count} keys", measured[all_of_them])):
            report(f"{name}: calls/s", [row["per_second"] for row in rows])
            report(f"{name}: CPU per call, us", [row["us"] for row in rows])
            report(f"{name}: of it the billing thread's, us", [row["billing_us"] for row in rows])
        pairs = list(zip(measured[few], measured[all_of_them]))
        report(f"CPU per call of {count} keys against {FEW}", [b["us"] / a["us"] for a, b in pairs])
        report("the same without the billing thread",
               [(b["us"] - b["billing_us"]) / (a["us"] - a["billing_us"]) for a, b in pairs])

        # Each subscription that called in the hour has a slot of the journal. Rounds of collection look only at those that changed.
        seconds = int(1.5 * count / median(row["per_second"] for row in measured[all_of_them])) + 1
        report(f"{count} keys, each at least once: CPU per call, us",
               [saturated(server, model, 64, seconds, scattered=True, keys_file=all_of_them)["us"]])
        merged(server)
        report("slots of the journal then", [server.metric('tollgate_journal_slots{state="used"}')])
        report("billing thread then, while nobody calls", [billing_share(server)])
        report("then PUT of a subscription, ms", puts_ms(server))
        again = saturated(server, model, 64, arguments.seconds, scattered=True, keys_file=few)
        report(f"then {FEW} keys: calls/s", [again["per_second"]])
        report(f"then {FEW} keys: CPU per call, us", [again["us"]])
        report("resident then, MiB", [server.rss() / 2**20])
    finally:
        for server in running + [model]:
            server.stop()
        shutil.rmtree(data, ignore_errors=True)
