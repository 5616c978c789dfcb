"""Users and accounts, as an administrator handles them and as everybody sees themselves.

    unconfirmed ─► active ◄─► disabled            verb        what goes with it
         └───────────┴───────────┴─► deleted      disable     sessions end, keys fail; instances run on
                                                  delete      password, links, sessions go; instances end or stay the account's
                                                  reset       the password counts no more; a link is mailed

Nothing of a deleted user's history goes: the row stays, and neither its id nor its name is used again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar

from euca_rpc.clock import Micros, moment
from euca_rpc.cloud import lifecycle, links, pages, signup
from euca_rpc.cloud.accounts import (
    check_administrator,
    enable_user,
    end_sessions,
    find_user,
    keep_an_administrator,
    new_user,
    set_quota,
)
from euca_rpc.cloud.changes import Change, Outcome, Put, Remove, event
from euca_rpc.cloud.signup import Reception, check_email, check_profile
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.policy.values import Tally
from euca_rpc.shown import AccountStatus, Owner, Page, Person, QuotaStatus
from euca_rpc.types import Account, Application, Caller, Event, Intent, Profile, Quota, User, UserStatus

Verb = Callable[[View, Micros], Outcome]
Shown = TypeVar("Shown")
_LIMITS = ("instances", "cores", "memory_mb", "disk_gb")


class People:
    """`nouns.People`."""

    def __init__(self, reception: Reception) -> None:
        self._r = reception

    # ------------------------------------------------------------------------------------------- looking
    def me(self, caller: Caller) -> Person:
        view = self._r.journal.view
        return _person(view, view.users[caller.user_id])

    def users(
        self, caller: Caller, search: str = "", status: str = "", after: str = "", limit: int = 50
    ) -> Page[Person]:
        check_administrator(caller)
        view = self._r.journal.view
        if status and status not in set(UserStatus):
            raise EucaError(
                "parameter_invalid", f"no status {status[:40]!r}; there are {', '.join(UserStatus)}"
            )
        word = search.casefold()

        def wanted(u: User) -> bool:
            if u.status != status if status else u.status is UserStatus.DELETED:
                return False
            return not word or any(
                word in text.casefold() for text in (u.name, u.full_name, u.email, u.account_id)
            )

        rows = [u for u in view.users.values() if (not after or u.name > after) and wanted(u)]
        page = _page(rows, lambda u: u.name, limit, lambda u: u.name)
        return Page(tuple(_person(view, u) for u in page.rows), page.next)

    def user(self, caller: Caller, user_name: str) -> Person:
        check_administrator(caller)
        view = self._r.journal.view
        user = view.users.get(view.user_names.get(user_name, ""))
        return _person(view, user or find_user(view, user_name))

    def requests(
        self, caller: Caller, search: str = "", after: str = "", limit: int = 50
    ) -> Page[Application]:
        check_administrator(caller)
        word = search.casefold()
        begin: tuple[int, str] = (0, "")
        if after:
            at, id = pages.position(after, 2)
            begin = (int(at), id)
        rows = [
            a
            for a in self._r.journal.view.applications.values()
            if (a.applied_at, a.id) > begin
            and (not word or any(word in text.casefold() for text in (a.user_name, a.full_name, a.email)))
        ]
        return _page(rows, lambda a: (a.applied_at, a.id), limit, lambda a: pages.cursor(a.applied_at, a.id))

    def request(self, caller: Caller, id: str) -> Application:
        check_administrator(caller)
        return signup.waiting(self._r.journal.view, id)

    def accounts(
        self, caller: Caller, search: str = "", after: str = "", limit: int = 50
    ) -> Page[AccountStatus]:
        check_administrator(caller)
        view, word = self._r.journal.view, search.casefold()
        begin = (
            tuple(reversed(after.split("/", 1))) if after else ()
        )  # names may have a slash, numbers do not
        rows = [
            a
            for a in view.accounts.values()
            if (a.name, a.id) > begin and (word in a.name.casefold() or word in a.id)
        ]
        page = _page(rows, lambda a: (a.name, a.id), limit, lambda a: f"{a.id}/{a.name}")
        members: dict[str, int] = {}
        for u in view.users.values():
            if u.status is not UserStatus.DELETED:
                members[u.account_id] = members.get(u.account_id, 0) + 1
        return Page(tuple(_account(view, a, members.get(a.id, 0)) for a in page.rows), page.next)

    def owners(self, caller: Caller, user_ids: Iterable[str]) -> dict[str, Owner]:
        view = self._r.journal.view
        rows = (view.users.get(id) for id in user_ids)
        return {
            u.id: Owner(u.name, u.account_id, view.accounts[u.account_id].name)
            for u in rows
            if u is not None and (caller.is_admin or u.account_id == caller.account_id)
        }

    def quota(self, caller: Caller, scope: str = "") -> QuotaStatus:
        view = self._r.journal.view
        key = self._scope(view, caller, scope)
        return _quota(view, key)

    # ------------------------------------------------------------------------------------------ changing
    def change_profile(self, caller: Caller, profile: Profile, user_name: str = "") -> Person:
        if user_name and user_name != caller.user_name:
            check_administrator(caller)
        check_profile(profile)

        def verb(view: View, now: Micros) -> Outcome:
            user = find_user(view, user_name or caller.user_name)
            new = replace(user, **asdict(profile))
            changed = sorted(f.name for f in fields(Profile) if getattr(new, f.name) != getattr(user, f.name))
            told = event("user.profile", user.id, now, caller, user.account_id, {"changed": changed})
            return Outcome(
                (Put(new), *(self._moved(view, now, user) if "email" in changed else ())), (told,), new
            )

        return self._done(verb)

    def _moved(self, view: View, now: Micros, before: User) -> tuple[Change, ...]:
        """A link that was mailed to the old address opens nothing any more, and whoever reads there is told."""
        words = {"at": moment(self._r.clock.wall())}
        return (*links.drop(view, before.id), *self._r.letter(view, now, "address_changed", before, words))

    def approve(
        self,
        caller: Caller,
        id: str,
        *,
        user_name: str | None = None,
        account_id: str | None = None,
        quota: Quota | None = None,
    ) -> Person:
        check_administrator(caller)
        if quota is not None:
            check_limits(quota)
        return self._done(signup.approve(self._r, caller, id, user_name, account_id, quota))

    def reject(self, caller: Caller, id: str, reason: str = "") -> None:
        check_administrator(caller)
        self._r.journal.do(signup.reject(self._r, caller, id, reason))
        self._r.posted()

    def add(self, caller: Caller, user_name: str, profile: Profile, account_id: str | None = None) -> Person:
        check_administrator(caller)
        check_profile(profile)

        def verb(view: View, now: Micros) -> Outcome:
            status = UserStatus.UNCONFIRMED
            user, rows = new_user(view, self._r.ids, user_name, profile, account_id, status, now)
            words, link = self._r.link(links.RECOVER, user)
            mail = self._r.letter(view, now, "invited", user, words)
            told = event("user.added", user.id, now, caller, user.account_id, {"name": user.name})
            return Outcome((*rows, link, *mail), (told,), user)

        return self._done(verb)

    def disable(self, caller: Caller, user_name: str) -> Person:
        check_administrator(caller)
        return self._done(enable_user(caller, user_name, False))

    def enable(self, caller: Caller, user_name: str) -> Person:
        check_administrator(caller)
        return self._done(enable_user(caller, user_name, True))

    def delete(self, caller: Caller, user_name: str, instances: str) -> Person:
        check_administrator(caller)
        if instances not in ("terminate", "keep"):
            raise EucaError("parameter_invalid", f"instances: {instances[:40]!r}; say terminate or keep")
        return self._done(delete(caller, user_name, instances == "terminate"))

    def reset(self, caller: Caller, user_name: str) -> None:
        check_administrator(caller)
        self._done(reset(self._r, caller, user_name))

    def set_administrator(self, caller: Caller, user_name: str, is_admin: bool) -> Person:
        check_administrator(caller)

        def verb(view: View, now: Micros) -> Outcome:
            user = find_user(view, user_name)
            if not is_admin:
                keep_an_administrator(view, caller, user)
            new = replace(user, is_admin=is_admin)
            kind = "user.administrator" if is_admin else "user.no_administrator"
            return Outcome((Put(new),), (event(kind, user.id, now, caller, user.account_id),), new)

        return self._done(verb)

    def set_quota(self, caller: Caller, scope: str, limits: Quota | None) -> QuotaStatus:
        check_administrator(caller)
        view = self._r.journal.view
        key = self._scope(view, caller, scope)
        if limits is not None:
            check_limits(limits)
            self._r.journal.do(set_quota(caller, replace(limits, id=key)))
        else:
            self._r.journal.do(_forget_quota(caller, key))
        return _quota(self._r.journal.view, key)

    def _done(self, verb: Verb) -> Person:
        user = self._r.journal.do(verb)
        self._r.posted()
        return _person(self._r.journal.view, user)

    @staticmethod
    def _scope(view: View, caller: Caller, scope: str) -> str:
        """The quota's id.  Others' are an administrator's business."""
        kind, _, name = (scope or f"user/{caller.user_name}").partition("/")
        if kind == "account" and name in ("", caller.account_id):
            return f"account/{caller.account_id}"
        if kind == "user" and name == caller.user_name:
            return f"user/{caller.user_id}"
        check_administrator(caller)
        if scope in ("default/account", "default/user"):
            return scope
        if kind == "user":
            return f"user/{find_user(view, name).id}"
        if kind != "account":
            raise EucaError("parameter_invalid", f"the scope {scope[:80]!r}: account/NUMBER or user/NAME")
        if name not in view.accounts:
            raise EucaError("account_not_found", f"the account {name[:40]!r} does not exist")
        return f"account/{name}"


