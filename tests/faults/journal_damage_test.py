"""A damaged journal: bits flipped, pages zeroed, the file cut off. The gateway starts, says what it found, counts what is
whole, nothing twice, and goes on."""

import random
import unittest

from battery import row
from damage import LATE, SOON, DamageTest
from journal_file import PAGE, SLOT, noise


class Damaged(DamageTest):
    @row("bit flip in a slot's identity", few=2, full=20)
    def test_identity(self, rounds):
        return self.flips_in_a_slot(rounds, 0, 16)

    @row("bit flip in a slot's counts", few=2, full=20)
    def test_counts(self, rounds):
        return self.flips_in_a_slot(rounds, 16, SLOT)

    def flips_in_a_slot(self, rounds, begin, end):
        world = self.world()
        source, lost = random.Random(world.load.seed), 0

        def damage():
            slot = source.choice(self.journal.used())
            return self.journal.flip_in(source, slot + begin, slot + end)
        for _ in range(rounds):
            comparison = self.damaged(world, damage, r"(?i)damaged", lost_subscriptions=1)
            lost += comparison.lost_points
            # Set aside, or mended: then nothing of it is lost.
            self.assertEqual(self.damaged_slots(world), 1 if comparison.faults else 0)
            # What was set aside stays there: a new journal, so that the next round has one damaged slot again.
            world.gateway.terminate()
            self.journal.replace(b"")
            world.gateway.start()
        return f"{lost} points of {rounds} damaged slots, 0 of others, 0 twice"

    @row("bit flip that makes an epoch 0", few=1, full=4)
    def test_epoch_to_zero(self, rounds):
        """0 is the mark of a free slot, and the first epoch is one bit away from it: the slot must not be taken for free."""
        calls = 0
        for _ in range(rounds):
            world = self.world()
            comparison = self.damaged(world, lambda: self.journal.flip(self.journal.used()[0] + 8, 0) or "epoch 1 to 0",
                                      r"(?i)damaged", whole=True)
            calls += comparison.calls
        return f"0 lost, 0 twice of {calls} calls"

    @row("bit flip in the header", few=4, full=40)
    def test_header(self, rounds):
        return self.header(rounds, 0, 92, r"(?i)header", LATE)

    @row("bit flip in the epochs' marks", few=3, full=30)
    def test_epoch_marks(self, rounds):
        return self.header(rounds, 256, 256 + 32, None, SOON)

    @row("bit flip anywhere in the first page", few=3, full=30)
    def test_first_page(self, rounds):
        return self.header(rounds, 0, PAGE, None, SOON)

    def header(self, rounds, begin, end, words, sets):
        world = self.world(sets)
        source, calls = random.Random(world.load.seed), 0
        for _ in range(rounds):
            comparison = self.damaged(world, lambda: self.journal.flip_in(source, begin, end), words, whole=True)
            calls += comparison.calls
            self.assertEqual(self.damaged_slots(world), 0)
        self.assertEqual(self.journal.aside(), [], "it is our own: nothing was set aside")
        return f"0 lost, 0 twice of {calls} calls"

    @row("the first page zeroed", few=2, full=10)
    def test_zeroed_header(self, rounds):
        world, calls = self.world(SOON), 0
        for _ in range(rounds):
            comparison = self.damaged(world, lambda: self.journal.write(0, b"\0" * PAGE) or "page 0 zeroed", r"(?i)header",
                                      whole=True)
            calls += comparison.calls
        return f"0 lost, 0 twice of {calls} calls"

    @row("a page of slots zeroed", few=1, full=5)
    def test_zeroed_page(self, rounds):
        lost = 0
        for _ in range(rounds):
            world = self.world({**LATE, "workers": 2, "journal.sync_interval_ms": 10}, kinds=("many",))
            comparison = self.damaged(
                world, lambda: self.journal.write(PAGE, b"\0" * PAGE) or "page 1 zeroed", r"(?i)zero|damaged",
                lost_subscriptions=PAGE // SLOT)
            self.assertGreaterEqual(self.damaged_slots(world), 1)
            self.assertGreater(comparison.lost_points, 0, "there was something to lose")
            lost += comparison.lost_points
        return f"{lost} points in zeroed slots, 0 of others, 0 twice"

    @row("a page with a few slots zeroed", few=1, full=5)
    def test_zeroed_part(self, rounds):
        world, lost = self.world({**LATE, "journal.sync_interval_ms": 10}), 0
        for _ in range(rounds):
            comparison = self.damaged(world, lambda: self.journal.write(PAGE, b"\0" * PAGE) or "page 1 zeroed",
                                      r"(?i)zero|damaged", loss_known=False)
            lost += comparison.lost_points
        return f"{lost} points in zeroed slots, 0 twice"

    @row("the file cut off", few=5, full=25)
    def test_truncated(self, rounds):
        world, lost = self.world(), 0
        source = random.Random(world.load.seed)
        for number in range(rounds):
            def damage(number=number):
                used = self.journal.used()
                whole = self.journal.size()
                size = (used[-1] + SLOT, whole - PAGE, used[len(used) // 2], used[len(used) // 2] + source.randrange(1, SLOT),
                        source.randrange(1, 92))[number % 5]
                self.journal.truncate(size)
                return f"cut to {size} of {whole} bytes, used up to {used[-1] + SLOT}"
            # The first two cuts take nothing that was in use.
            comparison = self.damaged(world, damage, r"(?i)cut off|shorter|damaged", whole=number % 5 < 2, loss_known=False)
            self.assertEqual(self.journal.size(), 4096 + SLOT * world.gateway.sets["journal.slots"], "extended again")
            lost += comparison.lost_points
        return f"{lost} points that were cut off, 0 of others, 0 twice"


class NotOurs(DamageTest):
    def set_aside(self, world, damage, words):
        before = self.journal.aside()
        comparison = self.damaged(world, damage, words, loss_known=False)
        aside = self.journal.aside()
        self.assertEqual(len(aside), len(before) + 1, aside)
        self.assertIn(f"journal.set-aside-{len(aside)}", aside)
        return comparison

    @row("older and newer format, and what is no journal", few=4, full=12)
    def test_formats(self, rounds):
        world = self.world()
        for number in range(rounds):
            kind = ("older", "newer", "noise", "text")[number % 4]
            words = (r"(?i)format", r"(?i)format", r"(?i)not a journal|damaged", r"(?i)not a journal|damaged")[number % 4]

            def damage(kind=kind):
                self.journal.replace(foreign(kind, self.journal))
                return f"{kind} in its place"
            self.set_aside(world, damage, words)
        return f"{rounds} files set aside; usage after them counted"


def foreign(kind, journal):
    if kind == "older":
        return b"tgjourn1" + noise(200_000)
    if kind == "text":
        return b"this is no journal\n" * 1000
    if kind == "noise":
        return noise(300_000)
    with open(journal.path, "rb") as file:
        header = bytearray(file.read(92))
    header[8:12] = (99).to_bytes(4, "little")
    header[88:92] = fnv1a(header[:88]).to_bytes(4, "little")
    return bytes(header) + noise(200_000)


def fnv1a(data):
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xffffffff
    return value


if __name__ == "__main__":
    unittest.main()
