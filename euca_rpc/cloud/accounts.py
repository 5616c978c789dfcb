"""Accounts, users and their quotas.

An account owns every resource; a user belongs to exactly one and acts for it.  What a user proves to be somebody with is
in `credentials`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from euca_rpc.clock import Micros
from euca_rpc.cloud.changes import Insert, Outcome, Put, event
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.ids import Ids, account_number
from euca_rpc.types import Account, Caller, Quota, User

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def caller_for(user: User, origin: str = "", request_id: str = "") -> Caller:
    return Caller(user.id, user.name, user.account_id, user.is_admin, origin, request_id)


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
        if not _NAME.fullmatch(name):
            raise EucaError(
                "parameter_invalid",
                f"the user name {name[:80]!r}: use 1 to 63 of a-z 0-9 . _ - and begin with a letter or digit",
            )
        if name in view.user_names:
            raise EucaError("name_duplicate", f"the user {name!r} already exists: choose another name")
        rows: list[Insert] = []
        number = account_id
        if number is None:
            number = account_number(ids)
            while number in view.accounts:
                number = account_number(ids)
            rows.append(Insert(Account(number, name, now)))
        elif number not in view.accounts:
            raise EucaError("account_not_found", f"the account {number} does not exist")
        user = User(f"u-{ids.bits(64):016x}", name, number, is_admin, True, now, email)
        rows.append(Insert(user))
        return Outcome(tuple(rows), (event("user.added", user.id, now, by, number, {"name": name}),), user)

    return verb


def find_user(view: View, name: str) -> User:
    user_id = view.user_names.get(name)
    if user_id is None:
        known = ", ".join(sorted(view.user_names)[:10]) or "none"
        raise EucaError("user_not_found", f"the user {name!r} does not exist; there are {known}")
    return view.users[user_id]


def enable_user(by: Caller, name: str, enabled: bool) -> Callable[[View, Micros], Outcome]:
    def verb(view: View, now: Micros) -> Outcome:
        user = find_user(view, name)
        new = User(user.id, user.name, user.account_id, user.is_admin, enabled, user.created_at, user.email)
        kind = "user.enabled" if enabled else "user.disabled"
        return Outcome((Put(new),), (event(kind, user.id, now, by, user.account_id),), new)

    return verb


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
