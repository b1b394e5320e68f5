"""Requests for the end-to-end fuzz: reads the bytes of a connection as RFC 9112 means them, and makes new ones from
seeds with a grammar-aware mutator. It decides nothing about what a gateway should refuse."""

import re

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
METHODS = ["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]


class Request:
    def __init__(self, raw, method, target, fields, body):
        self.raw, self.method, self.target, self.fields, self.body = raw, method, target, fields, body

    def forwarded_target(self):
        """What a gateway has to ask its upstream for: a path, and the query without the key."""
        target = re.sub(rb"^[A-Za-z]+://[^/?]*", b"", self.target) or b"/"
        path, question, query = target.partition(b"?")
        if not question or b"access_token=" not in query:
            return target
        kept = [each for each in query.split(b"&") if not each.startswith(b"access_token=")]
        return path + (b"?" + b"&".join(kept) if kept else b"")


class Malformed(Exception):
    pass


class Incomplete(Exception):
    pass


def line_at(data, begin):
    end = data.find(b"\r\n", begin)
    if end < 0:
        raise Incomplete
    return data[begin:end], end + 2


def read_chunks(data, at):
    body = b""
    while True:
        line, at = line_at(data, at)
        digits = line.partition(b";")[0]
        if not re.fullmatch(rb"[0-9A-Fa-f]+", digits):
            raise Malformed
        size = int(digits, 16)
        if size == 0:
            while True:
                line, at = line_at(data, at)
                if not line:
                    return body, at
        if len(data) < at + size + 2:
            raise Incomplete
        body += data[at:at + size]
        if data[at + size:at + size + 2] != b"\r\n":
            raise Malformed
        at += size + 2


def read_one(data, begin):
    """(request, where the next one begins); raises Malformed or Incomplete."""
    at = begin + 2 if data.startswith(b"\r\n", begin) else begin
    line, at = line_at(data, at)
    words = line.split(b" ")
    if len(words) != 3:
        raise Malformed
    fields = []
    while True:
        line, at = line_at(data, at)
        if not line:
            break
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name):
            raise Malformed
        fields.append((name.lower(), value.strip(b" \t")))
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1 or any(not re.fullmatch(rb"[0-9]+", value) for value in lengths):
        raise Malformed
    body = b""
    if codings:
        if codings[0].lower() != b"chunked":
            raise Malformed
        body, at = read_chunks(data, at)
    elif lengths:
        if len(data) < at + int(lengths[0]):
            raise Incomplete
        body, at = data[at:at + int(lengths[0])], at + int(lengths[0])
    return Request(data[begin:at], words[0], words[1], fields, body), at


def read_connection(data):
    """(requests, how it ends): the whole requests up to the first that is none; `whole`, `malformed` or `incomplete`."""
    requests, at = [], 0
    while at < len(data):
        try:
            request, at = read_one(data, at)
        except Malformed:
            return requests, "malformed"
        except Incomplete:
            return requests, "incomplete"
        requests.append(request)
    return requests, "whole"


