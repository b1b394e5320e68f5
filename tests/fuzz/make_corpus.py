#!/usr/bin/env python3
"""Writes the seed corpora: one small file for each feature of each grammar, good and bad. `make_corpus.py` rewrites
tests/fuzz/corpus/; what the fuzzer found besides is kept in regressions/, not here."""
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"

REQUEST_LINES = [
    "GET / HTTP/1.1", "POST /v1/chat HTTP/1.1", "HEAD /a/b?c=d&e HTTP/1.1", "PUT /a%20b HTTP/1.1", "DELETE /x? HTTP/1.1",
    "OPTIONS * HTTP/1.1", "GET http://h:80/a HTTP/1.1", "GET https://h HTTP/1.1", "GET http://h?q HTTP/1.1",
    "GET /a?access_token=tg_1&b=2&access_token=tg_1 HTTP/1.1", "GET /?access_token=k HTTP/1.1", "GET / HTTP/1.0",
    "GET / HTTP/2.0", "GET / HTTP/1.2", "GET  / HTTP/1.1", "GET /a b HTTP/1.1", "get / HTTP/1.1", "CONNECT h:1 HTTP/1.1",
    "TRACE / HTTP/1.1", "PATCH /a/../b HTTP/1.1", "GET /%2e%2e/ HTTP/1.1", "GET //a HTTP/1.1", "GET /a;b HTTP/1.1",
    "GET /\\a HTTP/1.1", "GET /#a HTTP/1.1", "GET /%61 HTTP/1.1", "GET /%zz HTTP/1.1", "GET /%00 HTTP/1.1", "GET /\xe4 HTTP/1.1",
    "GET", "GET /", "BREW / HTTP/1.1", "GET / HTTP/1.1 ", "GET /a?b%0d%0ac HTTP/1.1"]
REQUEST_FIELDS = [
    "Content-Length: 4", "Content-Length: +4", "Content-Length: 4, 4", "Content-Length: 4\r\nContent-Length: 4",
    "Content-Length: 99999999999999999999", "Content-Length: 0", "Content-Length:", "Transfer-Encoding: chunked",
    "Transfer-Encoding: Chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 4", "Transfer-Encoding : chunked", "Transfer_Encoding: chunked",
    "X: a\r\n b", " X: a", "X : a", ": a", "X", "X: a\x00b", "X: a\rb", "X: a\nb", "X: \x7f", "X: \xff", "X:", "X:\t a \t",
    "Host: other", "Connection: close", "Connection: keep-alive, x\r\nX: 1", "Connection: host, content-length\r\nContent-Length: 4",
    "Connection: x-account, authorization", "Connection: a b", "Connection: ,,", "Expect: 100-continue", "Expect: 200-ok",
    "Authorization: Bearer tg_1", "Authorization: bearer  tg_1", "Authorization: Basic eDp5", "Authorization: Bearer",
    "X-Api-Key: tg_1", "X-Account: me", "X_Account: me", "X-Service: s", "X-Request-Id: r", "X-Real-IP: 1.2.3.4",
    "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8", "X-Forwarded-Proto: https", "X-Forwarded-Host: h",
    "X-Forwarded-Port: 1", "X_Forwarded_For: 1", "Forwarded: for=1", "Via: 1.0 a, 1.1 b", "TE: trailers", "Trailer: X",
    "Upgrade: websocket\r\nConnection: upgrade", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive",
    "Proxy-Authorization: Basic eDp5", "RateLimit: 1", "X-Call-Outcome: failed", "Cookie: a=b; c=d", "Accept: */*"]
BODY = {"Content-Length: 4": "abcd", "Transfer-Encoding: chunked": "4\r\nabcd\r\n0\r\n\r\n"}
RESPONSES = [
    "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "HTTP/1.0 200 OK\r\n\r\nto the end",
    "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 \r\n\r\n", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n",
    "HTTP/1.1 101 Switching\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\nX: y\r\n\r\n",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 200 OK\nX: y\n\n",
    "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "HTTP/1.1 099 Low\r\n\r\n", "HTTP/1.1 600 High\r\n\r\n", "HTTP/2 200 OK\r\n\r\n",
    "HTTP/1.1  200 OK\r\n\r\n", "HTTP/1.1 200 O\x00K\r\n\r\n", "HTTP/1.1 200 \xe4\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nConnection: close, x\r\nX: 1\r\nX-Request-Id: u\r\nX-Call-Outcome: failed\r\nServer: s\r\n\r\n",
    "HTTP/1.1 200 OK\r\nRateLimit: \"a\";r=1\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nVia: 1.1 x\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 500 Error\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\nTrailer: X\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"]
