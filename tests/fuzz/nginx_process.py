"""nginx as a reader of HTTP: an unprivileged process with a folder of its own that logs each request it read, the body
and the fields that it is asked about included, and what it answered. It judges nothing."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from harness import ReservedPort, eventually

# The first server reads the whole body before it asks the second one, so its log says what it read. Nothing waits:
# whoever half-closes after its bytes gets all answers and then the close, and every log line is written before it.
CONFIGURATION = """
daemon off;
master_process off;
pid @DIR@/nginx.pid;
error_log @DIR@/error.log info;
events { worker_connections 1024; }
http {
  log_format read escape=json '{"status":"$status","method":"$request_method","target":"$request_uri","body":"$request_body",'
                              '"fields":{@FIELDS@}}';
  # As most upstreams, it takes X_A for a name; its own default drops it.
  underscores_in_headers on;
  client_body_temp_path @DIR@/body;
  proxy_temp_path @DIR@/proxy;
  fastcgi_temp_path @DIR@/fastcgi;
  uwsgi_temp_path @DIR@/uwsgi;
  scgi_temp_path @DIR@/scgi;
  client_header_buffer_size 16k;
  large_client_header_buffers 8 64k;
  client_max_body_size 64m;
  client_body_buffer_size 1m;
  client_body_in_single_buffer on;
  keepalive_requests 1000000;
  lingering_close off;
  upstream answers { server unix:@DIR@/answers.sock; keepalive 8; keepalive_requests 1000000; }
  server {
    listen 127.0.0.1:@PORT@ reuseport;
    access_log @DIR@/read.log read;
    location / {
      proxy_pass http://answers;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_pass_request_headers off;
      proxy_ignore_client_abort on;
    }
  }
  server {
    listen unix:@DIR@/answers.sock;
    access_log off;
    return 200;
  }
}
"""
LAST = b"GET /the-last-one HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def nginx_program():
    """Where nginx is, or None; Debian has it in a folder that is not in everybody's PATH."""
    return shutil.which("nginx", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")


def variable(name):
    """What nginx calls the value of a field of this name, as CGI does: two names may share one."""
    return "http_" + name.lower().replace("-", "_")


class Read:
    """One request as nginx read it."""

    def __init__(self, line):
        logged = json.loads(line.decode("latin-1"), strict=False)
        self.status = int(logged["status"])
        self.method = logged["method"].encode("latin-1")
        self.target = logged["target"].encode("latin-1")
        self.body = logged["body"].encode("latin-1")
        self.fields = {name: value for name, value in logged["fields"].items() if value}  # first of each name, or all joined

    def __repr__(self):
        return f"{self.status} {self.method!r} {self.target!r}, {self.fields}, body of {len(self.body)}"


class Nginx:
    def __init__(self, names):
        """`names`: of the fields that its log tells; letters, digits and dashes."""
        self.folder = tempfile.mkdtemp(prefix="tollgate-nginx-")
        self.reserved = ReservedPort()
        text = CONFIGURATION.replace("@DIR@", self.folder).replace("@PORT@", str(self.reserved.port))
        self.variables = sorted({variable(name) for name in names})
        text = text.replace("@FIELDS@", ",".join(f'"{each}":"${each}"' for each in self.variables))
        Path(self.folder, "nginx.conf").write_text(text)
        errors = Path(self.folder, "start.log")
        with open(errors, "wb") as output:
            self.process = subprocess.Popen([nginx_program(), "-p", self.folder, "-c", f"{self.folder}/nginx.conf", "-e", f"{self.folder}/error.log"],
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output)

        def listening():
            assert self.process.poll() is None, errors.read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.reserved.port)) == 0
        eventually(listening, "nginx listens", 30)
        self.log = open(f"{self.folder}/read.log", "rb")

    def read(self, data):
        """The requests that nginx finds in these bytes, which are all that a connection brings."""
        self.log.readlines()
        with socket.create_connection(("127.0.0.1", self.reserved.port), 30) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            except OSError as error:
                if isinstance(error, TimeoutError):
                    raise AssertionError(f"nginx neither answers nor closes after {data[-300:]!r}") from error
                # Else it refused, and closed with bytes unread.
        return [Read(line) for line in self.log.readlines()]

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()
        self.reserved.close()
        shutil.rmtree(self.folder, ignore_errors=True)
