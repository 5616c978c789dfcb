"""One default VPC per cloud and one default subnet per zone; their ids follow from the cloud's and the zone's names."""

from __future__ import annotations

import zlib

from ..filters import matching
from ..messages import networks as m
from ..paging import checked
from .asked import Asked, dry
from .passing import none_of


def vpc_id(cloud_id: str) -> str:
    return f"vpc-{zlib.crc32(cloud_id.encode()):08x}"


def subnet_id(cloud_id: str, zone: str) -> str:
    return f"subnet-{zlib.crc32(f'{cloud_id}/{zone}'.encode()):08x}"


def vpcs(asked: Asked, request: m.DescribeVpcs) -> m.DescribeVpcsAnswer:
    checked(request.max_results, request.next_token, request.ids)
    test = matching(request.filters, _VPC_FILTERS)
    vpc = m.VpcItem(
        id=vpc_id(asked.core.cloud_id),
        owner_id=asked.caller.account_id,
        state="available",
        cidr=asked.ground.settings.private_cidr,
        tenancy="default",
        default=True,
    )
    none_of("InvalidVpcID.NotFound", "VPC", (id for id in request.ids if id != vpc.id))
    dry(request.dry_run)
    return m.DescribeVpcsAnswer((vpc,) if test(vpc) else ())


def subnets(asked: Asked, request: m.DescribeSubnets) -> m.DescribeSubnetsAnswer:
    checked(request.max_results, request.next_token, request.ids)
    test = matching(request.filters, _SUBNET_FILTERS)
    cloud_id = asked.core.cloud_id
    items = [
        m.SubnetItem(
            id=subnet_id(cloud_id, zone.name),
            owner_id=asked.caller.account_id,
            state="available",
            vpc_id=vpc_id(cloud_id),
            cidr=asked.ground.settings.private_cidr,
            zone=zone.name,
            default=True,
            public=True,
        )
        for zone in asked.core.zones.describe(asked.caller)
    ]
    known = {it.id for it in items}
    none_of("InvalidSubnetID.NotFound", "subnet", (id for id in request.ids if id not in known))
    dry(request.dry_run)
    return m.DescribeSubnetsAnswer(
        tuple(it for it in items if (not request.ids or it.id in request.ids) and test(it))
    )


_VPC_FILTERS = {
    "vpc-id": lambda it: (it.id,),
    "isDefault": lambda it: ("true",),
    "is-default": lambda it: ("true",),
    "state": lambda it: (it.state,),
    "cidr": lambda it: (it.cidr,),
    "owner-id": lambda it: (it.owner_id,),
}
_SUBNET_FILTERS = {
    "subnet-id": lambda it: (it.id,),
    "vpc-id": lambda it: (it.vpc_id,),
    "availability-zone": lambda it: (it.zone,),
    "default-for-az": lambda it: ("true",),
    "defaultForAz": lambda it: ("true",),
    "state": lambda it: (it.state,),
    "cidr-block": lambda it: (it.cidr,),
    "owner-id": lambda it: (it.owner_id,),
}
