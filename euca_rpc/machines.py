"""What crosses to a node (MachineSpec, with a BlobRef for each of its blobs; CaptureOrder) and what comes back
(MachineReport, CaptureReport, NodeReport)."""

from __future__ import annotations

from dataclasses import dataclass, field

from euca_rpc.clock import Micros
from euca_rpc.frozen import quick
from euca_rpc.types import Size


@quick
@dataclass(frozen=True, slots=True)
class BlobRef:
    """Where a node gets an image: content address, declared format, and a ticket for this node alone."""

    image_id: str
    sha256: str
    bytes: int
    virtual_bytes: int
    format: str
    url: str
    ticket: str = field(default="", repr=False)


@quick
@dataclass(frozen=True, slots=True)
class MachineSpec:
    """All a node needs to make one generation of an instance run.  Complete: the node asks nobody back."""

    instance_id: str
    generation: int
    reboots: int
    fresh: bool  # True: no disk may exist yet.  False: it must, a missing one is a failure, never a new disk
    account_id: str
    cores: int
    memory_mb: int
    disk_gb: int
    architecture: str
    image: BlobRef
    kernel: BlobRef | None
    ramdisk: BlobRef | None
    mac: str
    private_address: str
    public_address: str
    hostname: str
    public_key: str = ""
    user_data: bytes = field(default=b"", repr=False)


@quick
@dataclass(frozen=True, slots=True)
class MachineReport:
    instance_id: str
    generation: int
    reboots: int
    seen: str  # Seen
    end: str = ""  # End, when seen is stopped
    detail: str = ""
    private_address: str = ""
    public_address: str = ""
    since: Micros = 0


@dataclass(frozen=True, slots=True)
class CaptureOrder:
    """A machine's root disk is to be copied and put into the image store, as what the ticket says."""

    image_id: str
    instance_id: str
    generation: int
    architecture: str
    most_bytes: int
    url: str  # https://host:port of the image server
    ticket: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class CaptureReport:
    image_id: str
    state: str  # "working" | "done" | "failed"
    detail: str = ""
    receipt: str = field(default="", repr=False)  # the image server's, when done: all that is believed of it


@quick
@dataclass(frozen=True, slots=True)
class NodeReport:
    """Complete: a machine that is not in it is unknown to the node."""

    node: str  # node id
    boot_id: str
    hypervisor: str  # "kvm" | "qemu" | "xen" | "test" | "simulated"
    architecture: str
    offer: Size  # capacity × ratios − reserve − foreign domains
    version: int  # raised by every change, restarts at a random number when the daemon does
    machines: tuple[MachineReport, ...] = ()
    warnings: tuple[str, ...] = ()
    captures: tuple[CaptureReport, ...] = ()  # that it was not told to forget yet
    sleeps: bool = False  # it can be put to sleep
    mac: str = ""  # what wakes it then
    now: Micros = 0  # by the node's clock, when it said this
