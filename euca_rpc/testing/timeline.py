"""Simulated time: a queue of moments, and the processes whose work waits in it.

    at(moment, job) ─► queue ─► run(until): the clock jumps to the next moment, the job is done, and so on

There are no ticks: an idle hour costs nothing.  A `Process` stands for one operating system process.  Whatever it put
into the queue dies with it; the next process of the same name knows only what is on disk.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import Any

from euca_rpc.clock import SECOND, ManualClock, Micros
from euca_rpc.stepper import Stepper

Job = Callable[[], Any]


class Killed(BaseException):
    """Unwinds whatever a process was doing when it was killed; no `except Exception` survives it, as in life."""

    def __init__(self, process: Process) -> None:
        super().__init__(process.name)
        self.process = process


STORM = 5000  # things within one tenth of a simulated second; the busiest real one has a few hundred


class Storm(AssertionError):
    """Simulated time does not get on."""


class Timeline:
    def __init__(self, seed: int | str) -> None:
        self.clock = ManualClock()
        self.random = Random(f"timeline/{seed}")  # noqa: S311  repeatable on purpose
        self.events = 0
        self.met: Callable[[str], None] = lambda point: None  # told of every crash point of every process
        self._queue: list[tuple[Micros, int, Job]] = []
        self._entered = 0
        self._tenth, self._within = 0, 0  # the present tenth of a second and how much happened in it

    def now(self) -> Micros:
        return self.clock.at

    def at(self, moment: Micros, job: Job) -> None:
        self._entered += 1
        heapq.heappush(self._queue, (max(moment, self.clock.at), self._entered, job))

    def after(self, seconds: float, job: Job) -> None:
        self.at(self.clock.at + int(seconds * SECOND), job)

    def run(self, until: Micros, enough: Callable[[], bool] = lambda: False) -> None:
        """May be called by a job: time then passes in the middle of it, and others get their turn."""
        while self._queue and self._queue[0][0] <= until and not enough():
            moment, _, job = heapq.heappop(self._queue)
            tenth = moment * 10 // SECOND
            self._tenth, self._within = tenth, self._within + 1 if tenth == self._tenth else 0
            if self._within > STORM:  # also of one who wakes itself a microsecond later again and again
                raise Storm(f"the world spins: {STORM} things within 0.1 s, somebody wakes itself for ever")
            self.clock.at = max(self.clock.at, moment)
            self.events += 1
            job()
        if not enough():
            self.clock.at = max(self.clock.at, until)


class Process:
    """One run of a daemon: from its start to the moment it is killed."""

    def __init__(self, timeline: Timeline, name: str, died: Callable[[Process], None]) -> None:
        self.name = name
        self.alive = True
        self.service: Any = None
        self.doomed: int | None = None  # it dies when it has met this many crash points
        self.points = 0
        self._timeline, self._died = timeline, died
        self._stepper: Stepper | None = None
        self._due: Micros | None = None

    def drive(self, stepper: Stepper) -> None:
        self._stepper = stepper
        stepper.wake = self.wake
        self.wake()

    def wake(self) -> None:
        self._step_at(self._timeline.now())

    def after(self, seconds: float, job: Job) -> None:
        """Its own later work: not done if it is dead by then."""
        self._timeline.after(seconds, lambda: self.guard(job))

    def guard(self, job: Job) -> None:
        """Everything that a process does goes through here."""
        if not self.alive:
            return
        try:
            job()
        except Killed as killed:
            if killed.process is not self:
                raise
            self.kill()

    def kill(self) -> None:
        if self.alive:
            self.alive = False
            self._died(self)

    def point(self, name: str) -> None:
        """A crash point: the process may end exactly here."""
        if not self.alive:
            raise Killed(self)
        self.points += 1
        self._timeline.met(f"{self.name} {name}")
        if self.doomed is not None:
            self.doomed -= 1
            if self.doomed <= 0:
                raise Killed(self)

    def _step_at(self, moment: Micros) -> None:
        if self._due is not None and self._due <= moment:
            return
        self._due = moment
        self._timeline.at(moment, lambda: self.guard(lambda: self._step(moment)))

    def _step(self, moment: Micros) -> None:
        if self._due != moment or self._stepper is None:
            return  # an earlier one was asked for meanwhile, and done
        self._due = None
        due = self._stepper.step()
        if due is not None:
            self._step_at(max(due, self._timeline.now() + 1))
