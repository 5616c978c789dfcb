"""A machine image that is built from what Debian already installed, in about a second and without privileges.

    busybox-static + dropbear (with its libraries) + five small scripts (guest/)  ──mkfs.ext4 -d──►  disk, 16 MB
    the cloud kernel of /boot                                                     ──copy─────────►  kernel
    busybox + that kernel's virtio drivers + guest/initramfs                      ──newc, gzip───►  ramdisk

What a guest made of it does: takes its address by DHCP on eth0, its host name, keys and user data from a NoCloud
seed disk (label ``cidata``) if there is one, further keys from ``/root/.ssh/authorized_keys``; answers ssh on port 22
for root by key only; powers off on ACPI's power button; prints ``euca test image ready`` on its console.  It runs no
login on the console and has no password.

The same packages give the same bytes (fixed UUID and times), so building twice stores one blob.
"""

from __future__ import annotations

import gzip
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from euca_rpc.errors import EucaError
from euca_rpc.images import newc

DISK_MEGABYTES = 16
EPOCH = 1_700_000_000  # every time stamp in it
READY = "euca test image ready"

# In the order of need; what they depend on is loaded first.  isofs reads the seed, button and evdev the power button.
MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "isofs", "button", "evdev")
PROGRAMS = ("/usr/sbin/dropbear", "/usr/bin/dropbearkey")
FOLDERS = (
    *("bin", "sbin", "dev", "proc", "sys", "run", "tmp", "mnt", "root"),
    *("etc/euca", "etc/dropbear", "etc/acpi/PWRF", "var/log", "var/lib/euca"),
)
BUSYBOX = (Path("/bin/busybox"), Path("/usr/bin/busybox"))
DEBIAN_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TestImage:
    __test__ = False  # a value, whatever pytest makes of its name

    disk: Path  # raw ext4, no partition table
    kernel: Path
    ramdisk: Path
    architecture: str


def build(to: Path, progress: Progress = lambda step: None) -> TestImage:
    """Write ``disk.raw``, ``kernel`` and ``ramdisk`` into the directory ``to``; each appears complete or not at all."""
    architecture = platform.machine()
    version, vmlinuz = kernel(architecture)
    busybox = required_busybox()
    to.mkdir(parents=True, exist_ok=True)
    image = TestImage(to / "disk.raw", to / "kernel", to / "ramdisk", architecture)
    with tempfile.TemporaryDirectory(dir=to, prefix=".build-") as scratch:
        work = Path(scratch)
        progress(f"kernel {version}")
        shutil.copyfile(vmlinuz, work / "kernel")
        progress("ramdisk: busybox and virtio drivers")
        (work / "ramdisk").write_bytes(ramdisk(version, busybox))
        progress("disk: busybox and dropbear")
        tree = work / "tree"
        lay_out(tree, busybox)
        make_disk(tree, work / "disk")
        for part, target in (("kernel", image.kernel), ("ramdisk", image.ramdisk), ("disk", image.disk)):
            (work / part).replace(target)
    return image


def kernel(
    architecture: str, boot: Path = Path("/boot"), modules: Path = Path("/lib/modules")
) -> tuple[str, Path]:
    """The newest of Debian's cloud kernels whose drivers are installed too."""
    flavour = DEBIAN_ARCHITECTURE.get(architecture)
    found = [
        (path.name.removeprefix("vmlinuz-"), path)
        for path in boot.glob(f"vmlinuz-*-cloud-{flavour}")
        if (modules / path.name.removeprefix("vmlinuz-") / "modules.dep").exists()
    ]
    if not found:
        raise missing(
            f"no kernel {boot}/vmlinuz-*-cloud-{flavour} with its drivers", f"linux-image-cloud-{flavour}"
        )
    return max(found, key=lambda item: [int(n) for n in re.findall(r"\d+", item[0])])


def required_busybox() -> Path:
    for path in BUSYBOX:
        if path.exists() and not libraries(path):
            return path
    raise missing("no statically linked busybox", "busybox-static")


def missing(what: str, package: str) -> EucaError:
    return EucaError(
        "unsupported",
        f"The test image cannot be built: there is {what}. Install it: apt-get install {package}",
        facts={"package": package},
    )


# ------------------------------------------------------------------------------------------------------ ramdisk
def ramdisk(version: str, busybox: Path, modules: Path = Path("/lib/modules")) -> bytes:
    drivers = list(driver_files(modules / version))
    applets = (
        "sh",
        "mount",
        "umount",
        "insmod",
        "cat",
        "ls",
        "tr",
        "usleep",
        "sleep",
        "poweroff",
        "switch_root",
    )
    entries = [newc.directory(name) for name in ("bin", "dev", "proc", "sys", "root", "modules")]
    entries += [
        newc.character_device("dev/console", 5, 1),
        newc.file("init", guest_file("initramfs"), 0o755),
        newc.file("bin/busybox", busybox.read_bytes(), 0o755),
        *(newc.link(f"bin/{applet}", "busybox") for applet in applets),
        newc.file("modules/order", "".join(f"{path.name}\n" for path in drivers).encode()),
        *(newc.file(f"modules/{path.name}", path.read_bytes()) for path in drivers),
    ]
    return gzip.compress(newc.archive(entries), compresslevel=6, mtime=0)


