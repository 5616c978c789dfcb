"""Work that waits now and then, without a thread that waits with it.

    steps: a generator; it yields each thing that it has to wait for, and is gone on with when that is done
    driver: `waited`, in the thread that wants the result; or a server's one thread, for many requests at once

What it waits for is a `Pending`: a Future that somebody is already working on or will be, at the latest when a driver with
nothing better to do calls `hurry`.  So what many wait for can be done for all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
PATIENCE = 30.0  # seconds: what is waited for is a commit, or the end of the process


class Pending(Future[Any]):
    def __init__(self, hurry: Callable[[], None]) -> None:
        """``hurry``: brings the work on its way, from any thread; in the caller's own if that is the shortest way."""
        super().__init__()
        self.hurry = hurry


Steps = Generator[Pending, None, T]


def waited(steps: Steps[T]) -> T:
    """What the steps come to, or what they raise."""
    while True:
        try:
            pending = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        pending.hurry()
        pending.exception(PATIENCE)  # the steps look at it themselves
