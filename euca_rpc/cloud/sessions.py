"""Logging in, and what a session is.

    name, password ─► guard (too often?) ─► one hash, whoever is meant ─► verb: still so? ─► session row ─► token, once

A session is a row: who holds the token whose SHA-256 is its id, until when.  It ends by itself (idle, or at the latest
moment), by logging out, and with whatever changes the password or the standing of its user, at once, because every request looks it
up in the view.  A token is made at each log-in and each change of the password, never taken from the browser.

`seen_at` is written down every few minutes only, so that reading a page costs no write.

The first administrator's `admin`/`admin` counts while no password was ever set, from this machine or with the code of
`euca init`; one session at a time holds the first steps, which have `FIRST_STEPS` to be done.  It opens nothing else: its
caller is None.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, replace

from euca_rpc.clock import HOUR, MINUTE, Micros, moment
from euca_rpc.cloud import links, passwords
from euca_rpc.cloud.accounts import caller_for, end_sessions
from euca_rpc.cloud.changes import Change, Insert, Outcome, Put, Remove, event
from euca_rpc.cloud.guard import is_loopback
from euca_rpc.cloud.seal import Seal
from euca_rpc.cloud.signup import FIRST_LOGIN, Reception, check_email, set_password, visitor_caller
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.shown import LoggedIn, Present, Visitor
from euca_rpc.types import Password, Session, User, UserStatus

log = logging.getLogger("euca.sessions")

FIRST_STEPS, TOUCH = 30 * MINUTE, 5 * MINUTE
MOST = 20  # sessions of one user; the one that was idle longest ends first
_DEVICE_LIFE = 180 * 24 * HOUR
_FIRST_PASSWORD = "admin"  # noqa: S105  the original's, good for the first steps alone


@dataclass(frozen=True, slots=True)
class Lives:
    idle: Micros = 2 * HOUR
    longest: Micros = 24 * HOUR


@dataclass(frozen=True, slots=True)
class _Found:
    """Whose password it would have to be."""

    user: User | None = None
    stored: str | None = None  # hash
    name: str = ""
    waits: bool = False  # a request, no user


class Sessions:
    """`nouns.Sessions`."""

    def __init__(self, reception: Reception, seal: Seal, lives: Lives | None = None) -> None:
        self._r, self._seal, self._lives = reception, seal, lives or Lives()

    def log_in(
        self, visitor: Visitor, user_name: str, password: str, *, activation: str = "", code: str = ""
    ) -> LoggedIn:
        name = user_name.strip().lower()[:64]
        view = self._r.journal.view
        found = _who(view, name)
        device = self._known(view, found.user, visitor.device)
        self._r.guard.log_in(visitor.address, name, device)
        right = self._r.passwords.verify(password, found.stored, known=bool(device))
        if (
            found.user is not None
            and found.stored is None
            and _first_password(view, found.user, visitor, password, code)
        ):
            return self._begin_first_steps(visitor, found.user)
        if not right:
            # a name that is nobody's may be a password typed into the wrong field
            log.info("log-in refused for %s from %s", found.name or "an unknown name", visitor.address)
            raise _wrong()
        failures = self._r.guard.logged_in(visitor.address, name, device)
        if found.waits or found.user is None:
            raise EucaError("user_waiting", "Your request is waiting for approval by the administrator.")
        assert found.stored is not None
        stronger = (
            self._r.passwords.hash(password, known=True) if self._r.passwords.outdated(found.stored) else None
        )
        return self._begin(visitor, found.user, found.stored, stronger, activation, failures, device)

    def _begin(
        self,
        visitor: Visitor,
        user: User,
        verified: str,
        stronger: str | None,
        activation: str,
        failures: int,
        device: str,
    ) -> LoggedIn:
        wall = self._r.clock.wall()
        token = links.secret(self._r.ids)

        def verb(view: View, now: Micros) -> Outcome:
            row = view.passwords.get(user.id)
            if row is None or row.hash != verified:
                raise _wrong()  # changed since it was checked
            new, changes = _admit(view, view.users[user.id], activation, wall)
            by = visitor_caller(visitor, new)
            told = [event("session.began", new.id, now, by)]
            if new.status is not view.users[user.id].status:
                told.insert(0, event("user.confirmed", new.id, now, by))
            if stronger is not None:
                changes += (Put(replace(row, hash=stronger)),)
            session = self._session(token, new.id, visitor, wall, failures)
            changes += (*self._make_room(view, new.id, wall), Insert(session))
            return Outcome(changes, tuple(told), (new, session))

        new, session = self._r.journal.do(verb)
        kept = visitor.device if device else self._new_device(new.id, wall)
        return LoggedIn(token, kept, self._present(visitor, new, session))

    def by_token(self, visitor: Visitor, token: str, used: bool = True) -> Present | None:
        found = self._live(self._r.journal.view, token)
        if found is None:
            return None
        user, session = found
        wall = self._r.clock.wall()
        if used and wall - session.seen_at > TOUCH:

            def touch(view: View, now: Micros) -> Outcome:
                row = view.sessions.get(session.id)
                if row is None or wall - row.seen_at <= TOUCH:
                    return Outcome()
                return Outcome((Put(replace(row, seen_at=wall)),))

            self._r.journal.submit(touch)  # nobody waits for it
        return self._present(visitor, user, session)

    def first_steps(self, visitor: Visitor, token: str, password: str, email: str) -> LoggedIn:
        view = self._r.journal.view
        user, session = self._must_live(view, token)
        if not session.first_steps:
            raise _wrong()
        check_email(email)
        passwords.check(password, user.name, user.full_name)
        hashed = self._r.passwords.hash(password, known=True)
        wall = self._r.clock.wall()
        new_token = links.secret(self._r.ids)

        def verb(view: View, now: Micros) -> Outcome:
            user, old = self._must_live(view, token)
            setting = view.settings.get(FIRST_LOGIN)
            if setting is None or not old.first_steps:
                raise _wrong()
            new = replace(user, email=email)
            by = visitor_caller(visitor, new)
            session = self._session(new_token, user.id, visitor, wall, old.failures)
            changes: tuple[Change, ...] = (
                Put(new),
                Put(Password(user.id, hashed, wall)),
                Remove(setting),
                *end_sessions(view, user.id),
                Insert(session),
            )
            told = (event("portal.opened", user.id, now, by), event("session.began", user.id, now, by))
            return Outcome(changes, told, (new, session))

        new, begun = self._r.journal.do(verb)
        return LoggedIn(new_token, self._new_device(new.id, wall), self._present(visitor, new, begun))

    def change_password(self, visitor: Visitor, token: str, old: str, new: str) -> LoggedIn:
        view = self._r.journal.view
        user, session = self._must_live(view, token)
        stored = view.passwords.get(user.id)
        if stored is None or session.first_steps:
            raise _wrong()
        passwords.check(new, user.name, user.full_name)
        device = self._known(view, user, visitor.device)
        self._r.guard.log_in(visitor.address, user.name, device)
        if not self._r.passwords.verify(old, stored.hash, known=True):
            raise _wrong()
        self._r.guard.logged_in(visitor.address, user.name, device)
        hashed = self._r.passwords.hash(new, known=True)
        wall = self._r.clock.wall()
        new_token = links.secret(self._r.ids)

        def verb(view: View, now: Micros) -> Outcome:
            user, before = self._must_live(view, token)
            if view.passwords.get(user.id) != stored:
                raise _wrong()
            session = self._session(new_token, user.id, visitor, wall, before.failures)
            changes = set_password(self._r, view, now, visitor, user, hashed)
            told = event("password.changed", user.id, now, visitor_caller(visitor, user))
            return Outcome((*changes, Insert(session)), (told,), (user, session))

        user, begun = self._r.journal.do(verb)
        self._r.posted()
        return LoggedIn(new_token, self._new_device(user.id, wall), self._present(visitor, user, begun))

    def log_out(self, token: str) -> None:
        def verb(view: View, now: Micros) -> Outcome:
            row = view.sessions.get(links.digest(token))
            if row is None:
                return Outcome()
            user = view.users[row.user_id]
            by = visitor_caller(Visitor(row.address), user)
            return Outcome((Remove(row),), (event("session.ended", user.id, now, by),))

        self._r.journal.do(verb)

    # ---------------------------------------------------------------------------------------- first steps
    def _begin_first_steps(self, visitor: Visitor, user: User) -> LoggedIn:
        wall = self._r.clock.wall()
        token = links.secret(self._r.ids)

        def verb(view: View, now: Micros) -> Outcome:
            if FIRST_LOGIN not in view.settings or user.id in view.passwords:
                raise _wrong()
            for other in view.user_sessions.get(user.id, {}).values():
                if other.ends_at > wall:
                    raise EucaError(
                        "state_conflict",
                        f"Somebody logged in for the first steps before, and has until {moment(other.ends_at)} for them.",
                    )
            session = self._session(token, user.id, visitor, wall, 0)
            session = replace(session, ends_at=wall + FIRST_STEPS, first_steps=True)
            told = event(
                "session.began", user.id, now, visitor_caller(visitor, user), facts={"first_steps": True}
            )
            return Outcome((*end_sessions(view, user.id), Insert(session)), (told,), session)

        session: Session = self._r.journal.do(verb)
        return LoggedIn(token, "", self._present(visitor, user, session))

    # ------------------------------------------------------------------------------------------ small steps
    def _session(self, token: str, user_id: str, visitor: Visitor, wall: Micros, failures: int) -> Session:
        ends = wall + self._lives.longest
        return Session(links.digest(token), user_id, visitor.address, wall, wall, ends, failures)

    def _make_room(self, view: View, user_id: str, wall: Micros) -> tuple[Change, ...]:
        rows = sorted(view.user_sessions.get(user_id, {}).values(), key=lambda s: s.seen_at)
        over = [s for s in rows if not self._goes_on(s, wall)]
        rest = [s for s in rows if self._goes_on(s, wall)]
        return tuple(Remove(s) for s in (*over, *rest[: max(0, len(rest) - MOST + 1)]))

    def _goes_on(self, s: Session, wall: Micros) -> bool:
        return wall < s.ends_at and wall - s.seen_at < self._lives.idle + TOUCH

    def _live(self, view: View, token: str) -> tuple[User, Session] | None:
        session = view.sessions.get(links.digest(token))
        if session is None or not self._goes_on(session, self._r.clock.wall()):
            return None
        user = view.users[session.user_id]
        return (user, session) if user.enabled else None

    def _must_live(self, view: View, token: str) -> tuple[User, Session]:
        found = self._live(view, token)
        if found is None:
            raise EucaError("auth_failure", "The session has ended: log in again.")
        return found

    def _present(self, visitor: Visitor, user: User, session: Session) -> Present:
        caller = caller_for(user, f"{visitor.origin} {visitor.address}", visitor.request_id)
        return Present(
            None if session.first_steps else caller,
            user.name,
            user.is_admin,
            session.began_at,
            session.ends_at,
            session.failures,
            session.first_steps,
        )

    # ---------------------------------------------------------------------------------------- known browsers
    def _new_device(self, user_id: str, wall: Micros) -> str:
        facts = json.dumps({"user": user_id, "at": wall, "id": links.secret(self._r.ids, 96)})
        return urlsafe_b64encode(self._seal.close(facts, "device")).decode()

    def _known(self, view: View, user: User | None, device: str) -> str:
        """The id of a browser in which this user logged in since the password was set; "" for any other."""
        if not device or user is None or len(device) > 500:
            return ""
        try:
            facts = json.loads(self._seal.open(urlsafe_b64decode(device), "device"))
        except (EucaError, ValueError):
            return ""
        password = view.passwords.get(user.id)
        fresh = self._r.clock.wall() - facts["at"] < _DEVICE_LIFE
        known = facts["user"] == user.id and password is not None and facts["at"] >= password.set_at
        return str(facts["id"]) if known and fresh else ""


# ------------------------------------------------------------------------------------------------- pure parts
def _who(view: View, name: str) -> _Found:
    user = view.users.get(view.user_names.get(name, ""))
    if user is not None:
        password = view.passwords.get(user.id)
        return _Found(user, password.hash if password else None, name)
    wishes = view.wished_names.get(name)
    if wishes:
        oldest = min(wishes.values(), key=lambda a: (a.applied_at, a.id))
        return _Found(None, oldest.password, name, True)
    return _Found()


def _admit(view: View, user: User, activation: str, wall: Micros) -> tuple[User, tuple[Change, ...]]:
    """What the right password opens."""
    if user.status is UserStatus.ACTIVE:
        return user, ()
    if user.status is UserStatus.UNCONFIRMED:
        if not activation:
            raise EucaError(
                "user_unconfirmed",
                "Your account is not confirmed yet: open the link of the mail that told you of the approval.",
            )
        link = links.find(view, links.ACTIVATE, activation, wall)
        if link is None or links.user_of(link) != user.id:
            raise links.invalid()
        new = replace(user, status=UserStatus.ACTIVE)
        return new, (Put(new), Remove(link))
    if user.status is UserStatus.DISABLED:
        raise EucaError("user_disabled", "Your account is disabled: ask the administrator.")
    raise _wrong()


def _first_password(view: View, user: User, visitor: Visitor, password: str, code: str) -> bool:
    setting = view.settings.get(FIRST_LOGIN)
    if setting is None or not user.enabled or user is not first_administrator(view):
        return False
    given = hashlib.sha256(code.strip().encode("utf-8", "surrogatepass")).hexdigest()
    right_code = hmac.compare_digest(given, str(json.loads(setting.value)))
    right = hmac.compare_digest(password.encode("utf-8", "surrogatepass"), _FIRST_PASSWORD.encode())
    return right and (right_code or is_loopback(visitor.address))


def first_administrator(view: View) -> User | None:
    """Whom `euca init` made."""
    there = [u for u in view.users.values() if u.is_admin]
    return min(there, key=lambda u: (u.created_at, u.id), default=None)


def _wrong() -> EucaError:
    return EucaError("auth_failure", "The user name or the password is wrong.")
