"""The steps of one machine, from a spec to a domain's plan.

    fetch images → root disk (overlay, grown, key put in) → seed disk → network → plan

Each step may run twice and may be cut off anywhere.  The root disk is made under another name and renamed when it is
complete, so *a disk that exists is a finished disk*; an unfinished one never ran and is made anew.  A spec that is not
fresh only ever uses the disk that is there.  Disks are a strategy: real ones (`disks.RealDisks`), or none for
hypervisors whose machines boot nothing, which still leaves a file so that all the rules about disks hold there too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from euca_rpc.errors import EucaError
from euca_rpc.machines import BlobRef, MachineSpec
from euca_rpc.node.hypervisor import Disk, DomainPlan, Mark
from euca_rpc.node.log import sync_folder
from euca_rpc.node.network import Network
from euca_rpc.types import Size

CONSOLE = "console.log"
STAND_IN = 1 << 20  # bytes

Crash = Callable[[str], None]  # called between steps with the name of the point; tests kill there


def no_crash(point: str) -> None:
    return


class ImageSource(Protocol):
    def fetch(self, ref: BlobRef) -> Path:
        """Blocking; a local file whose SHA-256 was checked.  Cached; safe to call from several threads."""
        ...


class Superseded(Exception):
    """Something newer was asked for this instance while it was being prepared."""


@dataclass(frozen=True, slots=True)
class Made:
    """The files of a machine that the domain is given."""

    disks: tuple[Disk, ...]
    kernel: Path | None = None
    ramdisk: Path | None = None


class Disks(Protocol):
    @property
    def format(self) -> str:
        """Of what `copy_root` makes: "qcow2" or "raw"."""
        ...

    def root(self, folder: Path) -> Path | None:
        """The finished root disk in ``folder``, if there is one."""
        ...

    def make(self, spec: MachineSpec, folder: Path, wanted: Callable[[], bool], crash: Crash) -> Made:
        """Everything the domain needs, making what is missing.  Raises Superseded when not ``wanted`` any more."""
        ...

    def copy_root(
        self,
        spec: MachineSpec,
        folder: Path,
        to: Path,
        wanted: Callable[[], bool],
        by_hypervisor: Callable[[Path], None] | None,
    ) -> None:
        """A copy of the root disk, whole and without a base, at ``to``, which is not there yet: made ``by_hypervisor`` if
        the machine runs.  Refuses (capacity_exhausted) if it may not fit there; raises Superseded when not ``wanted``."""
        ...


class NoDisks:
    """For hypervisors that boot nothing: images are not fetched, the root disk is an empty file."""

    format = "raw"

    def root(self, folder: Path) -> Path | None:
        path = folder / "disk.none"
        return path if path.exists() else None

    def make(self, spec: MachineSpec, folder: Path, wanted: Callable[[], bool], crash: Crash) -> Made:
        if self.root(folder) is None:
            (folder / "disk.none").touch()
            crash("disk-made")
        return Made(())

    def copy_root(
        self,
        spec: MachineSpec,
        folder: Path,
        to: Path,
        wanted: Callable[[], bool],
        by_hypervisor: Callable[[Path], None] | None,
    ) -> None:
        if by_hypervisor is not None:
            by_hypervisor(to)
        else:
            stand_in(to, spec.instance_id)


def stand_in(to: Path, instance_id: str) -> None:
    """What is copied where there is no disk: a raw one that names its machine."""
    to.write_bytes(f"the disk of {instance_id}, which has none".encode().ljust(STAND_IN, b"\0"))


def finish_disk(unfinished: Path, finished: Path) -> None:
    """From here on the machine's disk exists, also after a power cut."""
    handle = os.open(unfinished, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(unfinished, finished)
    sync_folder(finished.parent)


def prepare(
    spec: MachineSpec,
    mark: Mark,
    folder: Path,
    disks: Disks,
    network: Network,
    wanted: Callable[[], bool],
    crash: Crash,
) -> DomainPlan:
    """All steps but the start.  Raises EucaError, or Superseded."""
    if not spec.fresh and disks.root(folder) is None:
        raise EucaError("state_conflict", no_disk_sentence(spec))
    made = disks.make(spec, folder, wanted, crash)
    if not wanted():
        raise Superseded
    plan = network.prepare(spec)
    network.ensure(spec, plan)
    crash("network-ready")
    return DomainPlan(
        mark=mark,
        name=spec.instance_id,
        mac=spec.mac,
        size=Size(spec.cores, spec.memory_mb, spec.disk_gb),
        architecture=spec.architecture,
        disks=made.disks,
        network=plan,
        console=folder / CONSOLE,
        kernel=made.kernel,
        ramdisk=made.ramdisk,
        cmdline=CMDLINE if made.kernel else "",
    )


# what was measured to boot fastest under TCG, and is harmless under KVM and Xen
CMDLINE = "console=ttyS0 root=/dev/vda rw quiet mitigations=off no_timer_check nokaslr panic=-1"


def no_disk_sentence(spec: MachineSpec) -> str:
    return (
        f"Generation {spec.generation} of {spec.instance_id} is to go on with the disk it had, but that disk is not on "
        "this node. Nothing was made in its place; the data is where the instance ran before, or lost."
    )


def console_tail(folder: Path, limit: int = 64 * 1024) -> bytes:
    """The last ``limit`` bytes of the console, reaching back into the file that rotation put aside."""
    text = b""
    for name in (CONSOLE, f"{CONSOLE}.0"):
        path = folder / name
        if len(text) >= limit or not path.exists():
            break
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - (limit - len(text))))
            text = file.read(limit - len(text)) + text
    return text
