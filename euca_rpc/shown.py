"""What interfaces get to see: what is kept, together with the state and the reach that the latest news make of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from euca_rpc.clock import Micros
from euca_rpc.frozen import quick
from euca_rpc.types import Caller, Instance, InstanceLease, Node, Profile, Quota, Reservation, Size, VmType


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


@quick
@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """An instance with the state that the two facts make of it (`cloud.lifecycle.state`)."""

    instance: Instance
    state: str  # pending running shutting-down terminated stopping stopped
    reachable: bool = True
    tags: tuple[tuple[str, str], ...] = ()
    lease: InstanceLease | None = None  # None: nothing limits how long it runs


@dataclass(frozen=True, slots=True)
class Transition:
    instance_id: str
    previous: str
    current: str


@quick
@dataclass(frozen=True, slots=True)
class Launched:
    reservation: Reservation
    instances: tuple[InstanceStatus, ...]


@dataclass(frozen=True, slots=True)
class CredentialStatus:
    """An access key or a certificate, without its secret.  Its user may be disabled besides."""

    id: str  # of a certificate: the hex SHA-256 of its bytes
    user_name: str
    enabled: bool
    created_at: Micros
    expires_at: Micros | None = None  # of a certificate


@dataclass(frozen=True, slots=True)
class Console:
    instance_id: str
    text: bytes
    at: Micros


# ------------------------------------------------------------------------------------------ people and pages
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """A part of a list that may be long.  ``next`` goes into ``after`` of the next question; "" = that was all."""

    rows: tuple[Row, ...]
    next: str = ""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks before anybody is known.  ``address`` is the peer's as the socket says, never a header's; ``device`` is
    what `LoggedIn.device` once left in this browser."""

    address: str
    request_id: str = ""
    device: str = field(default="", repr=False)
    origin: str = "portal"


@dataclass(frozen=True, slots=True)
class SignUpForm:
    open: bool  # nobody can apply before the administrator's first steps are done
    fields: tuple[str, ...]  # the optional fields of `Profile` that it shows


@dataclass(frozen=True, slots=True)
class Present:
    """Whom a session stands for, now.  ``caller`` is None as long as the first steps are owed: nothing else opens."""

    caller: Caller | None
    user_name: str
    is_admin: bool
    began_at: Micros
    ends_at: Micros  # at the latest
    failures: int = 0  # refused log-ins under this name since the one before this
    first_steps: bool = False  # a password and an e-mail address have to be set


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """``token`` is the session's secret for a cookie; ``device`` is kept by the browser beyond the session and shows at the
    next log-in that it is a known one.  Both are kept nowhere here."""

    token: str = field(repr=False)
    device: str = field(repr=False)
    present: Present


@dataclass(frozen=True, slots=True)
class Person:
    id: str
    name: str
    account_id: str
    account_name: str
    is_admin: bool
    status: str  # "unconfirmed" | "active" | "disabled" | "deleted"
    created_at: Micros
    profile: Profile
    has_password: bool
    instances: int  # that are not over


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose something is, in words."""

    user_name: str
    account_id: str
    account_name: str


@dataclass(frozen=True, slots=True)
class AccountStatus:
    id: str
    name: str
    created_at: Micros
    users: int  # that are not deleted
    limits: Quota
    held: Quota  # what its users hold together


@dataclass(frozen=True, slots=True)
class QuotaStatus:
    """Three times the same numbers: -1 = no limit in ``limits`` and ``left``."""

    scope: str  # "account/123456789012", "user/USERID"
    limits: Quota
    held: Quota
    left: Quota


@dataclass(frozen=True, slots=True)
class MailLine:
    """A mail that waits."""

    id: str
    to: str
    kind: str  # of its template
    queued_at: Micros
    attempts: int
    next_try: Micros | None  # None: given up
    trouble: str  # what the mail server or the way to it said last


@dataclass(frozen=True, slots=True)
class Letter:
    line: MailLine
    subject: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class MailService:
    server: str  # "" = none is configured: mails are kept
    waiting: int
    trouble: str  # why the last attempt failed; "" = it did not


@dataclass(frozen=True, slots=True)
class MailTemplate:
    """``words`` may stand in the texts as $name or ${name}."""

    kind: str
    subject: str
    text: str
    words: tuple[str, ...]
    changed: bool  # it is not the built-in one


@dataclass(frozen=True, slots=True)
class UsagePoint:
    """What was used from ``at`` to the next point."""

    at: Micros
    instance_seconds: int
    core_seconds: int
    memory_mb_seconds: int


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """What one user used under one account."""

    account_id: str
    account: str
    user_id: str
    user: str
    instance_seconds: int
    core_seconds: int
    memory_mb_seconds: int
    disk_gb_seconds: int


@dataclass(frozen=True, slots=True)
class UsageTotal:
    id: str  # of the user or the account
    name: str
    instance_seconds: int
    core_seconds: int
    memory_mb_seconds: int


@dataclass(frozen=True, slots=True)
class NodeStatus:
    node: Node
    reach: Reach
    heard_at: Micros | None  # the last news
    warnings: tuple[str, ...]
    free: Size
    instances: int
    resting: str = ""  # it sleeps, or is on its way there or back, as it should: its silence is no trouble


@dataclass(frozen=True, slots=True)
class Published:
    """What policies see of the world outside."""

    name: str
    value: str  # JSON


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    name: str
    cloud: bool  # in force where a zone has none of its own
    zones: tuple[str, ...]  # in force there
    state: str  # "ok" | "tripped" (it failed too often and is not called) | "broken" (it could not be loaded)
    failures: int
    last_failure: str
