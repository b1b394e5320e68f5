"""Where notices go: only to the address that the configured URL leads to and that was checked, never on to where an answer
points, and through TLS only to who has the name. What a notice says and its signature are tested in tests/gateway."""

import datetime
import http.server
import json
import socket
import ssl
import threading
import unittest

from harness import FAST, Tollgate, eventually
from tls_certificates import Authority


class Receiver:
    """Counts connections and keeps what is posted; `answer` is (status, fields)."""

    def __init__(self, answer=(204, {}), context=None):
        self.got, self.connections = [], 0
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                receiver.got.append(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
                self.send_response(answer[0])
                for name, value in {"Content-Length": "0", **answer[1]}.items():
                    self.send_header(name, value)
                self.end_headers()
            do_GET = do_POST

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def get_request(self):
                accepted = super().get_request()
                receiver.connections += 1
                return accepted

            def handle_error(self, *_):
                pass  # a client that refuses our certificate
        self.server = Server(("127.0.0.1", 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class WebhookTest(unittest.TestCase):
    def receiver(self, *arguments):
        receiver = Receiver(*arguments)
        self.addCleanup(receiver.close)
        return receiver

    def notice(self, url, private=True, certificates=None):
        """The notice of arrears once a delivery to `url` was tried."""
        gateway = Tollgate({"billing.clock": "manual", "billing.webhook_url": url, "billing.webhook_allow_private": str(private).lower(),
                            "billing.webhook_timeout_ms": 5000})
        if certificates:
            gateway.environment["SSL_CERT_FILE"] = certificates
        self.addCleanup(gateway.close)
        admin = gateway.start().admin
        for path, body in (("services/s", {"model": FAST, "upstreams": ["127.0.0.1:1"], "route": {"path_prefix": "/s"}}), ("accounts/acme", {"name": "Acme"}),
                           ("accounts/acme/subscriptions/s", {"paid": True})):
            self.assertEqual(admin.request("PUT", f"/v1/{path}", body).status, 200)
        hour = datetime.datetime.fromisoformat(admin.request("GET", "/v1/clock")["now"]).replace(minute=0, second=0, microsecond=0)
        epoch = admin.open_epoch("other")["epoch"]
        usage = {"account": "acme", "service": "s", "hour": hour.isoformat(), "calls_succeeded": 1000, "calls_failed": 0, "calls_unmetered": 0,
                 "free_points": 0, "billable_points": 4000}
        self.assertEqual(admin.report_usage("other", epoch, [usage]).status, 204)
        self.assertEqual(admin.request("POST", "/v1/clock", {"now": (hour + datetime.timedelta(hours=2)).isoformat()}).status, 200)

        def tried():
            items = admin.get("/v1/notifications")["items"]
            return items if items and items[0]["attempts"] > 0 else None
        return eventually(tried, lambda: f"an attempt: {admin.get('/v1/notifications')}", within=20)[0]

    def refused(self, notice, reason):
        self.assertEqual(notice["state"], "pending", notice)
        self.assertIn(reason, notice["last_error"])


class Targets(WebhookTest):
    def test_a_notice_arrives(self):
        receiver = self.receiver()
        self.assertEqual(self.notice(f"http://127.0.0.1:{receiver.port}/hook")["state"], "delivered")
        self.assertEqual([json.loads(body)["account"] for body in receiver.got], ["acme"])

    def test_a_redirect_is_an_answer_and_not_followed(self):
        elsewhere = self.receiver()
        for status in (301, 302, 303, 307, 308):
            with self.subTest(status=status):
                receiver = self.receiver((status, {"Location": f"http://127.0.0.1:{elsewhere.port}/"}))
                self.refused(self.notice(f"http://127.0.0.1:{receiver.port}/hook"), str(status))
                self.assertEqual(len(receiver.got), 1)
        self.assertEqual(elsewhere.connections, 0)

    def test_private_addresses_are_not_connected_to_however_they_are_written(self):
        receiver = self.receiver()
        for host in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "0.0.0.0", "[::]", "2130706433", "0x7f000001",
                     "0177.0.0.1", "127.1", "169.254.169.254", "[fe80::1]", "[fd00::1]", "10.0.0.1"):
            with self.subTest(host=host):
                try:
                    notice = self.notice(f"http://{host}:{receiver.port}/latest/meta-data", private=False)
                except AssertionError as ended:  # not even taken as a URL
                    self.assertIn("billing.webhook_url", str(ended))
                    continue
                self.assertEqual(notice["state"], "pending")
                self.assertRegex(notice["last_error"], "not public|not resolved")
        self.assertEqual(receiver.connections, 0)


class Tls(WebhookTest):
    @classmethod
    def setUpClass(cls):
        cls.authority = Authority()
        cls.addClassCleanup(cls.authority.close)

    def secured(self, pair):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        return self.receiver((204, {}), context)

    def test_who_has_the_name_gets_it(self):
        for names, host in ((("localhost",), "localhost"), (("127.0.0.1",), "127.0.0.1")):
            receiver = self.secured(self.authority.issue(*names))
            notice = self.notice(f"https://{host}:{receiver.port}/hook", certificates=self.authority.certificate)
            self.assertEqual((notice["state"], len(receiver.got)), ("delivered", 1), notice)

    def test_nobody_else_does(self):
        for pair, trusted in ((self.authority.issue("other.test"), True), (self.authority.issue("localhost", days=-1), True),
                              (self.authority.issue("localhost", usage="clientAuth"), True), (self.authority.issue("localhost"), False)):
            receiver = self.secured(pair)
            notice = self.notice(f"https://localhost:{receiver.port}/hook", certificates=self.authority.certificate if trusted else None)
            self.refused(notice, "handshake")
            self.assertEqual(receiver.got, [])
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            self.refused(self.notice(f"https://localhost:{nobody.getsockname()[1]}/hook"), "connecting")


if __name__ == "__main__":
    unittest.main()
