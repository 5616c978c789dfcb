"""Lists of instances and of their health."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from euca_rpc.clock import iso
from euca_rpc.shown import InstanceStatus
from euca_rpc.types import Reservation

from ..filters import matching
from ..messages import shown as m
from ..messages.networks import subnet_id, vpc_id
from ..paging import checked
from .asked import Asked, dry, instance_ids

Row = tuple[Reservation, InstanceStatus]


def describe(asked: Asked, request: m.DescribeInstances) -> m.DescribeInstancesAnswer:
    ids = instance_ids(request.ids)
    checked(request.max_results, request.next_token, ids)
    test = matching(request.filters, _FILTERS, _tags)
    reservations: Iterable[tuple[Reservation, tuple[InstanceStatus, ...]]]
    reservations = asked.core.instances.describe(asked.caller, ids)
    if request.dry_run:
        list(reservations)  # refuses what is not there
        dry(True)
    token = None
    if request.filters or request.max_results is not None or request.next_token is not None:
        rows = ((held, one) for held, inside in reservations for one in inside if test((held, one)))
        question = ("instances", asked.caller.account_id, request.filters)
        page, token = asked.ground.pager.page(rows, _place, question, request.max_results, request.next_token)
        reservations = _regrouped(page)
    return m.DescribeInstancesAnswer(tuple(reservations), token)


def _place(row: Row) -> tuple[int, str, int, str]:
    """The order of the list, as the core gives it: by reservation, oldest first."""
    held, one = row
    return held.created_at, held.id, one.instance.launch_index, one.instance.id


def _regrouped(rows: Iterable[Row]) -> list[tuple[Reservation, tuple[InstanceStatus, ...]]]:
    grouped: dict[str, tuple[Reservation, list[InstanceStatus]]] = {}
    for held, one in rows:
        grouped.setdefault(held.id, (held, []))[1].append(one)
    return [(held, tuple(inside)) for held, inside in grouped.values()]


_FILTERS: dict[str, Callable[[Row], Iterable[str | None]]] = {
    "architecture": lambda row: (row[1].instance.architecture,),
    "availability-zone": lambda row: (row[1].instance.zone,),
    "client-token": lambda row: (_shown_token(row[1]),),
    "dns-name": lambda row: (row[1].instance.public_address or None,),
    "image-id": lambda row: (row[1].instance.image_id,),
    "instance-id": lambda row: (row[1].instance.id,),
    "instance-lifecycle": lambda row: ("spot" if row[1].instance.service_class == "best_effort" else None,),
    "instance-state-code": lambda row: (str(m.STATE_CODES[row[1].state]),),
    "instance-state-name": lambda row: (row[1].state,),
    "instance-type": lambda row: (row[1].instance.vm_type,),
    "instance.group-id": lambda row: (m.group_id(row[1].instance.account_id),),
    "instance.group-name": lambda row: ("default",),
    "ip-address": lambda row: (row[1].instance.public_address or None,),
    "kernel-id": lambda row: (row[1].instance.kernel_id,),
    "key-name": lambda row: (row[1].instance.key_name,),
    "launch-index": lambda row: (str(row[1].instance.launch_index),),
    "launch-time": lambda row: (iso(row[1].instance.launched_at),),
    "owner-id": lambda row: (row[1].instance.account_id,),
    "private-dns-name": lambda row: (row[1].instance.private_address or None,),
    "private-ip-address": lambda row: (row[1].instance.private_address or None,),
    "ramdisk-id": lambda row: (row[1].instance.ramdisk_id,),
    "reason": lambda row: (row[1].instance.reason,),
    "reservation-id": lambda row: (row[0].id,),
    "root-device-type": lambda row: ("instance-store",),
    "subnet-id": lambda row: (subnet_id(row[1].instance.zone),),
    "network-interface.subnet-id": lambda row: (subnet_id(row[1].instance.zone),),
    "vpc-id": lambda row: (vpc_id(),),
    "state-reason-code": lambda row: (row[1].instance.reason_code or None,),
    "state-reason-message": lambda row: (row[1].instance.reason or None,),
    "virtualization-type": lambda row: ("hvm",),
}


def _tags(row: Row) -> tuple[tuple[str, str], ...]:
    return row[1].tags


def _shown_token(one: InstanceStatus) -> str | None:
    token = one.instance.client_token
    return None if token is None or token.startswith(m.SIGNATURE_TOKEN) else token


# ------------------------------------------------------------------------------------------------- health
def describe_status(asked: Asked, request: m.DescribeInstanceStatus) -> m.DescribeInstanceStatusAnswer:
    """Running ones, or all if asked for: can the machine's node be reached?"""
    ids = instance_ids(request.ids)
    checked(request.max_results, request.next_token, ids)
    test = matching(request.filters, _STATUS_FILTERS, _tags)
    found = list(asked.core.instances.describe(asked.caller, ids))
    dry(request.dry_run)
    rows = [
        (held, one)
        for held, inside in found
        for one in inside
        if (request.include_all or one.state == "running") and test((held, one))
    ]
    question = ("status", asked.caller.account_id, request.filters, request.include_all)
    page, token = asked.ground.pager.page(rows, _place, question, request.max_results, request.next_token)
    return m.DescribeInstanceStatusAnswer(tuple(_status_item(one) for _, one in page), token)


def _status_item(one: InstanceStatus) -> m.StatusItem:
    health = _health(one)
    return m.StatusItem(one.instance.id, one.instance.zone, m.state(one.state), health, health)


def _health(one: InstanceStatus) -> m.Health:
    if one.state == "pending":
        return m.Health("initializing", (m.Detail("reachability", "initializing"),))
    if one.state != "running":
        return m.Health("not-applicable", ())
    if not one.reachable:
        return m.Health("impaired", (m.Detail("reachability", "failed"),))
    return m.Health("ok", (m.Detail("reachability", "passed"),))


_STATUS_FILTERS: dict[str, Callable[[Row], Iterable[str | None]]] = {
    name: _FILTERS[name] for name in ("availability-zone", "instance-state-code", "instance-state-name")
}
_STATUS_FILTERS |= {
    "instance-status.status": lambda row: (_health(row[1]).status,),
    "system-status.status": lambda row: (_health(row[1]).status,),
}
