"""The unit that is shipped: every hardening line is there, its command line is one that tollgate takes, and systemd's
own tools, where they are installed, find nothing wrong with it."""

import os
import shlex
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import REPOSITORY, program

UNIT = REPOSITORY / "conf" / "tollgate.service"
EXPOSURE_MAX = 20  # tenths, of systemd-analyze: 100 is a service without any hardening

HARDENING = {
    "NoNewPrivileges": ["yes"], "ProtectSystem": ["strict"], "ProtectHome": ["yes"], "PrivateTmp": ["yes"],
    "PrivateDevices": ["yes"], "ProtectClock": ["yes"], "ProtectControlGroups": ["yes"], "ProtectHostname": ["yes"],
    "ProtectKernelLogs": ["yes"], "ProtectKernelModules": ["yes"], "ProtectKernelTunables": ["yes"],
    "ProtectProc": ["invisible"], "RestrictNamespaces": ["yes"], "RestrictRealtime": ["yes"],
    "RestrictSUIDSGID": ["yes"], "LockPersonality": ["yes"], "MemoryDenyWriteExecute": ["yes"],
    "SystemCallArchitectures": ["native"], "SystemCallFilter": ["@system-service", "~@privileged @resources"],
    "RestrictAddressFamilies": ["AF_INET AF_INET6 AF_UNIX"], "UMask": ["0077"], "LimitCORE": ["0"],
    "CapabilityBoundingSet": ["CAP_NET_BIND_SERVICE"], "AmbientCapabilities": ["CAP_NET_BIND_SERVICE"],
    "User": ["tollgate"], "StateDirectory": ["tollgate"], "StateDirectoryMode": ["0700"],
    "LoadCredential": ["admin-token:/etc/tollgate/admin-token"],
}


def section(name):
    found, inside = {}, False
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            inside = line == f"[{name}]"
        elif inside and line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


class SystemdUnit(unittest.TestCase):
    def test_every_hardening_line_is_there(self):
        service = section("Service")
        for key, values in HARDENING.items():
            self.assertEqual(service.get(key), values, key)
        self.assertGreaterEqual(int(service["LimitNOFILE"][0]), 65536)

    def test_the_command_line_is_one_that_tollgate_takes(self):
        command = shlex.split(section("Service")["ExecStart"][0])
        self.assertEqual(command[:2], ["/usr/bin/tollgate", "serve"])
        with tempfile.TemporaryDirectory() as folder:
            config = os.path.join(folder, "tollgate.yaml")
            shutil.copy(REPOSITORY / "conf" / "tollgate.yaml", config)
            credentials = os.path.join(folder, "credentials")
            given = [word.replace("/etc/tollgate/tollgate.yaml", config)
                     .replace("/var/lib/tollgate", os.path.join(folder, "data")).replace("%d", credentials)
                     for word in command[1:]]
            # It reads its flags and then finds no credential: exit 1 is a start that failed, 2 a wrong command line.
            ended = subprocess.run([program("TOLLGATE_BIN", "tollgate"), *given, "--listen", "127.0.0.1:0",
                                    "--admin-listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=60,
                                   env={}, cwd=folder)
        self.assertEqual(ended.returncode, 1, ended.stderr)
        self.assertIn("cannot read the admin token", ended.stderr)

    def test_the_drain_ends_before_systemd_ends_it(self):
        drain = [line for line in (REPOSITORY / "conf" / "tollgate.yaml").read_text().splitlines() if "drain_ms:" in line]
        self.assertGreater(int(section("Service")["TimeoutStopSec"][0]) * 1000, int(drain[0].split(":")[1]))

    def analyze(self, *arguments):
        tool = shutil.which("systemd-analyze")
        if tool is None:
            self.skipTest("no systemd-analyze here")
        with tempfile.TemporaryDirectory() as folder:
            # The program and the user need not be installed where the tests run.
            text = UNIT.read_text().replace("/usr/bin/tollgate", program("TOLLGATE_BIN", "tollgate"))
            unit = Path(folder, "tollgate.service")
            unit.write_text(text)
            return subprocess.run([tool, *arguments, str(unit)], capture_output=True, text=True, timeout=60)

    def test_systemd_reads_it_without_a_complaint(self):
        ended = self.analyze("verify", "--man=no", "--recursive-errors=no")
        about = [line for line in ended.stderr.splitlines() if "tollgate.service" in line]
        self.assertEqual(about, [])

    def test_its_exposure_is_small(self):
        ended = self.analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager")
        self.assertEqual(ended.returncode, 0, ended.stdout[-3000:] + ended.stderr)


if __name__ == "__main__":
    unittest.main()
