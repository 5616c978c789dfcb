"""Zones, regions, VM types, account attributes."""

from __future__ import annotations

from euca_rpc.clock import moment
from euca_rpc.errors import EucaError
from euca_rpc.shown import ZoneStatus
from euca_rpc.types import VmType

from ..filters import matching
from ..messages import places as m
from ..messages.networks import vpc_id
from ..paging import checked
from .asked import Asked, dry

VERBOSE = "verbose"  # what the original tools send as a zone name


def describe_zones(asked: Asked, request: m.DescribeAvailabilityZones) -> m.DescribeAvailabilityZonesAnswer:
    test = matching(request.filters, _ZONE_FILTERS)
    names = [name for name in request.zone_names if name != VERBOSE]
    verbose = len(names) < len(request.zone_names) and asked.caller.is_admin
    items: list[m.ZoneItem] = []
    zones = asked.core.zones.describe(asked.caller, names)
    dry(request.dry_run)
    for zone in zones:
        item = _zone_item(zone, asked.ground.settings.region)
        if test(item):
            items.append(item)
            if verbose:
                items += _rows(zone, asked.ground.settings.region)
    return m.DescribeAvailabilityZonesAnswer(tuple(items))


def _zone_item(zone: ZoneStatus, region: str) -> m.ZoneItem:
    up, smallest = zone.reach.up, zone.rooms[0] if zone.rooms else None
    free, total = (smallest.free if up else 0, smallest.total) if smallest else (0, 0)
    count = f"{free:03d}/{total:03d}"
    messages = [m.Message(f"{smallest.vm_type.name} {count}")] if smallest else []
    if not up:
        since = zone.reach.silent_since
        messages.append(
            m.Message(f"silent since {moment(since)}" if since is not None else "not heard of yet")
        )
    return m.ZoneItem(
        zone.name,
        f"{'UP' if up else 'DOWN'} {count}",
        "available" if up else "unavailable",
        region,
        tuple(messages),
    )


def _rows(zone: ZoneStatus, region: str) -> list[m.ZoneItem]:
    texts = [("vm types", "free / max   cpu   ram  disk")]
    for room in zone.rooms:
        kind, free = room.vm_type, room.free if zone.reach.up else 0
        size = f"{kind.cores:2d}   {kind.memory_mb:4d}  {kind.disk_gb:4d}"
        texts.append((kind.name, f"{free:04d} / {room.total:04d}  {size}"))
    return [m.ZoneItem(f"|- {name}", text, text, region, ()) for name, text in texts]


_ZONE_FILTERS = {
    "zone-name": lambda zone: (zone.zone_name,),
    "region-name": lambda zone: (zone.region_name,),
    "state": lambda zone: (zone.state,),
    "message": lambda zone: [message.message for message in zone.messages],
}


def describe_regions(asked: Asked, request: m.DescribeRegions) -> m.DescribeRegionsAnswer:
    region = m.RegionItem(asked.ground.settings.region, asked.endpoint)
    test = matching(
        request.filters,
        {"region-name": lambda it: (it.region_name,), "endpoint": lambda it: (it.region_endpoint,)},
    )
    for name in request.region_names:
        if name != region.region_name:
            raise EucaError(
                "parameter_invalid", f"There is no region {name[:100]!r} here, only {region.region_name!r}."
            )
    dry(request.dry_run)
    return m.DescribeRegionsAnswer((region,) if test(region) else ())


def describe_types(asked: Asked, request: m.DescribeInstanceTypes) -> m.DescribeInstanceTypesAnswer:
    checked(request.max_results, request.next_token, request.instance_types)
    test = matching(request.filters, _TYPE_FILTERS)
    kinds = [it for it in asked.core.types.describe(asked.caller, request.instance_types) if test(it)]
    dry(request.dry_run)
    question = ("types", asked.caller.account_id, request.filters)
    rows, token = asked.ground.pager.page(
        kinds, lambda it: (it.position, it.name), question, request.max_results, request.next_token
    )
    return m.DescribeInstanceTypesAnswer(tuple(_type_item(it) for it in rows), token)


def _type_item(kind: VmType) -> m.TypeItem:
    return m.TypeItem(
        instance_type=kind.name,
        current_generation=True,
        usage_classes=("on-demand", "spot"),
        root_device_types=("instance-store",),
        bare_metal=False,
        cpus=m.Cpus(kind.cores, kind.cores, 1),
        memory=m.Memory(kind.memory_mb),
        storage_supported=True,
        storage=m.Storage(kind.disk_gb),
    )


_TYPE_FILTERS = {
    "instance-type": lambda kind: (kind.name,),
    "vcpu-info.default-vcpus": lambda kind: (str(kind.cores),),
    "vcpu-info.default-cores": lambda kind: (str(kind.cores),),
    "memory-info.size-in-mib": lambda kind: (str(kind.memory_mb),),
    "instance-storage-info.total-size-in-gb": lambda kind: (str(kind.disk_gb),),
    "current-generation": lambda kind: ("true",),
    "bare-metal": lambda kind: ("false",),
}


def describe_offerings(
    asked: Asked, request: m.DescribeInstanceTypeOfferings
) -> m.DescribeInstanceTypeOfferingsAnswer:
    """A zone offers the types of which its nodes, were they empty, could hold one."""
    checked(request.max_results, request.next_token, ())
    test = matching(request.filters, _OFFERING_FILTERS)
    dry(request.dry_run)
    places: dict[str, set[str]] = {}
    for zone in asked.core.zones.describe(asked.caller):
        place = asked.ground.settings.region if request.location_type == "region" else zone.name
        places.setdefault(place, set()).update(room.vm_type.name for room in zone.rooms if room.total > 0)
    offered = [
        m.Offering(kind.name, request.location_type, place)
        for kind in asked.core.types.describe(asked.caller)
        for place in sorted(places)
        if kind.name in places[place]
    ]
    found = sorted((it for it in offered if test(it)), key=_offering_place)
    question = ("offerings", asked.caller.account_id, request.filters, request.location_type)
    rows, token = asked.ground.pager.page(
        found, _offering_place, question, request.max_results, request.next_token
    )
    return m.DescribeInstanceTypeOfferingsAnswer(tuple(rows), token)


def _offering_place(it: m.Offering) -> tuple[str, str]:
    return it.instance_type, it.location


_OFFERING_FILTERS = {
    "instance-type": lambda it: (it.instance_type,),
    "location": lambda it: (it.location,),
}


def describe_attributes(
    asked: Asked, request: m.DescribeAccountAttributes
) -> m.DescribeAccountAttributesAnswer:
    """Limits are not among them: they are quotas, per account and per user, and the core names one when it refuses."""
    have = {"supported-platforms": ("VPC",), "default-vpc": (vpc_id(),)}
    for name in request.names:
        if name not in have:
            raise EucaError(
                "parameter_invalid",
                f"There is no account attribute {name[:100]!r}; there are: {', '.join(have)}.",
            )
    dry(request.dry_run)
    return m.DescribeAccountAttributesAnswer(
        tuple(
            m.AttributeItem(name, tuple(m.AttributeValue(value) for value in values))
            for name, values in have.items()
            if not request.names or name in request.names
        )
    )
