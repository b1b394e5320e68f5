"""File systems of a test's own: small ones that can be filled, and one whose image can be copied in an instant, as a power
cut would leave it. Everything mounted is unmounted by the test's clean-up, the last first; it is no disk of the machine's."""

import os
import shutil
import subprocess
import tempfile
import unittest


def need(*programs):
    if os.geteuid() != 0:
        raise unittest.SkipTest("mounting takes root")
    missing = [each for each in programs if shutil.which(each) is None]
    if missing:
        raise unittest.SkipTest(f"not installed: {', '.join(missing)}")


def command(*words):
    """Runs it; a machine that does not let us mount skips the row with the system's own words."""
    outcome = subprocess.run(words, capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        raise unittest.SkipTest(f"this machine cannot: {' '.join(words)}: {outcome.stderr.strip()}")


def folder(test):
    path = tempfile.mkdtemp(prefix="tollgate-faults-")
    test.addCleanup(shutil.rmtree, path, ignore_errors=True)
    return path


def mount(test, path, *words):
    os.makedirs(path, exist_ok=True)
    command("mount", *words, path)
    test.addCleanup(unmount, path)
    return path


def unmount(path):
    if os.path.ismount(path):
        subprocess.run(["umount", path], capture_output=True, check=False)
    if os.path.ismount(path):  # somebody still holds a file: gone as soon as nobody does
        subprocess.run(["umount", "--lazy", path], capture_output=True, check=False)


def tmpfs(test, bytes_max):
    need("mount", "umount")
    return mount(test, os.path.join(folder(test), "small"), "-t", "tmpfs", "-o", f"size={bytes_max}", "tmpfs")


def sparse(path, bytes_max):
    with open(path, "wb") as file:
        file.truncate(bytes_max)
    return path


class Disk:
    """An ext4 on an image that lies on an XFS with reflinks: cut() is that image as a power cut leaves it."""

    def __init__(self, test, bytes_max=256 << 20):
        need("mkfs.xfs", "mkfs.ext4", "mount", "umount", "losetup")
        self.test = test
        self.cuts = 0
        self.base = folder(test)
        backing = sparse(os.path.join(self.base, "backing"), 2 << 30)
        command("mkfs.xfs", "-q", "-m", "reflink=1", backing)
        self.pool = mount(test, os.path.join(self.base, "pool"), "-o", "loop", backing)
        self.image = sparse(os.path.join(self.pool, "disk"), bytes_max)
        command("mkfs.ext4", "-q", "-F", self.image)
        self.path = mount(test, os.path.join(self.base, "disk"), "-o", "loop", self.image)

    def copy(self):
        """The image at this instant. To be quick: the load goes on."""
        self.cuts += 1
        path = os.path.join(self.pool, f"cut-{self.cuts}")
        command("cp", "--reflink=always", self.image, path)
        return path

    def mount_copy(self, image):
        return mount(self.test, os.path.join(self.base, os.path.basename(image)), "-o", "loop", image)

    def drop_copy(self, image):
        unmount(os.path.join(self.base, os.path.basename(image)))
        os.remove(image)


def small_ext4(test, bytes_max):
    need("mkfs.ext4", "mount", "umount", "losetup")
    base = folder(test)
    image = sparse(os.path.join(base, "image"), bytes_max)
    command("mkfs.ext4", "-q", "-F", "-m", "0", image)
    return mount(test, os.path.join(base, "disk"), "-o", "loop", image)


class FailingExt4:
    """An ext4 that can turn read-only under its writers, as it does after an error of the disk (errors=remount-ro)."""

    def __init__(self, test, bytes_max):
        need("mkfs.ext4", "mount", "umount", "losetup", "findmnt", "fsck.ext4")
        self.test = test
        base = folder(test)
        self.image = sparse(os.path.join(base, "image"), bytes_max)
        command("mkfs.ext4", "-q", "-F", "-m", "0", self.image)
        self.path = os.path.join(base, "disk")
        self.mount()

    def mount(self):
        mount(self.test, self.path, "-o", "loop,errors=remount-ro", self.image)

    def fail(self):
        """From now on nothing is written. A remount by hand is refused while there are writers, so the kernel is told."""
        device = subprocess.run(["findmnt", "-n", "-o", "SOURCE", self.path], capture_output=True, text=True, check=True)
        trigger = f"/sys/fs/ext4/{os.path.basename(device.stdout.strip())}/trigger_fs_error"
        if not os.path.exists(trigger):
            raise unittest.SkipTest(f"this kernel has no {trigger}")
        with open(trigger, "w", encoding="ascii") as file:
            file.write("1")

    def repair(self):
        """When nobody has a file open: unmounted, checked, mounted again."""
        command("umount", self.path)
        outcome = subprocess.run(["fsck.ext4", "-f", "-p", self.image], capture_output=True, text=True, check=False)
        assert outcome.returncode in (0, 1), outcome.stdout + outcome.stderr
        self.mount()


class Filler:
    """A file that takes all the room there is on a file system, but for `left` bytes; free() gives it back."""

    def __init__(self, path, left=0):
        self.path = os.path.join(path, "filler")
        block = b"\0" * 65536
        with open(self.path, "wb", buffering=0) as file:
            while block:
                try:
                    if file.write(block) < len(block):
                        raise OSError
                except OSError:
                    block = block[:len(block) // 2] if len(block) > 1 else b""
            if left:
                file.truncate(max(0, file.seek(0, os.SEEK_END) - left))

    def free(self):
        os.remove(self.path)
