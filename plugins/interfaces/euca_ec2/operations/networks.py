"""One default VPC per cloud and one default subnet per zone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..filters import matching
from ..messages import networks as m
from ..paging import checked
from .asked import Asked, dry
from .passing import none_of

Item = TypeVar("Item", m.VpcItem, m.SubnetItem)


def vpcs(asked: Asked, request: m.DescribeVpcs) -> m.DescribeVpcsAnswer:
    vpc = m.VpcItem(
        id=m.vpc_id(),
        state="available",
        cidr=asked.ground.settings.private_cidr,
        tags=(),
        tenancy="default",
        default=True,
        owner_id=asked.caller.account_id,
    )
    none_of("InvalidVpcID.NotFound", "VPC", (id for id in request.ids if id != vpc.id))
    return m.DescribeVpcsAnswer(*_page(asked, request, "vpcs", [vpc], _VPC_FILTERS))


def subnets(asked: Asked, request: m.DescribeSubnets) -> m.DescribeSubnetsAnswer:
    items = [
        m.SubnetItem(
            id=m.subnet_id(zone.name),
            state="available",
            vpc_id=m.vpc_id(),
            cidr=asked.ground.settings.private_cidr,
            zone=zone.name,
            default=True,
            public=True,
            tags=(),
            owner_id=asked.caller.account_id,
        )
        for zone in asked.core.zones.describe(asked.caller)
    ]
    known = {it.id for it in items}
    none_of("InvalidSubnetID.NotFound", "subnet", (id for id in request.ids if id not in known))
    return m.DescribeSubnetsAnswer(*_page(asked, request, "subnets", items, _SUBNET_FILTERS))


def _page(
    asked: Asked,
    request: m.DescribeVpcs | m.DescribeSubnets,
    what: str,
    items: Sequence[Item],
    fields: dict[str, Callable[[Any], tuple[str | None, ...]]],
) -> tuple[tuple[Item, ...], str | None]:
    checked(request.max_results, request.next_token, request.ids)
    test = matching(request.filters, fields, lambda it: ())
    dry(request.dry_run)
    found = sorted(
        (it for it in items if (not request.ids or it.id in request.ids) and test(it)), key=lambda it: it.id
    )
    question = (what, asked.caller.account_id, request.filters)
    rows, token = asked.ground.pager.page(
        found, lambda it: (it.id,), question, request.max_results, request.next_token
    )
    return tuple(rows), token


_VPC_FILTERS: dict[str, Callable[[Any], tuple[str | None, ...]]] = {
    "vpc-id": lambda it: (it.id,),
    "isDefault": lambda it: ("true",),
    "is-default": lambda it: ("true",),
    "state": lambda it: (it.state,),
    "cidr": lambda it: (it.cidr,),
    "owner-id": lambda it: (it.owner_id,),
}
_SUBNET_FILTERS: dict[str, Callable[[Any], tuple[str | None, ...]]] = {
    "subnet-id": lambda it: (it.id,),
    "vpc-id": lambda it: (it.vpc_id,),
    "availability-zone": lambda it: (it.zone,),
    "availabilityZone": lambda it: (it.zone,),
    "default-for-az": lambda it: ("true",),
    "defaultForAz": lambda it: ("true",),
    "state": lambda it: (it.state,),
    "cidr-block": lambda it: (it.cidr,),
    "owner-id": lambda it: (it.owner_id,),
}