# ----------------------------------------------------------------------------------------------------- verbs
def delete(by: Caller, name: str, terminate: bool) -> Verb:
    def verb(view: View, now: Micros) -> Outcome:
        user = find_user(view, name)
        keep_an_administrator(view, by, user)
        new = replace(user, status=UserStatus.DELETED, is_admin=False)
        changes: list[Change] = [Put(new), *links.drop(view, user.id), *end_sessions(view, user.id)]
        if user.id in view.passwords:
            changes.append(Remove(view.passwords[user.id]))
        facts: dict[str, Any] = {"name": user.name, "instances": "terminate" if terminate else "keep"}
        events: list[Event] = [event("user.deleted", user.id, now, by, user.account_id, facts)]
        for row in _launched_by(view, user) if terminate else ():
            reason = f"its user {user.name} was deleted by {by.user_name}"
            ended = lifecycle.want_terminated(row, now, "Server.UserDeleted", reason)
            changes.append(Put(replace(ended, protected=False)))
            events.append(event("instance.terminate", row.id, now, by, row.account_id, {"reason": reason}))
        return Outcome(tuple(changes), tuple(events), new)

    return verb


def _launched_by(view: View, user: User) -> Iterable[Any]:
    for reservation in view.by_account.get(user.account_id, {}).values():
        if reservation.created_by == user.id:
            rows = (view.instances.get(i) for i in reservation.instance_ids)
            yield from (i for i in rows if i is not None and i.intent is not Intent.TERMINATED)


