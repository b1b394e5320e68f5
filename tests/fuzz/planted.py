"""Differences as a careless gateway would make them, in the bytes of a connection to an upstream: the end-to-end fuzz must
find each, or it shows nothing. The bytes are made up here; no gateway takes part."""

FIRST = (b"POST /first?a=1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\nX: a\r\nX-Account: acct-1\r\nContent-Length: 50\r\n\r\n",
         b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n")
SECOND = (b"PUT /second HTTP/1.1\r\nHost: 127.0.0.1:1\r\nX-Account: acct-2\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n")
THIRD = (b"GET /third HTTP/1.1\r\nHost: 127.0.0.1:1\r\nX-Account: acct-3\r\n\r\n", b"")


def honest():
    """(calls, bytes) of a connection on which all is well, as the recording upstream gives them."""
    calls, data = [], b""
    for (head, sent), body in zip((FIRST, SECOND, THIRD), (FIRST[1], b"hello", b"")):
        data += head + sent
        lines = head.decode().split("\r\n")[:-2]
        fields = [(line.partition(":")[0].lower(), line.partition(":")[2].strip()) for line in lines[1:]]
        calls.append((lines[0], fields, body, len(data)))
    return calls, data


def replacing(old, new):
    assert old in honest()[1], old
    return lambda data: data.replace(old, new, 1)


PLANTED = {
    "CL.TE": replacing(b"Content-Length: 50\r\n", b"Content-Length: 50\r\nTransfer-Encoding: chunked\r\n"),
    "TE instead of CL": replacing(b"Content-Length: 50\r\n", b"Transfer-Encoding: chunked\r\n"),
    "CL instead of TE": replacing(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 15\r\n"),
    "CL 0": replacing(b"Content-Length: 50\r\n", b"Content-Length: 0\r\n"),
    "no CL": replacing(b"Content-Length: 50\r\n", b""),
    "a CL that takes from the next": replacing(b"Content-Length: 50\r\n", b"Content-Length: 51\r\n"),
    "a CL that leaves a byte": replacing(b"Content-Length: 50\r\n", b"Content-Length: 49\r\n"),
    "a bare LF that ends the head": replacing(b"X: a\r\n", b"X: a\n\n"),
    "a line more in a value": replacing(b"X: a\r\n", b"X: a\r\nX-Service: svc-2\r\n"),
    "another's account": replacing(b"acct-1", b"acct-2"),
    "an account twice": replacing(b"X-Account: acct-3\r\n", b"X_Account: acct-1\r\nX-Account: acct-3\r\n"),
    "a key that stayed": replacing(b"X: a\r\n", b"X: a\r\nAuthorization: Bearer tg_1\r\n"),
    "a chunk size of another base": replacing(b"5\r\nhello\r\n", b"05x\r\nhello\r\n"),
    "a target": replacing(b"/second", b"/secondary"),
    "a method": replacing(b"PUT /second", b"POST /second"),
    "a request more": lambda data: data + THIRD[0],
    "a request less": replacing(THIRD[0], b""),
}
