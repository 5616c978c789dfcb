"""The values that travel between the stages.  All frozen; nothing here has behaviour beyond arithmetic on itself.

Reading order: who asks (Caller), what is wanted (LaunchRequest), what is kept (Image, KeyPair, Node, Instance …).
What crosses to a node and back is in `machines`, what interfaces get to see in `shown`.

Everything kept in the store is a dataclass whose fields are str, int, float, bool, bytes or None, or a tuple of str/int, or
a mapping of str to str: `cloud.store` maps them to tables field by field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from immutables import Map

from euca_rpc.clock import Micros
from euca_rpc.frozen import quick


# ---------------------------------------------------------------------------------------------------- sizes
@quick
@dataclass(frozen=True, slots=True)
class Size:
    """What a machine needs and what a node offers.  memory in MiB, disk in GiB."""

    cores: int = 0
    memory_mb: int = 0
    disk_gb: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(self.cores + other.cores, self.memory_mb + other.memory_mb, self.disk_gb + other.disk_gb)

    def __sub__(self, other: Size) -> Size:
        return Size(self.cores - other.cores, self.memory_mb - other.memory_mb, self.disk_gb - other.disk_gb)

    def fits(self, room: Size) -> bool:
        """Fitting is core arithmetic, never a plugin's."""
        return self.cores <= room.cores and self.memory_mb <= room.memory_mb and self.disk_gb <= room.disk_gb

    def times(self, n: int) -> Size:
        return Size(self.cores * n, self.memory_mb * n, self.disk_gb * n)

    def count_in(self, room: Size) -> int:
        """How many of this size fit into ``room`` (0 if any dimension is short)."""
        counts = [r // s for s, r in zip(self.parts(), room.parts(), strict=True) if s > 0]
        return max(0, min(counts)) if counts else 0

    def parts(self) -> tuple[int, int, int]:
        return self.cores, self.memory_mb, self.disk_gb


_sized = lru_cache(4096)(Size)  # machines are of few sizes, which are asked for all the time


# ------------------------------------------------------------------------------------------------ who asks
@quick
@dataclass(frozen=True, slots=True)
class Caller:
    """Who the signature or the certificate proves.  Never built from a field of a message."""

    user_id: str
    user_name: str
    account_id: str
    is_admin: bool
    origin: str = ""  # "ec2", "cli", "portal": where the request came in
    request_id: str = ""


# ----------------------------------------------------------------------------------------------- accounts
@dataclass(frozen=True, slots=True)
class Account:
    id: str  # 12 digits
    name: str
    created_at: Micros


@dataclass(frozen=True, slots=True)
class Profile:
    """What people tell of themselves; only the e-mail address is needed."""

    full_name: str = ""
    email: str = ""
    telephone: str = ""
    project_leader: str = ""
    affiliation: str = ""
    project_description: str = ""


class UserStatus(StrEnum):
    UNCONFIRMED = "unconfirmed"  # approved; has yet to show that mail reaches them
    ACTIVE = "active"
    DISABLED = "disabled"
    DELETED = "deleted"  # the row stays: neither the id nor the name is used again


@dataclass(frozen=True, slots=True)
class User:
    id: str
    name: str
    account_id: str
    is_admin: bool
    status: UserStatus
    created_at: Micros
    email: str = ""
    full_name: str = ""
    telephone: str = ""
    project_leader: str = ""
    affiliation: str = ""
    project_description: str = ""

    @property
    def enabled(self) -> bool:
        """Whether keys, certificates and sessions count."""
        return self.status is UserStatus.ACTIVE


@dataclass(frozen=True, slots=True)
class Password:
    id: str  # of its user
    hash: str = field(repr=False)  # `cloud.passwords`
    set_at: Micros


@dataclass(frozen=True, slots=True)
class Link:
    """What a mailed link opens, once; a newer one of the same purpose takes its place."""

    id: str  # "activate/USERID", "recover/USERID"
    token_hash: str = field(repr=False)
    expires_at: Micros


@dataclass(frozen=True, slots=True)
class Session:
    id: str  # SHA-256 of its token
    user_id: str
    address: str
    began_at: Micros
    seen_at: Micros  # not to the minute: not every request is written down
    ends_at: Micros
    failures: int = 0
    first_steps: bool = False


@dataclass(frozen=True, slots=True)
class Mail:
    """One that waits to be sent; the row goes when the mail server has taken it.  Kept by the store alone."""

    id: str  # also of its Message-ID, which therefore never changes
    to: str
    kind: str  # of its template
    sealed: bytes = field(repr=False)  # subject and text as JSON: they carry links
    queued_at: Micros
    attempts: int = 0
    next_try: Micros | None = 0  # None: given up, until an administrator says otherwise
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Application:
    """Somebody asks for an account.  No user yet: the name is only wished for, and others may wish for the same."""

    id: str  # "req-" + 16 hex digits
    user_name: str
    password: str = field(repr=False)  # its hash (`cloud.passwords`)
    address: str  # where it came from
    applied_at: Micros
    full_name: str = ""
    email: str = ""
    telephone: str = ""
    project_leader: str = ""
    affiliation: str = ""
    project_description: str = ""
    decided_at: Micros | None = None
    decision: str = ""  # "approved" | "rejected"


@dataclass(frozen=True, slots=True)
class AccessKey:
    id: str  # what the client sends
    user_id: str
    sealed_secret: bytes = field(repr=False)  # encrypted under a key outside the database
    enabled: bool = True
    created_at: Micros = 0


@dataclass(frozen=True, slots=True)
class Certificate:
    """A user's X.509 certificate for SOAP; looked up by its exact bytes' SHA-256."""

    id: str  # hex SHA-256 of der
    user_id: str
    der: bytes = field(repr=False)
    enabled: bool = True
    created_at: Micros = 0


@quick
@dataclass(frozen=True, slots=True)
class Quota:
    """Limits of one account or one user; -1 = no limit.  Both must hold."""

    id: str  # "account/123456789012", "user/USERID", "default/account", "default/user"
    instances: int = -1
    cores: int = -1
    memory_mb: int = -1
    disk_gb: int = -1

    @property
    def unlimited(self) -> bool:
        return self.instances < 0 and self.cores < 0 and self.memory_mb < 0 and self.disk_gb < 0


# ------------------------------------------------------------------------------------- what can be launched
@dataclass(frozen=True, slots=True)
class VmType:
    name: str
    cores: int
    memory_mb: int
    disk_gb: int
    position: int = 0  # order in lists; the first is "the smallest" that zone states count

    @property
    def size(self) -> Size:
        return _sized(self.cores, self.memory_mb, self.disk_gb)


@dataclass(frozen=True, slots=True)
class Image:
    id: str  # emi-/eki-/eri-
    kind: str  # "machine" | "kernel" | "ramdisk"
    name: str
    account_id: str
    created_by: str
    sha256: str
    bytes: int  # size of the blob
    virtual_bytes: int  # size of the disk inside (qcow2), = bytes for raw
    format: str  # "raw" | "qcow2": declared, recorded, never probed
    architecture: str  # "x86_64" | "aarch64" …
    kernel_id: str | None = None
    ramdisk_id: str | None = None
    public: bool = True  # launch permission of group "all"
    created_at: Micros = 0
    removed_at: Micros | None = None
    launch_accounts: tuple[str, ...] = ()  # account numbers that may launch it besides its owner
    # "available"; made from a machine: first "pending", with a `Capture`, or for good "failed"; "disabled": not to be launched
    state: str = "available"
    reason_code: str = ""  # why it is not available
    reason: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class NewImage:
    """What an upload is declared to be, and who may launch it."""

    name: str
    kind: str
    format: str
    architecture: str
    kernel_id: str | None = None
    ramdisk_id: str | None = None
    public: bool = False


@dataclass(frozen=True, slots=True)
class Capture:
    """A machine's disk is to become the pending image of the same id; gone when that is available or failed."""

    id: str
    instance_id: str
    generation: int  # of the instance when it was asked for; a later one goes on with the same disk
    node: str
    most_bytes: int  # of the blob: the disk in full, and what its format adds
    deadline: Micros
    attempts: int = 0
    next_try: Micros = 0
    accepted: bool = False  # the node mentions it
    detail: str = ""  # what the node last said of it


@dataclass(frozen=True, slots=True)
class KeyPair:
    id: str  # "key-" + 8 hex digits (KeyPairId)
    account_id: str
    created_by: str
    name: str
    public_key: str  # OpenSSH one-line form
    fingerprint: str
    key_type: str  # "rsa" | "ed25519"
    created_at: Micros = 0


# ------------------------------------------------------------------------------------------------- launch
@quick
@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """A RunInstances after parsing and defaults; what a ClientToken's hash is taken over."""

    image_id: str
    min_count: int = 1
    max_count: int = 1
    vm_type: str = "m1.small"
    key_name: str | None = None
    zone: str | None = None
    kernel_id: str | None = None
    ramdisk_id: str | None = None
    user_data: bytes = field(default=b"", repr=False)
    client_token: str | None = None
    shutdown_behavior: str = "terminate"  # "terminate" | "stop"
    service_class: str = "regular"  # "regular" | "best_effort"
    hints: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()  # put on every instance that the launch makes
    protected: bool = False  # none of them is terminated before this is taken back


class Intent(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"
    TERMINATED = "terminated"


class Seen(StrEnum):
    """What the node last said of a machine."""

    NOTHING = "nothing"  # never mentioned
    PREPARING = "preparing"  # accepted: image, disk, key, domain under way
    RUNNING = "running"
    STOPPED = "stopped"  # no domain; the disk is there
    FAILED = "failed"  # it could not be made; `detail` says why
    ABSENT = "absent"  # a tombstone: no domain, no disk, and no older generation will be started


class End(StrEnum):
    """Why a domain is not running although it once was."""

    GUEST = "guest"  # powered off from inside
    HOST = "host"  # the host lost power or rebooted
    CRASHED = "crashed"  # QEMU died, guest panicked
    ASKED = "asked"  # we stopped it
    UNKNOWN = "unknown"


@quick
@dataclass(frozen=True, slots=True)
class Instance:
    """One row, two facts: `intent`… is written by the cloud controller alone, `seen`… is what the node said."""

    id: str
    reservation_id: str
    account_id: str
    created_by: str  # user id
    launch_index: int
    image_id: str
    kernel_id: str | None
    ramdisk_id: str | None
    architecture: str
    vm_type: str
    cores: int
    memory_mb: int
    disk_gb: int
    zone: str
    node: str  # node id "zone/host"
    key_name: str | None
    public_key: str
    user_data: bytes = field(repr=False)
    mac: str
    private_address: str
    public_address: str
    client_token: str | None
    shutdown_behavior: str
    service_class: str
    launched_at: Micros
    # what is wanted
    intent: Intent = Intent.RUNNING
    generation: int = 1
    reboots: int = 0
    attempts: int = 0  # ensure/absent calls sent for this generation and intent; written before the call
    next_try: Micros = 0
    deadline: Micros | None = None
    reason_code: str = ""
    reason: str = ""
    # what was seen
    seen: Seen = Seen.NOTHING
    seen_generation: int = 0
    seen_reboots: int = 0
    seen_end: str = ""
    seen_detail: str = ""
    seen_at: Micros = 0
    restarts: tuple[int, ...] = ()  # moments of restarts after a host loss or crash, at most the last hour's
    ended_at: Micros | None = None  # set once: nothing of it is left anywhere
    running_since: Micros | None = None
    attempted: bool = False  # an ensure of this generation was ever sent: it must not be placed elsewhere
    version: int = 0  # raised by every change: what a rendered fragment is cached under
    protected: bool = False  # terminate is refused until this is taken back

    @property
    def size(self) -> Size:
        return _sized(self.cores, self.memory_mb, self.disk_gb)


@dataclass(frozen=True, slots=True)
class InstanceLease:
    """How long an instance may run (`cloud.leases`).  The row goes when the lease is over."""

    id: str  # of the instance
    policy: str  # whose word it is
    until: Micros
    then: str  # "terminate" | "stop"
    granted: Micros  # until when the policy gave it, before it was extended
    ahead: Micros | None = None  # so long before the end its user is warned; None: not at all
    warned: bool = False
    evicted: str = ""  # why a policy wants the machine back; "": a lease like any other
    noticed: Micros | None = None  # when the user was told of that

    @property
    def due(self) -> Micros:
        """The next moment at which something is to be done."""
        return self.until if self.warned or self.ahead is None else self.until - self.ahead


@quick
@dataclass(frozen=True, slots=True)
class Reservation:
    id: str
    account_id: str
    created_by: str
    instance_ids: tuple[str, ...]
    created_at: Micros
    hints: Mapping[str, str] = field(default_factory=dict)  # of the launch, for policies


@dataclass(frozen=True, slots=True)
class WaitingLaunch:
    """A reservation whose machines are on no node yet (`cloud.waiting`).  The row goes when they are placed or ended."""

    id: str  # of the reservation
    since: Micros
    again: Micros  # it is asked again at the latest
    until: Micros  # it is given up
    policy: str  # who holds it; "": nobody, there is no room
    reason: str
    least: int  # machines below which it is not placed
    zone: str | None = None  # that the launch named
    passed: str = ""  # a policy that let it go ahead, and is not asked again
    firm: bool = False  # not asked before `again`, whatever changes


@dataclass(frozen=True, slots=True)
class Tag:
    """A word that its owner put on a resource; means nothing to the core."""

    id: str  # resource id/key
    resource_id: str
    account_id: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Upload:
    """A blob in the cloud's own store that may be registered as an image; `id` is its location."""

    id: str
    account_id: str
    sha256: str
    bytes: int
    virtual_bytes: int
    format: str
    kind: str
    architecture: str
    created_at: Micros = 0


@quick
@dataclass(frozen=True, slots=True)
class Token:
    """A remembered ClientToken."""

    id: str  # account/token
    request_hash: str
    reservation_id: str
    expires_at: Micros | None = None  # set to 24 h after the last instance of the reservation ended


@quick
@dataclass(frozen=True, slots=True)
class Usage:
    """Who had what, where, from when to when."""

    id: str  # instance id / generation
    instance_id: str
    node: str
    vm_type: str
    account_id: str
    user_id: str
    cores: int
    memory_mb: int
    disk_gb: int
    began: Micros
    ended: Micros | None = None


@dataclass(frozen=True, slots=True)
class Counter:
    """What policies added under one key (`cloud.totals`)."""

    id: str  # "policy.key"
    amount: float  # as of `at`; it fades from then on
    at: Micros
    half_life: Micros | None = None  # None: it stays


@dataclass(frozen=True, slots=True)
class Accounted:
    """Up to which event a policy was asked what it adds."""

    id: str  # of the policy
    event_id: int


# ------------------------------------------------------------------------------------------ zones and nodes
@dataclass(frozen=True, slots=True)
class Zone:
    name: str
    created_at: Micros
    policy: str | None = None  # None = the cloud's


@quick
@dataclass(frozen=True, slots=True)
class Node:
    """What is known of a node for good.  When it last answered is soft: see `Contact`."""

    id: str  # "zone/host"
    zone: str
    host: str
    admin_state: str = "active"  # "active" | "drained" | "returning" | "fenced" | "removed"
    cores: int = 0
    memory_mb: int = 0
    disk_gb: int = 0
    architecture: str = ""
    hypervisor: str = ""
    boot_id: str = ""
    last_used: int = 0  # ordinal of the last placement here: round robin's durable position
    added_at: Micros = 0
    drained_by: str = ""  # the policy that drained it; "": an administrator did
    why: str = ""  # that policy's reason; of a node that rests: why it was put to sleep, or is woken, or does not wake
    power: str = "on"  # "on" | "sleeping" (told to) | "asleep" | "waking" (`cloud.power`)
    power_since: Micros = 0
    power_by: str = ""  # who last put it to sleep or woke it
    power_try: Micros = 0  # when the order may be sent again
    power_deadline: Micros | None = None
    sleeps: bool = False  # it said that it can be put to sleep
    mac: str = ""  # what wakes it

    @property
    def asked(self) -> bool:
        """Its cluster controller asks it; the others are out."""
        return self.admin_state in ("active", "drained", "returning")

    @property
    def offer(self) -> Size:
        return _sized(self.cores, self.memory_mb, self.disk_gb)


@quick
@dataclass(frozen=True, slots=True)
class Contact:
    """When a zone or a node was last heard.  Soft: kept in the view, never in the store."""

    id: str  # zone name or node id
    heard_at: Micros | None = None
    silent_since: Micros | None = None
    trouble: str = ""  # what the last attempt said
    version: int = 0  # of the last report taken over
    warnings: tuple[str, ...] = ()  # of a node that answers: its disk is nearly full …
    told: Mapping[str, Any] = Map()  # what it last said of each of its machines: instance id → MachineReport


@quick
@dataclass(frozen=True, slots=True)
class Event:
    """One line of history; appended in the transaction of what it tells."""

    at: Micros
    actor: str  # user name, or "cloud", or a node id
    origin: str
    request_id: str
    kind: str  # "instance.launched", "instance.seen", "node.added" …
    subject: str  # id of what changed
    account_id: str = ""
    facts: Mapping[str, Any] = Map()  # what JSON can hold
    id: int = 0


@dataclass(frozen=True, slots=True)
class Setting:
    id: str
    value: str  # JSON