# Date and Via: theirs and ours, and Connection that names them. Behind the others, so that those keep their numbers.
DATED_REQUESTS = ["Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nVia: 1.1 a\r\nVia: 1.0 b", "Connection: date, via\r\nDate: x\r\nVia: 1.1 x"]
DATED_RESPONSES = [
    "HTTP/1.1 200 OK\r\nDate: x\r\nDate: y\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 103 Early\r\nDate: x\r\n\r\n",
    "HTTP/1.1 200 OK\r\nConnection: date, via\r\nDate: x\r\nVia: 1.1 x\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nConnection: x\r\nClose: y\r\nContent-Length: 0\r\n\r\n"]
CHUNKS = [
    "0\r\n\r\n", "4\r\nabcd\r\n0\r\n\r\n", "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "00a\r\n0123456789\r\n000\r\n\r\n", "A\r\n0123456789\r\n0\r\n\r\n",
    "4;a\r\nabcd\r\n0\r\n\r\n", "4;a=b;c=\"d\\\"e\";f\r\nabcd\r\n0;x\r\n\r\n", "4 ;a\r\nabcd\r\n0\r\n\r\n", "4; a\r\nabcd\r\n0\r\n\r\n",
    "4\nabcd\r\n0\r\n\r\n", "4\r\nabcd0\r\n\r\n", "4\r\nabc\r\n0\r\n\r\n", "0x4\r\nabcd\r\n0\r\n\r\n", "-1\r\n", "\r\n", "",
    "fffffffffffffff\r\nabc", "ffffffffffffffff\r\nabc", "0\r\nX: y\r\nZ: w\r\n\r\n", "0\r\n X: y\r\n\r\n", "0\r\nX: a\nb\r\n\r\n",
    "0\r\n\r\nGET / HTTP/1.1\r\n\r\n", "4;\r\nabcd\r\n", "4;a=\"b\r\nabcd", "4\rabcd", "4\r\nabcd\r0\r\n\r\n"]
CONFIGS = [
    "", "listen: 0.0.0.0:80\n", "workers: 4\nlimits:\n  head_bytes_max: 4096\n", "limits: {head_fields_max: 7}\n", "# a comment\n",
    "billing:\n  plans: [a.yaml, \"b: c.yaml\"]\n  clock: manual\n", "listen: \"[::1]:0\"\ngateway: gw-2\ntrust_forwarded: true\n",
    "workers: -1\n", "workers: 1e3\n", "workers: \"4\"\n", "nobody: 1\n", "limits: 7\n", "limits:\n  head_bytes_max:\n", "a: [b\n",
    "workers: 4\nworkers: 5\n", "limits.head_fields_max: 5\n", "---\na: 1\n---\nb: 2\n", "&a listen: *a\n", "? [a]\n: b\n", "\t\n",
    "x: &x [*x]\n", "!!binary aGk=: 1\n", "log:\n  level: loud\n", "log:\n  access_log: '-'\n  format: text\n", "data_dir: ''\n",
    "billing:\n  webhook_url: https://h/p?q\n", "billing:\n  webhook_url: http://a@b\n", "data_dir: \"a\\tb \\u00e4 \\\" : #\"\n",
    "timeouts:\n  idle_ms: 9223372036854775808\n", "[[[[[[[[[[", "{a: {b: {c: {d: e}}}}", "<<: {listen: a}\n", "%YAML 1.2\n---\n"]
SERVICE = ('{"model":"m","upstreams":["127.0.0.1:8081","[::1]:80","h_1.x:1"],"route":{"path_prefix":"/a/b/","host":"Ex.com"},'
           '"timeout_ms":5,"capacity":7,"paid_reserve_percent":0,"limit_by":"qps","failure_statuses":["5xx",404,"3xx"],'
           '"error_dialect":"baidu","rate_limit_headers":true,"retry_unsafe":false}')
JSONS = [
    "{}", "[]", "null", "true", "0", "-0", "-1", "1.5", "1e400", "-1e-400", "18446744073709551615", "9223372036854775808", '""', '"\\u0000"',
    '"\\ud83d\\ude00"', '"\\ud83d"', '"\x01"', '"\\u009f"', '{"a":1,"a":2}', '{"a":{"b":[1,{"c":null}]}}', "[" * 33, "[" * 32 + "]" * 32,
    '{"a":1}x', '{"a":1,}', "{'a':1}", "// c\n{}", '"\xff"', SERVICE, SERVICE.replace("/a/b/", "/../a"), SERVICE.replace("8081", "0"),
    SERVICE.replace('"Ex.com"', "null"), SERVICE.replace('"m"', '""'), SERVICE.replace("404", "200"),
    '{"model":"m","upstreams":["a:1"],"route":{"path_prefix":"/"}}', '{"model":"m","upstreams":[],"route":{"path_prefix":"/"}}']
