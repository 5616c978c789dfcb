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
from euca_rpc.shown import (
    AccountStatus,
    Console,
    CredentialStatus,
    InstanceStatus,
    Launched,
    Letter,
    LoggedIn,
    MailLine,
    MailService,
    MailTemplate,
    NodeStatus,
    Page,
    Person,
    PolicyStatus,
    Present,
    QuotaStatus,
    SignUpForm,
    Transition,
    UsagePoint,
    UsageTotal,
    Visitor,
    ZoneStatus,
)
from euca_rpc.types import (
    Application,
    Caller,
    Event,
    Image,
    KeyPair,
    LaunchRequest,
    Profile,
    Quota,
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

    def deregister(self, caller: Caller, id: str) -> None:
        """By its owner or an administrator (denied); state_conflict while other images name it."""
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


# ---------------------------------------------------------------------- people: how they come in, and who they are
# Lists are paged: ``after`` is the `Page.next` of the page before, ``limit`` at most 200.  A page that is not there any
# more or was never handed out: page_token_invalid.  ``search`` finds the text anywhere in names, whatever its case.


class SignUp(Protocol):
    """`Core.sign_up`: for those whom nobody knows yet.  Answers tell nothing of which users there are, neither by their words
    nor by the time they take; who asks too often gets throttled (facts: retry_after, seconds).

    Mails lead to these pages of the portal: /activate?token=…, /password?token=… (to choose one), and for
    administrators /admin/requests/ID?decide=approve or reject."""

    def form(self) -> SignUpForm: ...

    def set_form(self, caller: Caller, fields: Sequence[str]) -> SignUpForm:
        """Which optional fields the form shows: telephone, project_leader, affiliation, project_description."""
        ...

    def apply(self, visitor: Visitor, user_name: str, password: str, profile: Profile) -> None:
        """Ask for an account; full name and e-mail address are needed.  parameter_invalid, password_weak, throttled; unavailable before the first steps are done, or
        while too many requests wait.  Whether the name is taken, the administrator sees, who may give another one."""
        ...

    def recover(self, visitor: Visitor, user_name: str) -> None:
        """A link to choose another password goes to the user's address, if there is such a user."""
        ...

    def link(self, purpose: str, token: str) -> bool:
        """Whether the link of a mail ("activate", "recover") is still good.  Uses nothing up."""
        ...

    def choose_password(self, visitor: Visitor, token: str, password: str) -> None:
        """With a "recover" link's token, which it uses up; ends all sessions of the user.  link_invalid, password_weak."""
        ...


class Sessions(Protocol):
    """`Core.sessions`."""

    def log_in(
        self, visitor: Visitor, user_name: str, password: str, *, activation: str = "", code: str = ""
    ) -> LoggedIn:
        """auth_failure for a wrong name or password alike; throttled.  With the right password: user_waiting,
        user_unconfirmed, user_disabled, link_invalid (the activation link's), each a sentence for its owner.  ``code`` is the
        one-time code of `euca init`, for a first log-in from elsewhere than this machine."""
        ...

    def by_token(self, visitor: Visitor, token: str) -> Present | None:
        """None for one that was never given, has ended or timed out.  Cheap: ask at every request.  The caller's origin and
        request id are the visitor's."""
        ...

    def first_steps(self, visitor: Visitor, token: str, password: str, email: str) -> LoggedIn:
        """What the first administrator owes; the answer is another session.  auth_failure, password_weak, parameter_invalid."""
        ...

    def change_password(self, visitor: Visitor, token: str, old: str, new: str) -> LoggedIn:
        """Ends all other sessions; the answer replaces this one.  auth_failure, password_weak, throttled."""
        ...

    def log_out(self, token: str) -> None: ...


class People(Protocol):
    """`Core.people`.  But for `me`, `change_profile` and `quota` of one's own: administrators only (denied)."""

    def me(self, caller: Caller) -> Person: ...

    def change_profile(self, caller: Caller, profile: Profile, user_name: str = "") -> Person:
        """One's own, or an administrator anybody's.  parameter_invalid, user_not_found."""
        ...

    def users(
        self, caller: Caller, search: str = "", status: str = "", after: str = "", limit: int = 50
    ) -> Page[Person]:
        """By name; deleted ones only if ``status`` is "deleted"."""
        ...

    def user(self, caller: Caller, user_name: str) -> Person: ...

    def requests(
        self, caller: Caller, search: str = "", after: str = "", limit: int = 50
    ) -> Page[Application]:
        """Those that wait, the oldest first."""
        ...

    def request(self, caller: Caller, id: str) -> Application:
        """request_not_found for one that was decided, too."""
        ...

    def approve(
        self,
        caller: Caller,
        id: str,
        *,
        user_name: str | None = None,
        account_id: str | None = None,
        quota: Quota | None = None,
    ) -> Person:
        """A user who is not confirmed yet, told by mail.  ``user_name``: another one than was asked for (name_duplicate if it
        is taken).  ``account_id`` None: an account of its own.  ``quota``: the user's; None = the cloud's default."""
        ...

    def reject(self, caller: Caller, id: str, reason: str = "") -> None:
        """The reason goes into the mail."""
        ...

    def add(self, caller: Caller, user_name: str, profile: Profile, account_id: str | None = None) -> Person:
        """Without a request: the user chooses a password by a mailed link.  name_duplicate, account_not_found."""
        ...

    def disable(self, caller: Caller, user_name: str) -> Person:
        """Sessions end, keys fail, instances run on.  state_conflict for the last administrator, here and below."""
        ...

    def enable(self, caller: Caller, user_name: str) -> Person: ...

    def delete(self, caller: Caller, user_name: str, instances: str) -> Person:
        """``instances``: "terminate" those that the user launched, protected ones too, or "keep" them for the account.  For
        good: neither the name nor the id is used again."""
        ...

    def reset(self, caller: Caller, user_name: str) -> None:
        """The password counts no more, sessions end; a mailed link lets the user choose another one."""
        ...

    def set_administrator(self, caller: Caller, user_name: str, is_admin: bool) -> Person: ...

    def accounts(
        self, caller: Caller, search: str = "", after: str = "", limit: int = 50
    ) -> Page[AccountStatus]: ...

    def quota(self, caller: Caller, scope: str = "") -> QuotaStatus:
        """``scope``: "account/NUMBER", "user/NAME"; "" = the caller's own user, the account's with "account"."""
        ...

    def set_quota(self, caller: Caller, scope: str, limits: Quota | None) -> QuotaStatus:
        """``scope`` as in `quota`, or "default/account", "default/user"; None takes back what was set."""
        ...


class Mails(Protocol):
    """`Core.mails`: administrators only."""

    def service(self, caller: Caller) -> MailService: ...

    def waiting(self, caller: Caller, after: str = "", limit: int = 50) -> Page[MailLine]:
        """The oldest first."""
        ...

    def show(self, caller: Caller, id: str) -> Letter:
        """With the links that it carries: to be handed over where no mail server is.  An event."""
        ...

    def retry(self, caller: Caller) -> None:
        """Now, not at the next try."""
        ...

    def drop(self, caller: Caller, id: str) -> None:
        """It is not sent any more; an event."""
        ...

    def templates(self, caller: Caller) -> list[MailTemplate]: ...

    def set_template(self, caller: Caller, kind: str, subject: str, text: str) -> MailTemplate:
        """parameter_invalid names a word that the template does not know, or one that it must have.  Both texts empty: the
        built-in one again."""
        ...


class History(Protocol):
    """`Core.history`: what was done.  A caller sees its account's, an administrator all."""

    def events(
        self,
        caller: Caller,
        *,
        subject: str = "",
        kind: str = "",
        actor: str = "",
        account_id: str = "",
        since: Micros | None = None,
        until: Micros | None = None,
        after: str = "",
        limit: int = 50,
    ) -> Page[Event]:
        """The newest first.  ``kind`` may end with "." for all that begin so: "user.", "launch.refused"."""
        ...

    def usage(
        self, caller: Caller, scope: str, since: Micros, until: Micros, points: int = 30
    ) -> list[UsagePoint]:
        """``scope``: "account/NUMBER", "user/NAME", "cloud" (administrators), "" = the caller's account."""
        ...

    def usage_by(
        self, caller: Caller, kind: str, since: Micros, until: Micros, after: str = "", limit: int = 50
    ) -> Page[UsageTotal]:
        """``kind``: "user" or "account"; by name, those alone who used anything."""
        ...


class Nodes(Protocol):
    """`Core.nodes`: administrators only."""

    def describe(self, caller: Caller) -> list[NodeStatus]: ...

    def drain(self, caller: Caller, id: str, drained: bool = True) -> None: ...

    def fence(self, caller: Caller, id: str) -> None:
        """The administrator states that the host is off; its instances end."""
        ...

    def policies(self, caller: Caller) -> list[PolicyStatus]: ...


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
