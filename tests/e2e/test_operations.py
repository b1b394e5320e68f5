"""What an operator does: configuration files and their faults, --set, drain, reload, changes under running traffic, the
access log, and that one data folder has one process."""

import json
import os
import signal
import socket
import subprocess
import threading
import unittest
from pathlib import Path

import wire
from gated import GatedUpstream
from harness import AUTODL, FAST, Background, GatewayTest, Tollgate, eventually, program
from wire import Connection


def run(*arguments, **more):
    return subprocess.run([program("TOLLGATE_BIN", "tollgate"), *arguments], capture_output=True, text=True, timeout=60,
                          **more)


class CommandLine(unittest.TestCase):
    def file(self, text):
        import tempfile
        folder = tempfile.mkdtemp(prefix="tollgate-e2e-")
        self.addCleanup(lambda: __import__("shutil").rmtree(folder))
        path = Path(folder, "tollgate.yaml")
        path.write_text(text)
        return str(path)

    def test_version_and_help(self):
        out = run("--version")
        self.assertEqual(out.returncode, 0)
        self.assertRegex(out.stdout, r"\d+\.\d+\.\d+")
        for arguments in (["--help"], ["serve", "--help"], ["check", "--help"], ["ctl", "--help"]):
            out = run(*arguments)
            self.assertEqual(out.returncode, 0, arguments)
            self.assertGreater(len(out.stdout), 100, "help that teaches")
        for word in ("serve", "check", "ctl"):
            self.assertIn(word, run("--help").stdout)
        for flag in ("--config", "--data-dir", "--listen", "--admin-listen", "--set"):
            self.assertIn(flag, run("serve", "--help").stdout)

    def test_wrong_arguments_are_told_and_fail(self):
        for arguments in (["nonsense"], ["serve", "--nonsense"], ["check"], ["serve", "--set", "no.such.key=1"],
                          ["serve", "--set", "timeouts.idle_ms=soon"], ["serve", "--set", "timeouts.idle_ms"],
                          ["serve", "--config", "/no/such/file.yaml"], ["serve", "--listen", "nowhere"]):
            with self.subTest(arguments=arguments):
                out = run(*arguments, cwd="/tmp")
                self.assertNotEqual(out.returncode, 0)
                self.assertTrue(out.stderr.strip() or out.stdout.strip())

    def test_a_good_file_passes_the_check(self):
        path = self.file("listen: 127.0.0.1:18080\nadmin_listen: 127.0.0.1:19901\ngateway: gw-7\nworkers: 2\n"
                         "limits:\n  head_bytes_max: 16384\ntimeouts:\n  idle_ms: 5000\njournal:\n  slots: 4096\n"
                         "log:\n  level: debug\n  format: text\n")
        out = run("check", "--config", path)
        self.assertEqual(out.returncode, 0, out)

    def test_the_shipped_file_passes_the_check(self):
        shipped = Path(__file__).resolve().parents[2] / "conf" / "tollgate.yaml"
        out = run("check", "--config", str(shipped))
        self.assertEqual(out.returncode, 0, out)

    def test_every_fault_is_told_with_its_line(self):
        path = self.file("listen: 127.0.0.1:18080\n"            # 1
                         "colour: red\n"                         # 2 unknown
                         "workers: many\n"                       # 3 wrong type
                         "limits:\n"                             # 4
                         "  head_bytes_max: 5\n"                 # 5 out of range
                         "  nonsense: 1\n"                       # 6 unknown
                         "timeouts:\n"                           # 7
                         "  idle_ms: -1\n"                       # 8 out of range
                         "log:\n"                                # 9
                         "  level: loud\n"                       # 10 no such value
                         "listen: 127.0.0.1:18081\n")            # 11 twice
        out = run("check", "--config", path)
        self.assertEqual(out.returncode, 1, out)
        told = out.stdout + out.stderr
        for line, word in ((2, "colour"), (3, "workers"), (5, "head_bytes_max"), (6, "nonsense"), (8, "idle_ms"),
                           (10, "level"), (11, "listen")):
            self.assertRegex(told, rf"(?m)tollgate\.yaml:{line}\b.*{word}", told)
        for bad in ("listen: [\n", "- a\n- b\n", "limits: 5\n", "\tlisten: a\n"):
            with self.subTest(text=bad):
                out = run("check", "--config", self.file(bad))
                self.assertEqual(out.returncode, 1, out)
                self.assertRegex(out.stdout + out.stderr, r"tollgate\.yaml:\d+")

    def test_the_faults_of_price_lists_are_told_with_the_others(self):
        path = self.file("colour: red\n"                                      # 1
                         "billing:\n"                                         # 2
                         "  catalog: bad-catalog.yaml\n"                      # 3
                         "  plans: [conf/good.yaml, bad-plan.yaml, none.yaml]\n")  # 4
        folder = Path(path).parent
        (folder / "conf").mkdir()
        shipped = Path(__file__).resolve().parents[2] / "conf" / "plans" / "points-2021-08-20.yaml"
        (folder / "conf" / "good.yaml").write_text(shipped.read_text("utf-8"))
        (folder / "bad-catalog.yaml").write_text("models: 5\nnonsense: 1\n")
        (folder / "bad-plan.yaml").write_text("id: x\nnonsense: 1\n")
        out = run("check", "--config", path, cwd=folder)
        self.assertEqual(out.returncode, 1, out)
        for told in (r"tollgate\.yaml:1: colour: ",
                     r"tollgate\.yaml:3: billing\.catalog: bad-catalog\.yaml:1: .*models",
                     r"tollgate\.yaml:3: billing\.catalog: bad-catalog\.yaml:2: .*nonsense",
                     r"tollgate\.yaml:4: billing\.plans\[1\]: bad-plan\.yaml:2: .*nonsense",
                     r"tollgate\.yaml:4: billing\.plans\[2\]: none\.yaml: cannot be read"):
            self.assertRegex(out.stderr, r"(?m)^\S*" + told)
        self.assertNotIn("plans[0]", out.stderr)
        out = run("serve", "--config", self.file("billing: {plans: [none.yaml]}\n"), cwd=folder)
        self.assertEqual(out.returncode, 1, out)
        self.assertIn("billing.plans[0]: none.yaml: cannot be read", out.stdout + out.stderr)

    def test_a_start_with_a_bad_file_fails_and_says_so(self):
        out = run("serve", "--config", self.file("colour: red\n"), cwd="/tmp")
        self.assertNotEqual(out.returncode, 0)
        self.assertIn("tollgate.yaml:1", out.stdout + out.stderr)