class Mutator:
    """Each case is one to three requests of one connection, from a seed or from nothing, changed in some places: mostly
    whole elements of the grammar, now and then single bytes. Most cases stay acceptable: what is refused tells nothing."""

    TARGETS = ["/", "/a", "/a/b?c=d&e", "/x?", "/?", "/??", "/a?b?c", "/a%20b", "/a%25b", "/a%c3%a4", "/a%ff", "/a%80?%00", "/a?%0d%0aX:%20y",
               "/a?/../b", "/a?//b", "/a?#", "/a?%23", "/a:b", "/a@b", "/a,b", "/a=b", "/a+b", "/a!$'()*", "/~a/-_.", "/a/...", "/.a", "/a.",
               "/a?b;c", "/a?{b}|c^`\"<>", "/{a}", "/a|b", "/a\"b", "/a<b>", "/a`b^c", "/[::1]", "/a?%2f..%2f", "/a?\x80", "/a%2fb", "/%41", "/a/../b", "/a//b",
               "/a;b", "/a\\b", "*", "http://a/", "http://a/b?c", "HTTP://A/b", "https://a/b", "http://a:80/", "http://a?b", "http://b/",
               "/?access_token=KEY", "/a?access_token=KEY&b=2&access_token=KEY", "/a?b&access_token=KEY", "/a?xaccess_token=1", "/a?&&", "/a?=&="]
    NAMES = ["X", "x-a", "X_A", "X.A", "X!#$%&'*+.^_`|~", "0", "Accept", "Cookie", "Range", "Content-Type", "Content-Encoding", "Cache-Control",
             "If-Match", "If-Modified-Since", "User-Agent", "Referer", "Origin", "Date", "Upgrade", "HTTP2-Settings", "TE", "Trailer", "Keep-Alive",
             "Proxy-Connection", "Connection", "Expect", "X-Account", "X_Account", "X-Request-Id", "X-Forwarded-For", "X_Forwarded_For", "Forwarded", "Via",
             "X-Real-IP", "X-Call-Outcome", "Content_Length", "Transfer_Encoding", "Transfer-Encoding", "Content-Length", "Host", "Depth", "Destination",
             "Overwrite", "X-HTTP-Method-Override", "X-Original-URL", "Content-Range", "Sec-WebSocket-Key", "traceparent", "Content-Length2"]
    VALUES = ["", "1", "0", "a", " a ", "\ta\t", "a, b", ",", "a;b=\"c\"", "\"", "\\", "\xe4", "\xff\xfe", "a\tb", "close", "keep-alive", "close, keep-alive",
              "x", "host", "content-length", "transfer-encoding", "x-a, x", "upgrade", "websocket", "h2c", "100-continue", "chunked", "Chunked", "gzip",
              "identity", "trailers", "gzip, chunked", "bytes=0-", "bytes=0-0,1-", "\"tag\"", "*", "Thu, 01 Jan 1970 00:00:00 GMT", "4", "18446744073709551616",
              "1.2.3.4", "GET / HTTP/1.1", "a: b", "a%0d%0ab", "A" * 300, "a=b; c=d; c=e", "http://h/", "\x80", "\x1f", "\x7f", "a\rb", "a\nb", "a\x00b"]
    HOSTS = ["a", "A.example:8080", "127.0.0.1", "[::1]:80", "a:0", "a:65535", "a_b", "a-", ".", "a.", "-", "..", "a..b", "[::]", "1", "a:", "[:::1]",
             "[1]", "a,b", ""]
    BYTES = [b"\r", b"\n", b"\0", b" ", b"\t", b":", b";", b",", b"0", b"\xff", b"\x7f", b"%", b"?", b"/", b"#", b"\r\n", b"A"]
    ODD_FIELDS = ["X : a", " X: a", "X", ": a", "X: a\r\n b", "X\t: a", "X A: b", "X: a\nY: b", "X[]: a", "X\x80: a"]

    def __init__(self, random, seeds, key):
        self.random, self.key = random, key
        self.seeds = [seed.replace(b"tg_1", key.encode()) for seed in seeds]

    def case(self):
        return b"".join(self.request() for _ in range(self.random.choice((1, 1, 1, 2, 3))))

    def request(self):
        raw = self.from_seed() if self.random.random() < 0.4 else self.made()
        if self.random.random() < 0.08:
            raw = self.bytes_changed(raw)
        return raw

    def from_seed(self):
        """A seed with the key; now and then with another field or first line."""
        raw = self.random.choice(self.seeds)
        first, _, rest = raw.removeprefix(b"\r\n").partition(b"\r\n")
        lines = [f"X-Api-Key: {self.key}"]
        if self.random.random() < 0.3:
            lines.append(self.field())
        if self.random.random() < 0.2:
            first = f"{self.random.choice(METHODS)} {self.target()} HTTP/1.1".encode("latin-1")
        return first + b"\r\n" + "\r\n".join(lines).encode("latin-1") + b"\r\n" + rest

    def made(self):
        draw = self.random
        host = "a" if draw.random() < 0.8 else draw.choice(self.HOSTS)
        version = "HTTP/1.1" if draw.random() < 0.95 else draw.choice(("HTTP/1.0", "HTTP/1.2", "HTTP/1", "http/1.1", "HTTP/2.0"))
        lines = [f"{draw.choice(('Host', 'Host', 'host', 'HOST'))}: {host}", f"X-Api-Key: {self.key}"]
        lines += [self.field() for _ in range(draw.choice((0, 0, 1, 1, 2, 4)))]
        body = b""
        if draw.random() < 0.6:
            line, body = self.body()
            lines.append(line)
        draw.shuffle(lines)
        first = f"{draw.choice(METHODS)} {self.target()} {version}"
        end = b"\r\n" if draw.random() < 0.1 else b""  # an empty line before the next request
        return "\r\n".join([first, *lines]).encode("latin-1") + b"\r\n\r\n" + body + end

    def target(self):
        target = self.random.choice(self.TARGETS)
        if self.random.random() < 0.2:
            target += self.random.choice(("?", "&", "/", "%", "=")) + self.random.choice(("a", "", "%2e", "+", "access_token=KEY"))
        return target.replace("KEY", self.key)

    def field(self):
        draw = self.random
        if draw.random() < 0.03:
            return draw.choice(self.ODD_FIELDS)
        return f"{draw.choice(self.NAMES)}:{draw.choice((' ', ' ', '', '  ', chr(9)))}{draw.choice(self.VALUES)}"

    def body(self):
        """(the framing's field line, the bytes): data that looks like requests and chunks, so that a wrong end shows."""
        draw = self.random
        data = draw.choice((b"", b"a", b"hello", b"0\r\n\r\n", b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n", b"\r\n\r\n", b"\0\xff\"\\",
                            draw.randbytes(draw.randrange(200)), draw.randbytes(20_000)))
        if draw.random() < 0.45:
            length = len(data) if draw.random() < 0.9 else max(0, len(data) + draw.choice((-1, 1, 5)))
            return f"Content-Length: {'0' * draw.choice((0, 0, 0, 3))}{length}", data
        out = b""
        while data:
            size = draw.randrange(1, len(data) + 1)
            digits = draw.choice(("%x", "%X", "0%x", "00000%x")) % size
            out += digits.encode() + self.extension() + b"\r\n" + data[:size] + b"\r\n"
            data = data[size:]
        trailers = draw.choice((b"", b"", b"", b"X: y\r\n", b"Content-Length: 5\r\n", b"Host: b\r\nX-Account: c\r\n", b"X:\r\n"))
        out += draw.choice((b"0", b"000")) + self.extension() + b"\r\n" + trailers + b"\r\n"
        return f"Transfer-Encoding: {draw.choice(('chunked', 'chunked', 'Chunked'))}", out

    def extension(self):
        return self.random.choice((b"",) * 8 + (b";a", b";a=b", b";a=\"b;c\\\"\"", b";a=\"b\";c", b" ;a", b"; a", b";", b";a=\"", b" "))

    def bytes_changed(self, raw):
        at = self.random.randrange(len(raw))
        kind = self.random.randrange(4)
        if kind == 0:
            return raw[:at] + self.random.choice(self.BYTES) + raw[at:]
        if kind == 1:
            return raw[:at] + self.random.choice(self.BYTES) + raw[at + 1:]
        if kind == 2:
            return raw[:at] + raw[at + self.random.randrange(1, 4):]
        return raw[:at]
