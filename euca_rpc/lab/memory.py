"""Where an experiment's journal writes: nowhere.  Each transaction's events go to whoever listens.

It keeps the two promises of a store that the code above relies on: an id is used once, and a row that left the view can
still be had.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

from euca_rpc.cloud.changes import Change, Forget, Insert
from euca_rpc.cloud.store import Refused
from euca_rpc.types import Event, Instance


class MemoryStore:
    def __init__(self, told: Callable[[Event], None], keep: bool = False) -> None:
        """``keep``: somebody will ask for the events again, once, from the first on."""
        self._told, self._keep = told, keep
        self._written = 0
        self._events: deque[Event] = deque()
        self._used: set[str] = set()
        self._ended: dict[str, Instance] = {}

    @contextmanager
    def transaction(self) -> Iterator[Callable[[Sequence[Change], Sequence[Event]], None]]:
        yield self.write

    def write(self, changes: Sequence[Change], events: Sequence[Event]) -> None:
        for change in changes:
            if isinstance(change, Insert):
                self._use(change.row)
            elif isinstance(change, Forget) and isinstance(change.row, Instance):
                self._ended[change.row.id] = change.row
        for one in events:
            self._written += 1
            if self._keep:
                self._events.append(replace(one, id=self._written))
            self._told(one)

    def events_after(self, after: int, kinds: Sequence[str], limit: int) -> list[Event]:
        """Those up to ``after`` are not asked for again."""
        while self._events and self._events[0].id <= after:
            self._events.popleft()
        return [one for one in islice(self._events, limit) if not kinds or one.kind in kinds]

    def _use(self, row: Any) -> None:
        key = getattr(row, "id", None)
        if key is not None:
            if key in self._used:
                raise Refused(f"the id {key} was used before")
            self._used.add(key)

    def one(self, kind: type, key: str) -> Any:
        """A row that left the view."""
        return self._ended.get(key) if kind is Instance else None
