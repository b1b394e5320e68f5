"""Started by root, the gateway becomes its user for good; whoever it is, it gains nothing and its memory is its own."""

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import unittest
from pathlib import Path

from harness import Tollgate, eventually, program
from tls_certificates import Authority
from tls_peers import client_context

USER = "nobody"


def status(process):
    lines = Path(f"/proc/{process.pid}/status").read_text("ascii", "replace").splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def loopback():
    """An address of this machine that nobody else has in use, so that any port of it is free."""
    return f"127.{random.randrange(64, 128)}.{random.randrange(256)}.{random.randrange(1, 255)}"


class Everybody(unittest.TestCase):
    def test_nothing_is_gained_by_running_a_program(self):
        gateway = Tollgate()
        self.addCleanup(gateway.close)
        gateway.start()
        for task in Path(f"/proc/{gateway.process.pid}/task").iterdir():
            self.assertIn("NoNewPrivs:\t1", (task / "status").read_text("ascii", "replace"), task)

    def test_a_user_that_is_not_there_is_a_fault(self):
        gateway = Tollgate({"user": "no-such-user-here"})
        self.addCleanup(gateway.close)
        gateway.launch()
        self.assertEqual(gateway.wait_stopped(), 1)
        self.assertIn("no-such-user-here", gateway.stderr())