LINE = ('{"account":"a","service":"s","hour":"2021-10-11T00:00:00+08:00","calls_succeeded":2,"calls_failed":1,"calls_unmetered":0,'
        '"free_points":4,"billable_points":8}')


def report(*lines, epoch="1", gateway="g"):
    return '{"gateway":"%s","epoch":%s,"totals":[%s]}' % (gateway, epoch, ",".join(lines))


REPORTS = [
    report(), report(LINE), report(LINE, LINE.replace('"s"', '"t"')), report(LINE, LINE.replace('points":8', 'points":9')),
    report(LINE, epoch="2"), report(LINE, epoch="0"), report(LINE, gateway="h"), report(LINE, gateway="G"), report(LINE, epoch="-1"),
    report(LINE.replace("00:00:00", "00:30:00")), report(LINE.replace("2021", "2031")), report(LINE.replace(':8}', ':9007199254740992}')),
    report(LINE.replace(':8}', ':9007199254740993}')), report(LINE.replace('"free_points":4', '"free_points":1000000000000')),
    report(LINE.replace('"calls_unmetered":0', '"calls_unmetered":9007199254740992')), report(LINE.replace('"s"', '"u"')),
    report(LINE.replace('"a"', '"b"')), report(LINE.replace("8}", "-1}")), report("{}"), report("7"), '{"totals":{}}', '{"totals":null}',
    report(LINE.replace("2021-10-11", "0001-01-01")), report(LINE.replace("2021-10-11", "9999-12-31"))]


def edit(what, at, other=0, value=0):
    return bytes([what]) + at.to_bytes(2, "big") + other.to_bytes(2, "big") + bytes([value])


JOURNALS = [
    b"", b"R", b"R" + bytes(200), b"Rtgjournl", edit(0, 0, 0, 1), edit(0, 12, 0, 255), edit(1, 0, 0), edit(1, 0, 100), edit(1, 0, 4096),
    edit(1, 0, 4500), edit(1, 0, 60000), edit(3, 4096, 0, 64), edit(3, 4096, 0, 255), edit(0, 4096 + 8, 0, 1), edit(0, 4096 + 12, 0, 1),
    edit(0, 4096 + 16, 0, 128), edit(3, 4096 + 8, 0, 4), edit(2, 4096, 4096 + 64, 64), edit(2, 4096 + 64 * 20, 4096, 64), edit(3, 256, 0, 32),
    edit(0, 256, 0, 1), edit(0, 264, 0, 128), edit(0, 128, 0, 1), edit(3, 0, 0, 96), edit(3, 0, 0, 96) + edit(3, 4096 + 8, 0, 4),
    edit(0, 4096 + 64 * 7, 0, 255), edit(4, 40, 0, 65), edit(1, 0, 4096 + 64 * 3)]


def post(fields):
    return f"POST /p HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{BODY.get(fields, '')}"


def requests():
    for line in REQUEST_LINES:
        yield f"{line}\r\nHost: a.example:8080\r\nContent-Length: 2\r\n\r\nhi"
    for field in REQUEST_FIELDS:
        yield post(field)
    for host in ("", "[::1]:80", "a:b", "a,b", "a b", "a@b", "a:99999", "[::1", "127.0.0.1"):
        yield f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"
    yield "GET / HTTP/1.1\r\n\r\n"
    yield "GET / HTTP/1.0\r\n\r\n"
    yield "GET / HTTP/1.1\nHost: a\n\n"
    yield "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
    yield "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"
    yield "GET / HTTP/1.1\r\nHost: a\r\n" + "".join(f"F{i}: v\r\n" for i in range(101)) + "\r\n"
    for body in CHUNKS:
        yield f"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"


def with_choice(texts, choices="01"):
    return [choice + text for choice in choices for text in texts]


def main():
    targets = {
        "request_head": with_choice(list(requests())) + with_choice([post(fields) for fields in DATED_REQUESTS]),
        "response_head": with_choice(RESPONSES, "0123") + with_choice(DATED_RESPONSES, "0123"), "chunks": with_choice(CHUNKS, "0"),
        "config": CONFIGS + [(HERE.parent.parent / "conf" / "tollgate.yaml").read_text()], "admin_json": JSONS, "usage_report": REPORTS,
        "journal": JOURNALS}
    shutil.rmtree(CORPUS, ignore_errors=True)
    for target, inputs in targets.items():
        (CORPUS / target).mkdir(parents=True)
        for number, text in enumerate(inputs):
            (CORPUS / target / f"{number:03}").write_bytes(text if isinstance(text, bytes) else text.encode("latin-1", "replace"))


if __name__ == "__main__":
    main()
