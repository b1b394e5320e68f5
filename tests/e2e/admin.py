"""The admin API, one method per call of the contract. It never raises on a status: tests look at the answer."""

import datetime
import http.client
import itertools
import json
import os
from urllib.parse import quote

_fresh = itertools.count(1)


def fresh(prefix):
    """An id that no other test of this run uses."""
    return f"{prefix}-{os.getpid()}-{next(_fresh)}"


def instant(seconds_from_now=0.0):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds_from_now)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Answer:
    def __init__(self, status, headers, text):
        self.status = status
        self.headers = headers
        self.text = text

    @property
    def json(self):
        return json.loads(self.text)

    def __getitem__(self, field):
        return self.json[field]

    def __repr__(self):
        return f"<{self.status} {self.text[:600]}>"


class Admin:
    def __init__(self, port, token):
        self.port = port
        self.token = token

    def request(self, method, path, body=None, headers=None, token=..., raw=None):
        """`body` is sent as JSON, `raw` as it is. `token` None sends no Authorization at all."""
        sent = {} if headers is None else dict(headers)
        token = self.token if token is ... else token
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None:
            raw = json.dumps(body).encode()
        if raw is not None:
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body=raw, headers=sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read().decode("utf-8"))
        finally:
            connection.close()

    def get(self, path, **query):
        return self.request("GET", path + _query(query))

    def post_money(self, path, body, idempotency_key=...):
        """A POST that moves money; a fresh Idempotency-Key unless the test gives one (None sends none)."""
        key = fresh("idem") if idempotency_key is ... else idempotency_key
        return self.request("POST", path, body, {} if key is None else {"Idempotency-Key": key})

    # -- catalogue, services
    def catalog(self):
        return self.get("/v1/catalog")

    def put_service(self, service, model, upstreams, path_prefix, host=None, **more):
        route = {"path_prefix": path_prefix, **({"host": host} if host else {})}
        return self.request("PUT", f"/v1/services/{service}",
                            {"model": model, "upstreams": upstreams, "route": route, **more})

    def service(self, service):
        return self.get(f"/v1/services/{service}")

    def services(self, **query):
        return self.get("/v1/services", **query)

    def delete_service(self, service):
        return self.request("DELETE", f"/v1/services/{service}")

    # -- accounts and keys
    def put_account(self, account, name="an account"):
        return self.request("PUT", f"/v1/accounts/{account}", {"name": name})

    def account(self, account):
        return self.get(f"/v1/accounts/{account}")

    def accounts(self, **query):
        return self.get("/v1/accounts", **query)

    def create_key(self, account, **body):
        return self.request("POST", f"/v1/accounts/{account}/keys", body)

    def keys(self, account, **query):
        return self.get(f"/v1/accounts/{account}/keys", **query)

    def delete_key(self, account, key_id):
        return self.request("DELETE", f"/v1/accounts/{account}/keys/{key_id}")

    # -- money
    def deposit(self, account, amount, kind="cash", idempotency_key=..., **more):
        return self.post_money(f"/v1/accounts/{account}/deposits", {"amount": amount, "kind": kind, **more},
                               idempotency_key)

    def transfers(self, account, **query):
        return self.get(f"/v1/accounts/{account}/transfers", **query)

    # -- subscriptions
    def put_subscription(self, account, service, paid, **more):
        return self.request("PUT", f"/v1/accounts/{account}/subscriptions/{service}", {"paid": paid, **more})

    def subscription(self, account, service):
        return self.get(f"/v1/accounts/{account}/subscriptions/{service}")

    def subscriptions(self, account, **query):
        return self.get(f"/v1/accounts/{account}/subscriptions", **query)

    def buy_qps_pack(self, account, service, qps, kind, starts_at, ends_at, idempotency_key=...):
        return self.post_money(f"/v1/accounts/{account}/subscriptions/{service}/qps-packs",
                               {"qps": qps, "kind": kind, "starts_at": starts_at, "ends_at": ends_at},
                               idempotency_key)

    # -- usage
    def usage(self, account, service=None, start=None, end=None, **query):
        if service is not None:
            query["service"] = service
        query["from"] = start or instant(-7200)
        query["to"] = end or instant(7200)
        return self.get(f"/v1/accounts/{account}/usage", **query)

    def totals(self, account, service):
        """Usage of about now, summed over hours: what counts does not depend on an hour turning mid-test."""
        answer = self.usage(account, service)
        assert answer.status == 200, answer
        fields = ("calls_succeeded", "calls_failed", "calls_unmetered", "free_points", "billable_points")
        return {field: sum(item[field] for item in answer["items"] if item["service"] == service)
                for field in fields}

    def open_epoch(self, gateway):
        return self.request("POST", f"/v1/gateways/{gateway}/epochs")

    def report_usage(self, gateway, epoch, totals):
        return self.request("POST", "/v1/usage", {"gateway": gateway, "epoch": epoch, "totals": totals})

    # -- the rest
    def audit(self):
        return self.get("/v1/audit")

    def clock(self):
        return self.get("/v1/clock")

    def set_clock(self, now):
        return self.request("POST", "/v1/clock", {"now": now})

    def healthz(self):
        return self.request("GET", "/healthz", token=None)

    def readyz(self):
        return self.request("GET", "/readyz", token=None)

    def metrics(self):
        return self.request("GET", "/metrics", token=None)

    def samples(self):
        """{'name{label="value",...}': number} with the labels sorted."""
        found = {}
        for line in self.metrics().text.splitlines():
            if line and not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                name, brace, labels = series.partition("{")
                if brace:
                    series = name + "{" + ",".join(sorted(labels.rstrip("}").split(","))) + "}"
                found[series] = float(value)
        return found

    def metric(self, name, **labels):
        """The sum of all series of `name` (without its prefix) that carry the labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(value for series, value in self.samples().items()
                   if series.partition("{")[0] == "tollgate_" + name
                   and all(label in series.partition("{")[2].rstrip("}").split(",") for label in wanted))


def _query(query):
    given = {name: value for name, value in query.items() if value is not None}
    return "?" + "&".join(f"{name}={quote(str(value), safe='')}" for name, value in given.items()) if given else ""
