"""What policies are asked: counted and timed by hook, and told in the log for those that are traced.

    job ─► Noted.call, each ─► Calls.call, each of the isolation ─► the hook

A call that returned or raised is counted; of one that hangs nobody knows how long it took: it is a failure alone, and the
round that it was in is not counted.  What
an answer is worth only the engine can say: it tells which failed.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from euca_rpc.policy.isolation import Calls, Raised

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Tally:
    calls: int = 0
    failures: int = 0
    seconds: float = 0.0


class Notes:
    """Of all policies, since the process started."""

    def __init__(self) -> None:
        self.tallies: defaultdict[tuple[str, str], Tally] = defaultdict(Tally)  # by policy and hook
        self.traced: frozenset[str] = frozenset()

    def on(self, calls: Calls) -> Calls:
        return Noted(calls, self)

    def failed(self, policy: str, hook: str) -> None:
        self.tallies[policy, hook].failures += 1

    def of(self, policy: str) -> dict[str, dict[str, int | float]]:
        """Hook → how often it was called and failed, and the seconds that it took altogether."""
        return {
            hook: {"calls": tally.calls, "failures": tally.failures, "seconds": round(tally.seconds, 6)}
            for (name, hook), tally in sorted(self.tallies.items())
            if name == policy
        }


class Noted:
    """Lies on the way of each call: what it costs, each placement pays several times."""

    __slots__ = ("_calls", "_tallies", "_traced")

    def __init__(self, calls: Calls, notes: Notes) -> None:
        self._calls, self._tallies, self._traced = calls, notes.tallies, notes.traced

    def call(self, policy: str, hook: str, function: Callable[..., Any], *arguments: Any) -> Any:
        began = perf_counter()
        try:
            said = self._calls.call(policy, hook, function, *arguments)
        except Raised as failure:
            tally = self._tallies[policy, hook]
            tally.calls += 1
            tally.seconds += perf_counter() - began
            if policy in self._traced:
                log.info("policy %s: %s, asked %r", policy, failure, arguments)
            raise
        tally = self._tallies[policy, hook]
        tally.calls += 1
        tally.seconds += perf_counter() - began
        if self._traced and policy in self._traced:
            log.info("policy %s: %s said %r, asked %r", policy, hook, said, arguments)
        return said

    def each(
        self, policy: str, hook: str, function: Callable[..., Any], first: Any, seconds: Sequence[Any]
    ) -> list[Any]:
        began = perf_counter()
        said = self._calls.each(policy, hook, function, first, seconds)
        tally = self._tallies[policy, hook]
        tally.calls += len(said)
        tally.seconds += perf_counter() - began
        if self._traced and policy in self._traced:
            for second, one in zip(seconds, said, strict=False):
                if type(one) is Raised:
                    log.info("policy %s: %s, asked %r", policy, one, (first, second))
                else:
                    log.info("policy %s: %s said %r, asked %r", policy, hook, one, (first, second))
        return said
