"""VM types, as an administrator changes them while the cloud runs.

A machine keeps the size that it was launched with: its row says it, and its claim is made of that.  So a type may change
or go at any time; only what is launched from then on is concerned.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict

from euca_rpc.clock import Micros
from euca_rpc.cloud.changes import Outcome, Put, Remove, event
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.types import Caller, VmType

_NAME = re.compile(r"[a-z0-9]+(\.[a-z0-9]+)?")
_MOST = {
    "cores": 1024,
    "memory_mb": 64 << 20,
    "disk_gb": 1 << 20,
}  # far above any host, far below what integers hold


def set_type(by: Caller, wanted: VmType) -> Callable[[View, Micros], Outcome]:
    """A new one, or another size or place in lists for one that exists."""
    if not _NAME.fullmatch(wanted.name) or len(wanted.name) > 40:
        raise EucaError(
            "parameter_invalid",
            f"the type name {wanted.name[:80]!r}: a-z and 0-9, as in m1.small, at most 40 long",
        )
    for name, most in _MOST.items():
        if not 1 <= getattr(wanted, name) <= most:
            raise EucaError("parameter_invalid", f"{name}: {getattr(wanted, name)}, not from 1 to {most}")
    if not 0 <= wanted.position <= 1000:
        raise EucaError("parameter_invalid", f"position: {wanted.position}, not from 0 to 1000")

    def verb(view: View, now: Micros) -> Outcome:
        return Outcome(
            (Put(wanted),), (event("type.set", wanted.name, now, by, facts=asdict(wanted)),), wanted
        )

    return verb


def remove_type(by: Caller, name: str) -> Callable[[View, Micros], Outcome]:
    """state_conflict for the last one: clients expect that there is one."""

    def verb(view: View, now: Micros) -> Outcome:
        row = view.vm_types.get(name)
        if row is None:
            known = ", ".join(sorted(view.vm_types))
            raise EucaError("type_not_found", f"the VM type {name[:80]!r} does not exist; there are {known}")
        if len(view.vm_types) == 1:
            raise EucaError("state_conflict", f"{name} is the last VM type: make another one before")
        return Outcome((Remove(row),), (event("type.removed", name, now, by),), row)

    return verb
