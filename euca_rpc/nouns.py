"""The seam between the core and its interfaces (EC2, REST, yours): one small Protocol per noun.

An interface plugin owns wire format, authentication, the spelling of ids, state names and codes, filters, paging and
error codes.  The core owns authorisation, quotas, idempotency and audit.  `Caller` first, typed values in and out,
`EucaError` for every refusal.  Nothing here makes a remote call but `console`, which answers with a Future.

Reads are answered from the view: they are cheap, never wait, and see every change whose answer was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from euca_rpc.clock import Clock, Micros
from euca_rpc.ids import Ids
from euca_rpc.nouns_people import History, Mails, Nodes, People, Sessions, SignUp
from euca_rpc.shown import (
    Console,
    CredentialStatus,
    InstanceStatus,
    Launched,
    Page,
    Transition,
    ZoneStatus,
)
from euca_rpc.steps import Steps
from euca_rpc.types import (
    Caller,
    Image,
    KeyPair,
    LaunchRequest,
    NewImage,
    Reservation,
    Tag,
    VmType,
)


class Zones(Protocol):
    def describe(self, caller: Caller, names: Sequence[str] = ()) -> list[ZoneStatus]:
        """All zones by name, or those named (zone_not_found)."""
        ...


class Types(Protocol):
    def describe(self, caller: Caller, names: Sequence[str] = ()) -> list[VmType]:
        """In order of position; type_not_found."""
        ...

    def set(self, caller: Caller, vm_type: VmType) -> VmType:
        """A new type, or another size for one that exists: for what is launched from then on.  By an administrator (denied);
        parameter_invalid."""
        ...

    def remove(self, caller: Caller, name: str) -> None:
        """By an administrator (denied); machines of it go on.  type_not_found, state_conflict for the last one."""
        ...


class Images(Protocol):
    def describe(self, caller: Caller, ids: Sequence[str] = ()) -> list[Image]:
        """Those the caller may launch (own, public; an administrator sees all); image_not_found for any other id."""
        ...

    def register(
        self,
        caller: Caller,
        location: str,
        name: str,
        kernel_id: str | None = None,
        ramdisk_id: str | None = None,
        architecture: str | None = None,
    ) -> Image:
        """``location`` names an upload in the cloud's own store (image_not_found); URLs and host paths are refused."""
        ...

    def create(self, caller: Caller, instance_id: str, name: str, description: str = "") -> Image:
        """A pending image of the machine's root disk as it is at one moment, running or stopped (state_conflict otherwise);
        later it is available, or failed with a reason.  instance_not_found, name_duplicate, parameter_invalid;
        image_not_found if the kernel or ramdisk that it would need was removed."""
        ...

    def upload(self, caller: Caller, wanted: NewImage, size: int, chunks: Iterable[bytes]) -> Image:
        """``chunks``: ``size`` bytes, passed on to the image server as they come and kept nowhere on the way; the calling
        thread waits for them, so it must be one that nobody else needs.  What ``chunks`` raises goes through.  By an
        administrator (denied); image_refused for what the inspection finds, parameter_invalid, image_not_found for the
        kernel or ramdisk, unreachable, unsupported where there is no image server."""
        ...

    def enable(self, caller: Caller, id: str, enabled: bool = True) -> Image:
        """A disabled image (state "disabled") cannot be launched (image_unavailable) and is seen by its owner and
        administrators alone; what runs goes on.  By these two (denied); state_conflict while it is not made yet."""
        ...

    def deregister(self, caller: Caller, id: str) -> None:
        """By its owner or an administrator (denied); state_conflict while other images name it.  Its bytes go, too, as soon as
        nothing needs them."""
        ...

    def permit(
        self,
        caller: Caller,
        id: str,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        reset: bool = False,
    ) -> Image:
        """Who may launch it: account numbers and "all".  ``reset`` takes everybody's permission back first."""
        ...


class Tags(Protocol):
    def create(self, caller: Caller, ids: Sequence[str], tags: Mapping[str, str]) -> None:
        """On all or none; parameter_invalid, tag_limit, …_not_found."""
        ...

    def delete(self, caller: Caller, ids: Sequence[str], tags: Mapping[str, str | None]) -> None:
        """A value of None deletes the key whatever its value; what is not there is no error."""
        ...

    def describe(self, caller: Caller) -> list[Tag]:
        """By resource and key; a caller sees its account's, an administrator all."""
        ...

    def of(self, resource_id: str) -> tuple[tuple[str, str], ...]: ...


class Keys(Protocol):
    def create(self, caller: Caller, name: str, key_type: str = "rsa") -> tuple[KeyPair, str]:
        """The pair and the private key in PEM, which is kept nowhere; key_duplicate, parameter_invalid."""
        ...

    def import_(self, caller: Caller, name: str, material: bytes) -> KeyPair:
        """``material`` is an OpenSSH line, RFC 4716 or DER/PEM public key; key_format, key_duplicate."""
        ...

    def describe(self, caller: Caller, names: Sequence[str] = ()) -> list[KeyPair]: ...

    def delete(self, caller: Caller, name: str) -> bool:
        """True if there was one.  Deleting what is not there is no error, as in EC2."""
        ...


