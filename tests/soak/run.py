"""`run.py MINUTES [--seed N] [--rate R] [--no-kill] [--out FILE]`: load, hostile clients and random faults for so long, then the
comparison of the ledger with the upstreams' records and of what the process holds with its base line. Exit status 1 when
a check does not hold; then the seed is said and the folder is kept."""

import argparse
import collections
import json
import os
import random
import re
import resource
import sys
import time

import world as worlds
from battery import sanitized
from trouble import Trouble
from traffic import Until
from watch import GROWTH_MAX, Watch, judge_growth, judge_memory, sample

import hostile
import traffic
import wire
from harness import REPOSITORY, eventually

QUIET_S = 30          # in which everything must be given back after the last client has gone
DESCRIPTORS_SLACK = 2  # a log or a journal that was opened since
SERIES_MAX = 200       # of one service: three histograms, and a counter for each status and reason
WITNESSED = 0.5        # of the calls that the witnesses wanted to make, so many must have been outside of faults


class Checks:
    """The rows of the result: what, what was found, what must hold."""

    def __init__(self, say):
        self.say, self.rows = say, []

    def row(self, what, found, holds, must=""):
        self.rows.append({"check": what, "found": found, "must": must, "holds": bool(holds)})

    @property
    def failed(self):
        return [row for row in self.rows if not row["holds"]]

    def show(self):
        self.say("")
        for row in self.rows:
            self.say(f"{'ok    ' if row['holds'] else 'FAILED'}  {row['check']:<46} {str(row['found'])[:300]}"
                     f"{'   (' + row['must'] + ')' if row['must'] else ''}")


def judge_witnesses(row, witnesses, trouble, seconds, rate):
    """Whoever pays and keeps within the guarantee is answered 200, but for the time of faults that end what serves it."""
    calls = [call for witness in witnesses for call in witness.calls]
    calm = [told for begun, ended, told in calls if not trouble.disturbed(begun, ended)]
    bad = collections.Counter(told for told in calm if told != "200")
    row("paid calls within the guarantee", f"{len(calm) - sum(bad.values())} of {len(calm)} got 200 {dict(bad) or ''}", not bad,
        f"all; {len(calls) - len(calm)} more while an upstream or the gateway was ended")
    calm_s = seconds - sum(min(end, trouble.begun + seconds) - begin for begin, end, _ in trouble.windows)
    least = WITNESSED * calm_s * sum(witness.pace for witness in witnesses)
    row("paid calls made", len(calm), len(calm) >= least, f"at least {least:.0f} in {calm_s:.0f} s without such faults")


