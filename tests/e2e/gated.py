"""An upstream that holds calls until the test lets them go: concurrency without guessing how long anything takes."""

import threading

from wire import ScriptedUpstream

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n"


class GatedUpstream(ScriptedUpstream):
    """Answers a request whose target contains `quick` at once. Every other one is held: before its head, or with
    `halfway` in its target after half of its body; open() lets one go (or all), drop() closes the held connections."""

    def __init__(self):
        self.held = 0
        self.held_max = 0
        self.served = 0
        self.gate = threading.Semaphore(0)
        self.dropping = threading.Event()
        super().__init__(self.play)

    def play(self, peer, _number):
        while (request := peer.request()) is not None:
            if "quick" not in request[0]:
                halfway = "halfway" in request[0]
                if halfway:
                    peer.send(HEAD + b"half")
                if not self.hold():
                    return
                peer.send(b"rest" if halfway else HEAD + b"answered")
            else:
                peer.send(HEAD + b"answered")
            with self.lock:
                self.served += 1

    def hold(self):
        with self.lock:
            self.held += 1
            self.held_max = max(self.held_max, self.held)
        try:
            self.gate.acquire(timeout=60)
            return not self.dropping.is_set()
        finally:
            with self.lock:
                self.held -= 1

    def open(self, count=1000):
        self.gate.release(count)

    def drop(self):
        self.dropping.set()
        self.open()

    def close(self):
        self.open()
        super().close()
