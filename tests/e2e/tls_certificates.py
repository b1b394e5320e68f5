"""Certificates and keys for tests of TLS, made with openssl when a test asks for them: an authority of its own, what it
signs, and what a careful reader refuses (expired, of another authority, a key of another certificate). It opens no socket."""

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from pathlib import Path


class Pair:
    """A certificate and its key, as PEM files."""

    def __init__(self, certificate, key):
        self.certificate, self.key = str(certificate), str(key)

    def certificate_text(self):
        return Path(self.certificate).read_text()

    def copy_over(self, other):
        """Takes the place of another pair, as a certificate tool does it: by renaming."""
        for ours, theirs in ((self.key, other.key), (self.certificate, other.certificate)):
            fresh = theirs + ".new"
            shutil.copy(ours, fresh)
            os.chmod(fresh, 0o600)
            os.rename(fresh, theirs)


class Authority:
    """Signs in a folder of its own; close() removes it."""

    def __init__(self, name="tollgate tests"):
        self.folder = tempfile.mkdtemp(prefix="tollgate-e2e-tls-")
        self.made = 0
        self.own = self._files("authority")
        self._new_key(self.own.key, "ec")
        # OpenSSL's verifier wants these extensions of an authority.
        self._run("req", "-x509", "-new", "-key", self.own.key, "-out", self.own.certificate, "-days", "100", "-subj", f"/CN={name}",
                  "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.certificate = self.own.certificate

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def text(self):
        return Path(self.certificate).read_text()

    def path(self, name):
        return os.path.join(self.folder, name)

    def issue(self, *names, key="ec", days=90, usage="serverAuth"):
        """A certificate for DNS names and IP addresses; `key` ec or rsa; days -1: it has expired."""
        self.made += 1
        pair = self._files(f"{self.made}")
        self._new_key(pair.key, key)
        request, extensions = self.path("request.pem"), self.path("extensions")
        self._run("req", "-new", "-key", pair.key, "-out", request, "-subj", f"/CN={names[0] if names else 'nobody'}")
        said = ",".join(("IP:" if each.replace(".", "").isdigit() or ":" in each else "DNS:") + each for each in names)
        Path(extensions).write_text(f"basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage={usage}\n"
                                    + (f"subjectAltName={said}\n" if said else ""))
        self._run("x509", "-req", "-in", request, "-CA", self.own.certificate, "-CAkey", self.own.key, "-set_serial", f"0x{secrets.token_hex(15)}",
                  "-days", str(days), "-extfile", extensions, "-out", pair.certificate)
        return pair

    def issue_for_seconds(self, name, seconds):
        """A certificate that ends so soon; only `openssl ca` can be told a second."""
        pair, book, end = self.issue(name), self.path("book"), time.gmtime(time.time() + seconds)
        Path(book).touch()
        Path(self.path("book.cnf")).write_text(f"[ca]\ndefault_ca=one\n[one]\ndatabase={book}\nnew_certs_dir={self.folder}\nrand_serial=yes\nunique_subject=no\n"
                                               "default_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n")
        self._run("ca", "-batch", "-notext", "-config", self.path("book.cnf"), "-cert", self.own.certificate, "-keyfile", self.own.key,
                  "-in", self.path("request.pem"), "-extfile", self.path("extensions"), "-startdate", "20200101000000Z",
                  "-enddate", time.strftime("%Y%m%d%H%M%SZ", end), "-out", pair.certificate)
        return pair

    def _files(self, name):
        return Pair(self.path(f"{name}.pem"), self.path(f"{name}.key"))

    def _new_key(self, path, kind):
        options = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
        self._run("genpkey", *options, "-out", path)
        os.chmod(path, 0o600)

    @staticmethod
    def _run(*arguments):
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"openssl {' '.join(arguments)}: {done.stderr}"
