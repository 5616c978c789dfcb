"""What is sent and what is answered: the shapes of the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Literal

from euca_rpc.types import LaunchRequest

from .shapes import Rule

ID = r"^[a-z]{1,3}-[0-9A-Fa-f]{8}$"
Word = Annotated[str, Rule(least=1, most=255)]
Moment = Annotated[str, Rule(format="date-time", example="2026-11-22T10:31:05.123Z")]
MachineState = Literal["pending", "running", "shutting-down", "terminated", "stopping", "stopped"]
ImageState = Literal["pending", "available", "failed", "disabled"]
Behavior = Literal["terminate", "stop"]
ServiceClass = Literal["regular", "best_effort"]
_DEFAULT = LaunchRequest("")


# --------------------------------------------------------------------------------------------------- requests
@dataclass(frozen=True, slots=True)
class NewToken:
    """The access key from the portal or `euca credentials`."""

    access_key_id: Annotated[str, Rule(least=1, most=128)]
    secret: Annotated[str, Rule("The secret access key.", least=1, most=256, private=True)]


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key pair: made here, or the public half of one that the caller has."""

    name: Word
    type: Literal["rsa", "ed25519"] = "rsa"
    public_key: Annotated[
        str | None,
        Rule("An OpenSSH line or PEM. Without it a pair is made and its private half answered.", most=16384),
    ] = None


@dataclass(frozen=True, slots=True)
class NewInstances:
    """A launch. All of it is made in one reservation, or nothing is."""

    image_id: Annotated[str, Rule("A machine image.", pattern=ID, example="emi-1a2b3c4d")]
    count: Annotated[int, Rule("How many are wanted.", least=1, most=1000)] = 1
    min_count: Annotated[
        int | None, Rule("How many will do; all of `count` if left out.", least=1, most=1000)
    ] = None
    type: Word = _DEFAULT.vm_type
    zone: Annotated[str | None, Rule("Any zone if left out.", least=1, most=64)] = None
    key_name: Annotated[str | None, Rule(least=1, most=255)] = None
    kernel_id: Annotated[str | None, Rule("Instead of the image's own.", pattern=ID)] = None
    ramdisk_id: Annotated[str | None, Rule("Instead of the image's own.", pattern=ID)] = None
    user_data: Annotated[bytes, Rule("What the machine finds at its first start.", most=16384)] = b""
    shutdown_behavior: Behavior = "terminate"
    protected: Annotated[bool, Rule("None of them is terminated before this is taken back.")] = False
    service_class: ServiceClass = "regular"
    hints: Annotated[
        Mapping[str, Annotated[str, Rule(most=255)]], Rule("For the placement policy.", most=50)
    ] = field(default_factory=dict)
    tags: Annotated[Mapping[str, Annotated[str, Rule(most=255)]], Rule(most=50)] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewImage:
    """An upload in the cloud's own store becomes an image, private to the account."""

    location: Annotated[str, Rule("Of the upload, as it was named there.", least=1, most=200)]
    name: Annotated[str, Rule(least=1, most=128)]
    kernel_id: Annotated[str | None, Rule(pattern=ID)] = None
    ramdisk_id: Annotated[str | None, Rule(pattern=ID)] = None
    architecture: Annotated[str | None, Rule("As it was uploaded, if it is said.", least=1, most=32)] = None


@dataclass(frozen=True, slots=True)
class ImageOfInstance:
    """A machine's root disk as it is at one moment, running or stopped, becomes an image."""

    name: Annotated[str, Rule(least=1, most=128)]
    description: Annotated[str, Rule(most=255)] = ""


@dataclass(frozen=True, slots=True)
class Permissions:
    """Who may launch an image besides its owner."""

    public: Annotated[bool, Rule("Everybody.")]
    accounts: Annotated[tuple[Annotated[str, Rule(pattern=r"^[0-9]{12}$")], ...], Rule(most=100)]


@dataclass(frozen=True, slots=True)
class TagValue:
    value: Annotated[str, Rule(most=255)]


@dataclass(frozen=True, slots=True)
class AccessKeyChange:
    enabled: Annotated[bool, Rule("What a disabled one signs is refused.")]


@dataclass(frozen=True, slots=True)
class ImageChange:
    enabled: Annotated[
        bool, Rule("Nobody launches a disabled one; its owner and administrators alone see it.")
    ]


@dataclass(frozen=True, slots=True)
class InstanceChange:
    """Exactly one of these at a time.  The first two at any time, the others while it is stopped."""

    shutdown_behavior: Behavior | None = None
    protected: bool | None = None
    type: Annotated[str | None, Rule(least=1, most=255)] = None
    user_data: Annotated[bytes | None, Rule(most=16384)] = None
    kernel_id: Annotated[str | None, Rule(pattern=ID)] = None
    ramdisk_id: Annotated[str | None, Rule(pattern=ID)] = None

    def values(self) -> list[tuple[str, str | bytes | bool | None]]:
        return [(it.name, getattr(self, it.name)) for it in fields(self)]


@dataclass(frozen=True, slots=True)
class LeaseChange:
    until: Annotated[
        str, Rule("The new end.", least=10, most=40, format="date-time", example="2026-11-23T10:31:05Z")
    ]


