"""The carrier: how a controller has something done elsewhere without waiting for it.

A controller's decisions are pure; what they ask for goes to a carrier and the outcome comes back later as a call of
`on_answer`, from whatever thread or simulated moment the carrier likes.  Nothing in `cloud/`, `cluster/` or `node/`
starts a thread, sleeps, or waits for a remote answer: it hands work to one of these.

The real one (`daemons.carrier`) is a thread pool over Pyro; the simulated one (`testing.world`) is a queue that
delays, drops, duplicates and reorders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from euca_rpc.errors import EucaError
from euca_rpc.frozen import quick


@quick
@dataclass(frozen=True, slots=True)
class Answer:
    """Either a value or an error.  A lost answer (timeout, silence) is an error of symbol ``unreachable``:
    the call may or may not have happened."""

    value: Any = None
    error: EucaError | None = None


OnAnswer = Callable[[Answer], None]


class Carrier(Protocol):
    def call(self, peer: str, method: str, args: dict[str, Any], on_answer: OnAnswer) -> None:
        """Call ``method`` (a row of `wire.contracts`) of the Pyro object ``peer`` with plain wire values."""
        ...

    def run(self, key: str, job: Callable[[], Any], on_answer: OnAnswer) -> None:
        """Do local work of unknown duration; jobs with the same key run one after another, in order."""
        ...
