"""testssl.sh, an independent reader of what a TLS port offers, finds nothing above LOW: protocols, ciphers, certificates, the
known vulnerabilities and the tolerance of what clients may say. What it says of the tests' private authority is set aside."""

import json
import os
import shutil
import subprocess
import unittest

from harness import at_once
from tls_case import TlsTest

# Debian's name for it, then its authors'.
PROGRAM = shutil.which("testssl") or shutil.which("testssl.sh")
LOW = ("OK", "INFO", "LOW", "DEBUG")
SETS_OF_CHECKS = (("-p", "-s", "-S", "-g"), ("-P", "-f", "-U"))  # at once: most of their time is waiting

SET_ASIDE = {
    "cert_revocation": "a private authority of these tests has neither CRL nor OCSP",
    "engine_problem": "says that the machine's openssl has no GOST, not anything about the port",
    "sessionresumption_ticket": "with OpenSSL 3 its client leaves before the session has come; test_tls_handshake.Sessions shows it",
}
# Without these the checks did not take place, whatever else was found.
MUST_HAVE_LOOKED_AT = ("TLS1", "TLS1_1", "TLS1_2", "TLS1_3", "SSLv3", "cipherlist_NULL", "cipherlist_3DES_IDEA", "cipher_order", "heartbleed", "CCS", "ticketbleed",
                       "ROBOT", "secure_client_renego", "CRIME_TLS", "POODLE_SSL", "SWEET32", "FREAK", "LOGJAM", "BEAST", "LUCKY13", "RC4", "cert_notAfter")


def above_low(findings):
    return [each for each in findings if each["severity"] not in LOW and each["id"].split(" ")[0] not in SET_ASIDE]


@unittest.skipUnless(PROGRAM, "testssl.sh is not here (package testssl.sh)")
class Testssl(TlsTest):
    def look_at(self, port, name, *checks):
        path = self.authority.path(f"testssl-{name}{''.join(checks)}.json")
        done = subprocess.run([PROGRAM, "--quiet", "--color", "0", "--warnings", "off", "-n", "none", "--ip", "127.0.0.1", "--add-ca", self.authority.certificate,
                               "--jsonfile", path, *checks, f"{name}:{port}"], capture_output=True, text=True, timeout=220, check=False, stdin=subprocess.DEVNULL,
                              env={**os.environ, "LANG": "C"})
        with open(path, encoding="utf-8") as findings:
            return json.load(findings), done.stdout

    def test_nothing_above_low(self):
        looked = at_once(len(SETS_OF_CHECKS), lambda index: self.look_at(self.tls_port, "first.test", *SETS_OF_CHECKS[index]))
        findings = [each for found, _ in looked for each in found]
        self.assertEqual(above_low(findings), [], "\n".join(shown for _, shown in looked))
        names = {each["id"].split(" ")[0] for each in findings}
        self.assertEqual([name for name in MUST_HAVE_LOOKED_AT if name not in names], [], "looked at")
        self.assertTrue(any(each["id"] == "TLS1_3" and "offered" in each["finding"] and "not" not in each["finding"] for each in findings), findings)

    def test_it_would_say_so_of_a_weak_port(self):
        weak = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", self.first.certificate, "-key", self.first.key, "-www",
                                 "-cipher", "ALL:eNULL:@SECLEVEL=0", "-tls1_2"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            line = next(line for line in weak.stdout if line.startswith("ACCEPT"))
            findings, shown = self.look_at(int(line.rpartition(":")[2]), "first.test", "-s")
        finally:
            weak.kill()
            weak.wait()
            weak.stdout.close()
        self.assertIn("cipherlist_NULL", {each["id"] for each in above_low(findings)}, shown)


if __name__ == "__main__":
    unittest.main()
