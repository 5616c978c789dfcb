"""A corpus of images that want something of the host, or are broken, made byte by byte; and good ones beside them."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from dataclasses import dataclass

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Case:
    name: str
    data: bytes
    says: str = ""  # what the refusal must say; empty for good images
    format: str = "raw"
    kind: str = "machine"
    architecture: str = "x86_64"


def qcow2(
    *,
    magic: bytes = b"QFI\xfb",
    version: int = 3,
    backing: bytes = b"",
    cluster_bits: int = 16,
    size: int = MEGABYTE,
    crypt: int = 0,
    snapshots: int = 0,
    features: int = 0,
    extensions: bytes = b"",
    header_length: int = 104,
    l1_size: int = 1,
    l1_offset: int = 0x30000,
    refcount_offset: int = 0x10000,
    clusters: int = 4,
) -> bytes:
    """An empty image: header, refcount table, refcount block and L1 table, one cluster each."""
    backing_offset = header_length + len(extensions) if backing else 0
    head = magic + struct.pack(
        ">IQIIQIIQQIIQQQQII",
        *(version, backing_offset, len(backing), cluster_bits, size, crypt, l1_size, l1_offset),
        *(refcount_offset, 1, snapshots, 0, features, 0, 0, 4, header_length),
    )
    assert len(head) == 104
    if version == 2:
        head = head[:72]
    table = struct.pack(">Q", 0x20000)
    block = struct.pack(">HHHH", 1, 1, 1, 1)
    parts = [head + extensions + backing, table, block, b""]
    return b"".join(part.ljust(0x10000, b"\0") for part in parts[:clusters])


def extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def head_of(magic: bytes, offset: int = 0) -> bytes:
    return (b"\0" * offset + magic).ljust(MEGABYTE, b"\0")


def bz_image() -> bytes:
    data = bytearray(8192)
    data[0x1FE:0x200], data[0x202:0x206] = b"\x55\xaa", b"HdrS"
    return bytes(data)


def elf(machine: int) -> bytes:
    return (b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HH", 2, machine)).ljust(8192, b"\0")


DATA_FILE, CRYPTO, BACKING_FORMAT, FEATURE_NAMES = 0x44415441, 0x0537BE77, 0xE2792ACA, 0x6803F857


def hostile() -> Iterator[Case]:
    # a raw disk that some tool would take for something else
    yield Case(
        "raw-is-qcow2",
        qcow2(backing=b"/etc/shadow"),
        "declared raw but begins like qcow2. Declare it as qcow2",
    )
    for name, magic, offset in (
        ("qcow1", b"QFI\xfb\0\0\0\1", 0),
        ("qed", b"QED\0", 0),
        ("vmdk", b"KDMV", 0),
        ("vmdk-old", b"COWD", 0),
        ("vmdk-text", b'# Disk DescriptorFile\nRW 1 FLAT "/etc/shadow" 0\n', 0),
        ("vhdx", b"vhdxfile", 0),
        ("vhd", b"conectix", 0),
        ("vhd-fixed", b"conectix", MEGABYTE - 512),
        ("vdi", b"\x7f\x10\xda\xbe", 64),
        ("parallels", b"WithoutFreeSpace", 0),
        ("bochs", b"Bochs Virtual HD Image", 0),
        ("dmg", b"koly", MEGABYTE - 512),
        ("luks", b"LUKS\xba\xbe\0\1", 0),
    ):
        yield Case(f"raw-is-{name}", head_of(magic, offset), "declared raw but (begins|ends) like")
    yield Case("raw-gzip", gzip.compress(b"disk" * 1000), "packed with gzip. Unpack it")
    yield Case("raw-empty", b"", "it is empty")
    yield Case("raw-cut", b"\0" * 1000, "no whole number of 512-byte sectors")
    # qcow2 that reads the host's files or another machine's
    for name, backing in (
        ("file", b"/etc/shadow"),
        ("relative", b"../../../../etc/shadow"),
        ("json", b'json:{"driver":"file","filename":"/etc/shadow"}'),
        ("nbd", b"nbd://127.0.0.1:10809/x"),
        ("http", b"http://127.0.0.1/x"),
    ):
        yield Case(f"backing-{name}", qcow2(backing=backing), "names a backing file", "qcow2")
    yield Case(
        "backing-v2",
        qcow2(version=2, header_length=72, backing=b"/etc/shadow"),
        "names a backing file",
        "qcow2",
    )
    data_file = extension(DATA_FILE, b"/etc/shadow")
    yield Case("data-file", qcow2(features=4, extensions=data_file), "data are in another file", "qcow2")
    yield Case(
        "data-file-extension-only", qcow2(extensions=data_file), "names an external data file", "qcow2"
    )
    behind = extension(FEATURE_NAMES, b"\0" * 48) + data_file
    yield Case("data-file-second", qcow2(extensions=behind), "names an external data file", "qcow2")
    # that asks for what nobody has, or too much
    yield Case("encrypted-aes", qcow2(crypt=1), "it is encrypted", "qcow2")
    yield Case("encrypted-luks", qcow2(crypt=2), "it is encrypted", "qcow2")
    yield Case(
        "encryption-header", qcow2(extensions=extension(CRYPTO, b"\0" * 16)), "encryption header", "qcow2"
    )
    yield Case("huge", qcow2(size=1 << 60), "may have 107374182400.*largest_disk_gb", "qcow2")
    yield Case("huge-l1", qcow2(l1_size=0xFFFFFFFF), "tables lie outside", "qcow2")
    yield Case("wild-l1", qcow2(l1_offset=1 << 62), "tables lie outside", "qcow2")
    yield Case("wild-refcounts", qcow2(refcount_offset=(1 << 62) + 1), "tables lie outside", "qcow2")
    yield Case("odd-refcounts", qcow2(refcount_offset=0x10001), "qemu-img cannot read it", "qcow2")
    yield Case("snapshots", qcow2(snapshots=60000), "60000 internal snapshots", "qcow2")
    yield Case("tiny-clusters", qcow2(cluster_bits=3), "2\\^3 bytes", "qcow2")
    yield Case("huge-clusters", qcow2(cluster_bits=63), "2\\^63 bytes", "qcow2")
    yield Case("zero-size", qcow2(size=0), "no whole number of sectors", "qcow2")
    yield Case("odd-size", qcow2(size=1000), "no whole number of sectors", "qcow2")
    yield Case("dirty", qcow2(features=1), "marked dirty", "qcow2")
    yield Case("corrupt", qcow2(features=2), "marked corrupt", "qcow2")
    yield Case("future", qcow2(features=1 << 40), "features that are not known", "qcow2")
    yield Case("version-9", qcow2(version=9), "version 9 of qcow", "qcow2")
    yield Case("long-header", qcow2(header_length=0x7FFFFFFF), "claims 2147483647 bytes", "qcow2")
    yield Case(
        "endless-extension", qcow2(extensions=struct.pack(">II", 1, 0xFFFFFFF0)), "reaches beyond it", "qcow2"
    )
    yield Case("cut-header", qcow2()[:80], "cut off", "qcow2")
    yield Case("not-qcow2", head_of(b""), "does not begin like one", "qcow2")
    yield Case("vmdk-as-qcow2", head_of(b"KDMV"), "does not begin like one", "qcow2")
    # kernels and ramdisks
    yield Case("kernel-script", b"#!/bin/sh\nrm -rf /\n", "begins like no Linux kernel", kind="kernel")
    yield Case("kernel-other-elf", elf(183), "machine 183, not for x86_64", kind="kernel")
    yield Case("kernel-other-arch", bz_image(), "not for aarch64", kind="kernel", architecture="aarch64")
    yield Case("ramdisk-disk", head_of(b"KDMV"), "begins like no ramdisk", kind="ramdisk")


def good() -> Iterator[Case]:
    yield Case("raw-zeros", b"\0" * MEGABYTE)
    yield Case("raw-mbr", head_of(b"\x55\xaa", 510))
    yield Case("qcow2-v3", qcow2(), format="qcow2")
    yield Case("qcow2-v2", qcow2(version=2, header_length=72), format="qcow2")
    yield Case("qcow2-names", qcow2(extensions=extension(FEATURE_NAMES, b"\0" * 48)), format="qcow2")
    yield Case("kernel-bzimage", bz_image(), kind="kernel")
    yield Case("kernel-elf", elf(62), kind="kernel")
    yield Case(
        "kernel-arm", (b"\0" * 56 + b"ARM\x64").ljust(8192, b"\0"), kind="kernel", architecture="aarch64"
    )
    yield Case("ramdisk-gzip", gzip.compress(b"070701"), kind="ramdisk")
    yield Case("ramdisk-plain", b"070701" + b"0" * 200, kind="ramdisk")
