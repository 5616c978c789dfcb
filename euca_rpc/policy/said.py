"""Whether what a hook returned is something that it may say."""

from __future__ import annotations

from euca_rpc.clock import SECOND, Micros
from euca_rpc.policy.values import Entry, Lease, Wait

LATEST: Micros = 250_000_000_000 * SECOND  # the year 9892: moments that can still be written as dates
_LONGEST_KEY, _MOST = 200, 1e18  # of an entry to a durable counter


def no_lease(said: object, now: Micros) -> str:
    """Why it is no lease that can be given now; "" if it is one."""
    if not isinstance(said, Lease):
        return f"lease returned {said!r:.100}, not None or Lease"
    if type(said.until) is not int or not now < said.until <= LATEST:
        return f"lease ends at {said.until!r:.40}, which is no moment to come"
    if said.warn is not None and (type(said.warn) is not int or said.warn >= said.until):
        return f"lease warns at {said.warn!r:.40}, which is no moment before its end at {said.until}"
    if said.then not in ("terminate", "stop"):
        return f"lease ends with {said.then!r:.40}, not 'terminate' or 'stop'"
    return ""


def no_wait(said: object) -> bool:
    """It is nothing that a launch could wait for.  A moment that has passed: asked again soon."""
    return not (
        isinstance(said, Wait)
        and type(said.reason) is str
        and type(said.until) is int
        and 0 <= said.until <= LATEST
    )


def are_entries(said: object) -> bool:
    """Entries that durable counters can take."""
    return isinstance(said, list | tuple) and all(
        isinstance(one, Entry)
        and type(one.key) is str
        and 0 < len(one.key) <= _LONGEST_KEY
        and type(one.amount) in (int, float)
        and abs(one.amount) <= _MOST  # NaN is not
        and (one.half_life is None or (type(one.half_life) is int and one.half_life > 0))
        for one in said
    )
