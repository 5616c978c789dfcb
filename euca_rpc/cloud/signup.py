"""How people come in: asking for an account, the decision, and a forgotten password.

    asked ─► waits ─► approved ─► user, unconfirmed ─► logs in over the activation link ─► active
               └────► rejected                              │
                                                            └─ forgotten: recovery link ─► chooses a password ─► active

Who asks is no user yet: several may wish for the same name, and the administrator decides which gets it, or gives another.
So the form has nothing to tell about which users there are, and requests of strangers take no names away.  Every answer here is
followed by one commit and preceded by at most one hash, whoever is meant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace

from euca_rpc.clock import HOUR, Clock, Micros, moment
from euca_rpc.cloud import links, passwords
from euca_rpc.cloud.accounts import check_administrator, check_name, end_sessions, new_user
from euca_rpc.cloud.changes import Change, Forget, Insert, Outcome, Put, event
from euca_rpc.cloud.guard import Guard
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.mail import Post
from euca_rpc.cloud.passwords import Passwords
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.ids import Ids
from euca_rpc.shown import SignUpForm, Visitor
from euca_rpc.types import (
    Application,
    Caller,
    Password,
    Profile,
    Quota,
    Setting,
    User,
    UserStatus,
)

FIRST_LOGIN = "portal.first_login"  # the setting is there until the administrator's first steps are done
FORM = "portal.form"
OPTIONAL = ("telephone", "project_leader", "affiliation", "project_description")
_LONGEST = {"project_description": 4000}  # the others: 200
_EMAIL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")
Verb = Callable[[View, Micros], Outcome]


@dataclass(frozen=True, slots=True)
class Terms:
    """What is configured of sign-up."""

    activation: Micros = 7 * 24 * HOUR
    recovery: Micros = HOUR
    most_waiting: int = 500


@dataclass(frozen=True, slots=True)
class Reception:
    """What the nouns for people share."""

    journal: Journal
    clock: Clock
    ids: Ids
    passwords: Passwords
    guard: Guard
    post: Post
    posted: Callable[[], None] = lambda: None  # mails were queued
    terms: Terms = field(default_factory=Terms)

    def link(self, purpose: str, user: User) -> tuple[dict[str, str], Change]:
        """Words for its mail, and the row."""
        life = self.terms.activation if purpose == links.ACTIVATE or not user.enabled else self.terms.recovery
        until = self.clock.wall() + life
        token, row = links.make(self.ids, purpose, user.id, until)
        page = "activate" if purpose == links.ACTIVATE else "password"
        return {"link": self.post.link(page, token=token), "until": moment(until)}, row

    def letter(
        self, view: View, now: Micros, kind: str, user: User, words: Mapping[str, str]
    ) -> tuple[Change, ...]:
        """None to those who gave no address."""
        known = {"user_name": user.name, "full_name": user.full_name or user.name, **words}
        return (self.post.letter(view, now, kind, user.email, known),) if user.email else ()


class SignUp:
    """`nouns.SignUp`."""

    def __init__(self, reception: Reception) -> None:
        self._r = reception

    def form(self) -> SignUpForm:
        view = self._r.journal.view
        return SignUpForm(is_open(view), shown_fields(view))

    def set_form(self, caller: Caller, fields: Sequence[str]) -> SignUpForm:
        check_administrator(caller)
        if strange := set(fields) - set(OPTIONAL):
            raise EucaError(
                "parameter_invalid", f"no optional field {min(strange)!r}; there are {', '.join(OPTIONAL)}"
            )
        chosen = [name for name in OPTIONAL if name in fields]
        self._r.journal.do(
            lambda view, now: Outcome(
                (Put(Setting(FORM, json.dumps(chosen))),),
                (event("sign_up.form", FORM, now, caller, facts={"fields": chosen}),),
            )
        )
        return self.form()

    def apply(self, visitor: Visitor, user_name: str, password: str, profile: Profile) -> None:
        view = self._r.journal.view
        self._check_open(view)
        name = user_name.strip()
        check_name(name)
        shown = shown_fields(view)
        profile = replace(profile, **{name: "" for name in OPTIONAL if name not in shown})
        check_profile(profile)
        if not profile.full_name.strip():
            raise EucaError("parameter_missing", "the full name is missing")
        passwords.check(password, name, profile.full_name)
        self._r.guard.apply(visitor.address)
        hashed = self._r.passwords.hash(password)
        by = visitor_caller(visitor)

        def verb(view: View, now: Micros) -> Outcome:
            self._check_open(view)
            row = Application(
                f"req-{self._r.ids.bits(64):016x}", name, hashed, visitor.address, now, **asdict(profile)
            )
            words = {
                **asdict(profile),
                "user_name": name,
                "address": visitor.address,
                "approve_link": self._r.post.link(f"admin/requests/{row.id}", decide="approve"),
                "reject_link": self._r.post.link(f"admin/requests/{row.id}", decide="reject"),
            }
            mails = [self._r.post.letter(view, now, "request", to, words) for to in administrators(view)]
            told = event("request.made", row.id, now, by, facts={"user_name": name})
            return Outcome((Insert(row), *mails), (told,))

        self._r.journal.do(verb)
        self._r.posted()

    def _check_open(self, view: View) -> None:
        if not is_open(view):
            raise EucaError(
                "unavailable", "nobody can apply yet: the administrator's first steps are not done"
            )
        if len(view.applications) >= self._r.terms.most_waiting:
            raise EucaError("unavailable", "too many requests wait for the administrator: try again tomorrow")

    def recover(self, visitor: Visitor, user_name: str) -> None:
        name = user_name.strip().lower()[:64]
        may_mail = self._r.guard.recover(visitor.address, name)
        by = visitor_caller(visitor)

        def verb(view: View, now: Micros) -> Outcome:
            user = view.users.get(view.user_names.get(name, ""))
            # a name that is nobody's may be a password typed into the wrong field
            told = event("password.forgotten", user.id if user else "", now, by)
            if user is None or not may_mail or not user.email:
                return Outcome((), (told,))
            return Outcome(self._help(view, now, user), (told,))

        self._r.journal.do(verb)
        self._r.posted()

    def _help(self, view: View, now: Micros, user: User) -> tuple[Change, ...]:
        """The link that this user needs now."""
        if user.status is UserStatus.UNCONFIRMED and user.id in view.passwords:
            words, row = self._r.link(links.ACTIVATE, user)
            return (row, *self._r.letter(view, now, "approved", user, words))
        if user.status in (UserStatus.ACTIVE, UserStatus.UNCONFIRMED):
            words, row = self._r.link(links.RECOVER, user)
            return (row, *self._r.letter(view, now, "recover", user, words))
        return ()

    def link(self, purpose: str, token: str) -> bool:
        view = self._r.journal.view
        row = links.find(view, purpose, token, self._r.clock.wall())
        return row is not None and _may_use(view.users[links.user_of(row)])

    def choose_password(self, visitor: Visitor, token: str, password: str) -> None:
        wall = self._r.clock.wall()
        row = links.find(self._r.journal.view, links.RECOVER, token, wall)
        if row is None:
            raise links.invalid()
        user = self._r.journal.view.users[links.user_of(row)]
        passwords.check(password, user.name, user.full_name)
        hashed = self._r.passwords.hash(password, known=True)

        def verb(view: View, now: Micros) -> Outcome:
            found = links.find(view, links.RECOVER, token, wall)
            user = view.users[links.user_of(found)] if found else None
            if user is None or not _may_use(user):
                raise links.invalid()
            by = visitor_caller(visitor, user)
            changes = set_password(self._r, view, now, visitor, user, hashed)
            told = [event("password.recovered", user.id, now, by)]
            if (
                user.status is UserStatus.UNCONFIRMED
            ):  # the link came by mail: that is what there was to confirm
                changes += (Put(replace(user, status=UserStatus.ACTIVE)),)
                told.append(event("user.confirmed", user.id, now, by))
            return Outcome(changes, tuple(told))

        self._r.journal.do(verb)
        self._r.posted()


# ------------------------------------------------------------------------------------------------ decisions
def approve(
    r: Reception, by: Caller, id: str, name: str | None, account_id: str | None, quota: Quota | None
) -> Verb:
    """The applicant becomes a user who has yet to confirm."""

    def verb(view: View, now: Micros) -> Outcome:
        asked = waiting(view, id)
        profile = Profile(**{f.name: getattr(asked, f.name) for f in fields(Profile)})
        status = UserStatus.UNCONFIRMED
        user, rows = new_user(view, r.ids, name or asked.user_name, profile, account_id, status, now)
        words, link = r.link(links.ACTIVATE, user)
        changes = [*rows, Put(Password(user.id, asked.password, r.clock.wall())), link]
        if quota is not None:
            changes.append(Put(replace(quota, id=f"user/{user.id}")))
        changes += r.letter(view, now, "approved", user, words)
        facts = {"request": asked.id, "name": user.name}
        told = event("request.approved", user.id, now, by, user.account_id, facts)
        return Outcome((*changes, *_decided(asked, "approved", now)), (told,), user)

    return verb


def reject(r: Reception, by: Caller, id: str, reason: str) -> Verb:
    def verb(view: View, now: Micros) -> Outcome:
        asked = waiting(view, id)
        words = {"user_name": asked.user_name, "full_name": asked.full_name, "reason": reason}
        mail = r.post.letter(view, now, "rejected", asked.email, words)
        told = event(
            "request.rejected", asked.id, now, by, facts={"name": asked.user_name, "reason": reason[:500]}
        )
        return Outcome((mail, *_decided(asked, "rejected", now)), (told,))

    return verb


def _decided(asked: Application, decision: str, now: Micros) -> tuple[Change, ...]:
    row = replace(asked, decided_at=now, decision=decision, password="")
    return Put(row), Forget(row)


def waiting(view: View, id: str) -> Application:
    row = view.applications.get(id)
    if row is None:
        raise EucaError(
            "request_not_found", f"the request {id[:40]!r} does not exist, or was decided already"
        )
    return row


def set_password(
    r: Reception, view: View, now: Micros, visitor: Visitor, user: User, hashed: str, but: str = ""
) -> tuple[Change, ...]:
    """With all that follows: links and sessions (but one) end, and the user is told by mail."""
    words = {"at": moment(r.clock.wall()), "address": visitor.address}
    mail = r.letter(view, now, "password_changed", user, words)
    ended = (*links.drop(view, user.id), *end_sessions(view, user.id, but))
    return (Put(Password(user.id, hashed, r.clock.wall())), *ended, *mail)


# ---------------------------------------------------------------------------------------------- small facts
def is_open(view: View) -> bool:
    return FIRST_LOGIN not in view.settings


def shown_fields(view: View) -> tuple[str, ...]:
    row = view.settings.get(FORM)
    return OPTIONAL if row is None else tuple(json.loads(row.value))


def administrators(view: View) -> list[str]:
    """Where their mail goes, each address once."""
    there = (u.email for u in view.users.values() if u.is_admin and u.enabled and u.email)
    return sorted(set(there))


def check_profile(profile: Profile) -> None:
    """parameter_missing, parameter_invalid."""
    for name, text in asdict(profile).items():
        most = _LONGEST.get(name, 200)
        if len(text) > most:
            raise EucaError(
                "parameter_invalid", f"{name.replace('_', ' ')}: {len(text)} characters, at most {most}"
            )
        if any(not c.isprintable() and not (c in "\r\n\t" and name in _LONGEST) for c in text):
            raise EucaError("parameter_invalid", f"{name.replace('_', ' ')} has control characters")
    check_email(profile.email)


def check_email(email: str) -> None:
    if not email:
        raise EucaError("parameter_missing", "the e-mail address is missing")
    if len(email) > 254 or not _EMAIL.fullmatch(email) or ".." in email:
        raise EucaError("parameter_invalid", f"{email[:80]!r} is no e-mail address as in ann@example.org")


def visitor_caller(visitor: Visitor, user: User | None = None) -> Caller:
    """Who stands in the events for what a visitor did."""
    origin = f"{visitor.origin} {visitor.address}"
    if user is None:
        return Caller("", "visitor", "", False, origin, visitor.request_id)
    return Caller(user.id, user.name, user.account_id, user.is_admin, origin, visitor.request_id)


def _may_use(user: User) -> bool:
    return user.status in (UserStatus.ACTIVE, UserStatus.UNCONFIRMED)