# ---------------------------------------------------------------------------------------------------- queries
@dataclass(frozen=True, slots=True)
class Paged:
    limit: Annotated[int, Rule("At most so many.", least=1, most=1000)] = 100
    page: Annotated[str | None, Rule("`next` of the page before.", least=1, most=1024)] = None


@dataclass(frozen=True, slots=True)
class InstanceFilter(Paged):
    """Values of one name are alternatives, names must all fit."""

    state: Annotated[tuple[MachineState, ...], Rule(most=20)] = ()
    type: Annotated[tuple[Word, ...], Rule(most=20)] = ()
    zone: Annotated[tuple[Word, ...], Rule(most=20)] = ()
    image_id: Annotated[tuple[Word, ...], Rule(most=20)] = ()
    key_name: Annotated[tuple[Word, ...], Rule(most=20)] = ()
    reservation_id: Annotated[tuple[Word, ...], Rule(most=20)] = ()
    tag: Annotated[tuple[Word, ...], Rule("`key=value`, or a key alone.", most=20)] = ()


@dataclass(frozen=True, slots=True)
class ImageFilter(Paged):
    """Values of one name are alternatives, names must all fit."""

    kind: Annotated[tuple[Literal["machine", "kernel", "ramdisk"], ...], Rule(most=20)] = ()
    architecture: Annotated[tuple[Word, ...], Rule(most=20)] = ()
    state: Annotated[tuple[ImageState, ...], Rule(most=20)] = ()


@dataclass(frozen=True, slots=True)
class TagFilter(Paged):
    """Values of one name are alternatives, names must all fit."""

    resource_id: Annotated[tuple[Word, ...], Rule(most=20)] = ()
    key: Annotated[tuple[Word, ...], Rule(most=20)] = ()


# ---------------------------------------------------------------------------------------------------- answers
@dataclass(frozen=True, slots=True)
class Token:
    """Sent with every other request as `Authorization: Bearer …`."""

    token: str
    token_type: Literal["Bearer"]
    expires_at: Moment


@dataclass(frozen=True, slots=True)
class Room:
    """Machines of one type in a zone."""

    type: str
    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Zone:
    name: str
    up: bool
    silent_since: Moment | None
    room: tuple[Room, ...]


@dataclass(frozen=True, slots=True)
class Type:
    name: str
    cores: int
    memory_mb: int
    disk_gb: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Why it is in its state."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Image:
    id: str
    kind: Literal["machine", "kernel", "ramdisk"]
    state: ImageState
    reason: Reason | None
    name: str
    description: str
    account_id: str
    architecture: str
    kernel_id: str | None
    ramdisk_id: str | None
    public: bool
    virtual_bytes: Annotated[int, Rule("The disk inside.", most=2**62)]
    created_at: Moment


@dataclass(frozen=True, slots=True)
class Tag:
    resource_id: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class AccessKey:
    id: str
    user: str
    enabled: bool
    created_at: Moment


@dataclass(frozen=True, slots=True)
class MadeAccessKey:
    """The only time that its secret is shown."""

    id: str
    user: str
    enabled: bool
    created_at: Moment
    secret: str


@dataclass(frozen=True, slots=True)
class Key:
    id: str
    name: str
    type: str
    fingerprint: str
    public_key: str


@dataclass(frozen=True, slots=True)
class MadeKey:
    """The only time that a private key is shown: it is kept nowhere."""

    id: str
    name: str
    type: str
    fingerprint: str
    public_key: str
    private_key: Annotated[str | None, Rule("PEM; null if the public half was given.")]


@dataclass(frozen=True, slots=True)
class Lease:
    """How long it may run."""

    until: Moment
    then: Literal["terminate", "stop"]
    policy: Annotated[str, Rule("Whose word it is.")]


@dataclass(frozen=True, slots=True)
class Instance:
    id: str
    reservation_id: str
    account_id: str
    launch_index: int
    state: MachineState
    reason: Reason | None
    reachable: Annotated[bool, Rule("Whether its node answers; if not, the state is the last known.")]
    image_id: str
    kernel_id: str | None
    ramdisk_id: str | None
    type: str
    zone: str
    architecture: str
    key_name: str | None
    private_address: str | None
    public_address: str | None
    mac: str
    shutdown_behavior: Behavior
    service_class: ServiceClass
    protected: bool
    launched_at: Moment
    lease: Annotated[Lease | None, Rule("None: nothing limits how long it runs.")]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Launched:
    reservation_id: str
    items: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Console:
    instance_id: str
    at: Moment
    text: Annotated[str, Rule("The last 64 KiB; bytes that are no UTF-8 are replaced.")]


@dataclass(frozen=True, slots=True)
class Zones:
    items: tuple[Zone, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Types:
    items: tuple[Type, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Images:
    items: tuple[Image, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Tags:
    items: tuple[Tag, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class AccessKeys:
    items: tuple[AccessKey, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Keys:
    items: tuple[Key, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Instances:
    items: tuple[Instance, ...]
    next: Annotated[str | None, Rule("Give it as `page` for what follows; null at the end.")]