class Starts(GatewayTest):
    def gateway_with(self, text="", **more):
        gateway = Tollgate(**more)
        self.addCleanup(gateway.close)
        self.path = os.path.join(gateway.folder, "tollgate.yaml")
        Path(self.path).write_text(text)
        gateway.arguments += ["--config", self.path]
        return gateway.start()

    def test_flags_win_over_the_file(self):
        gateway = self.gateway_with("limits:\n  body_bytes_max: 10\ndata_dir: /nowhere\nlisten: 127.0.0.1:1\n"
                                    "admin_listen: 127.0.0.1:1\n", sets={"limits.target_bytes_max": 100})
        answer = gateway.admin.put_service("s", FAST, [self.model.address], "/s")
        self.assertIn(answer.status, (200, 201))
        gateway.admin.put_account("a")
        gateway.admin.put_subscription("a", "s", False)
        key = gateway.admin.create_key("a")["key"]
        eventually(lambda: wire.call(gateway.port, "/s", key).status == 200, "served")
        self.assertEqual(wire.call(gateway.port, "/s", key, "POST", b"x" * 11).status, 413)
        self.assertEqual(wire.call(gateway.port, "/s?" + "a" * 100, key).status, 414)

    def test_reload_takes_a_good_file_and_keeps_the_old_one_over_a_bad(self):
        gateway = self.gateway_with("limits:\n  body_bytes_max: 1000\n")
        good = gateway.admin.metric("config_reloads_total", result="success")
        Path(self.path).write_text("limits:\n  body_bytes_max: 5\n  colour: red\n")
        gateway.signal(signal.SIGHUP)
        eventually(lambda: "colour" in gateway.stderr() + gateway.stdout(), "the fault is told")
        samples = {name: value for name, value in gateway.admin.samples().items() if "config_reloads_total" in name}
        self.assertEqual(sum(samples.values()), good + 1, samples)
        self.assertEqual(gateway.admin.readyz().status, 200)
        Path(self.path).write_text("limits:\n  body_bytes_max: 2000\n")
        gateway.signal(signal.SIGHUP)

        def reloads():
            return {name: value for name, value in gateway.admin.samples().items() if "config_reloads_total" in name}
        eventually(lambda: sum(reloads().values()) == good + 2, lambda: f"two reloads: {reloads()}")
        self.assertEqual(sorted(value for value in reloads().values() if value), [1, 1])

    def test_a_second_process_on_the_same_data_is_refused(self):
        second = Tollgate(data_dir=self.gateway.data_dir)
        self.addCleanup(second.close)
        second.launch()
        eventually(lambda: not second.alive(), "the second one ends", within=20)
        code = second.wait_stopped()
        self.assertNotEqual(code, 0)
        self.assertIn(self.gateway.data_dir, second.stderr() + second.stdout())
        self.assertEqual(self.admin.readyz().status, 200)
        second.process = None

    def test_a_taken_port_is_an_error_at_start(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            gateway = Tollgate(arguments=["--admin-listen", "127.0.0.1:%d" % taken.getsockname()[1]])
            self.addCleanup(gateway.close)
            out = run("serve", "--data-dir", gateway.data_dir, "--listen", "127.0.0.1:0", "--admin-listen",
                      "127.0.0.1:%d" % taken.getsockname()[1])
            self.assertNotEqual(out.returncode, 0)
            self.assertIn(str(taken.getsockname()[1]), out.stderr + out.stdout)


class Drain(GatewayTest):
    def test_sigterm_finishes_what_is_in_flight_and_takes_nothing_new(self):
        upstream = GatedUpstream()
        self.addCleanup(upstream.close)
        service, account = self.one(AUTODL, paid=True, upstreams=[upstream.address])
        calls = [Background(account.call, service, "GET", None, (), suffix) for suffix in ("", "?halfway", "")]
        eventually(lambda: upstream.held == 3, "three are held")
        idle = Connection(self.port)
        idle.send(wire.request("GET", service.path + "?quick", self.port, account.key))
        self.assertEqual(idle.response().status, 200)
        self.gateway.signal(signal.SIGTERM)
        eventually(lambda: self.admin.readyz().status != 200, "not ready while draining")
        self.assertEqual(self.admin.readyz().status, 503)

        let_in = []  # by a worker that has not heard of the drain yet

        def closed():
            try:
                answer = wire.call(self.port, service.path + "?quick", account.key, timeout=5)
                let_in.extend([answer] if answer.status == 200 else [])
                return False
            except (OSError, wire.Closed):
                return True
        eventually(closed, "new connections are not accepted")
        self.assertTrue(idle.at_end(), "an idle connection is closed")
        self.assertTrue(self.gateway.alive())
        upstream.open()
        for call, body in zip(calls, (b"answered", b"halfrest", b"answered")):
            response = call.result()
            self.assertEqual((response.status, response.body), (200, body))
        self.assertEqual(self.gateway.wait_stopped(), 0, self.gateway.stderr())
        self.gateway.start()
        account.wait_usage(service, calls_succeeded=4 + len(let_in), calls_failed=0)

    def test_the_drain_is_bounded(self):
        gateway = Tollgate({"timeouts.drain_ms": 500})
        self.addCleanup(gateway.close)
        gateway.start()
        upstream = GatedUpstream()
        self.addCleanup(upstream.close)
        gateway.admin.put_service("s", FAST, [upstream.address], "/s")
        gateway.admin.put_account("a")
        gateway.admin.put_subscription("a", "s", False)
        key = gateway.admin.create_key("a")["key"]
        eventually(lambda: wire.call(gateway.port, "/s?quick", key).status == 200, "served")
        with Connection(gateway.port) as unanswered, Connection(gateway.port) as half:
            unanswered.send(wire.request("GET", "/s", gateway.port, key))
            half.send(wire.request("GET", "/s?halfway", gateway.port, key))
            eventually(lambda: upstream.held == 2, "held")
            half.read_until(b"half")
            gateway.signal(signal.SIGTERM)
            self.assertEqual(gateway.wait_stopped(), 0)
        gateway.start()
        usage = gateway.admin.totals("a", "s")  # whom the gateway itself cut off got no whole answer
        self.assertEqual((usage["calls_succeeded"], usage["calls_failed"], usage["free_points"]), (1, 2, 12))


class RunningTraffic(GatewayTest):
    """Changes are effective within a second, on connections that are open as well."""

    def setUp(self):
        self.svc, self.acct = self.one()
        self.connection = Connection(self.port)
        self.addCleanup(self.connection.close)

    def status(self):
        self.connection.send(wire.request("GET", self.svc.path, self.port, self.acct.key))
        return self.connection.response().status

    def becomes(self, status):
        eventually(lambda: self.status() == status, f"{status} within 1 s on the open connection", within=1.5)

    def test_a_revoked_key(self):
        self.assertEqual(self.status(), 200)
        key = self.admin.keys(self.acct.id)["items"][0]["id"]
        self.assertEqual(self.admin.delete_key(self.acct.id, key).status, 204)
        self.becomes(401)

    def test_a_deleted_service_and_its_return(self):
        self.assertEqual(self.status(), 200)
        self.admin.delete_service(self.svc.id)
        self.becomes(404)

    def test_a_changed_route(self):
        self.assertEqual(self.status(), 200)
        self.admin.put_service(self.svc.id, FAST, [self.model.address], "/moved-" + self.svc.id)
        self.becomes(404)
        self.svc.path = "/moved-" + self.svc.id
        self.becomes(200)

    def test_changes_do_not_touch_calls_in_flight(self):
        upstream = GatedUpstream()
        self.addCleanup(upstream.close)
        service, account = self.one(upstreams=[upstream.address])
        call = Background(account.call, service, "GET", None, (), "?halfway")
        eventually(lambda: upstream.held == 1, "held")
        self.admin.delete_key(account.id, self.admin.keys(account.id)["items"][0]["id"])
        self.admin.delete_service(service.id)
        eventually(lambda: account.call(service).status == 401, "in force", within=1.5)
        upstream.open()
        self.assertEqual(call.result().body, b"halfrest")

    def test_traffic_goes_on_while_everything_else_changes(self):
        self.assertEqual(self.admin.put_subscription(self.acct.id, self.svc.id, True).status, 200)
        stop, bad = threading.Event(), []

        def traffic():
            while not stop.is_set():
                if (status := self.status()) != 200:
                    bad.append(status)
        running = Background(traffic)
        for _ in range(15):
            self.one()
        stop.set()
        running.result()
        self.assertEqual(bad, [])


class Logs(GatewayTest):
    def lines(self):
        path = Path(self.gateway.folder, "access.log")
        return path.read_text("utf-8").splitlines() if path.exists() else []

    def setUp(self):
        if "log.access_log" not in self.gateway.sets:
            self.gateway.terminate()
            self.gateway.sets["log.access_log"] = os.path.join(self.gateway.folder, "access.log")
            self.gateway.start()

    def test_one_valid_line_for_every_request_and_no_secret(self):
        service, account = self.one()

        def mine():
            return [line for line in self.lines() if service.path in line]
        evil = [("User-Agent", 'a"b\\c\x9b'), ("X-Other", "y")]
        for number in range(3):
            account.call(service, fields=evil, suffix=f"?n={number}&q=%0d%0a%1b%22")
        wire.call(self.port, service.path, "tg_nonsense")
        wire.call(self.port, f"{service.path}?access_token={account.key}")
        eventually(lambda: len(mine()) >= 5, lambda: f"5 lines: {mine()}")
        lines = mine()
        self.assertEqual(len(lines), 5)
        for line in lines:
            self.assertTrue(line.isprintable(), repr(line))
            json.loads(line)
        text = "\n".join(lines)
        self.assertNotIn(account.key, text)
        self.assertNotIn("tg_nonsense", text)
        whole = [line for line in lines if account.id in line and service.id in line and "200" in line]
        self.assertEqual(len(whole), 4)
        self.assertNotIn(account.key, self.gateway.stderr() + self.gateway.stdout())

    def test_the_request_id_of_the_answer_is_in_the_log(self):
        service, account = self.one()
        wanted = account.call(service).header("x-request-id")
        eventually(lambda: any(wanted in line for line in self.lines()), "the id in the log")

    def test_metric_series_do_not_grow_with_what_clients_send(self):
        service, account = self.one()
        account.call(service)
        wire.call(self.port, "/warm-up-1", account.key)
        wire.call(self.port, service.path, "wrong")
        for _ in range(250):  # beyond limits.key_failures_per_address_max, even if a minute ends among them
            wire.call(self.port, "/warm-up-1", "wrong")
        before = len(self.admin.samples())
        for number in range(200):
            wire.call(self.port, f"/random-{number}", account.key if number % 2 else f"key-{number}")
        self.assertEqual(len(self.admin.samples()), before)


if __name__ == "__main__":
    unittest.main()