def driver_files(directory: Path) -> Iterator[Path]:
    """The drivers and all they depend on, dependencies first, each once; those built into the kernel are skipped."""
    depends: dict[str, tuple[str, list[str]]] = {}
    for line in (directory / "modules.dep").read_text().splitlines():
        file, _, needed_by_it = line.partition(":")
        depends[module_name(file)] = (file, needed_by_it.split())
    builtin = {module_name(line) for line in (directory / "modules.builtin").read_text().splitlines()}
    done: set[str] = set()
    for name in MODULES:
        if name in builtin:
            continue
        if name not in depends:
            raise missing(f"no driver {name} in {directory}", "linux-image-cloud-amd64")
        path, needs = depends[name]
        for needed in [*reversed(needs), path]:
            if needed not in done:
                done.add(needed)
                yield directory / needed


def module_name(path: str) -> str:
    return Path(path).name.split(".")[0].replace("-", "_")


# --------------------------------------------------------------------------------------------------------- disk
def lay_out(tree: Path, busybox: Path) -> None:
    """The root file system as a plain directory."""
    for name in FOLDERS:
        (tree / name).mkdir(parents=True, exist_ok=True)
    (tree / "root").chmod(0o700)

    place(tree, busybox, "bin/busybox")
    listed = subprocess.run([busybox, "--list-full"], capture_output=True, text=True, check=True, timeout=10)
    for applet in listed.stdout.split():
        target = tree / applet
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.symlink_to("/bin/busybox")
    for wanted in ("bin/sh", "sbin/init", "bin/acpid"):
        if not (tree / wanted).is_symlink():
            (tree / wanted).symlink_to("/bin/busybox")

    for program in PROGRAMS:
        if not Path(program).exists():
            raise missing(f"no {program}", "dropbear-bin")
        place(tree, Path(program), program[1:])
        for library in libraries(Path(program)):
            place(tree, library, str(library)[1:])

    for name in ("start", "ready", "dhcp"):
        write(tree / "etc/euca" / name, guest_file(name), 0o755)
    write(tree / "etc/inittab", guest_file("inittab"))
    write(tree / "etc/acpi/PWRF/00000080", b"#!/bin/sh\npoweroff\n", 0o755)
    write(tree / "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    write(tree / "etc/shadow", b"root:*:19000:0:99999:7:::\n", 0o600)  # no password opens it
    write(tree / "etc/group", b"root:x:0:\n")
    write(tree / "etc/shells", b"/bin/sh\n")
    write(tree / "etc/hostname", b"euca\n")
    write(tree / "etc/hosts", b"127.0.0.1 localhost\n")
    write(tree / "etc/profile", b"export PATH=/bin:/sbin:/usr/bin:/usr/sbin\n")


def make_disk(tree: Path, disk: Path) -> None:
    """4 KiB blocks: such a file system of 16 MB can be grown to terabytes, one of 1 KiB blocks cannot."""
    fixed = "11e0ca00-0000-4000-8000-000000000001"
    for path in (tree, *tree.rglob("*")):
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
    options = f"root_owner=0:0,hash_seed={fixed},lazy_itable_init=0"
    run(
        [
            *("mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-L", "euca"),
            *("-U", fixed, "-E", options, "-d", str(tree), str(disk), f"{DISK_MEGABYTES}M"),
        ]
    )
    # mkfs took over two things that nobody can choose for a file: the builder's number, where ssh refuses keys in
    # directories that are not root's, and the time of the last change.  Inodes are numbered from 12, behind lost+found.
    inodes = [2, *range(12, 12 + len(list(tree.rglob("*"))))]
    fields = (("uid", "0"), ("gid", "0"), ("ctime", f"@{EPOCH}"))
    with tempfile.NamedTemporaryFile("w", dir=disk.parent, suffix=".debugfs") as script:
        script.write("".join(f"sif <{inode}> {name} {value}\n" for inode in inodes for name, value in fields))
        script.flush()
        run(["debugfs", "-w", "-f", script.name, str(disk)])


def run(command: list[str]) -> None:
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    environment = {**os.environ, "PATH": search, "E2FSPROGS_FAKE_TIME": str(EPOCH), "LC_ALL": "C"}
    program = shutil.which(command[0], path=search)
    if program is None:
        raise missing(f"no {command[0]}", "e2fsprogs")
    done = subprocess.run(
        [program, *command[1:]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise EucaError(
            "internal", f"{command[0]} failed while building the test image: {done.stderr.strip()[-500:]}"
        )


def place(tree: Path, source: Path, name: str) -> None:
    target = tree / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copyfile(source, target)
        target.chmod(0o755)


def write(path: Path, data: bytes, mode: int = 0o644) -> None:
    path.write_bytes(data)
    path.chmod(mode)


def guest_file(name: str) -> bytes:
    return (files("euca_rpc.images") / "guest" / name).read_bytes()


def libraries(program: Path) -> list[Path]:
    """What the dynamic loader would load, the loader included; empty for a static program."""
    done = subprocess.run(["ldd", str(program)], capture_output=True, text=True, timeout=10)
    return [Path(match) for match in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", done.stdout, re.MULTILINE)]