class Instances(Protocol):
    def launch(self, caller: Caller, request: LaunchRequest) -> Launched:
        """Durable when it returns.  capacity_exhausted, quota_exceeded, image_not_found, key_not_found, zone_not_found,
        type_not_found, token_mismatch, parameter_invalid."""
        ...

    def launching(self, caller: Caller, request: LaunchRequest) -> Steps[Launched]:
        """The same, for a server that has other requests to see to while the commit is under way."""
        ...

    def describe(
        self, caller: Caller, ids: Sequence[str] = ()
    ) -> Iterable[tuple[Reservation, tuple[InstanceStatus, ...]]]:
        """By reservation, oldest first.  A caller sees its account's, an administrator all.  One unknown id:
        instance_not_found, nothing else."""
        ...

    def page(
        self, caller: Caller, search: str = "", state: str = "", after: str = "", limit: int = 50
    ) -> Page[InstanceStatus]:
        """The newest first, of those that `describe` answers.  ``search``: ids, node, addresses, VM type, image, user."""
        ...

    def terminate(self, caller: Caller, ids: Sequence[str]) -> list[Transition]:
        """All or none.  Terminating a terminated one again is no error."""
        ...

    def reboot(self, caller: Caller, ids: Sequence[str]) -> None: ...

    def stop(self, caller: Caller, ids: Sequence[str]) -> list[Transition]: ...

    def start(self, caller: Caller, ids: Sequence[str]) -> list[Transition]: ...

    def modify(self, caller: Caller, id: str, attribute: str, value: str | bytes | bool) -> InstanceStatus:
        """``attribute``: shutdown_behavior or protected at any time; vm_type, user_data, kernel_id, ramdisk_id while
        stopped (state_conflict)."""
        ...

    def extend(self, caller: Caller, id: str, until: Micros) -> InstanceStatus:
        """Its lease ends at ``until``: for an administrator any moment to come, for a user as far as the policy that gave it
        lets users go (denied).  state_conflict: nothing limits its run."""
        ...

    def console(self, caller: Caller, id: str) -> Future[Console]:
        """The last 64 KiB of the serial console, asked of the node now: the Future ends within seconds, with what there is
        or EucaError.  A node that does not answer: unreachable; too many that wait for one: throttled."""
        ...


@dataclass(frozen=True, slots=True)
class Credential:
    """What proves a caller: the secret is for an HMAC check only and must not be kept or logged."""

    caller: Caller
    secret: str


class Credentials(Protocol):
    """Whom a request proves; and what users prove themselves with.  A user looks after its own (denied), an
    administrator after everybody's; who was disabled, and what was disabled or is gone, is refused at once."""

    def by_access_key(self, access_key_id: str) -> Credential | None:
        """None for unknown, disabled or deleted alike; the reason goes to the log."""
        ...

    def by_certificate(self, der: bytes) -> Caller | None:
        """By the exact bytes; None for unknown, disabled, revoked or expired alike."""
        ...

    def keys(self, caller: Caller, user: str | None = None) -> list[CredentialStatus]:
        """Of the user of that name, else all that the caller may look after; oldest first."""
        ...

    def certificates(self, caller: Caller, user: str | None = None) -> list[CredentialStatus]: ...

    def create_key(self, caller: Caller, user: str) -> tuple[CredentialStatus, str]:
        """The key and its secret, which is shown this once; credential_limit, user_not_found."""
        ...

    def create_certificate(self, caller: Caller, user: str) -> tuple[CredentialStatus, str, str]:
        """The certificate, itself in PEM, and its private key in PEM, which is kept nowhere; credential_limit,
        user_not_found."""
        ...

    def enable_key(self, caller: Caller, id: str, enabled: bool) -> CredentialStatus:
        """credential_not_found, also for another user's."""
        ...

    def enable_certificate(self, caller: Caller, id: str, enabled: bool) -> CredentialStatus: ...

    def delete_key(self, caller: Caller, id: str) -> None:
        """credential_not_found."""
        ...

    def revoke_certificate(self, caller: Caller, id: str) -> None:
        """For good: its private key proves nobody any more."""
        ...


class Interface(Protocol):
    """What an interface plugin hands back: a server with its own port and threads."""

    name: str

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Core:
    """All that an interface gets."""

    cloud_id: str
    zones: Zones
    types: Types
    images: Images
    keys: Keys
    instances: Instances
    tags: Tags
    credentials: Credentials
    sign_up: SignUp
    sessions: Sessions
    people: People
    mails: Mails
    history: History
    nodes: Nodes
    clock: Clock
    ids: Ids


Settings = Mapping[str, Any]
