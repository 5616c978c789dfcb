"""What interfaces get to see: what is kept, together with the state and the reach that the latest news make of it."""

from __future__ import annotations

from dataclasses import dataclass

from euca_rpc.clock import Micros
from euca_rpc.types import Instance, Reservation, VmType


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether somebody answers, and since when not."""

    up: bool
    silent_since: Micros | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class TypeRoom:
    """Slots of one VM type in a zone: free now, and when empty."""

    vm_type: VmType
    free: int
    total: int


@dataclass(frozen=True, slots=True)
class ZoneStatus:
    name: str
    reach: Reach
    rooms: tuple[TypeRoom, ...]  # in the order of the types
    nodes: tuple[
        tuple[str, Reach], ...
    ] = ()  # node host → reach; empty unless the caller is an administrator


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """An instance with the state that the two facts make of it (`cloud.lifecycle.state`)."""

    instance: Instance
    state: str  # pending running shutting-down terminated stopping stopped
    reachable: bool = True
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Transition:
    instance_id: str
    previous: str
    current: str


@dataclass(frozen=True, slots=True)
class Launched:
    reservation: Reservation
    instances: tuple[InstanceStatus, ...]


@dataclass(frozen=True, slots=True)
class Console:
    instance_id: str
    text: bytes
    at: Micros
