"""The files of TLS: what is refused at the start and named, and that a reload takes new ones without touching a connection
or, when one is bad, changes nothing and says so."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

from gated import GatedUpstream
from harness import eventually, program
from tls_case import TLS12, TLS13, TlsTest
from tls_certificates import Authority, Pair
from tls_peers import client_context


class Starts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.authority = Authority()
        cls.addClassCleanup(cls.authority.close)
        cls.good, cls.other = cls.authority.issue("first.test"), cls.authority.issue("other.test")

    def copy(self, path, mode=0o600, text=None):
        """A copy of a file, that a test may spoil."""
        made = tempfile.NamedTemporaryFile(dir=self.authority.folder, delete=False)
        made.write(Path(path).read_bytes() if text is None else text)
        made.close()
        os.chmod(made.name, mode)
        return made.name

    def start(self, *pairs, **more):
        """What a start ends with that must not succeed."""
        folder = tempfile.mkdtemp(prefix="tollgate-e2e-")
        self.addCleanup(shutil.rmtree, folder, True)
        command = [program("TOLLGATE_BIN", "tollgate"), "serve", "--data-dir", f"{folder}/data", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
                   "--set", "tls.listen=127.0.0.1:0", "--set", "tls.certificates=" + ",".join(pair.certificate for pair in pairs),
                   "--set", "tls.private_keys=" + ",".join(pair.key for pair in pairs)]
        for key, value in more.items():
            command += ["--set", f"tls.{key}={value}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def refused(self, ended, *words):
        self.assertEqual(ended.returncode, 1, ended)
        lines = (ended.stdout + ended.stderr).splitlines()
        self.assertTrue(any(all(word in line for word in words) for line in lines), (words, ended))

    def test_a_key_that_others_may_read_is_refused(self):
        for mode in (0o604, 0o644, 0o602, 0o666, 0o660, 0o777):
            with self.subTest(mode=oct(mode)):
                key = self.copy(self.good.key, mode)
                self.refused(self.start(Pair(self.good.certificate, key)), "tls.private_keys", key)

    def test_a_key_of_another_certificate_is_refused(self):
        self.refused(self.start(Pair(self.good.certificate, self.other.key)), "tls.private_keys", self.other.key)
        self.refused(self.start(self.good, Pair(self.other.certificate, self.good.key)), "tls.private_keys", self.good.key)

    def test_files_that_are_not_what_they_should_be_are_refused(self):
        nothing, text = self.copy(self.good.key, text=b""), self.copy(self.good.key, text=b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
        missing = self.authority.path("missing.pem")
        for bad in (nothing, text, missing, self.authority.folder):
            with self.subTest(bad=bad):
                self.refused(self.start(Pair(bad, self.good.key)), "tls.certificates", bad)
                self.refused(self.start(Pair(self.good.certificate, bad)), "tls.private_keys", bad)
                self.refused(self.start(self.good, client_certificates="required", client_ca_file=bad), "tls.client_ca_file", bad)
        self.refused(self.start(Pair(self.good.key, self.good.key)), "tls.certificates", self.good.key)
        self.refused(self.start(Pair(self.good.certificate, self.good.certificate)), "tls.private_keys", self.good.certificate)

    def test_settings_that_do_not_fit_are_refused(self):
        self.refused(self.start(), "tls.certificates")
        self.refused(self.start(Pair(f"{self.good.certificate},{self.other.certificate}", self.good.key)), "tls.private_keys")
        self.refused(self.start(self.good, client_certificates="required"), "tls.client_ca_file")
        self.refused(self.start(self.good, client_certificates="maybe"), "tls.client_certificates")
        self.refused(self.start(self.good, min_version="1.1"), "tls.min_version")
        self.refused(self.start(self.good, listen="nowhere"), "tls.listen")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.refused(self.start(self.good, listen=f"127.0.0.1:{taken.getsockname()[1]}"), str(taken.getsockname()[1]))


class Reload(TlsTest):
    def setUp(self):
        self.kept = Pair(self.authority.path("kept.pem"), self.authority.path("kept.key"))
        for ours, theirs in ((self.first.certificate, self.kept.certificate), (self.first.key, self.kept.key)):
            shutil.copy(ours, theirs)

    def serial(self, **more):
        return self.connect(**more).socket.getpeercert()["serialNumber"]

    def reload(self, result="succeeded"):
        before = self.admin.metric("config_reloads_total", result=result)
        self.gateway.signal(signal.SIGHUP)
        eventually(lambda: self.admin.metric("config_reloads_total", result=result) == before + 1, f"a reload that {result}")

    def replace(self):
        fresh = self.authority.issue("first.test", "127.0.0.1")
        fresh.copy_over(self.first)
        return fresh

    def test_new_connections_get_the_new_certificate_and_old_ones_go_on(self):
        service, account = self.one()
        before = self.serial()
        for version in (TLS12, TLS13):
            old = self.connect(client_context(self.authority, version))
            self.assertEqual(self.ask(old, service, account).status, 200)
            session = old.socket.session
            self.replace()
            self.reload()
            after = self.serial()
            self.assertNotEqual(after, before)
            for _ in range(20):  # on every worker
                self.assertEqual(self.serial(), after)
            self.assertEqual(old.socket.getpeercert()["serialNumber"], before)
            self.assertEqual(self.ask(old, service, account, "POST", b"x" * 100_000).json()["body_bytes"], 100_000)
            again = self.connect(old.socket.context, session=session)
            self.assertEqual(self.ask(again, service, account).status, 200, "an old session is no hindrance")
            before = after

    def test_a_call_in_flight_goes_on(self):
        gated = GatedUpstream()
        self.addCleanup(gated.close)
        service, account = self.one(upstreams=[gated.address])
        client = self.connect()
        client.send(self.asked(service, account, suffix="?halfway"))
        client.read_until(b"half")
        for _ in range(3):
            self.replace()
            self.reload()
        gated.open()
        client.read_until(b"rest")

    def spoil(self, path, text=b"nonsense"):
        Path(path).write_bytes(text)

    def test_a_bad_file_changes_nothing_and_is_told(self):
        before, other = self.serial(), self.authority.issue("other.test")
        spoiled = {"certificate": (self.first.certificate, "tls.certificates", lambda: self.spoil(self.first.certificate)),
                   "key": (self.first.key, "tls.private_keys", lambda: self.spoil(self.first.key)),
                   "empty": (self.first.key, "tls.private_keys", lambda: self.spoil(self.first.key, b"")),
                   "another's key": (self.first.key, "tls.private_keys", lambda: shutil.copy(other.key, self.first.key)),
                   "mode": (self.first.key, "tls.private_keys", lambda: os.chmod(self.first.key, 0o644)),
                   "gone": (self.first.certificate, "tls.certificates", lambda: os.remove(self.first.certificate)),
                   "second": (self.second.key, "tls.private_keys", lambda: os.rename(self.second.key, self.second.key + ".away"))}
        open_before = self.connect()
        for what, (path, key, spoil) in spoiled.items():
            with self.subTest(what=what):
                spoil()
                self.reload("failed")
                self.told(key, path)
                self.assertEqual(self.serial(), before)
                self.connect(name="second.test")
                self.kept.copy_over(self.first)
        self.assertEqual(self.ask(open_before, *self.one()).status, 200)
        os.rename(self.second.key + ".away", self.second.key)
        fresh = self.replace()
        self.reload()
        self.assertNotEqual(self.serial(), before, fresh)


class ReloadOfSettings(TlsTest):
    """Everything about TLS but its address may change; here it stands in a file."""

    @classmethod
    def setUpClass(cls):
        cls.file = tempfile.NamedTemporaryFile(suffix=".yaml")
        cls.addClassCleanup(cls.file.close)
        cls.arguments = ["--config", cls.file.name]
        super().setUpClass()

    def settings(self, text):
        Path(self.file.name).write_text(text)
        before = self.admin.metric("config_reloads_total", result="succeeded")
        self.gateway.signal(signal.SIGHUP)
        eventually(lambda: self.admin.metric("config_reloads_total", result="succeeded") == before + 1, "a reload")

    def shakes(self, **more):
        try:
            client = self.connect(client_context(self.authority, **more))
            return self.ask(client, *self.service_and_account).status == 200
        except OSError:
            return False
        except AssertionError:
            return False

    def test_versions_and_client_certificates(self):
        self.service_and_account = self.one()
        certificate = self.authority.issue("client", usage="clientAuth")
        self.assertTrue(self.shakes(version=TLS12))
        self.settings("tls:\n  min_version: '1.3'\n")
        self.assertFalse(self.shakes(version=TLS12))
        self.assertTrue(self.shakes(version=TLS13))
        self.settings(f"tls:\n  client_certificates: required\n  client_ca_file: {self.authority.certificate}\n")
        self.assertFalse(self.shakes(version=TLS13))
        self.assertTrue(self.shakes(version=TLS12, certificate=certificate))
        self.settings("log:\n  level: info\n")
        self.assertTrue(self.shakes(version=TLS12))


if __name__ == "__main__":
    unittest.main()
