"""Launching, terminating, rebooting, stopping, starting, and the console."""

from __future__ import annotations

from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as NoAnswer

from euca_rpc.errors import EucaError
from euca_rpc.ids import KERNEL_IMAGE, MACHINE_IMAGE, RAMDISK_IMAGE
from euca_rpc.types import LaunchRequest, Transition

from ..errors import WireError
from ..messages import instances as m
from ..messages.keys import Done
from ..messages.shown import SIGNATURE_TOKEN, ReservationItem, default_group, group_id, state
from .asked import Asked, dry, image_id, instance_ids, refuse
from .networks import subnet_id

USER_DATA_LIMIT = 16 * 1024
SERVICE_CLASSES = {None: "regular", "spot": "best_effort"}


def run(asked: Asked, request: m.RunInstances) -> ReservationItem:
    launch = _launch_request(asked, request)
    dry(request.dry_run)
    launched = asked.core.instances.launch(asked.caller, launch)
    reservation = launched.reservation
    return ReservationItem(
        reservation.id, reservation.account_id, (default_group(reservation.account_id),), launched.instances
    )


def _launch_request(asked: Asked, it: m.RunInstances) -> LaunchRequest:
    if it.min_count < 1 or it.max_count < it.min_count:
        raise EucaError(
            "parameter_invalid",
            f"MinCount is {it.min_count} and MaxCount {it.max_count}; 1 ≤ MinCount ≤ MaxCount is needed.",
        )
    if len(it.user_data) > USER_DATA_LIMIT:
        raise EucaError(
            "parameter_invalid",
            f"User data is limited to {USER_DATA_LIMIT} bytes; there are {len(it.user_data)}.",
        )
    for group in (*it.group_names, *it.group_ids):
        # Old tools name groups in SecurityGroupId, too.
        if group not in ("default", group_id(asked.caller.account_id)):
            raise WireError(
                "InvalidGroup.NotFound",
                f"The security group {group[:100]!r} does not exist; there is only 'default'.",
            )
    if it.shutdown_behavior not in ("terminate", "stop"):
        raise EucaError(
            "parameter_invalid",
            f"InstanceInitiatedShutdownBehavior is {it.shutdown_behavior[:40]!r}; it must be 'terminate' or 'stop'.",
        )
    if it.market_type not in SERVICE_CLASSES:
        raise EucaError(
            "parameter_invalid", f"MarketType is {(it.market_type or '')[:40]!r}; it must be 'spot'."
        )
    token = it.client_token
    if token is not None and (not token.isascii() or not 1 <= len(token) <= 64):
        raise EucaError("parameter_invalid", "ClientToken must have 1 to 64 ASCII characters.")
    refuse(it.tenancy != "default", "Placement.Tenancy can only be 'default' here.")
    refuse(it.keep, "DisableApiTermination cannot be true here: no instance is protected from termination.")
    refuse(it.ebs_optimized, "EbsOptimized cannot be true here: there are no volumes.")
    refuse(it.addressing_type not in ("public", ""), "AddressingType can only be 'public' here.")
    defaults = LaunchRequest("")
    return LaunchRequest(
        image_id=image_id(it.image_id, MACHINE_IMAGE),
        min_count=it.min_count,
        max_count=it.max_count,
        vm_type=it.instance_type or defaults.vm_type,
        key_name=it.key_name or None,
        zone=_zone(asked, it),
        kernel_id=image_id(it.kernel_id, KERNEL_IMAGE) if it.kernel_id else None,
        ramdisk_id=image_id(it.ramdisk_id, RAMDISK_IMAGE) if it.ramdisk_id else None,
        user_data=it.user_data,
        # An honest repetition repeats the signature: it must get the same reservation, not more machines.
        client_token=token if token is not None else SIGNATURE_TOKEN + asked.signature.hex(),
        shutdown_behavior=it.shutdown_behavior,
        service_class=SERVICE_CLASSES[it.market_type],
    )


def _zone(asked: Asked, it: m.RunInstances) -> str | None:
    """Named, or the one of the subnet named."""
    if not it.subnet_id:
        return it.zone or None
    for zone in asked.core.zones.describe(asked.caller):
        if subnet_id(asked.core.cloud_id, zone.name) == it.subnet_id and it.zone in (None, "", zone.name):
            return zone.name
    wanted = f" in the zone {it.zone[:100]!r}" if it.zone else ""
    raise WireError("InvalidSubnetID.NotFound", f"There is no subnet {it.subnet_id[:100]!r}{wanted}.")


def terminate(asked: Asked, request: m.TerminateInstances) -> m.StateChanges:
    ids = _existing(asked, request.ids, request.dry_run)
    return _changes(asked.core.instances.terminate(asked.caller, ids))


def stop(asked: Asked, request: m.StopInstances) -> m.StateChanges:
    refuse(request.hibernate, "Hibernate cannot be true here: memory is not kept.")
    ids = _existing(asked, request.ids, request.dry_run)
    return _changes(asked.core.instances.stop(asked.caller, ids))


def start(asked: Asked, request: m.StartInstances) -> m.StateChanges:
    ids = _existing(asked, request.ids, request.dry_run)
    return _changes(asked.core.instances.start(asked.caller, ids))


def reboot(asked: Asked, request: m.RebootInstances) -> Done:
    asked.core.instances.reboot(asked.caller, _existing(asked, request.ids, request.dry_run))
    return Done()


def _existing(asked: Asked, spelt: tuple[str, ...], dry_run: bool) -> list[str]:
    ids = instance_ids(spelt)
    if dry_run:
        list(asked.core.instances.describe(asked.caller, ids))  # refuses what is not there
        dry(True)
    return ids


def _changes(transitions: list[Transition]) -> m.StateChanges:
    return m.StateChanges(
        tuple(
            m.StateChange(it.instance_id, state(it.current), state(it.current), state(it.previous))
            for it in transitions
        )
    )


def console(asked: Asked, request: m.GetConsoleOutput) -> m.GetConsoleOutputAnswer:
    """The only action that waits for a node.  A few may wait at a time, so that a silent node holds up nobody else."""
    (id,) = _existing(asked, (request.instance_id,), request.dry_run)
    ground = asked.ground
    if not ground.consoles.acquire(blocking=False):
        raise EucaError(
            "throttled", "Too many console requests are waiting for nodes just now; try again in a moment."
        )
    try:
        future = asked.core.instances.console(asked.caller, id)
        try:
            shown = future.result(ground.settings.console_seconds)
        except (NoAnswer, CancelledError):
            future.cancel()
            raise EucaError(
                "unreachable",
                f"The node of instance {id} did not give its console within {ground.settings.console_seconds:g} s; try again.",
            ) from None
    finally:
        ground.consoles.release()
    return m.GetConsoleOutputAnswer(shown.instance_id, shown.at, shown.text)
