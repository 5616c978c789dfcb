"""The seam's nouns for people (`nouns` has those for machines): how they come in, who they are, what was done.

Lists are paged: ``after`` is the `Page.next` of the page before, ``limit`` at most 200.  A page that is not there any
more or was never handed out: page_token_invalid.  ``search`` finds the text anywhere in names, whatever its case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from euca_rpc.clock import Micros
from euca_rpc.shown import (
    AccountStatus,
    LedgerLine,
    Letter,
    LoggedIn,
    MailLine,
    MailService,
    MailTemplate,
    NodeStatus,
    Owner,
    Page,
    Person,
    PolicyStatus,
    Present,
    Published,
    QuotaStatus,
    SignUpForm,
    UsagePoint,
    UsageTotal,
    Visitor,
)
from euca_rpc.types import Application, Caller, Event, Profile, Quota


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

    def by_token(self, visitor: Visitor, token: str, used: bool = True) -> Present | None:
        """``used`` False: asked by an open page, by itself, which does not make the session last longer.  None for one that was never given, has ended or timed out.  Cheap: ask at every request.  The caller's origin and
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

    def owners(self, caller: Caller, user_ids: Iterable[str]) -> Mapping[str, Owner]:
        """By user id, deleted ones as well; of another account's users an administrator alone learns."""
        ...

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

    def ledger(self, caller: Caller, since: Micros, until: Micros) -> list[LedgerLine]:
        """By account and user, those alone who used anything; ``until`` lies not in the future."""
        ...


class Nodes(Protocol):
    """`Core.nodes`: administrators only."""

    def describe(self, caller: Caller) -> list[NodeStatus]: ...

    def drain(self, caller: Caller, id: str, drained: bool = True) -> None: ...

    def fence(self, caller: Caller, id: str) -> None:
        """The administrator states that the host is off; its instances end."""
        ...

    def sleep(self, caller: Caller, id: str, asleep: bool = True) -> None:
        """Puts an empty node to sleep, or wakes it; state_conflict says why not."""
        ...

    def published(self, caller: Caller) -> list[Published]: ...

    def policies(self, caller: Caller) -> list[PolicyStatus]: ...
