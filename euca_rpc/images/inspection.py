"""Hostile images are refused before anything else opens them.

The format of an image is *declared* and recorded, never probed: a "raw" disk that begins with a qcow2 header would
otherwise be opened as qcow2 by the next tool that guesses, and read the host's files as its backing file.  So

* raw is not parsed at all, but refused when it begins like any format that some tool would guess;
* qcow2 is read twice: its fixed header by us (a hundred bytes, no pointer followed, which already rules out
  everything that makes a tool open another file or address), then by ``qemu-img info -f qcow2`` without privileges,
  with limits on memory, time and files; the two must agree;
* kernels and ramdisks must begin like one.

Every refusal says what was found and what to do about it.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from euca_rpc.errors import EucaError

FORMATS = ("raw", "qcow2")
KINDS = ("machine", "kernel", "ramdisk")
ARCHITECTURES = ("x86_64", "i686", "aarch64")

HEAD = 65536
SECTOR = 512


@dataclass(frozen=True, slots=True)
class Limits:
    bytes: int = 100 << 30
    virtual_bytes: int = 100 << 30  # setting images.virtual_limit_bytes
    snapshots: int = 0  # internal ones: they only carry bytes along that nobody can see
    kernel_bytes: int = 512 << 20  # of a kernel or ramdisk, which is loaded into memory
    seconds: int = 10
    memory: int = 1 << 30


@dataclass(frozen=True, slots=True)
class Inspection:
    bytes: int
    virtual_bytes: int
    format: str
    kind: str
    architecture: str


# What tools guess by: (offset from the start, or from the end if negative, bytes there, name)
GUESSED = (
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\0", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vhd"),
    (-512, b"conectix", "vhd"),
    (64, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0, b"Bochs Virtual HD Image", "bochs"),
    (0, b"#!/bin/sh\n#V2.0 Format", "cloop"),
    (-512, b"koly", "dmg"),
    (0, b"LUKS\xba\xbe", "luks"),
)
PACKED = (
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"(\xb5/\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "zip"),
)
RAMDISKS = (
    b"070701",
    b"070702",
    b"\x02!L\x18",
    b'\x04"M\x18',
    b"\x5d\0\0",
    *(magic for magic, _ in PACKED[:4]),
)
ELF_MACHINE = {"x86_64": 62, "i686": 3, "aarch64": 183}


def inspect(path: Path, format: str, kind: str, architecture: str, limits: Limits = Limits()) -> Inspection:
    check_declared(format, kind, architecture)
    with path.open("rb") as image:
        if not stat.S_ISREG(os.fstat(image.fileno()).st_mode):
            raise refused("it is not a plain file", "Give a file that holds the disk's bytes.")
        size = os.fstat(image.fileno()).st_size
        if size == 0:
            raise refused("it is empty", "Check the file that was uploaded.")
        most = limits.bytes if kind == "machine" else limits.kernel_bytes
        if size > most:
            raise refused(
                f"it has {size} bytes and a {kind} may have {most}", "Shrink it, or raise the limit."
            )
        if kind == "machine":
            virtual = raw(image, size) if format == "raw" else qcow2(image, limits)
            if virtual > limits.virtual_bytes:
                raise refused(
                    f"the disk inside has {virtual} bytes and may have {limits.virtual_bytes}",
                    "Shrink it, or raise images.virtual_limit_bytes.",
                )
        else:
            boot_file(image, kind, architecture)
            virtual = size
    return Inspection(size, virtual, format, kind, architecture)


def check_declared(format: str, kind: str, architecture: str) -> None:
    for what, value, known in (
        ("format", format, FORMATS),
        ("kind", kind, KINDS),
        ("architecture", architecture, ARCHITECTURES),
    ):
        if value not in known:
            raise EucaError(
                "parameter_invalid",
                f"An image's {what} is one of {', '.join(known)}; {value[:40]!r} is none of them.",
            )
    if kind != "machine" and format != "raw":
        raise EucaError("parameter_conflict", f"A {kind} has the format raw, not {format}.")


def refused(found: str, advice: str) -> EucaError:
    return EucaError("image_refused", f"The image is refused: {found}. {advice}", facts={"found": found})


# ------------------------------------------------------------------------------------------------------------ raw
def raw(image: BinaryIO, size: int) -> int:
    for offset, magic, name in GUESSED:
        place = offset if offset >= 0 else size + offset
        if place >= 0 and _at(image, place, len(magic)) == magic:
            advice = (
                "Declare it as qcow2."
                if name == "qcow2"
                else "Convert it: qemu-img convert -O raw IMAGE DISK.raw"
            )
            raise refused(f"it is declared raw but {'begins' if offset >= 0 else 'ends'} like {name}", advice)
    for magic, name in PACKED:
        if _at(image, 0, len(magic)) == magic:
            raise refused(f"it is declared raw but is packed with {name}", "Unpack it first.")
    if size % SECTOR:
        raise refused(
            f"its {size} bytes are no whole number of {SECTOR}-byte sectors",
            "It may be cut off; copy it again.",
        )
    return size


def _at(image: BinaryIO, offset: int, count: int) -> bytes:
    image.seek(offset)
    return image.read(count)


# ---------------------------------------------------------------------------------------------------------- qcow2
DIRTY, CORRUPT, EXTERNAL, COMPRESSION, EXTENDED_L2 = (1 << bit for bit in range(5))
EXTENSION_END, EXTENSION_DATA_FILE, EXTENSION_CRYPTO = 0, 0x44415441, 0x0537BE77
CONVERT = "Make it self-contained: qemu-img convert -O qcow2 IMAGE NEW.qcow2"


def qcow2(image: BinaryIO, limits: Limits) -> int:
    virtual = qcow2_header(_at(image, 0, HEAD), os.fstat(image.fileno()).st_size, limits)
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


def qcow2_header(head: bytes, size: int, limits: Limits) -> int:
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
            "Shrink it, or raise images.virtual_limit_bytes.",
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


# ------------------------------------------------------------------------------------------- kernels and ramdisks
def boot_file(image: BinaryIO, kind: str, architecture: str) -> None:
    head = _at(image, 0, 1024)
    if kind == "ramdisk":
        if not head.startswith(RAMDISKS):
            raise refused("it begins like no ramdisk", "An initramfs is a newc cpio archive, packed or not.")
        return
    bz_image = head[0x1FE:0x200] == b"\x55\xaa" and head[0x202:0x206] == b"HdrS"
    arm_image = head[56:60] == b"ARM\x64"
    if head[:4] == b"\x7fELF" and len(head) >= 20:
        (machine,) = struct.unpack_from("<H" if head[5] == 1 else ">H", head, 18)
        if machine != ELF_MACHINE[architecture]:
            raise refused(
                f"it is an ELF file for machine {machine}, not for {architecture}",
                "Declare its architecture.",
            )
    elif (bz_image and architecture == "aarch64") or (arm_image and architecture != "aarch64"):
        raise refused(f"it is a Linux kernel, but not for {architecture}", "Declare its architecture.")
    elif not (bz_image or arm_image):
        raise refused(
            "it begins like no Linux kernel", "Give a bzImage (vmlinuz), an arm64 Image or an ELF vmlinux."
        )