def reset(r: Reception, by: Caller, name: str) -> Verb:
    def verb(view: View, now: Micros) -> Outcome:
        user = find_user(view, name)
        if user.status is UserStatus.DISABLED:
            raise EucaError("state_conflict", f"{name} is disabled: enable the user first")
        check_email(user.email)
        words, link = r.link(links.RECOVER, user)
        kind = "invited" if user.status is UserStatus.UNCONFIRMED else "recover"
        changes = [link, *r.letter(view, now, kind, user, words), *end_sessions(view, user.id)]
        changes += links.drop(view, user.id, links.ACTIVATE)
        if user.id in view.passwords:
            changes.append(Remove(view.passwords[user.id]))
        return Outcome(tuple(changes), (event("password.reset", user.id, now, by, user.account_id),), user)

    return verb


def _forget_quota(by: Caller, key: str) -> Verb:
    def verb(view: View, now: Micros) -> Outcome:
        row = view.quotas.get(key)
        return Outcome((Remove(row),) if row else (), (event("quota.unset", key, now, by),))

    return verb


def check_limits(limits: Quota) -> None:
    for name in _LIMITS:
        if not -1 <= getattr(limits, name) <= 1 << 40:
            raise EucaError(
                "parameter_invalid", f"{name}: {getattr(limits, name)}; give a number, or -1 for no limit"
            )


# -------------------------------------------------------------------------------------------- what is shown
def _person(view: View, u: User) -> Person:
    account = view.accounts.get(u.account_id)
    return Person(
        u.id,
        u.name,
        u.account_id,
        account.name if account else "",
        u.is_admin,
        str(u.status),
        u.created_at,
        Profile(**{f.name: getattr(u, f.name) for f in fields(Profile)}),
        u.id in view.passwords,
        view.tallies.get(f"user/{u.id}", Tally()).instances,
    )


def _account(view: View, a: Account, users: int) -> AccountStatus:
    scope = f"account/{a.id}"
    return AccountStatus(a.id, a.name, a.created_at, users, view.quota(scope), _held(view, scope))


def _held(view: View, scope: str) -> Quota:
    tally = view.tallies.get(scope, Tally())
    return Quota(scope, tally.instances, *tally.size.parts())


def _quota(view: View, scope: str) -> QuotaStatus:
    limits, held = view.quota(scope), _held(view, scope)
    left = {
        name: -1 if getattr(limits, name) < 0 else max(0, getattr(limits, name) - getattr(held, name))
        for name in _LIMITS
    }
    return QuotaStatus(scope, limits, held, Quota(scope, **left))


def _page(
    rows: list[Shown], order: Callable[[Shown], Any], limit: int, cursor: Callable[[Shown], str]
) -> Page[Shown]:
    """The first ``limit`` of rows that lie behind the cursor."""
    page = sorted(rows, key=order)[: pages.size_of(limit) + 1]
    return Page(tuple(page[:limit]), cursor(page[limit - 1]) if len(page) > limit else "")
