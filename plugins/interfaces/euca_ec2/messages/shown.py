"""Instances as lists show them."""

# ruff: noqa: RUF009 -- fields are declared by calls
from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from euca_rpc.clock import Micros
from euca_rpc.frozen import quick
from euca_rpc.shown import InstanceStatus
from euca_rpc.types import Reservation

from ..fields import FLAG, INTEGER, MOMENT, TEXTS, Items, Made, Struct, out, param
from .instances import State
from .networks import subnet_id, vpc_id
from .places import FILTERS, Filter
from .tags import TagItem

GROUP_IDS = "2011-01-01"  # from here on a group has an id and a name


@dataclass(frozen=True, slots=True)
class DescribeInstances:
    ids: tuple[str, ...] = param("InstanceId", TEXTS, soap="instancesSet/instanceId")
    filters: tuple[Filter, ...] = param("Filter", FILTERS, soap="filterSet")
    max_results: int | None = param("MaxResults", INTEGER, None)
    next_token: str | None = param("NextToken", default=None)
    include_managed: bool = param("IncludeManagedResources", FLAG, False, ignored=True)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class Group:
    old_id: str = out("groupId", until=GROUP_IDS)  # the name, when there were no ids
    id: str = out("groupId", since=GROUP_IDS)
    name: str = out("groupName", since=GROUP_IDS)


@dataclass(frozen=True, slots=True)
class Place:
    zone: str = out("availabilityZone")
    tenancy: str = out("tenancy", since=GROUP_IDS, default="default")


@dataclass(frozen=True, slots=True)
class Monitoring:
    state: str = out("state", default="disabled")


@dataclass(frozen=True, slots=True)
class Reason:
    code: str = out("code")
    message: str = out("message")


@quick
@dataclass(frozen=True, slots=True)
class InstanceItem:
    instance_id: str = out("instanceId")
    image_id: str = out("imageId")
    state: State = out("instanceState", Struct(State))
    private_dns_name: str = out("privateDnsName")
    dns_name: str = out("dnsName")
    reason: str = out("reason")
    key_name: str | None = out("keyName")
    launch_index: int = out("amiLaunchIndex", INTEGER)
    product_codes: tuple[str, ...] = out("productCodes", Items())
    instance_type: str = out("instanceType")
    launch_time: Micros = out("launchTime", MOMENT)
    placement: Place = out("placement", Struct(Place), since="2008-02-01")
    kernel_id: str | None = out("kernelId", since="2008-02-01")
    ramdisk_id: str | None = out("ramdiskId", since="2008-02-01")
    monitoring: Monitoring = out("monitoring", Struct(Monitoring), since="2009-04-04")
    subnet_id: str = out("subnetId", since=GROUP_IDS)
    vpc_id: str = out("vpcId", since=GROUP_IDS)
    private_ip_address: str | None = out("privateIpAddress", since="2009-08-15")
    ip_address: str | None = out("ipAddress", since="2009-08-15")
    state_reason: Reason | None = out("stateReason", Struct(Reason), since="2009-10-31")
    architecture: str = out("architecture", since="2009-10-31")
    root_device_type: str = out("rootDeviceType", since="2009-10-31")
    block_devices: tuple[str, ...] = out("blockDeviceMapping", Items(), since="2009-10-31")
    lifecycle: str | None = out("instanceLifecycle", since="2009-10-31")
    virtualization_type: str = out("virtualizationType", since="2010-06-15")
    client_token: str | None = out("clientToken", since="2010-08-31")
    tags: tuple[TagItem, ...] = out("tagSet", Items(TagItem), since="2010-08-31")
    groups: tuple[Group, ...] = out("groupSet", Items(Group), since=GROUP_IDS)


STATE_CODES = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}
SIGNATURE_TOKEN = "signature:"  # noqa: S105 -- begins the token of a launch that came without one; never shown


def state(name: str) -> State:
    return State(STATE_CODES[name], name)


def group_id(account_id: str) -> str:
    """Of the account's one group, `default`: it has no row of its own yet, so its id follows from the account's."""
    return f"sg-{zlib.crc32(account_id.encode()):08x}"


