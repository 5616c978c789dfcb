"""A machine without a kernel of its own boots by firmware from a partitioned disk; its console stays bounded.

The disk is made here from Debian's packages, without privileges: a boot loader in front of one partition, which holds
kernel, ramdisk and the root of the test image.
"""

from __future__ import annotations

import os
import secrets
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from euca_rpc.host.settings import CONSOLE_BACKUPS, CONSOLE_BYTES
from euca_rpc.images import test_image
from euca_rpc.images.inspection import inspect
from euca_rpc.machines import BlobRef

GRUB = Path("/usr/lib/grub/i386-pc")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="a private libvirtd needs root"),
    pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU"),
    pytest.mark.skipif(not (GRUB / "boot.img").exists(), reason="no grub-pc-bin"),
]
pytest.importorskip("libvirt")

SECTOR, FIRST = 512, 2048  # where the partition begins: the boot loader lies before it
MEGABYTES = 64
MENU = """\
serial --unit=0 --speed=115200
terminal_output serial
echo the boot loader was here
linux (hd0,msdos1)/boot/kernel root=/dev/vda1 rw console=ttyS0 quiet mitigations=off no_timer_check nokaslr
initrd (hd0,msdos1)/boot/ramdisk
boot
"""


def bootable(to: Path) -> Path:
    version, kernel = test_image.kernel("x86_64")
    busybox = test_image.required_busybox()
    tree = to / "tree"
    test_image.lay_out(tree, busybox)
    (tree / "boot").mkdir()
    shutil.copyfile(kernel, tree / "boot" / "kernel")
    (tree / "boot" / "ramdisk").write_bytes(test_image.ramdisk(version, busybox))
    test_image.run(
        [
            *("mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-E", "root_owner=0:0"),
            *("-d", str(tree), str(to / "partition"), f"{MEGABYTES}M"),
        ]
    )
    (to / "menu").write_text(MENU)
    modules = ["biosdisk", "part_msdos", "ext2", "linux", "serial", "terminal", "echo", "normal"]
    loader = [
        "grub-mkimage",
        "-O",
        "i386-pc",
        "-p",
        "/boot/grub",
        "-c",
        str(to / "menu"),
        "-o",
        str(to / "core"),
    ]
    subprocess.run([*loader, *modules], check=True, timeout=30)
    core = (to / "core").read_bytes()
    assert len(core) < (FIRST - 1) * SECTOR
    sectors = MEGABYTES << 11
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", FIRST, sectors)
    head = bytearray((GRUB / "boot.img").read_bytes())
    head[440:512] = secrets.token_bytes(4) + bytes(2) + entry + bytes(48) + b"\x55\xaa"
    disk = to / "disk.raw"
    with disk.open("wb") as file:
        file.write(head + core)
        file.seek(FIRST * SECTOR)
        file.write((to / "partition").read_bytes())
    return disk


def test_a_disk_boots_by_firmware_takes_the_key_and_its_console_is_bounded(
    make_site: Any, tmp_path: Path
) -> None:
    disk = bootable(tmp_path)
    found = inspect(disk, "raw", "machine", "x86_64")
    site = make_site(disk=disk)
    node, until = site.node, site.until
    spec = site.spec(
        "firm",
        memory_mb=192,
        image=BlobRef("emi", "0" * 64, found.bytes, found.virtual_bytes, "raw", ""),
        kernel=None,
        ramdisk=None,
        user_data=b"#!/bin/sh\necho did-user-data > /root/proof\n",
    )
    a = spec.instance_id

    def ssh(command: str) -> str:
        return site.ssh(spec, command)

    site.run(spec)
    until(lambda: b"ready" in node.console(a)["text"], 120)
    assert b"the boot loader was here" in node.console(a)["text"]
    until(lambda: "firm" in ssh("hostname"), 60)
    assert "root=/dev/vda1" in ssh("cat /proc/cmdline")
    assert ssh("cat /sys/class/block/vda1/partition").strip() == "1"
    assert site.public_key.split()[1] in ssh("cat /root/.ssh/authorized_keys")
    until(lambda: "did-user-data" in ssh("cat /root/proof"), 20)

    # a talkative guest: what is kept is bounded, what is shown goes on over the change of files
    lines = CONSOLE_BYTES // 32 + 400  # of 32 bytes: the live file has less than what is shown
    ssh(f"i=0; while [ $i -lt {lines} ]; do i=$((i+1)); printf 'console line %017d\\n' $i; done > /dev/ttyS0")
    last = f"console line {lines:017d}".encode()
    until(lambda: last in node.console(a)["text"], 60)
    folder = next((site.home / "instances").glob(f"*{a}*"))
    kept = {path.name: path.stat().st_size for path in folder.glob("console.log*")}
    assert len(kept) == CONSOLE_BACKUPS + 1
    assert sum(kept.values()) <= (CONSOLE_BACKUPS + 1) * CONSOLE_BYTES
    assert kept["console.log"] < 64 * 1024, "or else the answer did not have to reach back"
    text = node.console(a)["text"]
    assert len(text) == 64 * 1024
    numbers = [int(line.split()[2]) for line in text.split(b"\n")[1:-1] if line.startswith(b"console line")]
    assert numbers == list(range(numbers[0], lines + 1)), "without a gap"
    assert len(numbers) > 1900