class Soak:
    def __init__(self, options, say):
        self.options, self.say = options, say
        self.seconds = options.minutes * 60
        self.checks = Checks(say)
        self.world = worlds.World(options.seed, say)
        self.until = Until()
        self.parts = {}

    def run(self):
        world, rate = self.world, self.options.rate
        books = world.make()
        eventually(lambda: sample(world)["upstream_idle"] == 0 and sample(world)["client_connections"] == 0, "the base line", 30)
        base = sample(world)
        self.say(f"seed {world.seed}, {self.seconds:.0f} s, {rate} calls/s, {len(world.truth.books)} subscriptions, {world.kept}")
        clients = traffic.start(world, self.until, rate, books)
        witnesses = traffic.witnesses(world, self.until, rate)
        attackers = hostile.start(world, self.until, min(1.0, rate / 300))
        watch = Watch(world, self.until, min(2.0, self.seconds / 60))
        trouble = Trouble(world, self.until, self.seconds, max(0.7, min(4.0, self.seconds / 60)), not self.options.no_kill)
        self.until.event.wait(self.seconds)
        self.until.event.set()
        for each in [watch, trouble, *clients, *witnesses, *attackers]:
            each.thread.join(60)
            self.checks.row(f"{each.thread.name} has ended", "", not each.thread.is_alive()) if each.thread.is_alive() else None
        self.say("load and faults have ended")
        self.parts |= {"calls": traffic.tallies(clients), "hostile": {each.name: traffic.tallies([each]) for each in attackers},
                      "witnesses": traffic.tallies(witnesses), "faults": trouble.log, "samples": watch.samples, "base_line": base}
        self.checks.row("the gateway lived", watch.failures, not watch.failures)
        self.checks.row("faults as expected", f"{len(trouble.log)}, of them wrong: {trouble.failures}", not trouble.failures)
        if trouble.recoveries:
            self.checks.row("answers after a restart", f"{len(trouble.recoveries)} restarts, {world.kills} of them kill -9, at most "
                            f"{max(trouble.recoveries):.2f} s", True)
        self.service(clients, witnesses, attackers, trouble)
        if world.gateway.alive():
            self.judge(base, watch, trouble)

    # -- the service that was had
    def service(self, clients, witnesses, attackers, trouble):
        row = self.checks.row
        everybody = [*clients, *witnesses, *attackers]
        for what, found in (("malformed answers", [each for client in everybody for each in client.malformed]),
                            (f"no answer in {traffic.SILENCE_S:.0f} s", [each for client in everybody for each in client.silent])):
            row(what, f"{len(found)} {found[:5] or ''}", not found, "0")
        cut = [one for client in clients for one in client.broken_off]
        ours = [doing for at, doing in cut if trouble.disturbed(at, at, "gateway")]
        early = [doing for at, doing in cut if not trouble.disturbed(at, at, "gateway") and traffic.KINDS[doing][2]]
        strange = [doing for at, doing in cut if not trouble.disturbed(at, at, "gateway") and not traffic.KINDS[doing][2]]
        row("connections cut without a cause", f"{len(strange)} {collections.Counter(strange) or ''}", not strange,
            f"0; {len(ours)} by an end of the gateway, {len(early)} under a body that was refused or whose upstream failed")
        let_be = [each for attacker in attackers for each in getattr(attacker, "let_be", ())]
        row("slow clients let be", f"{len(let_be)} {collections.Counter(let_be) or ''}", not let_be, "0")
        judge_witnesses(row, witnesses, trouble, self.seconds, self.options.rate)
        if self.world.tls:
            tally = traffic.tallies([*clients, *witnesses])
            row("handshakes of TLS", f"{tally.get('full handshakes', 0)} full, {tally.get('resumed', 0)} resumed",
                tally.get("full handshakes") and tally.get("resumed"), "some of each")
        if self.long:
            drips = sum(attacker.tally["408 for a drip"] for attacker in attackers)
            row("the pace acted: 408 for a body that drips", drips, drips > 0, "some")
            stood = [each for each in trouble.log if each["fault"] == "gateway_stands_still" and "failed" not in each]
            last = max([each["at"] for each in trouble.log], default=0.0)
            row("faults went on to the end", f"the last at {last:.0f} s", last > self.seconds - 60, "in the last minute")
            row("overload acted: calls shed", f"{trouble.shed} in {len(stood)} times", trouble.shed > 0, "some")

    @property
    def long(self):
        """Whether every limit must have been met: too short a run may miss one."""
        return self.seconds >= 120 and self.options.rate >= 200

    def judge(self, base, watch, trouble):
        self.quiet(base)
        self.series(trouble)
        self.ledger("ledger == upstreams")
        self.settle_all()
        self.base_line(base)
        self.memory(watch)
        before = self.totals()
        if not self.options.no_kill:
            self.world.kills += 1
            self.world.gateway.kill9()
            self.world.start_gateway()
            self.checks.row("the ledger after one more kill -9", "the same", self.totals() == before)
        self.last_calls()
        code = self.end()
        self.checks.row("SIGTERM ends it", f"status {code}", code == 0)
        bad = [line for line in self.world.gateway.stderr().splitlines()
               if any(word in line for word in ("Sanitizer", "runtime error", "CHECK", "terminate called"))]
        self.checks.row("no report of a sanitizer or a broken invariant", bad, not bad)

    def end(self):
        self.world.gateway.signal(15)
        return self.world.gateway.wait_stopped()

    # -- everything is given back
    def quiet(self, base):
        world, begun = self.world, time.monotonic()

        def given_back():
            now = sample(world)
            held = [now[name] for name in ("in_flight", "client_connections", "upstream_active")]
            return held == [0, 0, 0] and all(each.stats()["in_flight"] == 0 for each in world.upstreams)
        try:
            eventually(given_back, lambda: f"given back: {sample(world)}", QUIET_S, 0.1)
            after = f"after {time.monotonic() - begun:.1f} s"
        except AssertionError as error:
            after = str(error)
        now = sample(world)
        leaked = [(book.account, book.service) for book in world.truth.books.values() if not book.account.startswith("passing")
                  and world.admin.subscription(book.account, book.service)["in_flight"] != 0]
        self.checks.row("permits: in_flight of all services", now["in_flight"], now["in_flight"] == 0, f"0 within {QUIET_S} s, {after}")
        self.checks.row("permits: in_flight of all subscriptions", leaked, not leaked, "none above 0")
        self.checks.row("client connections", now["client_connections"], now["client_connections"] == 0, "0")
        self.checks.row("calls at the upstreams", [each.stats()["in_flight"] for each in world.upstreams], after.startswith("after"))
        self.checks.row("ledger imbalance", now["ledger_imbalance"], now["ledger_imbalance"] == 0, "0")
        if self.long:
            refused = world.admin.metric("client_connections_refused_by_address_total")
            guesses = world.admin.metric("refusals_total", reason="too_many_failures")
            self.checks.row("limits of an address acted", f"{refused:.0f} connections, {guesses:.0f} guesses", refused > 0 and guesses > 0,
                            "some of each in the last life")

    def series(self, trouble):
        """Metrics name services and reasons, and nothing that a client made up."""
        world = self.world
        known = {*worlds.SERVICES, *trouble.services, ""}
        by_service = collections.Counter(found.group(1) for found in (re.search(r'service="([^"]*)"', series)
                                                                      for series in world.admin.samples()) if found)
        self.checks.row("metric series of each service", dict(by_service),
                        by_service.keys() <= known and max(by_service.values()) <= SERIES_MAX, f"services that there are, at most {SERIES_MAX} each")
        source = worlds.source(world.seed, "series")

        def guesses(count):
            for _ in range(count):
                with traffic.From(world.port, "127.0.0.250") as connection:
                    connection.send_all_or_closed(hostile.guess(world, source))
                    connection.response()
            return set(world.admin.samples())
        # After a standstill refused clients are held back (a lag above a twentieth of overload_lag_ms), and keep their
        # places meanwhile, of which an address has few. A machine that is always late holds nobody up here for ever.
        def on_time():
            return all(world.admin.metric("loop_lag_seconds", worker=str(i)) < 0.005 for i in range(worlds.SETS["workers"]))
        try:
            eventually(on_time, "", QUIET_S, 0.1)
        except AssertionError:
            pass
        before = guesses(300)  # each reason has been given once: also that there were too many
        after = guesses(300)
        self.checks.row("metric series of paths and keys", f"{len(before)}, and {len(after - before)} new by 300 more",
                        after == before, "0")

    def base_line(self, base):
        world = self.world

        def there():
            now = sample(world)
            return now["upstream_idle"] == 0 and now["descriptors"] <= base["descriptors"] + DESCRIPTORS_SLACK
        try:
            eventually(there, "", QUIET_S, 0.2)
        except AssertionError:
            pass
        now = sample(world)
        self.checks.row("descriptors", f"{now['descriptors']}, idle upstream connections {now['upstream_idle']}",
                        now["descriptors"] <= base["descriptors"] + DESCRIPTORS_SLACK, f"base line {base['descriptors']}")
        self.checks.row("threads", now["threads"], now["threads"] == base["threads"], f"base line {base['threads']}")
        self.checks.row("journal slots in use", now["slots_used"], now["slots_used"] <= 2 * len(world.truth.books),
                        "at most one per worker and subscription")
        self.checks.row("journal slots damaged", now["slots_damaged"], now["slots_damaged"] == 0, "0")

    def memory(self, watch):
        rows = judge_memory(watch.samples, worlds.SETS["workers"] * len(self.world.truth.books))
        self.parts["flatness"] = rows
        checked = not sanitized()
        for row in rows:
            found = f"{row['second_quarter']:.0f} -> {row['last_quarter']:.0f}, {row['per_minute']} a minute"
            self.checks.row(f"flat over {row['seconds']} s: {row['what']}", found, row["flat"] or not checked,
                            "last quarter's median within 5 % and a slack of the second's" if checked else "not judged: a sanitizer")
        for life, grown, good in judge_growth(watch.samples):
            self.checks.row(f"memory that life {life} grew with a request", f"{grown} bytes", good or not checked,
                            f"at most {GROWTH_MAX}" if checked else "not judged: a sanitizer")
        if not rows:
            self.checks.row("flat memory", "no life was long enough to judge", True)

    # -- the books
    def totals(self):
        return {name: book.ledger(self.world.admin) for name, book in self.world.truth.books.items()}

    def ledger(self, what):
        world = self.world
        world.read_records()
        truth, exact = world.truth, world.kills == 0
        rows, faults = [], []
        for book in truth.books.values():
            row, wrong = book.compare(book.ledger(world.admin), exact)
            rows.append(row)
            faults += wrong
        self.parts["books"] = rows
        calls = sum(row["calls"] for row in rows)
        unsure = sum(row["calls_bounds"][1] - row["calls_bounds"][0] for row in rows)
        unsure_good = sum(row["succeeded_bounds"][1] - row["succeeded_bounds"][0] for row in rows)
        self.checks.row(what, f"{calls} calls, {sum(row['succeeded'] for row in rows)} succeeded, {sum(row['points'] for row in rows)} "
                        f"points, {len(rows)} subscriptions; {faults[:20]}", not faults,
                        f"undetermined by fault or leaving client: {unsure} calls, outcome of {unsure_good}")
        self.checks.row("nothing of a refused request upstream", truth.violations[:10], not truth.violations, f"{truth.lines} lines")
        silent = [kind for kind in worlds.KINDS if not any(row["calls"] for row in rows if row["account"].startswith(f"{kind}-"))]
        # Unmetered calls are not told apart in the ledger by their end; calls of the others that succeeded are.
        unserved = [kind for kind in worlds.KINDS if not any(row["succeeded"] for row in rows if row["account"].startswith(f"{kind}-"))]
        self.checks.row("every kind of account called", silent, not silent)

        self.checks.row("every kind of account was served", unserved, not unserved)

    def settle_all(self):
        world = self.world
        world.next_hour()
        world.next_hour()
        eventually(lambda: sample(world)["settlement_lag_hours"] == 0, "settled", 60)
        answer = world.admin.audit()
        self.checks.row("audit", [each for each in answer["invariants"] if not each["ok"]], answer["ok"] is True)
        now = sample(world)
        self.checks.row("usage that the store has not", now["unacknowledged"], now["unacknowledged"] == 0, "0")

    def last_calls(self):
        """One normal call for an account of every service."""
        world, statuses = self.world, {}
        for service in worlds.SERVICES:
            book = world.truth.books[f"free-{service}", service]
            number = book.begin()
            response = wire.call(world.port, f"{book.path}?n={number}", book.keys[0])
            book.told(number, response)
            statuses[service] = response.status
        self.checks.row("a normal call of each service", statuses, set(statuses.values()) == {200})


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--seed", type=int, default=random.randrange(2 ** 32))
    parser.add_argument("--rate", type=float, help="calls a second of the ordinary clients, at most (300; 60 under a sanitizer)")
    parser.add_argument("--no-kill", action="store_true", help="the gateway is not ended: then usage is exact to the call")
    parser.add_argument("--out", default=str(REPOSITORY / "build/soak/result.json"))
    options = parser.parse_args(arguments)
    options.rate = options.rate or (60.0 if sanitized() else 300.0)
    return options


def main(arguments, say=lambda text: print(text, flush=True)):
    options = parse(arguments)
    soak = Soak(options, say)
    failed = True
    try:
        try:
            soak.run()
        except Exception as error:  # the rows so far and the samples are worth more than a clean end
            soak.checks.row("the soak ran to its end", f"{type(error).__name__}: {error}", False)
        failed = bool(soak.checks.failed)
        soak.checks.show()
    finally:
        soak.until.event.set()
        soak.world.close(keep=failed)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result = {"seed": options.seed, "minutes": options.minutes, "rate": options.rate, "kills": soak.world.kills,
              "lives": soak.world.lives, "held": not failed, "checks": soak.checks.rows, "load_cpu_s": usage.ru_utime + usage.ru_stime,
              **soak.parts}
    os.makedirs(os.path.dirname(options.out), exist_ok=True)
    with open(options.out, "w", encoding="utf-8") as out:
        json.dump(result, out, indent=1)
    say(f"\n{'FAILED' if failed else 'held'}: seed {options.seed}; {options.out}" + (f"; kept {soak.world.kept}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
