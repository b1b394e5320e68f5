"""Secrets stay where they belong: after good calls, refused ones, broken ones and failures of every side, none of
them is found in a log, a metric, an answer, a command line or a file of the data folder."""

import datetime
import http.server
import socket
import subprocess
import threading
import unittest
from pathlib import Path

from harness import GatewayTest, ReservedPort, Tollgate, eventually, program

ADMIN = "canary-admin-9d2f61"
READER = "canary-reader-5b7c03"
WEBHOOK = "canary-webhook-c41e8a"
GUESS = "canary-wrong-token-77aa12"


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("Content-Length", "0"))
        self.server.got.append((str(self.headers), self.rfile.read(length).decode("utf-8", "replace")))
        self.send_response(500 if len(self.server.got) == 1 else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Secrets(GatewayTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.webhook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        cls.webhook.got = []
        threading.Thread(target=cls.webhook.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.webhook.server_close)
        cls.addClassCleanup(cls.webhook.shutdown)

    def gateway_with_canaries(self):
        gateway = Tollgate({"log.level": "debug", "log.access_log": "-", "billing.clock": "manual",
                            "billing.webhook_allow_private": "true",
                            "billing.webhook_url": f"http://127.0.0.1:{self.webhook.server_port}/hook"}, token=ADMIN)
        self.addCleanup(gateway.close)
        for name, secret in (("reader", READER), ("webhook", WEBHOOK)):
            path = Path(gateway.folder, name)
            path.write_text(secret + "\n")
            path.chmod(0o600)
            gateway.sets[{"reader": "admin_billing_read_token_file",
                          "webhook": "billing.webhook_secret_file"}[name]] = str(path)
        return gateway.start()

    def fall_into_arrears(self, admin):
        now = datetime.datetime.fromisoformat(admin.request("GET", "/v1/clock")["now"])
        hour = now.replace(minute=0, second=0, microsecond=0)
        epoch = admin.request("POST", "/v1/gateways/other/epochs")["epoch"]
        usage = {"account": "acme", "service": "good", "hour": hour.isoformat(), "calls_succeeded": 1000,
                 "calls_failed": 0, "calls_unmetered": 0, "free_points": 0, "billable_points": 4000}
        report = {"gateway": "other", "epoch": epoch, "totals": [usage]}
        self.assertEqual(admin.request("POST", "/v1/usage", report).status, 204)
        later = (hour + datetime.timedelta(hours=2)).isoformat()
        self.assertEqual(admin.request("POST", "/v1/clock", {"now": later}).status, 200)

    def test_no_secret_is_found_where_it_does_not_belong(self):
        gateway = self.gateway_with_canaries()
        admin, answers, closed = gateway.admin, [], ReservedPort()
        self.addCleanup(closed.close)

        def ask(*arguments, **more):
            answer = admin.request(*arguments, **more)
            answers.append(answer.text + str(answer.headers))
            return answer
        for name, upstream in (("good", self.model.address), ("dead", closed.address)):
            ask("PUT", f"/v1/services/{name}", {"model": "image-classification/high-performance",
                                                "upstreams": [upstream], "route": {"path_prefix": f"/{name}"}})
        ask("PUT", "/v1/accounts/acme", {"name": "Acme"})
        made = admin.request("POST", "/v1/accounts/acme/keys", {"name": "k"})  # the one answer that holds the key
        self.assertEqual(made.status, 201, made)
        key = made["key"]
        made_token = admin.request("POST", "/v1/accounts/acme/tokens", {"name": "t"})  # and the one with the token
        self.assertEqual(made_token.status, 201, made_token)
        account_token = made_token["token"]
        for name in ("good", "dead"):
            ask("PUT", f"/v1/accounts/acme/subscriptions/{name}", {"paid": True})

        # Calls: the key in all its places, good, failing, refused, malformed.
        end = "Host: a\r\nConnection: close\r\n"
        almost = key[:-1] + ("a" if key[-1] != "a" else "b")
        for path in ("/good/x", "/dead/x", "/nothing/x"):
            for one in (key, almost):
                for fields, query in ((f"Authorization: Bearer {one}\r\n", ""), (f"X-Api-Key: {one}\r\n", ""),
                                      ("", f"?a=1&access_token={one}&b=2"),
                                      (f"X-Api-Key: {one}\r\n", f"?access_token={almost}x")):
                    answers.append(wire_text(gateway.port, f"GET {path}{query} HTTP/1.1\r\n{end}{fields}\r\n"))
        for broken in (f"GET /good?access_token={key} HTTP/9.9\r\n{end}\r\n",
                       f"GET /good HTTP/1.1\r\n{end}X-Api-Key : {key}\r\n\r\n",
                       f"GET /good HTTP/1.1\r\n{end}X-Api-Key: {key}\r\n {key}\r\n\r\n",
                       f"BAD {key}\r\n\r\n", f"GET /good/{key}\x01 HTTP/1.1\r\n{end}\r\n",
                       f"GET /good HTTP/1.1\r\n{end}X-Api-Key: {key}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"):
            answers.append(wire_text(gateway.port, broken))

        # The admin API: errors of every kind that could repeat what they were sent.
        for token in (GUESS, READER, key, almost, account_token, account_token[:-1]):
            ask("GET", "/v1/accounts/acme", token=token)
            ask("GET", "/v1/accounts/other", token=token)
            ask("PUT", "/v1/accounts/acme", {"name": "x"}, token=token)
            ask("GET", f"/v1/accounts/acme/transfers?after={token}")  # the fault names the parameter alone
        ask("DELETE", f"/v1/accounts/acme/tokens/{made_token['id']}x")
        wire_text(gateway.port, f"GET /good/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                                f"Authorization: Bearer {account_token}\r\n\r\n")
        for raw in (f'{{"name": "x", "{key}": 1}}', f'{{"name": "{key}"', f'{{"name": "{key}", "name": "{key}"}}',
                    f'["{key}"]', f"{key}"):
            admin.request("PUT", "/v1/accounts/bad", raw=raw.encode())  # the field's name is told to who sent it
        ask("DELETE", f"/v1/accounts/acme/keys/{made['id']}x")
        ask("GET", f"/v1/accounts/acme?token={ADMIN}", token=None)
        for path in ("/v1/accounts/acme/keys", "/v1/accounts/acme", "/v1/accounts/acme/tokens", "/v1/services",
                     "/v1/audit", "/v1/audit-log", "/v1/catalog"):
            ask("GET", path)

        # A webhook's delivery that fails first: a notice of arrears, by the manual clock.
        self.fall_into_arrears(admin)
        eventually(lambda: any(notice["last_error"] for notice in admin.get("/v1/notifications")["items"]),
                   lambda: f"a delivery that failed: {admin.get('/v1/notifications')}")
        answers.append(admin.get("/v1/notifications").text)
        answers += [headers + body for headers, body in self.webhook.got]
        listed = subprocess.run([program("TOLLGATE_BIN", "tollgate"), "ctl", "--address",
                                 f"127.0.0.1:{gateway.admin_port}", "keys", "list", "acme"],
                                capture_output=True, text=True, timeout=60, env={"TOLLGATE_ADMIN_TOKEN": ADMIN})
        self.assertEqual(listed.returncode, 0, listed.stderr)
        flag = subprocess.run([program("TOLLGATE_BIN", "tollgate"), "ctl", "--token", "x", "audit"],
                              capture_output=True, text=True, timeout=60, env={})
        self.assertEqual(flag.returncode, 2, "a token on a command line is seen by everybody on the host")
        answers.append(listed.stdout + listed.stderr)
        command_line = Path(f"/proc/{gateway.process.pid}/cmdline").read_bytes()
        metrics = ask("GET", "/metrics").text
        eventually(lambda: "/good/x" in gateway.stdout(), "the access log")
        gateway.kill9()  # what is on the disk now, the write-ahead log included
        canaries = {"admin token": ADMIN, "billing-read token": READER, "webhook secret": WEBHOOK,
                    "a wrong token": GUESS, "key": key, "almost a key": almost, "account token": account_token,
                    "almost an account token": account_token[:-1]}
        places = {"answers": "\n".join(answers).encode(), "metrics": metrics.encode(), "command line": command_line}
        for path in (Path(gateway.folder, "stdout"), Path(gateway.folder, "stderr")):
            places[path.name] = path.read_bytes()
        files = [path for path in Path(gateway.data_dir).rglob("*") if path.is_file() and path.name != "admin-token"]
        self.assertTrue(any(path.name == "tollgate.db" for path in files))
        places.update({str(path): path.read_bytes() for path in files})
        found = [f"{name} in {place}" for place, text in places.items() for name, canary in canaries.items()
                 if canary.encode() in text]
        self.assertEqual(found, [])
        gateway.start()


def wire_text(port, request):
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(request.encode("latin-1"))
        received = b""
        try:
            while part := client.recv(65536):
                received += part
        except ConnectionResetError:
            pass
        return received.decode("latin-1")


if __name__ == "__main__":
    unittest.main()
