"""The access log when its reader stands still: lines are kept up to the queue's size, the rest is dropped and counted,
and no call waits for it."""

import fcntl
import json
import os
import shutil
import tempfile
import unittest

import wire
from harness import FAST, GatewayTest, eventually
from wire import Connection

QUEUE_BYTES = 4096


class StuckReader(GatewayTest):
    """The log is a pipe, which is full when nobody reads from it."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="tollgate-e2e-log-")
        cls.addClassCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "pipe")
        os.mkfifo(path)
        cls.reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # first, or opening it to write would wait
        cls.pipe_bytes = fcntl.fcntl(cls.reader, fcntl.F_SETPIPE_SZ, 4096)
        cls.sets = {"workers": 1, "log.access_log": path, "log.access_log_queue_bytes": QUEUE_BYTES}
        super().setUpClass()
        cls.addClassCleanup(os.close, cls.reader)  # before the gateway's end, which writes what is queued

    def setUp(self):
        self.text = b""

    def lines(self):
        """All whole lines that have come out of the pipe by now."""
        try:
            while block := os.read(self.reader, 65536):
                self.text += block
        except BlockingIOError:
            pass
        whole, _, _ = self.text.rpartition(b"\n")
        return [json.loads(line) for line in whole.split(b"\n") if line]

    def dropped(self):
        return int(self.admin.metric("access_log_dropped_total"))

    def test_lines_beyond_the_queue_are_dropped_and_counted_and_no_call_waits(self):
        service, account = self.one(FAST, paid=True)
        ids = []
        with Connection(self.port) as connection:
            for _ in range(200):
                connection.send(wire.request("GET", service.path, self.port, account.key))
                response = connection.response()
                self.assertEqual(response.status, 200)
                ids.append(response.header("x-request-id"))
        account.wait_usage(service, calls_succeeded=200)
        requests = int(self.admin.metric("requests_total"))
        self.assertGreaterEqual(requests, 200)

        # Each request is one line, written or counted as dropped; the last may still be on its way to either.
        eventually(lambda: len(self.lines()) + self.dropped() == requests,
                   lambda: f"{requests} lines: {len(self.lines())} written, {self.dropped()} dropped")
        self.assertGreater(self.dropped(), 100, "the queue holds far less")
        self.assertLessEqual(len(self.text), self.pipe_bytes + QUEUE_BYTES)
        self.assertGreater(len(self.text), QUEUE_BYTES // 2, "and it is used")
        written = [line["request_id"] for line in self.lines() if line["request_id"] in ids]
        self.assertEqual(written, [each for each in ids if each in written], "what is kept is in order, each once")

        # With a reader that reads nothing more is lost.
        before = self.dropped()
        last = account.call(service).header("x-request-id")
        eventually(lambda: any(line["request_id"] == last for line in self.lines()), "the next call's line")
        self.assertEqual(self.dropped(), before)


if __name__ == "__main__":
    unittest.main()
