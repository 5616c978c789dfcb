"""What a node asks of whatever makes machines run.

A handful of methods, so that a new hypervisor is a small file: libvirt (`libvirt_driver`: KVM, QEMU/TCG, Xen and
`test:///`) and a simulated one (`simulated`) whose state is a file and whose faults are configuration.  One contract
suite (tests/conformance/test_hypervisor.py) runs against all of them.

Promises a driver makes:
* it only ever lists, stops or removes what carries a mark, except that `domains` also counts foreign ones;
* `start` of a running domain of the same instance and generation does nothing; `stop` of an absent one does nothing;
* an error is an EucaError whose sentence a person can act on; "libvirt does not answer" is symbol ``unreachable`` and
  is never reported as "no domains".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from euca_rpc.types import Size


@dataclass(frozen=True, slots=True)
class Mark:
    """Ours: written into the domain's metadata under our own XML namespace."""

    cloud_id: str
    node_id: str
    instance_id: str
    generation: int


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain as the hypervisor lists it now."""

    name: str
    mark: Mark | None  # None: foreign; only its size counts
    running: bool
    size: Size
    end: str = ""  # types.End when it is listed but not running


@dataclass(frozen=True, slots=True)
class Disk:
    path: Path
    format: str  # "qcow2" | "raw"
    serial: str  # how the guest's disk is identified; target names are ignored by guests
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Forward:
    """User mode: host_address:host_port → guest's port."""

    host_address: str
    host_port: int
    guest_port: int


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """What `network.prepare` decided; the domain's interface is made from it."""

    mode: str  # "user" | "none" (bridged modes add theirs)
    mac: str
    guest_address: str = ""
    guest_network: str = ""  # "10.1.2.0/24"
    forwards: tuple[Forward, ...] = ()


@dataclass(frozen=True, slots=True)
class DomainPlan:
    """Everything a domain's XML is a pure function of (with the driver's virtualisation type)."""

    mark: Mark
    name: str  # the instance id
    mac: str
    size: Size
    architecture: str
    disks: tuple[Disk, ...]  # root first
    network: NetworkPlan
    console: Path  # file the serial console is logged to
    kernel: Path | None = None
    ramdisk: Path | None = None
    cmdline: str = ""


@dataclass(frozen=True, slots=True)
class HostFacts:
    hypervisor: str  # "kvm" | "qemu" | "xen" | "test" | "simulated"
    architecture: str
    cores: int
    memory_mb: int
    boot_id: str
    warnings: tuple[str, ...] = field(default=())


class Hypervisor(Protocol):
    def facts(self) -> HostFacts: ...

    def domains(self) -> list[Domain]:
        """All domains, ours and foreign.  Raises EucaError("unreachable", …) rather than guess."""
        ...

    def start(self, plan: DomainPlan) -> None:
        """Define and start.  Idempotent for the same mark; refuses a name that carries another node's mark."""
        ...

    def stop(self, mark: Mark) -> None:
        """Destroy and undefine; disks stay.  Idempotent.  Refuses a domain with another node's mark."""
        ...

    def reboot(self, mark: Mark) -> None:
        """Reset; the same domain goes on with the same disks."""
        ...

    def copy_root(self, mark: Mark, to: Path, wanted: Callable[[], bool]) -> None:
        """Copy the running machine's root disk, as it is at one moment, whole and without a base, to the file ``to``, which
        is not there yet.  The machine runs on.  Blocking, for as long as it takes; raises Superseded when not ``wanted``
        any more, ``unavailable`` if the machine ended meanwhile, ``unsupported`` if it has to be stopped first.
        What an error leaves there is of no use."""
        ...

    def listen(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` (from any thread) when some domain started or ended; a hint, may be lost."""
        ...

    def close(self) -> None: ...
