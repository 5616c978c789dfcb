"""Consoles that are being asked for: a few at a time, each for a while, so that a silent node holds up nobody else.

    open ─► waits ──answer──► done
              └──its time is over, seen by the next step──► unreachable

Whoever asked waits on a Future that always ends.  The bound is the whole cloud's, whatever interface the requests come
by, and smaller than the number of requests that any of them works on at once.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future

from euca_rpc.clock import SECOND, Micros
from euca_rpc.errors import EucaError
from euca_rpc.shown import Console

MOST = 3  # a zone's lane is four calls wide: its reports get through although three nodes are silent
PATIENCE: Micros = 10 * SECOND  # more than the call itself may take: it may have to wait for its turn


class Consoles:
    def __init__(self) -> None:
        self._waiting: dict[Future[Console], tuple[str, Micros]] = {}  # → instance, by when it must be there
        self._lock = threading.Lock()

    def open(self, instance_id: str, now: Micros) -> Future[Console]:
        future: Future[Console] = Future()
        with self._lock:
            if len(self._waiting) >= MOST:
                raise EucaError(
                    "throttled",
                    f"{MOST} consoles are being asked for already, which is as many as may be at a time: try again in a "
                    "moment",
                )
            self._waiting[future] = instance_id, now + PATIENCE
        return future

    def close(self, future: Future[Console], outcome: Console | EucaError) -> None:
        """What came first counts."""
        with self._lock:
            if self._waiting.pop(future, None) is None:
                return
        if isinstance(outcome, EucaError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def expire(self, now: Micros) -> None:
        if not self._waiting:
            return
        with self._lock:
            late = [(future, id) for future, (id, until) in self._waiting.items() if until <= now]
        for future, id in late:
            said = f"the node of {id} did not give its console within {PATIENCE // SECOND} s: try again"
            self.close(future, EucaError("unreachable", said))
