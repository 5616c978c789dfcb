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

from euca_rpc.clock import Clock
from euca_rpc.ids import Ids
from euca_rpc.types import (
    Caller,
    Console,
    Image,
    InstanceStatus,
    KeyPair,
    Launched,
    LaunchRequest,
    Reservation,
    Transition,
    VmType,
    ZoneStatus,
)


class Zones(Protocol):
    def describe(self, caller: Caller, names: Sequence[str] = ()) -> list[ZoneStatus]:
        """All zones by name, or those named (zone_not_found)."""
        ...


class Types(Protocol):
    def describe(self, caller: Caller, names: Sequence[str] = ()) -> list[VmType]:
        """In order of position; type_not_found."""
        ...


class Images(Protocol):
    def describe(self, caller: Caller, ids: Sequence[str] = ()) -> list[Image]:
        """Those the caller may launch (own, public; an administrator sees all); image_not_found for any other id."""
        ...


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

    def describe(
        self, caller: Caller, ids: Sequence[str] = ()
    ) -> Iterable[tuple[Reservation, tuple[InstanceStatus, ...]]]:
        """By reservation, oldest first.  A caller sees its account's, an administrator all.  One unknown id:
        instance_not_found, nothing else."""
        ...

    def terminate(self, caller: Caller, ids: Sequence[str]) -> list[Transition]:
        """All or none.  Terminating a terminated one again is no error."""
        ...

    def reboot(self, caller: Caller, ids: Sequence[str]) -> None: ...

    def stop(self, caller: Caller, ids: Sequence[str]) -> list[Transition]: ...

    def start(self, caller: Caller, ids: Sequence[str]) -> list[Transition]: ...

    def console(self, caller: Caller, id: str) -> Future[Console]:
        """The last 64 KiB of the serial console, asked of the node now.  A node that does not answer: unreachable."""
        ...


@dataclass(frozen=True, slots=True)
class Credential:
    """What proves a caller: the secret is for an HMAC check only and must not be kept or logged."""

    caller: Caller
    secret: str


class Credentials(Protocol):
    def by_access_key(self, access_key_id: str) -> Credential | None:
        """None for unknown, disabled or revoked alike; the reason goes to the log."""
        ...

    def by_certificate(self, der: bytes) -> Caller | None:
        """By the exact bytes."""
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
    credentials: Credentials
    clock: Clock
    ids: Ids


Settings = Mapping[str, Any]
