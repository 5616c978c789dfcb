"""What a verb asks of the store and the view: a handful of change values and the outcome that carries them.

A *verb* is a pure function ``(view, now) -> Outcome``; it raises EucaError to refuse.  It runs in the journal, on a
view that already contains the verbs before it in the same batch, and its changes become durable before anybody is
told (`cloud.journal`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from immutables import Map

from euca_rpc.clock import Micros
from euca_rpc.frozen import quick
from euca_rpc.types import Caller, Event


@quick
@dataclass(frozen=True, slots=True)
class Insert:
    """A new row; an id that was ever used is refused by the store, and the journal runs the verb again."""

    row: Any


@quick
@dataclass(frozen=True, slots=True)
class Put:
    """A row that exists, changed."""

    row: Any


@quick
@dataclass(frozen=True, slots=True)
class Remove:
    """A row deleted from the store and the view (key pairs, access keys: what a user may delete)."""

    row: Any


@quick
@dataclass(frozen=True, slots=True)
class Soft:
    """A fact of the view only: contacts.  Lost with the process, rebuilt by the next reports."""

    row: Any


@quick
@dataclass(frozen=True, slots=True)
class Forget:
    """Leaves the view, stays in the store (instances that ended over an hour ago)."""

    row: Any


Change = Insert | Put | Remove | Soft | Forget


@quick
@dataclass(frozen=True, slots=True)
class Outcome:
    changes: tuple[Change, ...] = ()
    events: tuple[Event, ...] = ()
    result: Any = None


def event(
    kind: str,
    subject: str,
    at: Micros,
    by: Caller | str,
    account_id: str = "",
    facts: Mapping[str, Any] | None = None,
) -> Event:
    """One line of history; ``by`` is a caller or the name of the controller that acted."""
    told = Map(facts or {})
    if isinstance(by, str):
        return Event(at, by, "cloud", "", kind, subject, account_id, told)
    return Event(at, by.user_name, by.origin, by.request_id, kind, subject, account_id or by.account_id, told)
