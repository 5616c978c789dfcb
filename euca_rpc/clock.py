"""Time, in one place.

Two clocks, never mixed.  *Wall* time is what the world agrees on (signatures, certificates, sessions, logs) and is
never scaled.  *Cloud* time drives launches, deadlines, leases and accounting and may be scaled or simulated.  Both are
integer microseconds since the epoch, UTC.  *Monotonic* time only measures intervals and exposes jumps of the others.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

Micros = int
SECOND: Micros = 1_000_000
MINUTE: Micros = 60 * SECOND
HOUR: Micros = 60 * MINUTE


class Clock(Protocol):
    def wall(self) -> Micros: ...
    def now(self) -> Micros:
        """Cloud time."""
        ...

    def monotonic(self) -> Micros: ...


class SystemClock:
    """The real clocks; cloud time = wall time."""

    def wall(self) -> Micros:
        return time.time_ns() // 1000

    def now(self) -> Micros:
        return time.time_ns() // 1000

    def monotonic(self) -> Micros:
        return time.monotonic_ns() // 1000


class ManualClock:
    """A clock that moves only when told: tests and the simulator."""

    def __init__(self, start: Micros = 1_700_000_000 * SECOND) -> None:
        self.at = start

    def wall(self) -> Micros:
        return self.at

    def now(self) -> Micros:
        return self.at

    def monotonic(self) -> Micros:
        return self.at

    def advance(self, by: Micros) -> None:
        self.at += by


def iso(at: Micros) -> str:
    """``2026-11-22T10:31:05.123Z``, the form EC2 uses."""
    moment = datetime.fromtimestamp(at // SECOND, UTC).isoformat()  # ten times as quick as strftime
    return f"{moment.removesuffix('+00:00')}.{at % SECOND // 1000:03d}Z"


def from_iso(text: str) -> Micros:
    """The moment of an ISO 8601 date and time; UTC unless it says otherwise.  ValueError."""
    said = datetime.fromisoformat(text)
    if said.tzinfo is None:
        said = said.replace(tzinfo=UTC)
    since = said - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1)


def moment(at: Micros) -> str:
    """``10:31:05Z`` for sentences: they name moments, never ages, so that they stay true when read later."""
    return f"{datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%d %H:%M:%SZ}"
