"""The time-out: no machine runs longer than so many hours, its user is warned by mail, and then it ends.

Places nothing: it is loaded beside the policy that does.  Machines that run already keep what they were given.
"""

from __future__ import annotations

from typing import Any

from euca_rpc.clock import HOUR
from euca_rpc.hookspecs import policy
from euca_rpc.policy.values import Launch, Lease, PolicyView

PARAMETERS: dict[str, Any] = {
    "hours": 24.0,  # the longest that a machine may run
    "warn_hours": 1.0,  # so long before the end its user is warned; 0: not at all
    "then": "terminate",  # or "stop"
    "exempt": [],  # numbers of accounts whose machines run as long as they are wanted
    "extension_hours": 0.0,  # that users may add themselves; the core reads this one
}


@policy
def lease(launch: Launch, view: PolicyView) -> Lease | None:
    said = {name: view.parameters.get(f"lease.{name}", usual) for name, usual in PARAMETERS.items()}
    if launch.account_id in said["exempt"]:
        return None
    until = view.now + int(said["hours"] * HOUR)
    warn = until - int(said["warn_hours"] * HOUR) if said["warn_hours"] > 0 else None
    return Lease(until, warn, said["then"])
