"""Root disks with the real tools: overlay, growth, and the key in every kind of image."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from euca_rpc.errors import EucaError
from euca_rpc.machines import BlobRef, MachineSpec
from euca_rpc.node import image_keys, root_disk
from euca_rpc.node.disks import RealDisks
from euca_rpc.node.machine import Superseded, no_crash

NEEDED = ("qemu-img", "qemu-storage-daemon", "debugfs", "mkfs.ext4", "resize2fs", "genisoimage", "setpriv")
pytestmark = pytest.mark.skipif(
    any(shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin") is None for tool in NEEDED),
    reason="the image tools are not installed",
)

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtestkeytestkeytestkeytestkeytestkeytest mine"
MIB, GIB = 1 << 20, 1 << 30
START = 2048 * 512  # where the partition of the partitioned images begins


def ext4(path: Path, tree: dict[str, str] | None = None, size: int = 16 * MIB) -> Path:
    content = path.with_name(path.name + ".tree")
    for name, text in (tree or {}).items():
        (content / name).parent.mkdir(parents=True, exist_ok=True)
        (content / name).write_text(text)
    content.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    subprocess.run(
        ["/usr/sbin/mkfs.ext4", "-q", "-F", "-d", str(content), "-E", "root_owner=0:0", str(path)], check=True
    )
    return path


def partitioned(path: Path, gpt: bool) -> Path:
    """One ext4 partition at 1 MiB, and a small one before it in the table that holds no file system."""
    inner = ext4(path.with_name("inner")).read_bytes()
    disk = bytearray(START + len(inner) + MIB)
    disk[START : START + len(inner)] = inner
    first, count = START // 512, len(inner) // 512
    disk[510:512] = b"\x55\xaa"
    if gpt:
        disk[446 + 4] = 0xEE
        disk[512:520] = b"EFI PART"
        struct.pack_into("<QII", disk, 512 + 72, 2, 128, 128)
        struct.pack_into("<16s16sQQ", disk, 1024, b"b" * 16, b"u" * 16, 100, 200)
        struct.pack_into("<16s16sQQ", disk, 1024 + 128, b"l" * 16, b"v" * 16, first, first + count - 1)
    else:
        struct.pack_into("<II", disk, 446 + 8, 100, 100)
        struct.pack_into("<II", disk, 446 + 16 + 8, first, count)
    path.write_bytes(disk)
    return path


def as_qcow2(path: Path) -> Path:
    to = path.with_suffix(".qcow2")
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(path), str(to)], check=True)
    return to


IMAGES: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "raw ext4": (lambda d: ext4(d / "base"), "raw", "ext"),
    "raw with an MBR": (lambda d: partitioned(d / "base", False), "raw", "partition"),
    "raw with a GPT": (lambda d: partitioned(d / "base", True), "raw", "partition"),
    "qcow2 ext4": (lambda d: as_qcow2(ext4(d / "base")), "qcow2", "ext"),
    "qcow2 with a GPT": (lambda d: as_qcow2(partitioned(d / "base", True)), "qcow2", "partition"),
}


def stat(disk: int, offset: int, path: str) -> str:
    return image_keys._debugfs(disk, offset, [f"stat {path}"]).decode()


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("view", ["exported", "converted"])
def test_key_in_every_kind_of_image(
    kind: str, view: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if view == "exported" and (os.geteuid() != 0 or not os.path.exists("/dev/fuse")):
        pytest.skip("FUSE needs root here")
    if view == "converted":
        monkeypatch.setattr(root_disk, "raw_view", root_disk._converted)
    make, format_, found = IMAGES[kind]
    base = make(tmp_path)
    before = base.read_bytes()
    disk = tmp_path / "disk"
    root_disk.overlay(base, format_, disk, 1 * GIB)
    assert root_disk.grow_and_authorize(disk, KEY) == found
    assert root_disk.grow_and_authorize(disk, KEY) == found  # each step may run twice
    with root_disk.raw_view(disk) as raw:
        offset = root_disk.find_ext(raw)
        assert offset == (START if found == "partition" else 0)
        assert image_keys.read(raw, offset, image_keys.KEYS) == KEY.encode() + b"\n"
        assert "Mode:  0700" in stat(raw, offset, "/root/.ssh")
        assert "Mode:  0600" in stat(raw, offset, image_keys.KEYS)
        assert "User:     0" in stat(raw, offset, image_keys.KEYS)
        if found == "ext":
            blocks = struct.unpack("<I", os.pread(raw, 4, 1024 + 4))[0]
            size = blocks * (1024 << struct.unpack("<I", os.pread(raw, 4, 1024 + 24))[0])
            assert size == 1 * GIB
    assert base.read_bytes() == before
    checked = subprocess.run(["qemu-img", "check", str(disk)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert not list(tmp_path.glob("*.view")) + list(tmp_path.glob("*.raw"))


def test_keys_that_were_there_stay(tmp_path: Path) -> None:
    base = ext4(tmp_path / "base", {"root/.ssh/authorized_keys": "ssh-rsa OLD theirs\n"})
    root_disk.overlay(base, "raw", tmp_path / "disk", GIB)
    root_disk.grow_and_authorize(tmp_path / "disk", KEY)
    with root_disk.raw_view(tmp_path / "disk") as raw:
        assert image_keys.read(raw, 0, image_keys.KEYS).decode() == f"ssh-rsa OLD theirs\n{KEY}\n"


@pytest.mark.parametrize("gpt", [False, True])
def test_a_journal_that_a_power_cut_left_is_written_before_the_key(gpt: bool, tmp_path: Path) -> None:
    """What an image of a running machine holds: at its first mount the journal would be written over the key."""
    base, block = partitioned(tmp_path / "base", gpt), tmp_path / "block"
    block.write_bytes(b"by the journal".ljust(4096, b"\0"))
    subprocess.run(
        ["debugfs", "-w", f"{base}?offset={START}"],
        input=f"journal_open\njournal_write -b 3000 {block}\njournal_close\n".encode(),
        check=True,
        capture_output=True,
    )
    disk = tmp_path / "disk.qcow2"
    root_disk.overlay(base, "raw", disk, base.stat().st_size)

    def waiting() -> bool:
        with root_disk.raw_view(disk) as view:
            return bool(os.pread(view, 1, START + 1024 + 96)[0] & root_disk.NEEDS_RECOVERY)

    assert waiting()
    assert root_disk.grow_and_authorize(disk, KEY) == "partition"
    assert not waiting()
    with root_disk.raw_view(disk) as view:
        assert KEY.encode() in image_keys.read(view, START, image_keys.KEYS)
        size = 1024 << os.pread(view, 1, START + 1024 + 24)[0]
        assert os.pread(view, 14, START + 3000 * size) == b"by the journal"


def test_an_image_without_a_known_file_system_is_left_alone(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.write_bytes(b"\x07" * MIB)
    root_disk.overlay(base, "raw", tmp_path / "disk", GIB)
    assert root_disk.grow_and_authorize(tmp_path / "disk", KEY) == "other"


def test_a_key_of_two_lines_is_refused(tmp_path: Path) -> None:
    root_disk.overlay(ext4(tmp_path / "base"), "raw", tmp_path / "disk", GIB)
    with pytest.raises(EucaError, match="single line"):
        root_disk.grow_and_authorize(tmp_path / "disk", KEY + "\nssh-rsa MORE")


def test_a_full_file_system_is_told_by_reading_back(tmp_path: Path) -> None:
    base, filler = ext4(tmp_path / "base", size=2 * MIB), tmp_path / "filler"
    filler.write_bytes(os.urandom(4 * MIB))
    subprocess.run(
        ["/usr/sbin/debugfs", "-w", "-R", f"write {filler} filler", str(base)], capture_output=True
    )
    with base.open("r+b") as file:
        os.fchown(file.fileno(), 65534, 65534) if os.geteuid() == 0 else None
        with pytest.raises(EucaError, match="no room, or is damaged"):
            image_keys.authorize(file.fileno(), 0, KEY)


def test_a_damaged_file_system_is_refused_in_time(tmp_path: Path) -> None:
    base = ext4(tmp_path / "base")
    with base.open("r+b") as file:
        file.seek(2048)
        file.write(os.urandom(200_000))
    root_disk.overlay(base, "raw", tmp_path / "disk", GIB)
    with pytest.raises(EucaError) as caught:
        root_disk.grow_and_authorize(tmp_path / "disk", KEY)
    assert caught.value.symbol == "image_refused"


def test_the_declared_format_holds(tmp_path: Path) -> None:
    """A "raw" image with a qcow2 header that names a file of the host shows the guest its header, not the file."""
    (tmp_path / "secret").write_bytes(b"SECRET" * 1000)
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "secret", "-F", "raw", "base", "1M"],
        cwd=tmp_path,
        check=True,
    )
    root_disk.overlay(tmp_path / "base", "raw", tmp_path / "disk", GIB)
    with root_disk.raw_view(tmp_path / "disk") as raw:
        assert os.pread(raw, 4, 0) == b"QFI\xfb"
    with pytest.raises(EucaError, match="'vmdk' cannot be run"):
        root_disk.overlay(tmp_path / "base", "vmdk", tmp_path / "other", GIB)


@pytest.mark.skipif(os.geteuid() != 0, reason="dropping privilege needs it")
def test_tools_run_unprivileged() -> None:
    from euca_rpc.node import confined

    assert confined.run(["id", "-u"]).strip() == b"65534"
    status = confined.run(["cat", "/proc/self/status"]).decode()
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    with pytest.raises(EucaError):
        confined.run(["cat", "/etc/shadow"])


class Source:
    def __init__(self, path: Path) -> None:
        self.path, self.asked = path, 0

    def fetch(self, ref: BlobRef) -> Path:
        self.asked += 1
        return self.path


def spec(**more: object) -> MachineSpec:
    image = BlobRef("emi-00000001", "0" * 64, 16 * MIB, 16 * MIB, "raw", "https://127.0.0.1/x")
    values: dict[str, object] = {
        "instance_id": "i-0000000a",
        "generation": 1,
        "reboots": 0,
        "fresh": True,
        "account_id": "123456789012",
        "cores": 1,
        "memory_mb": 128,
        "disk_gb": 1,
        "architecture": "x86_64",
        "image": image,
        "kernel": None,
        "ramdisk": None,
        "mac": "d0:0d:00:00:00:0a",
        "private_address": "10.0.1.5",
        "public_address": "127.31.0.5",
        "hostname": "ip-10-0-1-5",
        "public_key": KEY,
        "user_data": b"#!/bin/sh\necho hello\n",
    }
    return MachineSpec(**{**values, **more})  # type: ignore[arg-type]


def test_a_machine_is_made_whole_and_only_once(tmp_path: Path) -> None:
    source, folder = Source(ext4(tmp_path / "image")), tmp_path / "i"
    folder.mkdir()
    disks = RealDisks(source)
    assert disks.root(folder) is None
    made = disks.make(spec(), folder, lambda: True, no_crash)
    assert [d.serial for d in made.disks] == ["root", "cidata"]
    root = disks.root(folder)
    assert root is not None
    stamp = root.stat().st_mtime_ns
    source.path.unlink()  # the cache may forget the base: the folder has its own link
    again = disks.make(spec(), folder, lambda: True, no_crash)
    assert again == made
    assert (root.stat().st_mtime_ns, source.asked) == (stamp, 1)
    moved = folder.rename(tmp_path / "aside")
    with root_disk.raw_view(moved / "disk.qcow2") as raw:  # set aside, it still finds its base
        assert KEY.encode() in image_keys.read(raw, 0, image_keys.KEYS)
    listing = subprocess.run(
        ["isoinfo", "-R", "-f", "-i", str(moved / "seed.iso")], capture_output=True, text=True
    )
    assert listing.stdout.split() == ["/meta-data", "/user-data"]
    assert b"CD001" in (moved / "seed.iso").read_bytes()[32768:32780]
    assert (moved / "seed.iso").read_bytes()[32808:32814] == b"cidata"
    assert b"local-hostname: ip-10-0-1-5\n" in (moved / "seed.iso").read_bytes()


class Died(BaseException):
    pass


@pytest.mark.parametrize("point", ["overlaid", "keyed", "disk-made", "fetched", "seeded"])
def test_cut_off_at_any_step_and_done_again(point: str, tmp_path: Path) -> None:
    source, folder = Source(ext4(tmp_path / "image")), tmp_path / "i"
    folder.mkdir()

    def die(at: str) -> None:
        if at == point:
            raise Died

    disks = RealDisks(source)
    with pytest.raises(Died):
        disks.make(spec(), folder, lambda: True, die)
    assert (disks.root(folder) is not None) == (point in ("disk-made", "fetched", "seeded"))
    made = disks.make(spec(), folder, lambda: True, no_crash)
    with root_disk.raw_view(made.disks[0].path) as raw:
        assert image_keys.read(raw, 0, image_keys.KEYS).decode() == KEY + "\n"
    assert sorted(p.name for p in folder.iterdir()) == ["base", "disk.qcow2", "seed.iso"]


def test_a_machine_nobody_wants_any_more_fetches_nothing(tmp_path: Path) -> None:
    source = Source(tmp_path / "image")
    with pytest.raises(Superseded):
        RealDisks(source).make(spec(), tmp_path, lambda: False, no_crash)
    assert source.asked == 0


def test_an_image_larger_than_the_disk_is_refused(tmp_path: Path) -> None:
    large = BlobRef("emi-00000001", "0" * 64, 1, 2 * GIB, "raw", "")
    with pytest.raises(EucaError, match="has 1 GiB"):
        RealDisks(Source(tmp_path)).make(spec(image=large), tmp_path, lambda: True, no_crash)
