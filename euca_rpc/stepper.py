"""How a controller is driven.

A controller never loops and never sleeps.  `step()` does what is due now and returns the moment (cloud time) at which
it wants to be called again, or None for "only when woken".  It calls `wake` (set by whoever drives it) from any thread
when an answer or a poke arrived.  A daemon drives it from one thread (`daemons.loop`); the simulator from its queue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from euca_rpc.clock import Micros


class Stepper(Protocol):
    wake: Callable[[], None]

    def step(self) -> Micros | None: ...
