"""A root disk before its first boot: overlay, growth of a bare file system, the key.

    base ─ qemu-img ─► overlay (qcow2) ─ raw view ─► which file system, where?
                                                        bare ext: e2fsck, resize2fs to the whole disk
                                                        bare or in a partition: key by debugfs
                                                        anything else: left as it is (the seed disk has the key)

The raw view is qemu-storage-daemon's FUSE export (80 ms for all of it), in a mount namespace of its own that ends with
it: a killed node leaves no mount behind.  Where FUSE cannot be had the disk is converted to raw and back.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from euca_rpc.errors import EucaError
from euca_rpc.node import confined, image_keys
from euca_rpc.node.machine import Superseded

SECTOR = 512
NEEDS_RECOVERY = 0x4  # among an ext file system's incompatible features
SPARE = 256 << 20  # bytes left free beside a copy: guests and records need some
FLATTENED = 3600  # seconds: as long as a capture may take
STARTED = 5.0  # seconds until an export has to be there; 0.05 is usual


def overlay(base: Path, base_format: str, path: Path, size: int) -> None:
    """A qcow2 at ``path`` over ``base`` (in the same folder, named relatively, with its declared format)."""
    if base_format not in ("raw", "qcow2"):
        raise EucaError(
            "image_refused", f"Images of format {base_format!r} cannot be run; raw and qcow2 can."
        )
    confined.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", base.name, "-F", base_format, path.name, str(size)],
        drop=False,
        cwd=path.parent,
    )


def room_for_copy(root: Path, folder: Path) -> None:
    """Refuses if what the disk holds, with its base, may not fit into ``folder``."""
    told = confined.run(
        ["qemu-img", "measure", "-U", "--output=json", "-f", "qcow2", "-O", "qcow2", root.name],
        drop=False,
        cwd=root.parent,
    )
    needed = json.loads(told)["required"] + SPARE
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if needed > free:
        raise EucaError(
            "capacity_exhausted",
            f"A copy of the disk needs {needed >> 20} MiB on its node beside it, and {free >> 20} MiB are free there. "
            "Make room on the node, or ask for the image again when there is some.",
            facts={"asked": needed, "free": free},
        )


def flatten(root: Path, to: Path, wanted: Callable[[], bool]) -> None:
    """A qcow2 without a base at ``to``, of a disk that no machine has open."""
    try:
        confined.run(
            ["qemu-img", "convert", "-q", "-f", "qcow2", "-O", "qcow2", root.name, str(to.resolve())],
            drop=False,
            cwd=root.parent,
            seconds=FLATTENED,
            wanted=wanted,
        )
    except EucaError:
        if not wanted():
            raise Superseded from None
        raise


def grow_and_authorize(path: Path, public_key: str) -> str:
    """Grow a bare ext file system to the disk, put the key in; what was found ("ext", "partition", "other")."""
    with raw_view(path) as disk:
        offset = find_ext(disk)
        if offset is None:
            return "other"
        if offset == 0:
            _grow(disk)
        else:
            _recover(disk, offset)
        if public_key:
            image_keys.authorize(disk, offset, public_key)
    return "partition" if offset else "ext"


def _recover(disk: int, offset: int) -> None:
    """The disk of a machine that was not shut down: what its file system's journal holds is written before anything else
    is, or it would be written over that at the first mount.  Inside a partition the tools write the journal and then
    fail to open the file system again, so that what they leave undone is done here."""
    (incompatible,) = struct.unpack("<I", os.pread(disk, 4, offset + 1024 + 96))
    if not incompatible & NEEDS_RECOVERY:
        return
    there = f"/proc/self/fd/{disk}?offset={offset}"
    confined.run(["debugfs", "-w", "-R", "journal_run", there], fds=[disk])
    if b"starts at block 0," not in confined.run(["debugfs", "-R", "logdump", there], fds=[disk]):
        raise EucaError("image_refused", "The journal of the image's file system cannot be written.")
    confined.run(["debugfs", "-w", "-R", "feature -needs_recovery", there], fds=[disk])
    confined.run(["e2fsck", "-fp", there], fds=[disk], ok=(0, 1))


def _grow(disk: int) -> None:
    there = f"/proc/self/fd/{disk}"
    confined.run(["e2fsck", "-fp", there], fds=[disk], ok=(0, 1))
    confined.run(["resize2fs", there], fds=[disk])


# ---------------------------------------------------------------------------------------------- where is it
def find_ext(disk: int) -> int | None:
    """Offset of the ext file system: 0 for a bare one, else that of the largest partition that has one."""
    if _is_ext(disk, 0):
        return 0
    found = [(size, start) for start, size in _partitions(disk) if _is_ext(disk, start)]
    return max(found)[1] if found else None


def _is_ext(disk: int, start: int) -> bool:
    return os.pread(disk, 2, start + 1024 + 56) == b"\x53\xef"


def _partitions(disk: int) -> Iterator[tuple[int, int]]:
    """(start, size) in bytes, from a GPT or the primary entries of an MBR."""
    head = os.pread(disk, 2 * SECTOR, 0)
    if len(head) < 2 * SECTOR:
        return
    if head[SECTOR : SECTOR + 8] == b"EFI PART":
        where, count, each = struct.unpack_from("<QII", head, SECTOR + 72)
        if not 128 <= each <= 4096:
            return
        for n in range(min(count, 128)):
            entry = os.pread(disk, 48, where * SECTOR + n * each)
            if len(entry) == 48 and entry[:16] != bytes(16):
                first, last = struct.unpack_from("<QQ", entry, 32)
                if 0 < first <= last < 1 << 50:
                    yield first * SECTOR, (last - first + 1) * SECTOR
    elif head[510:512] == b"\x55\xaa":
        for n in range(4):
            first, count = struct.unpack_from("<II", head, 446 + 16 * n + 8)
            if first and count:
                yield first * SECTOR, count * SECTOR


# ---------------------------------------------------------------------------------------------- the raw view
@contextmanager
def raw_view(path: Path) -> Iterator[int]:
    """A descriptor, open for reading and writing, through which the qcow2 at ``path`` looks raw."""
    if os.geteuid() == 0 and os.path.exists("/dev/fuse"):
        with _exported(path) as disk:
            yield disk
    else:
        with _converted(path) as disk:
            yield disk


@contextmanager
def _exported(path: Path) -> Iterator[int]:
    view = path.with_name(path.name + ".view")
    view.touch()
    command = [
        *("unshare", "--mount", "--propagation", "private", "--"),
        *("setpriv", "--pdeathsig", "SIGKILL", "--no-new-privs", "--inh-caps=-all"),
        *("--bounding-set=-all,+sys_admin", "--"),  # what mounting the view takes, and nothing else
        *confined.LIMITS,
        "qemu-storage-daemon",
        *("--blockdev", f"driver=file,node-name=file,filename={path.name}"),
        *("--blockdev", "driver=qcow2,node-name=disk,file=file"),
        "--export",
        f"type=fuse,id=view,node-name=disk,mountpoint={view},writable=on,allow-other=on",
    ]
    exporter = subprocess.Popen(
        command,
        cwd=path.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=confined.ENVIRONMENT,
    )
    try:
        disk = _open_when_there(exporter, view)
        try:
            os.fchown(disk, confined.NOBODY, confined.NOBODY)  # of the view, not of the disk
            yield disk
            os.fsync(disk)
        finally:
            os.close(disk)
        exporter.terminate()  # it flushes and closes the disk
        if exporter.wait(30) != 0:
            raise EucaError("unavailable", "The export of a root disk did not end well; it is made again.")
    finally:
        exporter.kill()
        exporter.communicate()
        view.unlink(missing_ok=True)


def _open_when_there(exporter: subprocess.Popen[bytes], view: Path) -> int:
    """The view as the exporter sees it, in its own mount namespace."""
    seen = f"/proc/{exporter.pid}/root{view.resolve()}"
    own = os.stat(view).st_dev
    until = time.monotonic() + STARTED
    while time.monotonic() < until and exporter.poll() is None:
        try:
            disk = os.open(seen, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            disk = -1
        if disk >= 0:
            if os.fstat(disk).st_dev != own:
                return disk
            os.close(disk)
        time.sleep(0.005)
    exporter.kill()
    told = exporter.communicate()[1].decode(errors="replace")
    raise EucaError(
        "unavailable", "The root disk could not be opened to put the key in; it is tried again.", private=told
    )


@contextmanager
def _converted(path: Path) -> Iterator[int]:
    raw = path.with_name(path.name + ".raw")
    convert = ["qemu-img", "convert", "-q"]
    try:
        confined.run([*convert, "-f", "qcow2", "-O", "raw", path.name, raw.name], drop=False, cwd=path.parent)
        disk = os.open(raw, os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.geteuid() == 0:
                os.fchown(disk, confined.NOBODY, confined.NOBODY)  # who works on it
            yield disk
        finally:
            os.close(disk)
        confined.run([*convert, "-f", "raw", "-O", "qcow2", raw.name, path.name], drop=False, cwd=path.parent)
    finally:
        raw.unlink(missing_ok=True)