@unittest.skipUnless(os.geteuid() == 0, "only root can become another user")
class StartedByRoot(unittest.TestCase):
    def setUp(self):
        self.entry = pwd.getpwnam(USER)

    def gateway(self, **sets):
        gateway = Tollgate({"user": USER, **sets})
        os.chmod(gateway.folder, 0o755)  # so that the user gets through to the data folder
        self.addCleanup(gateway.close)
        return gateway

    def refused(self, gateway, *words):
        gateway.launch()
        self.assertEqual(gateway.wait_stopped(), 1, gateway.stderr())
        for word in words:
            self.assertIn(word, gateway.stderr())

    def test_it_becomes_the_user_in_every_thread_and_serves(self):
        gateway = self.gateway()
        gateway.prefix = ["setpriv", "--groups=4,24", "--"]  # what root had besides: adm and cdrom, say
        gateway.start()
        ids = [str(self.entry.pw_uid)] * 4, [str(self.entry.pw_gid)] * 4
        groups = {str(group) for group in os.getgrouplist(USER, self.entry.pw_gid)}
        tasks = list(Path(f"/proc/{gateway.process.pid}/task").iterdir())
        self.assertGreater(len(tasks), 3)
        for task in tasks:
            lines = (task / "status").read_text("ascii", "replace").splitlines()
            found = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
            self.assertEqual((found["Uid"], found["Gid"]), ids, task)
            self.assertLessEqual(set(found["Groups"]), groups, "root's groups are left behind")
            for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                self.assertEqual(int(found[kind][0], 16), 0, kind)
            self.assertEqual(found["NoNewPrivs"], ["1"])
        self.assertEqual(gateway.admin.put_account("acme").status, 200)
        for path in [Path(gateway.data_dir), *Path(gateway.data_dir).iterdir()]:
            self.assertEqual(path.stat().st_uid, self.entry.pw_uid, path)
        gateway.terminate()
        gateway.start()
        self.assertEqual(gateway.admin.account("acme").status, 200)

    def test_ports_below_1024_are_bound_first(self):
        gateway = self.gateway(workers=2)
        address = loopback()
        gateway.arguments = ["--set", f"listen={address}:443"]
        gateway.start()
        with socket.create_connection((address, 443), 30) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            self.assertIn(b" 401 ", client.recv(65536).split(b"\r\n")[0])
        self.assertEqual(status(gateway.process)["Uid"][1], str(self.entry.pw_uid))
        other = self.gateway()
        other.arguments = gateway.arguments
        self.refused(other, "cannot listen", f"{address}:443")

    def test_a_data_folder_that_is_not_the_users_is_a_fault_with_its_path(self):
        gateway = self.gateway()
        os.mkdir(gateway.data_dir, 0o700)
        self.refused(gateway, "data_dir_unusable", gateway.data_dir, f"chown -R {USER}")

    def test_a_way_that_is_closed_to_the_user_is_a_fault_with_the_folder_that_closes_it(self):
        gateway = self.gateway()
        closed = Path(gateway.data_dir).parent / "closed"
        data = closed / "data"
        data.mkdir(0o700, parents=True)
        os.chown(data, self.entry.pw_uid, self.entry.pw_gid)
        closed.chmod(0o700)
        gateway.data_dir = str(data)
        self.refused(gateway, "data_dir_unusable", f"{closed} cannot be entered")

    def test_a_folder_that_is_named_with_a_slash_at_its_end_is_made_for_the_user_alone(self):
        gateway = self.gateway()
        gateway.data_dir += "/"
        gateway.start()
        made = Path(gateway.data_dir).stat()
        self.assertEqual((made.st_uid, made.st_mode & 0o777), (self.entry.pw_uid, 0o700))

    def test_an_access_log_that_cannot_be_opened_anew_goes_on_and_is_said(self):
        gateway = self.gateway()
        folder = Path(gateway.data_dir).parent / "log"
        folder.mkdir(0o755)
        log = folder / "access"
        log.touch()
        os.chown(log, self.entry.pw_uid, self.entry.pw_gid)
        gateway.sets["log.access_log"] = str(log)
        gateway.start()
        moved = log.rename(folder / "access.1")  # by root, into whose folder the gateway may put nothing
        gateway.signal(signal.SIGHUP)
        eventually(lambda: f"{log} cannot be opened anew" in gateway.stderr(), "it is said")
        with socket.create_connection(("127.0.0.1", gateway.port), 30) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            self.assertIn(b" 401 ", client.recv(65536).split(b"\r\n")[0])
        eventually(lambda: "invalid_key" in moved.read_text("utf-8"), "the line is in the file that was open")

    def test_a_file_of_an_earlier_run_as_root_is_a_fault_with_its_path(self):
        gateway = self.gateway()
        gateway.sets.pop("user")
        gateway.start()
        self.assertIn("running as root", gateway.stderr())
        gateway.terminate()
        os.chown(gateway.data_dir, self.entry.pw_uid, self.entry.pw_gid)
        gateway.sets["user"] = USER
        self.refused(gateway, "data_dir_unusable", gateway.data_dir + "/", f"chown -R {USER}")
        for path in Path(gateway.data_dir).iterdir():
            shutil.chown(path, USER)
        gateway.start()

    def test_a_secret_that_only_root_may_read_is_a_fault_with_its_path(self):
        gateway = self.gateway()
        token = Path(gateway.folder, "token")
        token.write_text("a-token-of-root\n")
        token.chmod(0o600)
        gateway.sets["admin_token_file"] = str(token)
        del gateway.environment["TOLLGATE_ADMIN_TOKEN"]
        self.refused(gateway, str(token), "Permission denied")

    def test_a_reload_of_a_file_that_only_root_may_read_is_refused_and_said(self):
        gateway = self.gateway()
        config = Path(gateway.folder, "gateway.yaml")
        config.write_text("timeouts:\n  idle_ms: 70000\n")
        config.chmod(0o600)
        gateway.arguments = ["--config", str(config)]
        gateway.start()
        self.assertIn("a reload (SIGHUP) will be refused", gateway.stderr())
        gateway.signal(signal.SIGHUP)
        eventually(lambda: "the configuration is unchanged" in gateway.stderr(), "the reload was refused")
        self.assertIn(f"{config}: cannot be read: Permission denied", gateway.stderr())
        config.chmod(0o644)
        gateway.signal(signal.SIGHUP)
        eventually(lambda: "configuration reloaded" in gateway.stderr(), "the reload was taken")
        self.assertEqual(gateway.admin.readyz().status, 200)

    def test_a_renewed_key_that_only_root_may_read_changes_nothing_and_is_said(self):
        authority = Authority()
        self.addCleanup(authority.close)
        os.chmod(authority.folder, 0o755)
        pair, renewed = authority.issue("first.test", "127.0.0.1"), authority.issue("first.test", "127.0.0.1")
        shutil.chown(pair.key, USER)
        for one in (pair, renewed):
            os.chmod(one.certificate, 0o644)
        gateway = self.gateway(**{"tls.listen": f"{loopback()}:443", "tls.certificates": pair.certificate,
                                  "tls.private_keys": pair.key}).start()

        def serial():
            with socket.create_connection((gateway.sets["tls.listen"].partition(":")[0], 443), 30) as plain:
                with client_context(authority).wrap_socket(plain, server_hostname="first.test") as client:
                    return client.getpeercert()["serialNumber"]
        before = serial()
        renewed.copy_over(pair)
        os.chmod(pair.certificate, 0o644)
        gateway.signal(signal.SIGHUP)
        eventually(lambda: "the configuration is unchanged" in gateway.stderr(), "the reload was refused")
        self.assertIn(f"tls.private_keys: {pair.key}", gateway.stderr())
        self.assertEqual(serial(), before)
        shutil.chown(pair.key, USER)
        gateway.signal(signal.SIGHUP)
        eventually(lambda: "configuration reloaded" in gateway.stderr(), "the reload was taken")
        self.assertNotEqual(serial(), before)

    def start_as_user(self, **sets):
        """As that user from the outset, and so without root's work."""
        become = ["setpriv", f"--reuid={self.entry.pw_uid}", f"--regid={self.entry.pw_gid}", "--clear-groups", "--"]
        readable = subprocess.run([*become, "test", "-r", program("TOLLGATE_BIN", "tollgate")], timeout=60)
        if readable.returncode != 0:
            self.skipTest("the user cannot read the program here")
        gateway = self.gateway(**sets)
        gateway.prefix = become
        os.mkdir(gateway.data_dir, 0o700)
        shutil.chown(gateway.data_dir, USER)
        return gateway

    def test_the_memory_is_closed_to_its_own_user_unless_that_is_wanted(self):
        # The kernel gives these files of a process that cannot be dumped to root.
        closed = self.start_as_user()
        closed.start()
        if "libasan" in Path(f"/proc/{closed.process.pid}/maps").read_text("ascii", "replace"):
            self.skipTest("the leak checker of this build reads its own memory")
        closed.terminate()
        for gateway, owner in ((closed, 0),
                               (self.start_as_user(core_dumps="true"), self.entry.pw_uid),
                               (self.gateway(core_dumps="true"), self.entry.pw_uid)):
            gateway.start()
            self.assertEqual(os.stat(f"/proc/{gateway.process.pid}/environ").st_uid, owner)

    def test_only_root_becomes_another_user(self):
        gateway = self.start_as_user()
        os.rmdir(gateway.data_dir)
        gateway.data_dir = os.path.join(gateway.folder, "writable", "data")
        os.mkdir(os.path.dirname(gateway.data_dir))
        shutil.chown(os.path.dirname(gateway.data_dir), USER)
        gateway.start()  # who is that user already has nothing to become
        gateway.terminate()
        gateway.sets["user"] = "daemon"
        self.refused(gateway, "user_not_taken", "daemon")

    def test_root_is_no_user_to_become(self):
        gateway = self.gateway()
        gateway.sets["user"] = "root"
        self.refused(gateway, "rights of root")


if __name__ == "__main__":
    unittest.main()
