"""What a policy sees and what it may say.  Frozen values; a policy is a set of pure functions over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from immutables import Map

from euca_rpc.clock import Micros
from euca_rpc.frozen import quick
from euca_rpc.types import Instance, InstanceLease, Reservation, Size


# ----------------------------------------------------------------------------------------------- what is seen
@quick
@dataclass(frozen=True, slots=True)
class Launch:
    """One request for machines, as admission and leases see it.  What follows from hints: `policy.hints`."""

    account_id: str
    user_id: str
    vm_type: str
    size: Size
    architecture: str
    min_count: int
    max_count: int
    zone: str | None = None
    service_class: str = "regular"
    priority: int = 0
    hints: Mapping[str, str] = field(default_factory=dict)
    start: Micros | None = None  # the moment at which it is to begin; None: as soon as it can
    min_duration: Micros | None = None  # its machines are wanted for so long
    max_duration: Micros | None = None  # and no longer than so long
    bid: float | None = None  # the highest price that is paid
    wait: Micros | None = None  # how long its user is ready to wait; None: nothing was said of it
    reservation_id: str = ""  # of a launch that waits


@quick
@dataclass(frozen=True, slots=True)
class LaunchClass:
    """All that a cached feasibility or score may depend on.  Never user, id or time; keep classes few."""

    vm_type: str
    size: Size = field(hash=False)  # nearly always what the type says; hashed for each placement
    architecture: str
    zone: str | None = None
    service_class: str = "regular"
    hints: tuple[tuple[str, str], ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class Target:
    """A node as placement sees it.  Any change raises `version`."""

    id: str  # "zone/host"
    zone: str
    architecture: str
    offer: Size
    claimed: Size
    usable: bool  # active, compatible, and heard of: an unusable one is ruled out by the core, with `why`
    why: str = ""  # "drained by an administrator", "silent since 10:31:05Z" …
    last_used: int = 0  # ordinal of the last placement here, over the whole cloud; durable
    machines: int = 0
    batch: int = 0  # of the launch being placed: how many of its machines were given to this target so far
    attributes: Mapping[str, str] = field(default_factory=dict)
    version: int = 0
    power: str = (
        "on"  # "on" | "sleeping" (told to) | "asleep" | "waking"; "": an administrator keeps it out of use
    )
    power_since: Micros = 0
    sleeps: bool = False  # it can be put to sleep
    drained_by: str = ""  # the policy that drained it; "": nobody, or an administrator
    room: Size = field(init=False, repr=False, compare=False)  # what is offered and not claimed

    def __post_init__(self) -> None:
        object.__setattr__(self, "room", self.offer - self.claimed)


@quick
@dataclass(frozen=True, slots=True)
class Tally:
    """What an account or a user holds: machines that run, are stopped, or wait."""

    instances: int = 0
    size: Size = field(default_factory=Size)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A launch that was told to wait: its instances are there, pending, and on no node."""

    reservation_id: str
    launch: Launch
    instance_ids: tuple[str, ...]
    since: Micros
    again: Micros  # it is asked again at the latest
    until: Micros  # it is given up
    policy: str  # who holds it; "": nobody, there is no room
    reason: str


@quick
@dataclass(frozen=True, slots=True)
class PolicyView:
    """The frozen world of one call."""

    now: Micros
    targets: Mapping[str, Target]
    totals: Mapping[str, float] = field(default_factory=dict)  # durable counters, see `account`
    published: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0  # for random.Random(seed): the same snapshot gives the same proposal
    instances: Mapping[str, Instance] = Map()  # also those that ended within the hour (`ended_at`)
    reservations: Mapping[str, Reservation] = Map()  # with the hints of the launch that made them
    leases: Mapping[str, InstanceLease] = Map()  # by instance: until when it may run
    waiting: Mapping[str, Waiting] = Map()  # by reservation
    usage: Mapping[str, Tally] = Map()  # by "account/ID" and "user/ID": what each holds now


class Snapshot(Protocol):
    """What the engine needs of the cloud's view to keep its cached scores right without walking all nodes."""

    @property
    def number(self) -> int: ...

    @property
    def targets(self) -> Mapping[str, Target]: ...

    def targets_changed(self, since: int) -> Iterable[str] | None:
        """Ids of the targets that changed after snapshot ``since``; None = too long ago, look at all."""
        ...


# ------------------------------------------------------------------------------------------------ what is said
@quick
@dataclass(frozen=True, slots=True)
class No:
    reason: str  # a sentence for the user
    kind: str = "policy"  # groups refusals in `euca explain`


@dataclass(frozen=True, slots=True)
class Wait:
    reason: str  # a sentence for the user
    until: Micros  # ask again then, or earlier if something changed
    firm: bool = False  # not earlier: the policy's own `tend` lets it go


@dataclass(frozen=True, slots=True)
class Held:
    """Who says that a launch is to wait."""

    policy: str
    wait: Wait


@dataclass(frozen=True, slots=True)
class Lease:
    """Machines may run until a moment of cloud time; their user is warned once before, at ``warn``."""

    until: Micros
    warn: Micros | None = None  # None: nobody is warned
    then: str = "terminate"  # or "stop"


@dataclass(frozen=True, slots=True)
class Entry:
    """An amount added to a durable counter, as of the event's own moment; exactly once (`cloud.totals`)."""

    key: str  # seen as "policy.key" in `PolicyView.totals`
    amount: float
    half_life: Micros | None = None  # after so long half of it is left; None: it stays


# --------------------------------------------------------------------------------------- what the engine answers
@quick
@dataclass(frozen=True, slots=True)
class Placement:
    """A proposal: one node id per machine, in launch order; between min_count and max_count of them."""

    nodes: tuple[str, ...]
    policy: str


@dataclass(frozen=True, slots=True)
class Granted:
    """The lease that ends first of all that were given, and whose word it is."""

    policy: str
    lease: Lease


@quick
@dataclass(frozen=True, slots=True)
class RuledOut:
    """Why one target did not get a machine; kept as data, read by `euca explain`."""

    target: str
    kind: str  # "zone" "architecture" "unusable" "room" "policy"
    reason: str
