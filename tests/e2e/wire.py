"""Exact bytes over sockets: an HTTP/1.1 client that sends what a test wrote and reads strictly, and upstreams that
play a script. It is not a convenience client: nothing is added, corrected or followed."""

import socket
import struct
import threading
import zlib

TIMEOUT_S = 30.0
instead = {}  # {port: (another port, what a connected socket becomes)}: for whole tests through TLS


class Closed(AssertionError):
    """The peer closed (or reset) before the bytes that a test waits for."""


class Response:
    def __init__(self, status, reason, headers, version):
        self.status = status
        self.reason = reason
        self.version = version
        self.headers = headers  # [(lower-case name, value)], in order
        self.interim = []       # 1xx answers that came before
        self.body = b""
        self.truncated = False

    def all(self, name):
        return [value for field, value in self.headers if field == name.lower()]

    def header(self, name, default=None):
        values = self.all(name)
        return ", ".join(values) if values else default

    def json(self):
        import json
        return json.loads(self.body)

    def __repr__(self):
        cut = " TRUNCATED" if self.truncated else ""
        return f"<{self.status} {self.reason} {self.headers} {self.body[:300]!r}{cut}>"


class Connection:
    """One client connection. Every read has a deadline, so a silent gateway is a failure, never a hang."""

    def __init__(self, port, timeout=TIMEOUT_S, receive_buffer=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        port, become = instead.get(port, (port, lambda connected: connected))
        try:
            self.socket.connect(("127.0.0.1", port))
            self.socket = become(self.socket)
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Vanish: the peer sees a reset at once, not an orderly end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def send_all_or_closed(self, data):
        """For senders of refused bodies: the gateway may close while we are still sending."""
        try:
            self.send(data)
            return True
        except OSError:
            return False

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except socket.timeout as silence:
            raise AssertionError(f"no byte came in time; so far {self.buffer[-300:]!r}") from silence
        except ConnectionError as reset:
            raise Closed(f"reset after {self.buffer[-300:]!r}") from reset
        if not data:
            raise Closed(f"closed after {self.buffer[-300:]!r}")
        self.buffer += data

    def read_until(self, mark):
        while mark not in self.buffer:
            self._more()
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def read_exactly(self, count):
        while len(self.buffer) < count:
            self._more()
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    def read_some(self):
        if not self.buffer:
            self._more()
        found, self.buffer = self.buffer, b""
        return found

    def read_to_end(self):
        parts = []
        while True:
            try:
                parts.append(self.read_some())
            except Closed:
                return b"".join(parts)

    def head(self):
        """The next final response head; interim answers are kept aside."""
        interim = []
        while True:
            lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
            version, status, *reason = lines[0].split(" ", 2)
            assert version in ("HTTP/1.1", "HTTP/1.0"), lines[0]
            headers = []
            for line in lines[1:]:
                name, colon, value = line.partition(":")
                assert colon and name and name == name.strip() and "\n" not in line, f"bad field line {line!r}"
                headers.append((name.lower(), value.strip()))
            response = Response(int(status), reason[0] if reason else "", headers, version)
            if response.status >= 200 or response.status == 101:
                response.interim = interim
                return response
            interim.append(response)

    def chunk(self):
        """The next chunk's data; b'' is the end (and its trailers are read)."""
        size = int(self.read_until(b"\r\n").split(b";")[0], 16)
        if size == 0:
            while self.read_until(b"\r\n"):
                pass
            return b""
        data = self.read_exactly(size)
        assert self.read_exactly(2) == b"\r\n", "a chunk without its CRLF"
        return data

    def body(self, response, method="GET"):
        if method == "HEAD" or response.status in (204, 304) or response.status < 200:
            return response
        assert len(response.all("content-length")) <= 1, response.headers
        parts = []
        try:
            if response.header("transfer-encoding"):
                assert response.header("transfer-encoding").lower() == "chunked", response.headers
                assert response.header("content-length") is None, response.headers
                while data := self.chunk():
                    parts.append(data)
            elif response.header("content-length") is not None:
                left = int(response.header("content-length"))
                while left > 0:
                    data = self.read_some()
                    parts.append(data[:left])
                    self.buffer = data[left:]
                    left -= len(parts[-1])
            else:
                parts.append(self.read_to_end())
        except Closed:
            parts.append(self.buffer)
            self.buffer = b""
            response.truncated = True
        response.body = b"".join(parts)
        return response

    def response(self, method="GET"):
        return self.body(self.head(), method)

    def at_end(self, within=TIMEOUT_S):
        """True when the peer has closed and no byte came before that."""
        if self.buffer:
            return False
        self.socket.settimeout(within)
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True
        except socket.timeout:
            return False


def head(method, target, port, key=None, fields=(), version="HTTP/1.1"):
    """A request head as bytes: Host, the key as a bearer token, then the fields as given."""
    lines = [f"{method} {target} {version}", f"Host: 127.0.0.1:{port}"]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    lines += [f"{name}: {value}" for name, value in (fields.items() if isinstance(fields, dict) else fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunks(*parts):
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"


def request(method, target, port, key=None, body=None, fields=(), version="HTTP/1.1"):
    """A whole request: `body` goes with Content-Length, a list of parts goes chunked."""
    fields = list(fields.items() if isinstance(fields, dict) else fields)
    if isinstance(body, list):
        return head(method, target, port, key, fields + [("Transfer-Encoding", "chunked")], version) + chunks(*body)
    if body is not None:
        fields.append(("Content-Length", str(len(body))))
    return head(method, target, port, key, fields, version) + (body or b"")


def call(port, target, key=None, method="GET", body=None, fields=(), timeout=TIMEOUT_S):
    """One call on a connection of its own."""
    with Connection(port, timeout) as connection:
        connection.send_all_or_closed(request(method, target, port, key, body, fields))
        return connection.response(method)


class ScriptedUpstream:
    """An upstream in Python: `script(connection, number)` runs in a thread for each connection accepted.
    `connection` has request() for reading one whole request; what is written to it goes out as it is."""

    class Peer(Connection):
        def __init__(self, accepted):
            self.socket = accepted
            self.socket.settimeout(TIMEOUT_S)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.buffer = b""

        def request(self):
            """(first line, fields, body) of the next request, or None when the gateway closed."""
            try:
                lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
                fields = [(line.partition(":")[0].lower(), line.partition(":")[2].strip()) for line in lines[1:]]
                named = dict(fields)
                if "transfer-encoding" in named:
                    body = b"".join(iter(self.chunk, b""))
                else:
                    body = self.read_exactly(int(named.get("content-length", "0")))
                return lines[0], fields, body
            except (Closed, OSError):
                return None

    def __init__(self, script, port=0):
        self.script = script
        self.accepted = 0
        self.requests = []  # every request() that the scripts read through serve()
        self.errors = []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                accepted, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.accepted += 1
                number = self.accepted
            threading.Thread(target=self._run, args=(self.Peer(accepted), number), daemon=True).start()

    def _run(self, peer, number):
        try:
            self.script(peer, number)
        except (OSError, Closed):
            pass  # the gateway may close at any time: what tests check is what the client saw
        except Exception as error:
            self.errors.append(error)
        finally:
            peer.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def answering(*answers, forever=True):
    """A script: reads requests and answers each with the given bytes in turn, the last one repeated."""
    def script(peer, _number):
        turn = 0
        while peer.request() is not None:
            peer.send(answers[min(turn, len(answers) - 1)])
            turn += 1
            if not forever and turn == len(answers):
                return
    return script


def png(width=64, height=64, seed=1):
    """A real PNG of noise (RGB, 8 bit)."""
    import random
    source = random.Random(seed)
    rows = b"".join(b"\0" + source.randbytes(width * 3) for _ in range(height))

    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b""))
