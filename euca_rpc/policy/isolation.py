"""Running policies so that a mistake in one costs a bounded moment and nothing else.

    caller ── run(job) ──►  worker thread: job calls hooks, one at a time, through `Calls.call`
       │                         │ current = (policy, hook, since when)
       └── waits, and when a budget has passed looks at `current`: the same call all along?
             yes → the worker is abandoned to its hook, the next job gets a new one, `Hung` names the policy
             no  → waits on

A thread for each call would cost 93 µs a call; here a whole job (one placement: hundreds of calls) is handed over
once, and noting `current` costs a fraction of a microsecond.  A thread cannot be killed, only left behind: an exception
is put into it, which ends a loop at once, and a call that sleeps when that returns; the job is not continued.  This
isolates mistakes, not malice: a policy is trusted code.

This is the one place of `policy` that owns a thread and looks at real time.  Simulators use `Inline`: no thread, no
watchdog, the same treatment of hooks that raise.

What went wrong is told with the place in the policy: the last line of its own file that was at work.
"""

from __future__ import annotations

import ctypes
import inspect
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from types import FrameType
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

BUDGET = 1.0  # seconds for one hook call: a thousand times what a pure function needs, also on a busy machine
_SECOND_LOOK = 0.1  # a process that was stopped as a whole must not blame the hook it was in
_HERE = os.path.dirname(__file__)


class Raised(Exception):
    """A hook raised; `__cause__` is what."""


class Hung(Exception):
    """A hook did not return within its budget; its thread was left behind."""

    def __init__(self, policy: str, hook: str, budget: float, place: str = "") -> None:
        super().__init__(f"{hook} did not return within {budget:g} s{place}")
        self.policy = policy
        self.hook = hook


