"""The hints that have a meaning of their own: what a user wishes of its launch beyond type and count.

    hint           value                        becomes (`values.Launch`)
    duration       seconds                      min_duration, and max_duration unless that is told
    max-duration   seconds                      max_duration
    start          ISO 8601, or "+" seconds     start
    bid            a number, not below 0        bid
    priority       a whole number               priority
    wait           seconds                      wait; 0: rather be refused than wait

They are wishes: what a policy makes of them is its business, only `wait` means something to the core (`cloud.waiting`).
All other hints go to policies as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from euca_rpc.clock import SECOND, Micros
from euca_rpc.errors import EucaError

DURATION, LONGEST, START, BID, PRIORITY, WAIT = "duration", "max-duration", "start", "bid", "priority", "wait"
KNOWN = (DURATION, LONGEST, START, BID, PRIORITY, WAIT)
_MOST = 100 * 366 * 86_400  # seconds


def meant(hints: Mapping[str, str], asked_at: Micros) -> dict[str, Any]:
    """Fields of a `Launch`.  ``asked_at``: of the launch; a start in so many seconds counts from there.
    parameter_invalid: a hint of a known name has a value that it cannot have."""
    told: dict[str, Any] = {}
    if DURATION in hints:
        told["min_duration"] = told["max_duration"] = _seconds(DURATION, hints[DURATION])
    if LONGEST in hints:
        told["max_duration"] = _seconds(LONGEST, hints[LONGEST])
        if told.get("min_duration", 0) > told["max_duration"]:
            raise _wrong(LONGEST, hints[LONGEST], f"at least as long as {DURATION}, {hints[DURATION]}")
    if START in hints:
        told["start"] = _moment(hints[START], asked_at)
    if BID in hints:
        told["bid"] = _number(BID, hints[BID], "a price: a number, not below 0")
    if PRIORITY in hints:
        value = hints[PRIORITY]
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 9):
            raise _wrong(PRIORITY, value, "a whole number")
        told["priority"] = int(value)
    if WAIT in hints:
        told["wait"] = _seconds(WAIT, hints[WAIT])
    return told


def _number(name: str, text: str, what: str, most: float = 1e15) -> float:
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise _wrong(name, text, what)
    return value


def _seconds(name: str, text: str) -> Micros:
    return round(_number(name, text, f"a number of seconds, at most {_MOST}", _MOST) * SECOND)


def _moment(text: str, asked_at: Micros) -> Micros:
    if text.startswith("+"):
        return asked_at + _seconds(START, text[1:])
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise _wrong(START, text, "a moment as 2030-01-31T18:00:00Z, or + and seconds") from None
    at = round((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp() * SECOND)
    if not 0 <= at <= asked_at + _MOST * SECOND:
        raise _wrong(START, text, "a moment of the next hundred years")
    return at


def _wrong(name: str, text: str, what: str) -> EucaError:
    return EucaError("parameter_invalid", f"the hint {name!r} is {text[:60]!r}; it has to be {what}")
