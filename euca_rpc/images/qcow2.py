"""A qcow2 header, read by somebody who suspects it.  See `inspection` for why it is read twice."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from dataclasses import dataclass
from typing import Any, BinaryIO

from euca_rpc.errors import EucaError

HEAD = 65536
SECTOR = 512


@dataclass(frozen=True, slots=True)
class Limits:
    bytes: int = 100 << 30  # setting [images] largest_gb
    virtual_bytes: int = 100 << 30  # setting [images] largest_disk_gb
    snapshots: int = 0  # internal ones: they only carry bytes along that nobody can see
    kernel_bytes: int = (
        512 << 20
    )  # of a kernel or ramdisk, which is loaded into memory: [images] largest_kernel_mb
    seconds: int = 10
    memory: int = 1 << 30


USUAL = Limits()


def refused(found: str, advice: str) -> EucaError:
    return EucaError("image_refused", f"The image is refused: {found}. {advice}", facts={"found": found})


def at(image: BinaryIO, offset: int, count: int) -> bytes:
    image.seek(offset)
    return image.read(count)


DIRTY, CORRUPT, EXTERNAL, COMPRESSION, EXTENDED_L2 = (1 << bit for bit in range(5))
EXTENSION_END, EXTENSION_DATA_FILE, EXTENSION_CRYPTO = 0, 0x44415441, 0x0537BE77
CONVERT = "Make it self-contained: qemu-img convert -O qcow2 IMAGE NEW.qcow2"


def virtual_size(image: BinaryIO, limits: Limits) -> int:
    virtual = read_header(at(image, 0, HEAD), os.fstat(image.fileno()).st_size, limits)
    told = second_opinion(image, limits)
    details = (told.get("format-specific") or {}).get("data") or {}
    doubts = [
        name
        for name, doubtful in (
            ("format", told.get("format") != "qcow2"),
            ("size", told.get("virtual-size") != virtual),
            ("backing file", "backing-filename" in told or "full-backing-filename" in told),
            ("external data file", "data-file" in details),
            ("encryption", bool(told.get("encrypted")) or "encrypt" in details),
            ("damage", bool(details.get("corrupt")) or bool(told.get("dirty-flag"))),
        )
        if doubtful
    ]
    if doubts:
        raise refused(f"qemu-img reads its {', '.join(doubts)} differently from its header", CONVERT)
    return virtual


def read_header(head: bytes, size: int, limits: Limits) -> int:
    """The virtual size.  Reads fixed fields and walks the extensions inside ``head``; follows nothing."""
    if head[:4] != b"QFI\xfb":
        raise refused(
            "it is declared qcow2 but does not begin like one",
            "Declare the format it has; see qemu-img info.",
        )
    if len(head) < 104:
        raise refused("its qcow2 header is cut off", "Copy the file again.")
    version, backing_offset, backing_size, cluster_bits, virtual, crypt = struct.unpack_from(
        ">IQIIQI", head, 4
    )
    l1_size, l1_offset, refcounts, _, snapshots = struct.unpack_from(">IQQII", head, 36)
    if version not in (2, 3):
        raise refused(f"it is version {version} of qcow; 2 and 3 are known", CONVERT)
    if backing_offset or backing_size:
        raise refused("it names a backing file, which would be read from the host", CONVERT)
    if crypt:
        raise refused("it is encrypted, and there is no key", "Decrypt it with qemu-img convert.")
    if not 9 <= cluster_bits <= 21:
        raise refused(f"its clusters have 2^{cluster_bits} bytes; 2^9 to 2^21 are possible", CONVERT)
    if virtual < SECTOR or virtual % SECTOR:
        raise refused(f"its disk has {virtual} bytes, which is no whole number of sectors", CONVERT)
    if virtual > limits.virtual_bytes:
        raise refused(
            f"the disk inside has {virtual} bytes and may have {limits.virtual_bytes}",
            "Shrink it, or raise [images] largest_disk_gb.",
        )
    if snapshots > limits.snapshots:
        raise refused(f"it holds {snapshots} internal snapshots and may hold {limits.snapshots}", CONVERT)
    if l1_offset + 8 * l1_size > size or refcounts >= size:
        raise refused("its tables lie outside of the file", "It may be cut off; copy it again.")
    length = 72
    if version == 3:
        (features,) = struct.unpack_from(">Q", head, 72)
        (length,) = struct.unpack_from(">I", head, 100)
        for bit, found in (
            (EXTERNAL, "its data are in another file, which would be read from the host"),
            (CORRUPT, "it is marked corrupt"),
            (DIRTY, "it is marked dirty: it was not closed properly"),
        ):
            if features & bit:
                raise refused(found, CONVERT if bit == EXTERNAL else "Repair it: qemu-img check -r all IMAGE")
        if unknown := features & ~(COMPRESSION | EXTENDED_L2):
            raise refused(f"it needs features that are not known here ({unknown:#x})", CONVERT)
        if length < 104 or length > len(head):
            raise refused(f"its header claims {length} bytes", CONVERT)
    extensions(head, length, 1 << cluster_bits)
    return int(virtual)


def extensions(head: bytes, offset: int, end: int) -> None:
    end = min(end, len(head))
    while offset + 8 <= end:
        kind, length = struct.unpack_from(">II", head, offset)
        if kind == EXTENSION_END:
            return
        if kind == EXTENSION_DATA_FILE:
            raise refused("it names an external data file, which would be read from the host", CONVERT)
        if kind == EXTENSION_CRYPTO:
            raise refused("it has an encryption header", "Decrypt it with qemu-img convert.")
        if length > end - offset - 8:
            raise refused("an extension of its header reaches beyond it", CONVERT)
        offset += 8 + (length + 7 & ~7)


def second_opinion(image: BinaryIO, limits: Limits) -> dict[str, Any]:
    """What qemu-img says, run as nobody (where we may choose) under limits, on the open file alone."""
    number = image.fileno()
    command = [
        *(
            "prlimit",
            f"--as={limits.memory}",
            f"--cpu={limits.seconds}",
            "--fsize=0",
            "--core=0",
            "--nofile=64",
            "--",
        ),
        *(
            ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs")
            if os.geteuid() == 0
            else ()
        ),
        *("qemu-img", "info", "-U", "--output=json", "-f", "qcow2", f"/proc/self/fd/{number}"),
    ]
    try:
        done = subprocess.run(
            command,
            pass_fds=(number,),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limits.seconds,
            cwd="/",
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"},
        )
    except FileNotFoundError as error:
        raise EucaError(
            "unavailable",
            f"{error.filename} is missing, so no image can be inspected. apt-get install qemu-utils",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise refused(f"qemu-img did not finish reading its header in {limits.seconds} s", CONVERT) from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").replace(f"/proc/self/fd/{number}", "IMAGE").strip()
        raise refused(f"qemu-img cannot read it ({said[-200:] or f'status {done.returncode}'})", CONVERT)
    told: dict[str, Any] = json.loads(done.stdout)
    return told
