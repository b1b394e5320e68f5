"""The journal's file from outside, as far as damaging it takes: a page of header, then slots of 64 bytes whose word at 8 is
not 0 when they are in use. The format itself is docs/journal.md."""

import os
import random
import struct

PAGE = 4096
SLOT = 64


class JournalFile:
    def __init__(self, gateway, data_dir=None):
        self.path = os.path.join(data_dir or gateway.data_dir, "journal")

    def used(self):
        """The places in the file of the slots in use."""
        with open(self.path, "rb") as file:
            data = file.read()
        return [at for at in range(PAGE, len(data) - SLOT + 1, SLOT) if data[at + 8:at + 12] != b"\0\0\0\0"]

    def calls_open(self):
        """Calls that were forwarded and had not ended when the file was as it is."""
        with open(self.path, "rb") as file:
            data = file.read()
        calls = 0
        for at in self.used():
            forwarded, succeeded, failed = (struct.unpack_from("<I", data, at + of)[0] for of in (24, 40, 56))
            calls += forwarded - succeeded - failed - struct.unpack_from("<q", data, at + 48)[0]
        return calls

    def size(self):
        return os.path.getsize(self.path)

    def flip(self, at, bit):
        with open(self.path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ (1 << bit)]))

    def flip_in(self, source, begin, end):
        """A random bit of the bytes [begin, end); what was done, for the test's message."""
        at, bit = source.randrange(begin, end), source.randrange(8)
        self.flip(at, bit)
        return f"bit {bit} of byte {at}"

    def write(self, at, data):
        with open(self.path, "r+b") as file:
            file.seek(at)
            file.write(data)

    def replace(self, data):
        with open(self.path, "wb") as file:
            file.write(data)

    def truncate(self, size):
        os.truncate(self.path, size)

    def aside(self):
        """What was set aside beside it, by name."""
        folder = os.path.dirname(self.path)
        return sorted(name for name in os.listdir(folder) if name.startswith("journal.set-aside-"))


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)
