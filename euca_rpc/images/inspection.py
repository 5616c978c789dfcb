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

import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from euca_rpc.errors import EucaError
from euca_rpc.images import qcow2
from euca_rpc.images.qcow2 import SECTOR, USUAL, Limits, at, refused

FORMATS = ("raw", "qcow2")
KINDS = ("machine", "kernel", "ramdisk")
ARCHITECTURES = ("x86_64", "i686", "aarch64")


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


def inspect(path: Path, format: str, kind: str, architecture: str, limits: Limits = USUAL) -> Inspection:
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
                f"it has {size} bytes and a {kind} image may have {most}",
                f"Shrink it, or raise [images] {'largest_gb' if kind == 'machine' else 'largest_kernel_mb'}.",
            )
        if kind == "machine":
            virtual = raw(image, size) if format == "raw" else qcow2.virtual_size(image, limits)
            if virtual > limits.virtual_bytes:
                raise refused(
                    f"the disk inside has {virtual} bytes and may have {limits.virtual_bytes}",
                    "Shrink it, or raise [images] largest_disk_gb.",
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


# ------------------------------------------------------------------------------------------------------------ raw
def raw(image: BinaryIO, size: int) -> int:
    for offset, magic, name in GUESSED:
        place = offset if offset >= 0 else size + offset
        if place >= 0 and at(image, place, len(magic)) == magic:
            advice = (
                "Declare it as qcow2."
                if name == "qcow2"
                else "Convert it: qemu-img convert -O raw IMAGE DISK.raw"
            )
            raise refused(f"it is declared raw but {'begins' if offset >= 0 else 'ends'} like {name}", advice)
    for magic, name in PACKED:
        if at(image, 0, len(magic)) == magic:
            raise refused(f"it is declared raw but is packed with {name}", "Unpack it first.")
    if size % SECTOR:
        raise refused(
            f"its {size} bytes are no whole number of {SECTOR}-byte sectors",
            "It may be cut off; copy it again.",
        )
    return size


# ------------------------------------------------------------------------------------------- kernels and ramdisks
def boot_file(image: BinaryIO, kind: str, architecture: str) -> None:
    head = at(image, 0, 1024)
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
