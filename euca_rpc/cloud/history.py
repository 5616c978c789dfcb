"""What was done and what was used: the event table and the usage rows, as people read them.

A caller sees its account's; an administrator sees all.
"""

from __future__ import annotations

from euca_rpc.clock import SECOND, Micros
from euca_rpc.cloud import pages
from euca_rpc.cloud.accounts import check_administrator, find_user
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.store import Store
from euca_rpc.errors import EucaError
from euca_rpc.shown import LedgerLine, Page, UsagePoint, UsageTotal
from euca_rpc.types import Caller, Event

MOST_POINTS = 400


class History:
    """`nouns.History`."""

    def __init__(self, store: Store, journal: Journal) -> None:
        self._store, self._journal = store, journal

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
        if not caller.is_admin:
            account_id = caller.account_id
        rows = pages.events(
            self._store,
            subject=subject,
            kind=kind,
            actor=actor,
            account_id=account_id,
            since=since,
            until=until,
            after=after,
            limit=pages.size_of(limit) + 1,
        )
        return Page(tuple(rows[:limit]), pages.cursor(rows[limit - 1].id) if len(rows) > limit else "")

    def usage(
        self, caller: Caller, scope: str, since: Micros, until: Micros, points: int = 30
    ) -> list[UsagePoint]:
        account_id, user_id = self._scope(caller, scope)
        _check(since, until)
        if not 1 <= points <= MOST_POINTS:
            raise EucaError("parameter_invalid", f"{points} points: ask for 1 to {MOST_POINTS}")
        step = (
            -(-(until - since) // (points * SECOND)) * SECOND
        )  # whole seconds; the last may reach beyond `until`
        rows = pages.usage(self._store, since, step, points, until, account_id, user_id)
        return [UsagePoint(since + n * step, *sums) for n, sums in enumerate(rows)]

    def usage_by(
        self, caller: Caller, kind: str, since: Micros, until: Micros, after: str = "", limit: int = 50
    ) -> Page[UsageTotal]:
        if kind not in ("user", "account"):
            raise EucaError("parameter_invalid", f"usage by {kind[:40]!r}: say user or account")
        _check(since, until)
        view = self._journal.view
        names = view.users if kind == "user" else view.accounts
        own = "" if caller.is_admin else caller.account_id
        found = pages.usage_by(self._store, kind, since, until, own)
        order = sorted((names[id].name if id in names else id, id) for id in found)
        if after:
            last, _, name = after.partition("/")
            order = [place for place in order if place > (name, last)]
        page = [UsageTotal(id, name, *found[id]) for name, id in order[: pages.size_of(limit)]]
        return Page(tuple(page), pages.cursor(page[-1].id, page[-1].name) if len(order) > limit else "")

    def ledger(self, caller: Caller, since: Micros, until: Micros) -> list[LedgerLine]:
        _check(since, until)
        view = self._journal.view
        found = pages.ledger(self._store, since, until, "" if caller.is_admin else caller.account_id)
        accounts, users = view.accounts, view.users
        lines = [
            LedgerLine(
                account,
                accounts[account].name if account in accounts else account,
                user,
                users[user].name if user in users else user,
                *sums,
            )
            for (account, user), sums in found.items()
        ]
        return sorted(lines, key=lambda line: (line.account, line.account_id, line.user, line.user_id))

    def _scope(self, caller: Caller, scope: str) -> tuple[str, str]:
        """Account and user to look for; "" = any."""
        kind, _, name = (scope or f"account/{caller.account_id}").partition("/")
        if kind == "cloud" and not name:
            check_administrator(caller)
            return "", ""
        if kind == "account":
            if name != caller.account_id:
                check_administrator(caller)
            return name, ""
        if kind == "user":
            if name == caller.user_name:
                return "", caller.user_id
            check_administrator(caller)
            return "", find_user(self._journal.view, name).id
        raise EucaError("parameter_invalid", f"the scope {scope[:80]!r}: account/NUMBER, user/NAME or cloud")


def _check(since: Micros, until: Micros) -> None:
    if not 0 <= since < until or until - since > 10 * 366 * 24 * 3600 * SECOND:
        raise EucaError("parameter_invalid", "the time must be ten years at most, and end after it begins")
