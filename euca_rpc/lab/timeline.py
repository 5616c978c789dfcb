"""Simulated time: a queue of moments; the clock jumps from one to the next, so an idle month costs nothing.

What happens at one moment is done in the order in which it was asked for, but that what `arrives` from outside waits
until everything else of that moment is done: a machine that ends at ten makes room for a request of ten.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from euca_rpc.clock import ManualClock, Micros
from euca_rpc.stepper import Stepper

_INSIDE, _OUTSIDE = 0, 1


class Timeline:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self._queue: list[tuple[Micros, int, int, Callable[[], Any]]] = []
        self._entered = 0

    def now(self) -> Micros:
        return self.clock.at

    def at(self, moment: Micros, job: Callable[[], Any], rank: int = _INSIDE) -> None:
        self._entered += 1
        now = self.clock.at
        heappush(self._queue, (moment if moment > now else now, rank, self._entered, job))

    def arrives(self, moment: Micros, job: Callable[[], Any]) -> None:
        self.at(moment, job, _OUTSIDE)

    def run(self, until: Micros) -> None:
        queue, clock = self._queue, self.clock
        while queue and queue[0][0] <= until:
            moment, _, _, job = heappop(queue)
            clock.at = moment
            job()
        clock.at = max(clock.at, until)


class Driver:
    """Steps a controller when it wants to be stepped, as `daemons.loop` does."""

    def __init__(self, timeline: Timeline, stepper: Stepper) -> None:
        self._timeline, self._stepper = timeline, stepper
        self._due: Micros | None = None
        stepper.wake = self.wake
        self.wake()

    def wake(self) -> None:
        self._at(self._timeline.now())

    def _at(self, moment: Micros) -> None:
        if self._due is not None and self._due <= moment:
            return
        self._due = moment
        self._timeline.at(moment, lambda: self._step(moment))

    def _step(self, moment: Micros) -> None:
        if self._due != moment:
            return  # an earlier one was asked for meanwhile, and done
        self._due = None
        due = self._stepper.step()
        if due is not None:
            self._at(max(due, self._timeline.now() + 1))