class Calls(Protocol):
    def call(self, policy: str, hook: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the hook returns, unchecked; `Raised` if it raised."""
        ...

    def each(
        self, policy: str, hook: str, function: Callable[..., Any], first: Any, seconds: Sequence[Any]
    ) -> list[Any]:
        """What the hook returns of ``first`` and each of ``seconds``, unchecked, in order.  At the first that raises it ends:
        then the last answer is the `Raised`."""
        ...


class Isolation(Protocol):
    def run(self, job: Callable[[Calls], T]) -> T:
        """What the job returns or raises; `Hung` if one of its hooks hangs."""
        ...

    def close(self) -> None: ...


class Inline:
    """In the caller's thread."""

    def run(self, job: Callable[[Calls], T]) -> T:
        return job(self)

    def close(self) -> None:
        """There is nothing to end."""

    def call(self, policy: str, hook: str, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except (Exception, SystemExit) as failure:
            raise _raised(hook, failure) from failure

    def each(
        self, policy: str, hook: str, function: Callable[..., Any], first: Any, seconds: Sequence[Any]
    ) -> list[Any]:
        said: list[Any] = []
        try:
            for second in seconds:
                said.append(function(first, second))
        except (Exception, SystemExit) as failure:
            said.append(_raised(hook, failure))
        return said


def _raised(hook: str, failure: BaseException) -> Raised:
    place = _place(traceback.walk_tb(failure.__traceback__))
    return Raised(f"{hook} raised {type(failure).__name__}: {failure}{place}")


def _place(frames: Iterable[tuple[FrameType, int]]) -> str:
    """ " (package/module.py:12)": the innermost line in the file of the outermost function that is not ours.  Of
    ``frames`` the outermost comes first.  Only the end of the path: users see it too."""
    file, line = "", 0
    for frame, at in frames:
        name = frame.f_code.co_filename
        if not file and os.path.dirname(name) != _HERE:
            file = name
        if name == file:
            line = at
    return _short(file, line) if file else ""


def place_of(hook: Callable[..., Any]) -> str:
    """Where the hook is written, for an answer that is nonsense."""
    code = getattr(inspect.unwrap(hook), "__code__", None)
    return _short(code.co_filename, code.co_firstlineno) if code is not None else ""


def _short(file: str, line: int) -> str:
    return f" ({'/'.join(file.rsplit(os.sep, 2)[-2:])}:{line})"


class _HookNeeded(BaseException):
    """The job calls a hook: it is done again, where that is watched."""


class _NoHooks:
    def call(self, policy: str, hook: str, function: Callable[..., Any], *arguments: Any) -> Any:
        raise _HookNeeded

    def each(
        self, policy: str, hook: str, function: Callable[..., Any], first: Any, seconds: Sequence[Any]
    ) -> list[Any]:
        raise _HookNeeded


class Watched:
    """In one worker thread, on a budget.  Jobs run one after another.  A job that calls no hook (all that it asks was
    answered before) is done in the caller's thread: each is begun there, so a job may be begun twice."""

    def __init__(self, budget: float = BUDGET) -> None:
        self._budget = budget
        self._worker: _Worker | None = None
        self._one_at_a_time = threading.Lock()

    def run(self, job: Callable[[Calls], T]) -> T:
        with self._one_at_a_time:
            with suppress(_HookNeeded):
                return job(_NoHooks())
            if self._worker is None:
                self._worker = _Worker()
            worker = self._worker
            box = _Box()
            worker.jobs.put((job, box))
            wait, suspect = self._budget, None
            while not box.done.acquire(timeout=wait):
                running = worker.current
                if running is None:
                    wait, suspect = self._budget, None
                    continue
                policy, hook, began = running
                left = began + self._budget - time.monotonic()
                if left > 0:
                    wait, suspect = left, None
                elif running is not suspect:
                    wait, suspect = _SECOND_LOOK, running
                else:
                    place = worker.place()
                    worker.abandon()
                    self._worker = None
                    raise Hung(policy, hook, self._budget, place)
        if box.error is not None:
            raise box.error
        result: T = box.result
        return result

    def close(self) -> None:
        """End the worker thread; a later job starts another."""
        with self._one_at_a_time:
            if self._worker is not None:
                self._worker.jobs.put(None)
                self._worker = None


class _Abandoned(BaseException):
    """Ends a job whose worker was left behind, however late its hook came back."""


class _Box:
    def __init__(self) -> None:
        self.done = threading.Lock()  # a lock held until the job ended: half the price of an Event
        self.done.acquire()
        self.result: Any = None
        self.error: BaseException | None = None


class _Worker:
    def __init__(self) -> None:
        self.jobs: SimpleQueue[tuple[Callable[[Calls], Any], _Box] | None] = SimpleQueue()
        self.current: tuple[str, str, float] | None = None
        self.abandoned = False
        self._thread = threading.Thread(target=self._work, name="policies", daemon=True)
        self._thread.start()

    def abandon(self) -> None:
        """A loop without end would take every other turn of the interpreter for ever."""
        self.abandoned = True
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(_Abandoned)
        )

    def place(self) -> str:
        """In the policy, where its thread is now."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        inside: list[tuple[FrameType, int]] = []
        for at, line in traceback.walk_stack(frame) if frame is not None else ():
            if at.f_code in (_Worker.call.__code__, _Worker.each.__code__):
                break
            inside.append((at, line))
        return _place(reversed(inside))

    def _work(self) -> None:
        with suppress(_Abandoned):
            self._take_jobs()

    def _take_jobs(self) -> None:
        while not self.abandoned:
            item = self.jobs.get()
            if item is None:
                return
            job, box = item
            try:
                box.result = job(self)
            except _Abandoned:
                return
            except BaseException as failure:
                box.error = failure
            box.done.release()
            del item, job, box  # keep no snapshot alive while idle

    def call(self, policy: str, hook: str, function: Callable[..., Any], *arguments: Any) -> Any:
        if self.abandoned:
            raise _Abandoned
        self.current = (policy, hook, time.monotonic())
        try:
            return function(*arguments)
        except BaseException as failure:  # SystemExit too: a policy that exits has raised
            raise _raised(hook, failure) from failure
        finally:
            self.current = None
            if self.abandoned:
                raise _Abandoned

    def each(
        self, policy: str, hook: str, function: Callable[..., Any], first: Any, seconds: Sequence[Any]
    ) -> list[Any]:
        if self.abandoned:
            raise _Abandoned
        said: list[Any] = []
        clock = time.monotonic
        try:
            for second in seconds:
                self.current = (policy, hook, clock())  # each has the whole budget
                said.append(function(first, second))
                if self.abandoned:
                    break
        except BaseException as failure:
            said.append(_raised(hook, failure))
        finally:
            self.current = None
            if self.abandoned:
                raise _Abandoned
        return said
