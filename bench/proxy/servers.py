"""Starts what the proxy benchmark compares, each on one core with the same duties, and reads its CPU time.

It measures nothing itself: rounds, load and figures are in run.py.
"""
import glob
import http.client
import json
import os
import shutil
import socket
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PROXY_CORE, LOAD_CORE = 0, 1
ACCOUNTS = 32  # 64 connections in turn over so many keys: two calls in flight each, far from the guarantee of 10
SERVICE = "classify"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, process, what, seconds=10):
    for _ in range(seconds * 50):
        if process.poll() is not None:
            raise RuntimeError(f"{what} ended at once with status {process.returncode}; see its log")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"{what} does not listen on port {port}")


def call(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        text = json.dumps(body) if body is not None else None
        connection.request(method, path, text, {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        data = answer.read().decode()
    finally:
        connection.close()
    return answer.status, data


def seconds_between_events(port, path, key):
    """From the first piece of a streamed answer to its last."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", path, b"x", {"Authorization": key})
    answer = connection.getresponse()
    answer.read1()
    first = time.monotonic()
    answer.read()
    connection.close()
    return time.monotonic() - first


def read_all(pattern):
    """The texts of /proc files; a thread may end between being listed and being read."""
    out = []
    for path in glob.glob(pattern):
        try:
            with open(path) as file:
                out.append(file.read())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return out


class Server:
    """A running process with its port, its keys file and its CPU clock."""

    def __init__(self, name, directory, command, port, core, environment=None, seconds=10):
        self.name, self.port, self.directory = name, port, directory
        self.keys_file = None
        self.tls_port = None
        self.path = f"/{SERVICE}"
        log = open(os.path.join(directory, f"{name}.out"), "wb")
        self.process = subprocess.Popen(["taskset", "-c", str(core)] + command, stdout=log, stderr=log,
                                        stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})})
        log.close()
        try:
            wait_for_port(port, self.process, name, seconds)
        except RuntimeError:
            self.stop()
            raise

    def pids(self):
        out, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            out.append(pid)
            for text in read_all(f"/proc/{pid}/task/*/children"):
                todo += [int(child) for child in text.split()]
        return out

    def cpu_ns(self):
        """(of the threads there are, to the nanosecond; of all there ever were, to the clock tick)"""
        living = ever = 0
        for pid in self.pids():
            living += sum(int(text.split()[0]) for text in read_all(f"/proc/{pid}/task/*/schedstat"))
            for text in read_all(f"/proc/{pid}/stat"):
                user, system = text.rpartition(")")[2].split()[11:13]
                ever += (int(user) + int(system)) * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))
        return living, ever

    def cpu_ns_since(self, before):
        living, ever = (now - then for now, then in zip(self.cpu_ns(), before))
        # Threads that ended took their nanoseconds with them: a figure without them would flatter.
        if ever - living > 50_000_000 + living // 20:
            raise RuntimeError(f"{self.name}: threads ended during the measurement, {living} of {ever} ns are left")
        return living

    def metric(self, name):
        """Of a gateway: a metric without labels."""
        _, text = call(self.admin.port, "GET", "/metrics")
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))

    def descriptors(self):
        """Open ones: of the process, and of the workers, each of which has a table of its own."""
        folder = f"/proc/{self.process.pid}"
        workers = [task for task in os.listdir(f"{folder}/task")
                   if read_all(f"{folder}/task/{task}/comm")[0].startswith("worker-")]
        return sum(len(os.listdir(path)) for path in [f"{folder}/fd"] + [f"{folder}/task/{task}/fd" for task in workers])

    def rss(self):
        """Bytes of the first process that are resident."""
        with open(f"/proc/{self.process.pid}/statm") as pages:
            return int(pages.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Model(Server):
    def __init__(self, build, directory, core=LOAD_CORE):
        port = free_port()
        super().__init__("fake_model", directory,
                         [f"{build}/bench/fake_model/fake_model", "--listen", f"127.0.0.1:{port}", "--no-checksum"],
                         port, core)

    def stats(self):
        status, text = call(self.port, "GET", "/__stats")
        if status != 200:
            raise RuntimeError("the fake model does not tell its totals")
        return json.loads(text)


def write_keys(directory, name, keys):
    path = os.path.join(directory, f"{name}.keys")
    with open(path, "w") as file:
        file.writelines(f"Bearer {key}\n" for key in keys)
    return path


def fill(template, directory, **values):
    with open(os.path.join(HERE, template)) as file:
        text = file.read()
    for name, value in {"DIR": directory, **values}.items():
        text = text.replace(f"@{name}@", str(value))
    path = os.path.join(directory, template)
    with open(path, "w") as file:
        file.write(text)
    return path


def certificate(directory):
    """One for all who speak TLS, so that the key's kind (P-256) is the same: (certificate, key, both in one file)."""
    paths = [os.path.join(directory, name) for name in ("tls.pem", "tls.key", "tls.both")]
    if not os.path.exists(paths[2]):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
        os.chmod(paths[1], 0o600)
        with open(paths[2], "w") as both:
            for path in paths[:2]:
                with open(path) as part:
                    both.write(part.read())
    return paths


def made_up_keys(count):
    return [f"tg_{i:06d}abcdefghijklmnopqrstuvwxyz012345" for i in range(count)]


def start_relay(name, build, directory, model):
    port = free_port()
    server = Server(name, directory, [f"{build}/bench/bare_relay/bare_relay", f"127.0.0.1:{port}",
                                      f"127.0.0.1:{model.port}"], port, PROXY_CORE)
    server.keys_file = write_keys(directory, name, made_up_keys(ACCOUNTS))
    return server


def start_nginx(directory, model, accounts=ACCOUNTS):
    port, tls_port, keys = free_port(), free_port(), made_up_keys(accounts)
    certificate(directory)
    with open(os.path.join(directory, "nginx.map"), "w") as file:
        file.writelines(f'"Bearer {key}" account-{i};\n' for i, key in enumerate(keys))
    path = fill("nginx.conf", directory, PORT=port, TLS_PORT=tls_port, MODEL_PORT=model.port)
    server = Server("nginx", directory, ["nginx", "-p", directory, "-c", path, "-e", f"{directory}/nginx.log"], port, PROXY_CORE)
    server.keys_file, server.tls_port = write_keys(directory, "nginx", keys), tls_port
    return server


def start_haproxy(directory, model, accounts=ACCOUNTS):
    port, tls_port, keys = free_port(), free_port(), made_up_keys(accounts)
    certificate(directory)
    with open(os.path.join(directory, "haproxy.map"), "w") as file:
        # A map file's key ends at the first blank, so "Bearer" is taken off before the look-up.
        file.writelines(f"{key} account-{i}\n" for i, key in enumerate(keys))
    path = fill("haproxy.cfg", directory, PORT=port, TLS_PORT=tls_port, MODEL_PORT=model.port)
    server = Server("haproxy", directory, ["haproxy", "-db", "-f", path], port, PROXY_CORE)
    server.keys_file, server.tls_port = write_keys(directory, "haproxy", keys), tls_port
    return server


class Admin:
    """The few calls of tollgate's admin API that a benchmark needs; anything but 2xx ends the run."""

    def __init__(self, port, token):
        self.port, self.token = port, token

    def call(self, method, path, body=None, idempotency_key=None):
        headers = {"Authorization": f"Bearer {self.token}"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        status, text = call(self.port, method, path, body, headers)
        if status // 100 != 2:
            raise RuntimeError(f"{method} {path}: {status} {text}")
        return json.loads(text) if text else None

    def put_service(self, model, service=SERVICE):
        self.call("PUT", f"/v1/services/{service}", {
            "model": "image-classification/high-performance", "upstreams": [f"127.0.0.1:{model.port}"],
            "route": {"path_prefix": f"/{service}"}})

    def paid_key(self, account, service=SERVICE):
        self.call("PUT", f"/v1/accounts/{account}", {"name": account})
        self.call("POST", f"/v1/accounts/{account}/deposits", {"amount": "1000000.00", "kind": "cash"}, f"deposit-{account}")
        self.call("PUT", f"/v1/accounts/{account}/subscriptions/{service}", {"paid": True})
        return self.call("POST", f"/v1/accounts/{account}/keys", {"name": "bench"})["key"]


def make_store(build, data, accounts, model, service=SERVICE, services=1):
    """A data folder with so many paying accounts, each with a subscription to each service; gives their keys."""
    shutil.rmtree(data, ignore_errors=True)
    return subprocess.run([f"{build}/bench/accounts/store_of_accounts", data, str(accounts), service, f"127.0.0.1:{model.port}",
                           str(services)],
                          check=True, capture_output=True, text=True).stdout.split()


def serve(build, directory, data, name="tollgate", core=PROXY_CORE, settings=(), workers=1, seconds=10):
    """A gateway on that folder, with its admin API in `admin`; `settings` are configuration keys with values."""
    port, admin_port, token = free_port(), free_port(), os.urandom(16).hex()
    sets = [word for setting in (f"workers={workers}", *settings) for word in ("--set", setting)]
    server = Server(name, directory, [f"{build}/tollgate", "serve", "--data-dir", data, "--listen", f"127.0.0.1:{port}",
                                      "--admin-listen", f"127.0.0.1:{admin_port}"] + sets,
                    port, core, {"TOLLGATE_ADMIN_TOKEN": token}, seconds)
    server.admin = Admin(admin_port, token)
    try:
        wait_for_port(admin_port, server.process, f"{name}'s admin listener", seconds)
    except RuntimeError:
        server.stop()
        raise
    return server


def start_tollgate(build, directory, model, accounts=ACCOUNTS):
    chain, key, _ = certificate(directory)
    data, tls_port = f"{directory}/tollgate-data", free_port()
    keys = make_store(build, data, accounts, model)
    server = serve(build, directory, data, settings=(f"tls.listen=127.0.0.1:{tls_port}", f"tls.certificates={chain}",
                                                     f"tls.private_keys={key}"))
    server.keys_file, server.tls_port = write_keys(directory, "tollgate", keys), tls_port
    return server
