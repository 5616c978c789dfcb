"""Drives one controller from one thread.

A controller (`stepper.Stepper`) never loops and never sleeps; this does both for it. `step()` runs
when the moment it asked for has come or when somebody woke it, whichever is first; a wake during a
step is not lost. A step that raises ends the process: its state is on disk or in other daemons, and a
supervisor starts it again from there. Going on with a half-changed view would be worse than the second
of silence.
"""

from __future__ import annotations

import logging
import threading

from euca_rpc.clock import SECOND, Clock
from euca_rpc.stepper import Stepper

LONGEST_NAP = 5.0  # seconds; cloud time may jump or be scaled, so no wait trusts its own length for longer

log = logging.getLogger(__name__)


class Loop:
    def __init__(self, stepper: Stepper, clock: Clock) -> None:
        self._stepper = stepper
        self._clock = clock
        self._woken = threading.Event()
        self._ended = threading.Event()
        stepper.wake = self._woken.set

    def run(self) -> None:
        """Until `end`; raises whatever a step raises."""
        while not self._ended.is_set():
            self._woken.clear()
            due = self._stepper.step()
            nap = LONGEST_NAP if due is None else min(LONGEST_NAP, (due - self._clock.now()) / SECOND)
            if nap > 0:
                self._woken.wait(nap)

    def end(self) -> None:
        self._ended.set()
        self._woken.set()
