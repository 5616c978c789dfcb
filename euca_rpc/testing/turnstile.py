"""A policy for the simulated world that lets launches wait: closed for the first third of each minute."""

from __future__ import annotations

from euca_rpc.clock import MINUTE, SECOND
from euca_rpc.hookspecs import policy
from euca_rpc.policy.values import Launch, PolicyView, Wait

CLOSED = 20 * SECOND


@policy
def admit(launch: Launch, view: PolicyView) -> Wait | None:
    minute = view.now - view.now % MINUTE
    if view.now < minute + CLOSED:
        return Wait("The turnstile is closed at the beginning of each minute.", minute + CLOSED)
    return None