def default_group(account_id: str) -> Group:
    return Group("default", group_id(account_id), "default")


def instance_item(status: InstanceStatus) -> InstanceItem:
    it = status.instance
    token = it.client_token
    return InstanceItem(
        instance_id=it.id,
        image_id=it.image_id,
        state=state(status.state),
        private_dns_name=it.private_address,
        dns_name=it.public_address,
        reason=it.reason,
        key_name=it.key_name,
        launch_index=it.launch_index,
        product_codes=(),
        instance_type=it.vm_type,
        launch_time=it.launched_at,
        placement=Place(it.zone),
        kernel_id=it.kernel_id,
        ramdisk_id=it.ramdisk_id,
        monitoring=Monitoring(),
        subnet_id=subnet_id(it.zone),
        vpc_id=vpc_id(),
        private_ip_address=it.private_address or None,
        ip_address=it.public_address or None,
        state_reason=Reason(it.reason_code or status.state, it.reason) if it.reason else None,
        architecture=it.architecture,
        root_device_type="instance-store",
        block_devices=(),
        lifecycle="spot" if it.service_class == "best_effort" else None,
        virtualization_type="hvm",
        client_token=None if token is None or token.startswith(SIGNATURE_TOKEN) else token,
        tags=tuple(TagItem(key, value) for key, value in status.tags),
        groups=(default_group(it.account_id),),
    )


def _key(status: InstanceStatus) -> tuple[str, int, str, bool]:
    return status.instance.id, status.instance.version, status.state, status.reachable


INSTANCES = Made(InstanceItem, instance_item, _key)


@quick
@dataclass(frozen=True, slots=True)
class ReservationItem:
    reservation_id: str = out("reservationId")
    owner_id: str = out("ownerId")
    groups: tuple[Group, ...] = out("groupSet", Items(Group))
    instances: tuple[InstanceStatus, ...] = out("instancesSet", INSTANCES)


Held = tuple[
    Reservation, tuple[InstanceStatus, ...]
]  # a reservation and those of its machines that are shown


def reservation_item(held: Held) -> ReservationItem:
    row, inside = held
    return ReservationItem(row.id, row.account_id, (default_group(row.account_id),), inside)


def _held_key(held: Held) -> tuple[str, tuple[tuple[str, int, str, bool], ...]]:
    return held[0].id, tuple(map(_key, held[1]))


RESERVATIONS = Made(ReservationItem, reservation_item, _held_key)


@dataclass(frozen=True, slots=True)
class DescribeInstancesAnswer:
    reservations: Sequence[Held] = out("reservationSet", RESERVATIONS)
    next_token: str | None = out("nextToken", since="2011-01-01", default=None)


# ------------------------------------------------------------------------------------------------- status
@dataclass(frozen=True, slots=True)
class DescribeInstanceStatus:
    ids: tuple[str, ...] = param("InstanceId", TEXTS, soap="instancesSet/instanceId")
    filters: tuple[Filter, ...] = param("Filter", FILTERS, soap="filterSet")
    max_results: int | None = param("MaxResults", INTEGER, None)
    next_token: str | None = param("NextToken", default=None)
    include_all: bool = param("IncludeAllInstances", FLAG, False)
    include_managed: bool = param("IncludeManagedResources", FLAG, False, ignored=True)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class Detail:
    name: str = out("name")
    status: str = out("status")


@dataclass(frozen=True, slots=True)
class Health:
    status: str = out("status")
    details: tuple[Detail, ...] = out("details", Items(Detail))


@dataclass(frozen=True, slots=True)
class StatusItem:
    instance_id: str = out("instanceId")
    zone: str = out("availabilityZone")
    state: State = out("instanceState", Struct(State))
    system: Health = out("systemStatus", Struct(Health))
    instance: Health = out("instanceStatus", Struct(Health))


@dataclass(frozen=True, slots=True)
class DescribeInstanceStatusAnswer:
    statuses: tuple[StatusItem, ...] = out("instanceStatusSet", Items(StatusItem))
    next_token: str | None = out("nextToken", default=None)
