"""How a policy has behaved: counted, and tripped after repeated failures.

A policy is tripped by `limit` failures within an hour, or by one call that hangs.  From then on it is not called:
what it scores is ignored, what it could have refused is refused (fails closed).  An administrator resets it.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from euca_rpc.clock import HOUR, Micros, iso

LIMIT = 5


class Health:
    def __init__(self, name: str, broken: str = "", limit: int = LIMIT) -> None:
        self.name = name
        self.failures = 0
        self.last = broken
        self.tripped = bool(broken)
        self.broken = bool(broken)
        self.since: Micros | None = None
        self.epoch = 0  # raised when its answers so far count no more
        self._recent: deque[Micros] = deque(maxlen=limit)

    def failed(self, trouble: str, now: Micros, *, hung: bool = False) -> bool:
        """True when this failure tripped it."""
        self.failures += 1
        self.last = trouble
        self._recent.append(now)
        repeated = len(self._recent) == self._recent.maxlen and now - self._recent[0] <= HOUR
        if self.tripped or not (hung or repeated):
            return False
        self.tripped = True
        self.since = now
        self.epoch += 1
        return True

    def reset(self) -> None:
        """Give it another chance; one that could not be loaded has none."""
        if self.broken or not self.tripped:
            return
        self.tripped = False
        self.since = None
        self.epoch += 1
        self._recent.clear()

    def status(self) -> dict[str, Any]:
        state = "broken" if self.broken else "tripped" if self.tripped else "ok"
        return {
            "policy": self.name,
            "state": state,
            "since": iso(self.since) if self.since is not None else "",
            "failures": self.failures,
            "last_failure": self.last,
        }
