"""The one write path.

    submit(verb) ─► queue ─► pump: a batch of verbs, each on the view that the ones before it made,
                                   written together; one commit; publish the view; answer everybody

Nothing is answered, published or sent to a node before the commit that makes it true.  The published view is never
ahead of the disk and never written elsewhere.  If the commit fails, `broken` is called (a daemon ends its process) and
nobody is answered.

The journal has no thread.  Who does not have to wait for another's commit makes its own, with what else is queued; who
has to is queued, and `wake` tells whoever drives the journal (a daemon's writer thread) that there is work; by default
that is done at once, on the caller's own time.  A batch is whatever waited while the last commit was under way: with one
client each request is its own commit, and no thread waits for another; with 64 they share.  `soon` leaves a verb for
whoever commits next, its caller at the latest: a server that has read several requests has them committed together.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Any

from euca_rpc.clock import Clock, Micros
from euca_rpc.cloud.changes import Change, Outcome
from euca_rpc.cloud.store import Refused, Store, StoreBroken
from euca_rpc.cloud.view import View
from euca_rpc.steps import Pending
from euca_rpc.types import Event

log = logging.getLogger("euca.journal")

Verb = Callable[[View, Micros], Outcome]
Batch = Sequence[tuple[Verb, Future[Any] | None]]  # None: its caller is committing it
Ended = tuple[Verb, Future[Any] | None, Any, Exception | None]  # its result, or what it failed with
Written = tuple[View, list[Change], list[Ended]]

_BATCH = 256
_SLOW: Micros = (
    10_000  # a commit that takes longer is waited for by the writer, not by who has other requests to see to
)
_AGAIN = 3  # a verb that drew an id which was used before draws again


class Journal:
    def __init__(
        self, store: Store, view: View, clock: Clock, *, crash: Callable[[str], None] = lambda point: None
    ) -> None:
        self.view = view  # the published one; read it once per request and keep it
        self.wake: Callable[[], None] = self.pump_all
        self.published: Callable[[View, Sequence[Change]], None] = lambda view, changes: None
        self.broken: Callable[[StoreBroken], None] = _reraise
        self._store = store
        self._clock = clock
        self._crash = crash
        self._queue: deque[tuple[Verb, Future[Any] | None]] = deque()
        self._one_pump = Lock()
        self._took: Micros = 0  # by the last commit

    def submit(self, verb: Verb) -> Future[Any]:
        """Queue a verb; the future has its result once it is durable and visible, or what it raised."""
        future: Future[Any] = Future()
        self._queue.append((verb, future))
        if not self._one_pump.locked():  # whoever holds it looks at the queue again after letting go
            self.wake()
        return future

    def soon(self, verb: Verb) -> Pending:
        """Queue a verb for the next commit, without asking for one: its caller does that by `hurry`, once it has nothing
        else to queue."""
        pending = Pending(self._hurry)
        self._queue.append((verb, pending))
        return pending

    def _hurry(self) -> None:
        if self._queue and not self._one_pump.locked():
            (self.wake if self._took > _SLOW else self.pump_all)()

    def do(self, verb: Verb) -> Any:
        """Submit and wait: for interfaces and the command line, which have a client waiting anyway."""
        if not self._one_pump.acquire(blocking=False):
            return self.submit(verb).result(timeout=30)
        try:
            for _ in range(_AGAIN + 1):
                _, _, result, failure = self._commit([*self._queued(), (verb, None)])[-1]
                if not isinstance(failure, Refused):
                    break
        finally:
            self._one_pump.release()
        if self._queue:
            self.wake()
        if failure is not None:
            raise failure
        return result

    def pump_all(self) -> None:
        while self._queue:
            if not self._one_pump.acquire(blocking=False):
                return
            try:
                self._commit(self._queued())
            finally:
                self._one_pump.release()

    def _queued(self) -> list[tuple[Verb, Future[Any] | None]]:
        """The next batch.  Taken by who holds the pump, and by nobody else."""
        queue = self._queue
        return [queue.popleft() for _ in range(min(_BATCH, len(queue)))] if queue else []

    def _commit(self, batch: Batch) -> Sequence[Ended]:
        """One batch, by who holds the pump; those with a future are answered."""
        now = self._clock.now()
        self._crash("journal.before_commit")
        began = self._clock.monotonic()
        try:
            try:
                draft, changes, ended = self._together(batch, now)
            except Refused:  # by one of them, nothing is written: once more, each by itself
                draft, changes, ended = self._one_by_one(batch, now)
        except StoreBroken as broken:
            log.critical("the last commit failed, ending: %s", broken)
            self.broken(broken)
            raise
        self._took = self._clock.monotonic() - began
        self._crash("journal.after_commit")
        self.view = draft
        self.published(draft, changes)
        for verb, future, result, failure in ended:
            if future is None:
                continue
            if isinstance(failure, Refused):
                self._redraw(verb, future, failure)
            elif failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(result)
        return ended

    def _together(self, batch: Batch, now: Micros) -> Written:
        draft, ended = self.view, list[Ended]()
        changes: list[Change] = []
        events: list[Event] = []
        for verb, future in batch:
            try:
                outcome = verb(draft, now)
                draft = draft.apply(outcome.changes)
            except Exception as error:  # its own refusal (or defect), nobody else's
                ended.append((verb, future, None, error))
            else:
                changes += outcome.changes
                events += outcome.events
                ended.append((verb, future, outcome.result, None))
        self._store.write(changes, events)
        return draft, changes, ended

    def _one_by_one(self, batch: Batch, now: Micros) -> Written:
        draft, ended = self.view, list[Ended]()
        changes: list[Change] = []
        with self._store.transaction() as write:
            for verb, future in batch:
                try:
                    outcome = verb(draft, now)
                    write(outcome.changes, outcome.events)
                except StoreBroken:
                    raise
                except Exception as error:
                    ended.append((verb, future, None, error))
                else:
                    draft = draft.apply(outcome.changes)
                    changes += outcome.changes
                    ended.append((verb, future, outcome.result, None))
        return draft, changes, ended

    def _redraw(self, verb: Verb, future: Future[Any], error: Refused) -> None:
        tries = getattr(future, "euca_tries", 0) + 1
        if tries > _AGAIN:
            future.set_exception(error)
            return
        future.euca_tries = tries  # type: ignore[attr-defined]
        self._queue.append((verb, future))


def _reraise(error: StoreBroken) -> None:
    raise error
