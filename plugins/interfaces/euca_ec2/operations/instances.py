"""Launching, terminating, rebooting, stopping, starting, and the console."""

from __future__ import annotations

from euca_rpc.errors import EucaError
from euca_rpc.ids import KERNEL_IMAGE, MACHINE_IMAGE, RAMDISK_IMAGE
from euca_rpc.shown import Transition
from euca_rpc.steps import Steps
from euca_rpc.types import LaunchRequest

from ..errors import WireError
from ..messages import instances as m
from ..messages.keys import Done
from ..messages.networks import subnet_id
from ..messages.shown import SIGNATURE_TOKEN, ReservationItem, default_group, state
from .asked import Asked, default_groups, dry, image_id, instance_ids, refuse
from .hints import hints
from .tags import specified

USER_DATA_LIMIT = 16 * 1024
_DEFAULTS = LaunchRequest("")
SERVICE_CLASSES = {None: "regular", "spot": "best_effort"}


def run(asked: Asked, request: m.RunInstances) -> Steps[ReservationItem]:
    launch = _launch_request(asked, request)
    if request.dry_run:
        _look(asked, launch)
        dry(True)
    launched = yield from asked.core.instances.launching(asked.caller, launch)
    reservation = launched.reservation
    return ReservationItem(
        reservation.id, reservation.account_id, (default_group(reservation.account_id),), launched.instances
    )


def _look(asked: Asked, launch: LaunchRequest) -> None:
    """What a launch names is there; whether there is room only a launch can tell."""
    core, caller = asked.core, asked.caller
    images = (launch.image_id, launch.kernel_id, launch.ramdisk_id)
    core.images.describe(caller, [id for id in images if id is not None])
    core.types.describe(caller, [launch.vm_type])
    if launch.key_name is not None:
        core.keys.describe(caller, [launch.key_name])
    if launch.zone is not None:
        core.zones.describe(caller, [launch.zone])


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
    default_groups(asked, (*it.group_names, *it.group_ids))
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
    refuse(it.spot_type != "one-time", "SpotInstanceType can only be 'one-time' here.")
    refuse(it.interruption != "terminate", "InstanceInterruptionBehavior can only be 'terminate' here.")
    if it.max_price is not None and it.market_type != "spot":
        raise EucaError("parameter_conflict", "MaxPrice is for the spot market; MarketType must be 'spot'.")
    tags = specified(it.tag_specifications, "instance")
    refuse(it.ebs_optimized, "EbsOptimized cannot be true here: there are no volumes.")
    refuse(it.addressing_type not in ("public", ""), "AddressingType can only be 'public' here.")
    return LaunchRequest(
        image_id=image_id(it.image_id, MACHINE_IMAGE),
        min_count=it.min_count,
        max_count=it.max_count,
        vm_type=it.instance_type or _DEFAULTS.vm_type,
        key_name=it.key_name or None,
        zone=_zone(asked, it),
        kernel_id=image_id(it.kernel_id, KERNEL_IMAGE) if it.kernel_id else None,
        ramdisk_id=image_id(it.ramdisk_id, RAMDISK_IMAGE) if it.ramdisk_id else None,
        user_data=it.user_data,
        # An honest repetition repeats the signature: it must get the same reservation, not more machines.
        client_token=token if token is not None else SIGNATURE_TOKEN + asked.signature.hex(),
        shutdown_behavior=it.shutdown_behavior,
        protected=it.keep,
        service_class=SERVICE_CLASSES[it.market_type],
        hints=hints(it, tags),
        tags=tuple(sorted(tags.items())),
    )


def _zone(asked: Asked, it: m.RunInstances) -> str | None:
    """Named, or the one of the subnet named."""
    if not it.subnet_id:
        return it.zone or None
    for zone in asked.core.zones.describe(asked.caller):
        if subnet_id(zone.name) == it.subnet_id and it.zone in (None, "", zone.name):
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
    """The only action that waits for a node; the core bounds how long, and how many may at a time."""
    (id,) = _existing(asked, (request.instance_id,), request.dry_run)
    shown = asked.core.instances.console(asked.caller, id).result()
    return m.GetConsoleOutputAnswer(shown.instance_id, shown.at, shown.text)
