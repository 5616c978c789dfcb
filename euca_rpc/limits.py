"""How often one caller may ask an interface: a bucket of tokens per user, filled at a steady rate up to a burst.

Only who has proved to be somebody is counted, so there are as many buckets as there are users, and nobody can spend
another's.
"""

from __future__ import annotations

import math
import threading

from euca_rpc.clock import SECOND, Micros
from euca_rpc.errors import EucaError


class Limits:
    """``rate`` requests a second in the long run, ``burst`` at once; a rate of 0 is no limit."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, float(burst)
        self._buckets: dict[str, tuple[float, Micros]] = {}  # user → tokens at that moment
        self._lock = threading.Lock()

    def take(self, user_id: str, now: Micros) -> None:
        """One request more.  ``now`` is monotonic.  throttled (facts: retry_after, seconds)."""
        if self._rate <= 0:
            return
        with self._lock:
            tokens, at = self._buckets.get(user_id, (self._burst, now))
            tokens = min(self._burst, tokens + (now - at) / SECOND * self._rate)
            taken = tokens >= 1
            self._buckets[user_id] = (tokens - 1 if taken else tokens), now
        if not taken:
            seconds = math.ceil((1 - tokens) / self._rate)
            raise EucaError(
                "throttled",
                f"Request limit exceeded: {self._rate:g} requests a second and {self._burst:.0f} at once are allowed; "
                f"try again in {seconds} s.",
                facts={"retry_after": seconds},
            )
