"""What may be changed of an instance after its launch, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from euca_rpc.clock import Micros
from euca_rpc.cloud import launch, lifecycle
from euca_rpc.cloud.changes import Outcome, Put, event
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.types import Caller, Instance

Value = str | bytes | bool

ANY_TIME = ("shutdown_behavior", "protected")
WHILE_STOPPED = ("vm_type", "user_data", "kernel_id", "ramdisk_id")


def modify(caller: Caller, row: Instance, attribute: str, value: Value) -> Callable[[View, Micros], Outcome]:
    def verb(view: View, now: Micros) -> Outcome:
        current = view.instances[row.id]
        if attribute not in ANY_TIME + WHILE_STOPPED:
            known = ", ".join(ANY_TIME + WHILE_STOPPED)
            raise EucaError(
                "parameter_invalid", f"{attribute!r} of an instance cannot be changed; these can: {known}"
            )
        if attribute in WHILE_STOPPED and lifecycle.state(current) != lifecycle.STOPPED:
            raise EucaError(
                "state_conflict",
                f"{row.id} is {lifecycle.state(current)}: {attribute} can be changed while it is stopped",
            )
        new = replace(_changed(view, caller, current, attribute, value), version=current.version + 1)
        shown = value if isinstance(value, str | bool) else f"{len(value)} bytes"
        facts = {"attribute": attribute, "value": shown}
        told = event("instance.modified", row.id, now, caller, row.account_id, facts)
        return Outcome((Put(new),), (told,), new)

    return verb


def _changed(view: View, caller: Caller, i: Instance, attribute: str, value: Value) -> Instance:
    match attribute, value:
        case "shutdown_behavior", ("stop" | "terminate") as behavior:
            return replace(i, shutdown_behavior=behavior)
        case "protected", bool() as protected:
            return replace(i, protected=protected)
        case "user_data", bytes() as data if len(data) <= launch.USER_DATA_LIMIT:
            return replace(i, user_data=data)
        case "vm_type", str() as name:
            vm_type = launch.find_type(view, name)  # the disk stays as it was made
            return replace(i, vm_type=name, cores=vm_type.cores, memory_mb=vm_type.memory_mb)
        case "kernel_id", str() as image_id:
            return replace(i, kernel_id=launch.usable_image(view, caller, image_id, "kernel").id)
        case "ramdisk_id", str() as image_id:
            return replace(i, ramdisk_id=launch.usable_image(view, caller, image_id, "ramdisk").id)
    raise EucaError("parameter_invalid", f"{str(value)[:60]!r} is no value for {attribute}")
