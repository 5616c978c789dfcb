"""An administrator who cannot get in any more, let in again by whoever holds the cloud's home: `euca rescue`, offline.

The store's lock says whether a cloud controller runs; then nothing is done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from euca_rpc.clock import HOUR, Clock, Micros
from euca_rpc.cloud import links
from euca_rpc.cloud.accounts import find_user
from euca_rpc.cloud.bootstrap import first_login
from euca_rpc.cloud.changes import Change, Outcome, Put, event
from euca_rpc.cloud.controller import open_view
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.sessions import first_administrator
from euca_rpc.cloud.signup import FIRST_LOGIN
from euca_rpc.cloud.store import Store
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.ids import Ids
from euca_rpc.types import UserStatus

LIFE: Micros = HOUR  # of the link


@dataclass(frozen=True, slots=True)
class Rescued:
    """One of the two ways into the portal; only hashes of them are kept."""

    code: str = field(default="", repr=False)  # for the first log-in, while nobody has done the first steps
    token: str = field(default="", repr=False)  # of a link that lets the user choose another password, once
    token_ends: Micros = 0


def rescue(
    database: Path, clock: Clock, ids: Ids, name: str, meanwhile: Callable[[], None] = lambda: None
) -> Rescued:
    """``meanwhile`` is done under the store's lock, too, once it is sure that ``name`` may be rescued.  state_conflict
    while a cloud controller runs, user_not_found, denied for whoever is no administrator."""
    store = Store(database)
    try:
        journal = Journal(store, open_view(store, clock.now()), clock)
        verb = let_in(ids, name, clock.wall())
        verb(journal.view, clock.now())  # refuses before anything is done
        meanwhile()
        rescued: Rescued = journal.do(verb)
        return rescued
    finally:
        store.close()


def let_in(ids: Ids, name: str, wall: Micros) -> Callable[[View, Micros], Outcome]:
    def verb(view: View, now: Micros) -> Outcome:
        user = find_user(view, name)
        if not user.is_admin:
            raise EucaError("denied", f"{name} is no administrator: one of those can help {name}")
        changes: list[Change] = []
        if not user.enabled:
            changes.append(Put(replace(user, status=UserStatus.ACTIVE)))
        if FIRST_LOGIN in view.settings and user is first_administrator(view):
            code, setting = first_login(ids)
            changes.append(Put(setting))
            rescued = Rescued(code=code)
        else:
            token, link = links.make(ids, links.RECOVER, user.id, wall + LIFE)
            changes.append(link)
            rescued = Rescued(token=token, token_ends=wall + LIFE)
        told = event("user.rescued", user.id, now, "rescue", user.account_id, {"user": name})
        return Outcome(tuple(changes), (told,), rescued)

    return verb
