"""Accounts, users and their quotas.

An account owns every resource; a user belongs to exactly one and acts for it.  What a user proves to be somebody with is
in `credentials`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, replace

from euca_rpc.clock import Micros
from euca_rpc.cloud.changes import Change, Insert, Outcome, Put, Remove, event
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.ids import Ids, account_number
from euca_rpc.types import Account, Caller, Profile, Quota, User, UserStatus

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def caller_for(user: User, origin: str = "", request_id: str = "") -> Caller:
    return Caller(user.id, user.name, user.account_id, user.is_admin, origin, request_id)


def check_administrator(caller: Caller) -> None:
    if not caller.is_admin:
        raise EucaError("denied", f"{caller.user_name} is no administrator")


# ------------------------------------------------------------------------------------------------------- verbs
def add_user(
    by: Caller | str,
    ids: Ids,
    name: str,
    *,
    is_admin: bool = False,
    email: str = "",
    account_id: str | None = None,
) -> Callable[[View, Micros], Outcome]:
    """A user with an account of its own, unless one is named."""

    def verb(view: View, now: Micros) -> Outcome:
        profile = Profile(email=email)
        user, rows = new_user(view, ids, name, profile, account_id, UserStatus.ACTIVE, now, is_admin)
        told = event("user.added", user.id, now, by, user.account_id, {"name": name})
        return Outcome(rows, (told,), user)

    return verb


def new_user(
    view: View,
    ids: Ids,
    name: str,
    profile: Profile,
    account_id: str | None,
    status: UserStatus,
    now: Micros,
    is_admin: bool = False,
) -> tuple[User, tuple[Change, ...]]:
    """parameter_invalid, name_duplicate, account_not_found."""
    check_name(name)
    if name in view.user_names:
        raise EucaError("name_duplicate", f"the user {name!r} already exists: choose another name")
    rows: list[Change] = []
    number = account_id
    if number is None:
        number = account_number(ids)
        while number in view.accounts:
            number = account_number(ids)
        rows.append(Insert(Account(number, name, now)))
    elif number not in view.accounts:
        raise EucaError("account_not_found", f"the account {number} does not exist")
    user = User(f"u-{ids.bits(64):016x}", name, number, is_admin, status, now, **asdict(profile))
    rows.append(Insert(user))
    return user, tuple(rows)


def check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise EucaError(
            "parameter_invalid",
            f"the user name {name[:80]!r}: use 1 to 63 of a-z 0-9 . _ - and begin with a letter or digit",
        )


def find_user(view: View, name: str) -> User:
    """user_not_found for one who was deleted, too."""
    user = view.users.get(view.user_names.get(name, ""))
    if user is None or user.status is UserStatus.DELETED:
        there = (u.name for u in view.users.values() if u.status is not UserStatus.DELETED)
        known = ", ".join(sorted(there)[:10]) or "none"
        raise EucaError("user_not_found", f"the user {name!r} does not exist; there are {known}")
    return user


def enable_user(by: Caller, name: str, enabled: bool) -> Callable[[View, Micros], Outcome]:
    """Disabling ends the user's sessions.  state_conflict for whoever has yet to confirm."""

    def verb(view: View, now: Micros) -> Outcome:
        user = find_user(view, name)
        if user.status is UserStatus.UNCONFIRMED:  # a switch would forget that
            raise EucaError(
                "state_conflict",
                f"{name} has yet to confirm: reset the password to send another link, or delete the user",
            )
        if not enabled:
            keep_an_administrator(view, by, user)
        new = replace(user, status=UserStatus.ACTIVE if enabled else UserStatus.DISABLED)
        kind = "user.enabled" if enabled else "user.disabled"
        ended = () if enabled else end_sessions(view, user.id)
        return Outcome((Put(new), *ended), (event(kind, user.id, now, by, user.account_id),), new)

    return verb


def keep_an_administrator(view: View, by: Caller | str, user: User) -> None:
    """Nobody locks the cloud's last administrator out, and nobody themselves."""
    if isinstance(by, Caller) and by.user_id == user.id:
        raise EucaError("state_conflict", f"{user.name} is you: let another administrator do that")
    others = (u for u in view.users.values() if u.is_admin and u.enabled and u.id != user.id)
    if user.is_admin and user.enabled and next(others, None) is None:
        raise EucaError(
            "state_conflict", f"{user.name} is the last administrator: make somebody else one before"
        )


def end_sessions(view: View, user_id: str, but: str = "") -> tuple[Change, ...]:
    return tuple(Remove(s) for s in view.user_sessions.get(user_id, {}).values() if s.id != but)


def set_quota(by: Caller, quota: Quota) -> Callable[[View, Micros], Outcome]:
    """Lowering one stops nothing; it only refuses what comes."""

    def verb(view: View, now: Micros) -> Outcome:
        facts = {
            "instances": quota.instances,
            "cores": quota.cores,
            "memory_mb": quota.memory_mb,
            "disk_gb": quota.disk_gb,
        }
        return Outcome((Put(quota),), (event("quota.set", quota.id, now, by, facts=facts),), quota)

    return verb
