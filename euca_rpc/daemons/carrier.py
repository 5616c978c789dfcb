"""The real carrier: threads.  `carrier.Carrier` over a `wire.pyro.Remote`, and local jobs.

    call(peer, …) ─► the peer's lane ─┐
    run(key, …)   ─► the key's lane  ─┴─► workers ─► on_answer(Answer)

A lane is a queue with a width: how many of its jobs may be under way at once.  A peer's lane is `PEER_WIDTH` wide, so
one that hangs holds few workers; the lane of one that was silent last time is 1 wide until it answers, and all such
lanes together get half of the workers, so many that hang leave room for those that answer.  A key's lane is 1 wide:
its jobs run one after another.

Every job ends in exactly one answer: a value, its EucaError, or `internal` for anything else, which is in the log.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from euca_rpc.carrier import Answer, OnAnswer
from euca_rpc.errors import EucaError
from euca_rpc.wire.calling import Caller

log = logging.getLogger(__name__)

PEER_WIDTH = 4
LONGEST = 10_000  # jobs waiting in one lane: more means that nobody looks at the answers

Job = Callable[[], Any]


@dataclass(slots=True, eq=False)
class _Lane:
    name: str
    width: int
    waiting: deque[tuple[Job, OnAnswer]] = field(default_factory=deque)
    running: int = 0
    silent: bool = False


class _Workers:
    """A pool of threads that serves lanes in turn."""

    def __init__(self, name: str, count: int, width: int) -> None:
        self._name = name
        self._count = count
        self._width = width
        self._lanes: dict[str, _Lane] = {}
        self._turn: deque[_Lane] = deque()  # lanes with something waiting; each at most once
        self._silent_running = 0
        self._changed = threading.Condition()
        self._stopped = False
        self._waiting = 0
        self._idle = 0
        self._threads: list[threading.Thread] = []

    def submit(self, key: str, job: Job, on_answer: OnAnswer) -> None:
        with self._changed:
            lane = self._lanes.setdefault(key, _Lane(key, self._width))
            refused = self._stopped or len(lane.waiting) >= LONGEST
            if not refused:
                lane.waiting.append((job, on_answer))
                if lane not in self._turn:
                    self._turn.append(lane)
                self._waiting += 1
                if self._waiting > self._idle and len(self._threads) < self._count:
                    thread = threading.Thread(
                        target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True
                    )
                    self._threads.append(thread)
                    thread.start()
                self._changed.notify()
        if refused:
            _deliver(on_answer, Answer(error=_not_taken(key, self._stopped)))

    def stop(self) -> None:
        """What waits is answered `unavailable`; what runs is given two seconds."""
        with self._changed:
            self._stopped = True
            left = [(lane.name, on_answer) for lane in self._turn for _, on_answer in lane.waiting]
            for lane in self._turn:
                lane.waiting.clear()
            self._turn.clear()
            self._changed.notify_all()
        for key, on_answer in left:
            _deliver(on_answer, Answer(error=_not_taken(key, True)))
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(2.0 / len(self._threads))

    def _work(self) -> None:
        while True:
            with self._changed:
                while (lane := self._next()) is None:
                    if self._stopped:
                        return
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                job, on_answer = lane.waiting.popleft()
                self._waiting -= 1
                counted_silent = lane.silent
                lane.running += 1
                self._silent_running += counted_silent
                if lane.waiting:
                    self._turn.append(lane)
            answer = _outcome(lane.name, job)
            _deliver(
                on_answer, answer
            )  # before the lane moves on: the answers of a key keep their order, too
            with self._changed:
                lane.running -= 1
                self._silent_running -= counted_silent
                lane.silent = answer.error is not None and answer.error.symbol == "unreachable"
                if not lane.running and not lane.waiting and not lane.silent:
                    del self._lanes[lane.name]
                if counted_silent:  # room for several, perhaps; else for one, which this worker takes
                    self._changed.notify_all()

    def _next(self) -> _Lane | None:
        """Takes the first lane out of the turn that may run one more."""
        for lane in self._turn:
            width = 1 if lane.silent else lane.width
            crowded = lane.silent and self._silent_running >= max(1, self._count // 2)
            if lane.running < width and not crowded:
                self._turn.remove(lane)
                return lane
        return None


class ThreadCarrier:
    def __init__(self, remote: Caller, workers: int = 32) -> None:
        self._remote = remote
        self._calls = _Workers("call", workers, min(PEER_WIDTH, max(1, workers // 2)))
        self._jobs = _Workers("job", workers, 1)

    def call(self, peer: str, method: str, args: dict[str, Any], on_answer: OnAnswer) -> None:
        self._calls.submit(peer, lambda: self._remote.call(peer, method, args), on_answer)

    def run(self, key: str, job: Job, on_answer: OnAnswer) -> None:
        self._jobs.submit(key, job, on_answer)

    def stop(self) -> None:
        self._calls.stop()
        self._jobs.stop()


def _outcome(name: str, job: Job) -> Answer:
    try:
        return Answer(value=job())
    except EucaError as error:
        if error.private:
            log.warning("%s: %s", name, error.private)
        return Answer(error=error)
    except Exception as error:
        log.exception("%s failed", name)
        return Answer(error=EucaError("internal", f"{name}: {type(error).__name__}; the log has more"))


def _deliver(on_answer: OnAnswer, answer: Answer) -> None:
    try:
        on_answer(answer)
    except Exception:
        log.exception("an answer was not taken")


def _not_taken(key: str, stopped: bool) -> EucaError:
    return EucaError(
        "unavailable", f"{key}: {'this daemon is stopping' if stopped else f'{LONGEST} jobs wait already'}"
    )
