"""What a process holds, sampled while it lives, and when that counts as flat. It reads /proc and the metrics; it does not
know what the load is."""

import http.client
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import descriptors  # noqa: E402

# Memory is flat if the last quarter of a life needs no more than the second one, but for this. Allocators keep freed
# memory, SQLite's page cache fills, and a burst of large bodies may fall on either side: hence medians, and a slack.
SLACK_SHARE = 0.05
SLACK_KB = 4096
LIFE_MIN_S = 45  # shorter lives are all warm-up
# A leak grows with the requests, and for ever. What caches and freed memory still need after the first third of a life was
# measured at a third of this; 100 bytes lost with each request would be seen.
GROWTH_MAX = 80        # bytes a request
GROWTH_LIFE_S = 90     # in shorter lives a single block would be more than that


def status(pid):
    """Memory in KB (of its own, not shared with a file), threads."""
    fields = {}
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            fields[name] = value.split()[0] if value.split() else ""
    return {"anon_kb": int(fields["RssAnon"]), "rss_kb": int(fields["VmRSS"]), "threads": int(fields["Threads"])}


def sample(world):
    pid = world.gateway.process.pid
    metrics = world.admin.samples()

    def total(name, part=""):
        return int(sum(value for series, value in metrics.items() if series.partition("{")[0] == "tollgate_" + name and part in series))
    return {**status(pid), "descriptors": descriptors.of_all(pid), "life": world.lives, "in_flight": total("in_flight"),
            "client_connections": total("client_connections"), "upstream_active": total("upstream_connections", "active"),
            "upstream_idle": total("upstream_connections", "idle"), "slots_used": total("journal_slots", "used"),
            "slots_damaged": total("journal_slots", "damaged"), "series": len(metrics), "requests": total("requests_total"),
            "ledger_imbalance": total("ledger_imbalance"),
            "settlement_lag_hours": total("settlement_lag_hours"), "unacknowledged": total("usage_unacknowledged_points")}


class Watch:
    """Samples every so many seconds; a gateway that is gone without anybody having ended it is a failure."""

    def __init__(self, world, until, every):
        self.world, self.until, self.every = world, until, every
        self.samples, self.failures = [], []
        self.begun = time.monotonic()
        self.thread = threading.Thread(target=self.run, name="watch", daemon=True)
        self.thread.start()

    def run(self):
        while self.until.rest(self.every):
            with self.world.restarting:
                self.take()
            self.world.read_records()

    def take(self):
        if not self.world.gateway.alive():
            self.failures.append(f"the gateway died: {self.world.gateway.stderr()}")
            self.until.event.set()
            return
        try:
            taken = {"at": round(time.monotonic() - self.begun, 2), **sample(self.world)}
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(f"no metrics: {error}")
            return
        self.samples.append(taken)


def flat(values, share=SLACK_SHARE, slack=SLACK_KB):
    """(the second quarter's median, the last quarter's, whether that is flat)."""
    quarter = len(values) // 4
    second, last = statistics.median(values[quarter:2 * quarter]), statistics.median(values[-quarter:])
    return second, last, last <= second * (1 + share) + slack


def slope(points):
    """Of the last two thirds, by the median of the slopes of all pairs (Theil and Sen): a few peaks do not tilt it."""
    points = points[len(points) // 3:]
    points = points[::max(1, len(points) // 200)]
    slopes = [(later[1] - earlier[1]) / (later[0] - earlier[0]) for index, earlier in enumerate(points)
              for later in points[index + 1:] if later[0] > earlier[0]]
    return statistics.median(slopes) if slopes else 0.0


def judge_growth(samples):
    """Of each life that was long enough: (bytes that its memory grew with each request, whether that is no leak)."""
    for life in sorted({each["life"] for each in samples}):
        lived = [each for each in samples if each["life"] == life]
        if lived[-1]["at"] - lived[0]["at"] >= GROWTH_LIFE_S:
            grown = 1024 * slope([(each["requests"], each["anon_kb"]) for each in lived])
            yield life, round(grown, 1), grown <= GROWTH_MAX


def judge_memory(samples, slots_of_an_hour):
    """One row for each life that was long enough. `slots_of_an_hour`: those that an hour which has ended holds until it is
    settled, beside those of the next."""
    rows = []
    for life in sorted({each["life"] for each in samples}):
        lived = [each for each in samples if each["life"] == life]
        if len(lived) < 12 or lived[-1]["at"] - lived[0]["at"] < LIFE_MIN_S:
            continue
        for name, slack in (("anon_kb", SLACK_KB), ("slots_used", slots_of_an_hour), ("threads", 0)):
            second, last, good = flat([each[name] for each in lived], slack=slack)
            rows.append({"life": life, "what": name, "seconds": round(lived[-1]["at"] - lived[0]["at"]), "second_quarter": second,
                         "last_quarter": last, "per_minute": round(60 * slope([(each["at"], each[name]) for each in lived]), 1),
                         "flat": good})
    return rows
